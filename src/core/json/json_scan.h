#pragma once

// Finds the values of wanted paths in a JSON document that comes in pieces cut anywhere.
//
// Paths match exactly: `/usage/prompt_tokens` is that key of that object of the document itself, so
// text or nested objects that a model writes are never taken for it. Only the containers on the way
// to a wanted value are remembered. All others take one bit for each level, so that brackets match,
// and not even that deeper than kMaxJsonStrictDepth.
//
// The grammar is RFC 8259's. More lenient on purpose, because clients can read such answers too, or
// because it would cost memory to see:
// - bytes in strings need not be UTF-8, and half a surrogate pair (\ud83d) may stand alone;
// - deeper than kMaxJsonStrictDepth only strings and the number of brackets count;
// - the exponent of a number may have any size.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json/json_key_search.h"
#include "core/json/json_number.h"
#include "core/json/json_paths.h"
#include "core/json/json_text.h"

namespace ai_limit {

/** Levels down to which it is known whether a bracket closes an array or an object. */
constexpr size_t kMaxJsonStrictDepth = 512;

/** The next thing that JsonScanner finds. */
struct JsonToken {
    enum Kind : uint8_t {
        kNothing,  // the piece is used up
        kBegin,    // a wanted object or array; `text` is its bracket
        kEnd,      // the end of one; `text` is its bracket
        kString,   // bytes of a wanted string, as they stand between the quotes
        kNumber,   // a wanted number, entire; `text` is empty if it has more than kMaxJsonKey
                   // bytes, or is not finite
        kTrue,
        kFalse,
        kNull
    };
    Kind kind = kNothing;
    JsonPathId id = kNoJsonPath;  // of the path
    bool first = false;           // kString: no bytes of this string came before
    bool last = false;            // kString: the string ends behind this text, which may be empty
    std::string_view text;        // within the piece; a number that was cut: until the next call
};

/** The extensions that a scanner accepts beside RFC 8259's grammar and exact paths. */
struct JsonRules {
    /** Keys match without regard to case, as Go's encoding/json matches them: also the long s
     * (U+017F) and the Kelvin sign (U+212A), which are other cases of s and k. */
    bool any_case = false;
    /** NaN, Infinity and -Infinity are numbers without text, as Python's json takes them. */
    bool not_finite = false;
    /** Strings that no path wants are reported as well, under this id. Keys are not. */
    JsonPathId other_strings = kNoJsonPath;
    /**
     * The text of a number longer than kMaxJsonKey bytes is its first kMaxJsonKey bytes, up to the
     * last digit among them.
     */
    bool long_numbers = false;
};

/**
 * The position within one document. Trivially copyable, without pointers into itself.
 *
 * An object that has one key twice is reported as it stands: the last value is the one that
 * counts for most readers of JSON (RFC 8259, 4).
 */
class JsonScanner {
public:
    /** The tree (JsonPaths::root()) outlives the scanner. */
    explicit JsonScanner(const JsonPathNode* paths, JsonRules rules = {})
        : paths_(paths), rules_(rules) {
        reset();
    }

    /** Back to the start, for another document. */
    void reset();

    /**
     * Takes the next wanted token from the front of `rest`, which begins where the last call left
     * off: in the same piece or at the start of the following one. Returns kNothing if `rest` has
     * no more; it is then empty. However a document is cut, the tokens are the same, except that
     * strings come in other pieces. A number that is the entire document is not reported, as
     * nothing would show where it ends. Input behind an error is ignored until reset().
     */
    JsonToken next(std::string_view* rest);

    /**
     * With JsonRules::any_case, how the last key was spelled that a path names: 0 as in the path,
     * otherwise a hash of it. A value's first token is that key's.
     */
    uint32_t spelling() const { return spelling_; }

    /** True if the bytes so far are one document, with nothing but white space around it. */
    bool is_complete() const;

    /** True if the bytes so far cannot become a document. */
    bool is_malformed() const { return state_ == State::kMalformed; }

    /** True if only white space has come so far. */
    bool is_blank() const { return state_ == State::kValue && depth_ == 0; }

private:
    enum class State : uint8_t {
        kValue,
        kFirstElement,  // a value or ]
        kFirstKey,      // a key or }
        kKey,
        kColon,
        kAfterValue,  // a comma or the container's end
        kStringKey,
        kString,
        kStringDeep,  // a string where only brackets count
        kNumber,
        kLiteral,
        kDeep,
        kComplete,
        kMalformed
    };
    struct Level {
        uint32_t index;  // of the current element, in an array
        uint16_t node;
    };
    /** A piece as it is used up. */
    struct Input {
        const char* at;
        const char* end;
    };

    bool step(Input* in, JsonToken* token);
    bool take_byte(Input* in, JsonToken* token);
    bool begin_value(Input* in, JsonToken* token);
    bool begin_container(Input* in, bool object, JsonToken* token);
    bool end_container(Input* in, JsonToken* token);
    void end_value();
    void begin_key(Input* in);
    void end_key(std::string_view raw);
    void select_key(std::string_view key);
    void take_comma(Input* in);
    bool take_string(Input* in, JsonToken* token);
    const char* find_string_end(const char* at, const char* end);
    bool report_string(JsonPathId id, std::string_view raw, bool last, JsonToken* token);
    bool take_escape(char c);
    bool take_number(Input* in, JsonToken* token);
    void keep_number(std::string_view text);
    bool take_literal(Input* in, JsonToken* token);
    void take_deep(Input* in);
    void select_element(uint32_t index);
    bool is_wanted() const { return value_ != kNoJsonNode && paths_[value_].id != kNoJsonPath; }
    bool is_on_path() const { return depth_ == tracked_; }
    /** The node of the innermost container, which is_on_path(). */
    const JsonPathNode& innermost() const { return paths_[levels_[tracked_ - 1].node]; }
    bool is_in_escape() const { return after_backslash_ || hex_left_ > 0; }
    bool is_object() const;
    bool fail(Input* in);

    const JsonPathNode* paths_;
    JsonRules rules_;
    uint32_t spelling_ = 0;
    uint64_t depth_;
    uint64_t objects_[kMaxJsonStrictDepth / 64];  // of each open container: whether an object
    Level levels_[kMaxJsonPathDepth + 1];
    JsonText<kMaxJsonKey> kept_;  // a key or a number that was cut or has escapes
    uint16_t value_;              // the node of the value that comes or has begun, or kNoJsonNode
    State state_;
    uint8_t tracked_;  // so many open containers, the outermost ones, are on the way to wanted ones
    JsonNumber number_;
    uint8_t literal_;   // which one
    uint8_t matched_;   // bytes of it
    uint8_t hex_left_;  // digits that a \u escape still needs
    bool after_backslash_;
    bool is_long_number_;  // kept_ has not all of it
    bool string_begun_;    // bytes of it have been reported
};

}  // namespace ai_limit
