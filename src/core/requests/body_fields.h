#pragma once

// Values of a request's JSON body that a configuration has named (ai_limit_body_field).

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/json/bounded_text.h"
#include "core/json/json_scan.h"

namespace ai_limit {

/** Which values are wanted: one set for a configuration, which outlives those who read by it. */
class BodyFieldPaths {
public:
    static constexpr size_t kMostFields = 32;

    /**
     * Adds the value that a JSON Pointer (RFC 6901) names, and says which field it is; a pointer
     * that is known already is the same field. It is in lower case, since keys match in any, and
     * outlives this. Returns nullptr, or a
     * static text that says what is wrong.
     */
    const char* add(std::string_view pointer, size_t* field);

    size_t count() const { return count_; }

    /** Keys and elements that the field's pointer names. */
    size_t depth(size_t field) const { return shapes_[field].depth; }
    /** The last of them is the number of an element, which nobody can spell in another way. */
    bool is_element(size_t field) const { return shapes_[field].is_element; }

    /** A pointer begins with the number of an element. */
    bool begin_with_elements() const { return begin_with_elements_; }

    const JsonPathNode* root() const { return paths_.root(); }

private:
    static constexpr size_t kMostKeys = 200;

    JsonPaths<kMostKeys> paths_;
    struct Shape {
        uint8_t depth;
        bool is_element;
    };

    const char* add_containers(std::string_view pointer, Shape* shape);
    bool is_field(std::string_view pointer, size_t* field) const;

    std::string_view pointers_[kMostFields];
    Shape shapes_[kMostFields] = {};
    size_t count_ = 0;
    bool begin_with_elements_ = false;
};

/** The value of one field; the last one if it comes twice. */
struct BodyField {
    BoundedText<1024, ControlCharacters::kEscaped> text;
    uint32_t spelling = 0;  // of the keys on the way to it
    uint32_t element = 0;   // of a batch: in which it stands
    bool seen = false;
};

/**
 * Finds the fields of one body, which comes in pieces cut anywhere: strings with their escapes
 * decoded, numbers as they are written, `true` and `false`. Objects and arrays have no text. If a
 * key comes twice, the last value counts, except null, which servers in Go ignore. Keys match
 * without regard to case, as in Go. If two spellings disagree, nobody knows which one the server
 * believes. A document that is an array is a batch, as of JSON-RPC: each element is read like a
 * document. If two elements have a value for a field, even the same one, they are two requests in
 * one. Trivially copyable.
 */
class BodyFields {
public:
    /** `fields` has an element for each of the paths, and outlives this. */
    BodyFields(const BodyFieldPaths& paths, BodyField* fields);

    /** The text is what FormText makes of a form: keys that come twice must agree. */
    void set_form() { form_ = true; }

    void feed(std::string_view piece);

    /** Two values of a field differ, and servers may take either. */
    bool disagree() const { return disagree_; }

    /** Two elements of a batch have a value for a field. */
    bool is_batch_of_several() const { return is_batch_of_several_; }

private:
    void feed_batch(std::string_view piece);
    void feed_document(std::string_view piece);
    void end_element();
    void take(const JsonToken& token);
    void take_value(const JsonToken& token, BodyField* field);
    void end_value(BodyField* field);
    uint32_t spelling_of(size_t depth, bool is_element) const;

    const BodyFieldPaths* paths_;
    JsonScanner scanner_;
    BodyField* fields_;
    BoundedText<1024, ControlCharacters::kEscaped> former_;  // of the field that is being read
    uint32_t containers_[kMaxJsonPathDepth + 1] = {};  // by depth: how the way there is spelled
    uint32_t spelling_ = 0;                            // of the value that has begun
    bool form_ = false;
    bool disagree_ = false;

    bool begun_ = false;
    // of a batch
    bool is_batch_ = false;
    bool is_batch_of_several_ = false;
    bool batch_ended_ = false;
    bool in_string_ = false;
    bool after_backslash_ = false;
    uint64_t depth_ = 0;    // of brackets within an element
    uint32_t element_ = 0;  // its number
};

static_assert(std::is_trivially_copyable_v<BodyField> && std::is_trivially_copyable_v<BodyFields>);

}  // namespace ai_limit
