#pragma once

// Values of a request's JSON body that a configuration has named (ai_limit_body_field).

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/bounded_text.h"
#include "core/json_scan.h"

namespace ai_limit {

/** Which values are wanted: one set for a configuration, which outlives those who read by it. */
class BodyFieldPaths {
public:
    static constexpr size_t kMostFields = 32;

    /**
     * Adds the value that a JSON Pointer (RFC 6901) names, and says which field it is; a pointer
     * that is known already is the same field. The text must outlive this. Returns nullptr, or a
     * static text that says what is wrong.
     */
    const char* add(std::string_view pointer, size_t* field);

    size_t count() const { return count_; }

    const JsonPathNode* root() const { return paths_.root(); }

private:
    static constexpr size_t kMostKeys = 200;

    JsonPaths<kMostKeys> paths_;
    std::string_view pointers_[kMostFields];
    size_t count_ = 0;
};

/** The value of one field. */
using BodyField = BoundedText<1024, ControlCharacters::kEscaped>;

/**
 * Finds the fields of one body, which comes in pieces cut anywhere: strings with their escapes
 * decoded, numbers as they are written, `true` and `false`. Objects and arrays have no text. Of a
 * key that comes twice the last value counts, but for null, which servers in Go ignore. Trivially
 * copyable.
 */
class BodyFields {
public:
    /** `fields` has an element for each of the paths, and outlives this. */
    BodyFields(const BodyFieldPaths& paths, BodyField* fields);

    void feed(std::string_view piece);

private:
    void take(const JsonToken& token);

    JsonScanner scanner_;
    BodyField* fields_;
};

static_assert(std::is_trivially_copyable_v<BodyField> && std::is_trivially_copyable_v<BodyFields>);

}  // namespace ai_limit
