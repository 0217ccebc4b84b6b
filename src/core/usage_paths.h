#pragma once

// Where to find the usage in answers of a server that no provider's table describes:
//
//     ai_limit_usage input=/meta/in output=/meta/out total=/meta/all;

#include <cstddef>
#include <string_view>

#include "core/answer_kind.h"
#include "core/answer_paths.h"

namespace ai_limit {

/**
 * Made once from a configuration, whose text it refers to. Its trees take about 23 KB. They have
 * the texts of all providers as well, for the estimate where an answer tells no usage.
 */
class UsagePaths {
public:
    /**
     * Adds one of `input=`, `output=` and `total=` with a JSON Pointer (RFC 6901) behind it, which
     * is looked up in the document, or in that of each event or line. There, `*` is a key like any
     * other. Returns nullptr, or a static text that says what is wrong; this object is then as it
     * was.
     */
    const char* add(std::string_view word);

    /** None has been added; there are no trees then. */
    bool is_empty() const;

    /** The tree for the documents of an answer, which belongs to this object. */
    const JsonPathNode* tree(AnswerKind kind) const;

private:
    static constexpr size_t kTrees = 3;
    static constexpr size_t kCounts = 3;

    const char* check(size_t count, std::string_view pointer) const;
    void make_tree(AnswerKind kind);

    AnswerPaths trees_[kTrees];
    std::string_view pointers_[kCounts];  // input, output, total; empty: not given
};

}  // namespace ai_limit
