#pragma once

// Reads the paths of the usage in answers of a server that no provider's table describes:
//
//     ai_limit_usage input=/meta/in,/result/in output=/results/*/tokens total=/meta/all;

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answers/answer_kind.h"
#include "core/answers/answer_paths.h"

namespace ai_limit {

/**
 * Made once from a configuration, whose text it refers to. Its trees take about 120 KB. They have
 * the paths of all providers as well: for the text, and for counts that stand at none of the
 * places.
 */
class UsagePaths {
public:
    /** All counts together can have so many places. */
    static constexpr size_t kMaxPlaces = kOwnSums;

    /**
     * Adds one of `input=`, `output=` and `total=` with places behind it, separated by commas. Each
     * is a JSON Pointer (RFC 6901), which is looked up in the document, or in that of each event or
     * line; the largest value of all places counts. In an array, `*` stands for every element; the
     * values that it finds in one document are added up. Returns nullptr, or a static text that
     * says what is wrong; this object is then as it was.
     */
    const char* add(std::string_view word);

    /** None has been added; there are no trees then. */
    bool is_empty() const { return size_ == 0; }

    /** The tree for the documents of an answer, which belongs to this object. */
    AnswerTree tree(AnswerKind kind) const;

private:
    static constexpr size_t kTrees = 3;

    struct Place {
        std::string_view pointer;
        UsageField field;
    };

    const char* add_place(const Place& place);
    void make_trees();
    void add_places(AnswerPaths* tree);

    AnswerPaths trees_[kTrees];
    JsonPathId sums_[kAnswerSums] = {};
    Place places_[kMaxPlaces];
    size_t size_ = 0;
};

}  // namespace ai_limit
