#pragma once

// The fields by which requests limit their output, and the one that each API takes.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json/json_paths.h"

namespace ai_limit {

/** What OutputLimits looks for in a body: the ids of paths. A field's id is its number below. */
enum OutputValue : JsonPathId {
    kFirstOutputObject = 64,  // objects that fields are in, by their number
    kOutputRoot = 128,
    kOutputAnswer,  // each one of these is answered by itself, as each prompt of a list is
    kOutputMessages,
    kOutputPrompt,
    kOutputInputs,
    kOutputText,
    kOutputTextInput,
    kOwnOutputField,   // the last key of an OwnOutputField,
    kOwnOutputObject,  // and the objects before it, by their depth
};

/** Numbers of fields, by bit. */
using OutputFieldSet = uint64_t;

/**
 * The JSON that sets a field in a new member: `"options":{"num_predict":`, to be followed by the
 * number and a brace for each object.
 */
struct OutputMember {
    static constexpr size_t kMostKeys = 4;

    std::string_view text;
    uint8_t depth = 0;                  // keys in it
    uint16_t key_at[kMostKeys] = {};    // where each key begins in the text,
    uint16_t value_at[kMostKeys] = {};  // and its value
};

/** An API whose requests can be limited. */
struct OutputApi {
    std::string_view path_end;
    std::string_view path_part;  // is also somewhere in the path
    OutputFieldSet fields;       // limit a request if they are spelled as they are here
    uint64_t objects;            // that the fields are in, by bit
    OutputMember member;         // limits a request that has no limit; without keys: nothing does
    JsonPathId field;            // that it sets
    JsonPathId root_key;         // is also a key of the body; kNoJsonPath: any body
};

/**
 * Finds the rows that a path as nginx's r->uri holds it may be of: the APIs from the one with the
 * number returned on. Returns the number of no row if there is none.
 */
size_t first_output_api(std::string_view path);

/** Returns the row with this number; nullptr behind the last one. */
const OutputApi* output_api(size_t number);

/** True if the row is one for the path, whatever the body holds. */
bool is_output_api_of(const OutputApi& api, std::string_view path);

/** How many keys name a field of the table; 0 of one in the elements of an array. */
uint8_t output_field_depth(JsonPathId field);

/** True if 0 in the field sets no limit: in Ollama only numbers above 0 end an answer. */
bool is_endless_if_zero(JsonPathId field);

/** Returns the tree of all fields. It is constant and lives as long as the process. */
const JsonPathNode* output_paths();

/** A field that the configuration names in place of those of the request's API. */
class OwnOutputField {
public:
    OwnOutputField() = default;
    OwnOutputField(const OwnOutputField&) = delete;
    OwnOutputField& operator=(const OwnOutputField&) = delete;

    /**
     * Takes a JSON Pointer (RFC 6901) of at most OutputMember::kMostKeys keys, which outlives this.
     * Returns nullptr, or a static text that says what is wrong.
     */
    const char* set(std::string_view pointer);

    const OutputApi& api() const { return api_; }
    const JsonPathNode* paths() const { return paths_.root(); }

private:
    static constexpr size_t kMostText = OutputMember::kMostKeys * (kMaxJsonKey + 4);

    const char* add_key(std::string_view token);

    JsonPaths<160> paths_;
    OutputApi api_{};
    char text_[kMostText];
    size_t text_size_ = 0;
};

}  // namespace ai_limit
