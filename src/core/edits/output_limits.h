#pragma once

// Lowers the limits of output in a request's body, and sets one where the client sets none
// (ai_limit_max_output).
//
// The reader notes where in the body the limits stand. The edits then leave every other byte as it
// is. Keys match as RequestInfo matches them, but only a key that is spelled as the API spells it
// limits a request for certain: other spellings are lowered as well, and do not replace it.

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/edits/body_edit.h"
#include "core/edits/output_fields.h"
#include "core/json/json_scan.h"
#include "core/json/json_text.h"
#include "core/words/types.h"

namespace ai_limit {

/** The edits that limit a request's output, and their texts. */
struct OutputEdits {
    BodyEdits edits;
    char digits[24];
};

/** The limits in one body, which comes in pieces cut anywhere, in constant memory. Trivially
 * copyable. */
class OutputLimits {
public:
    /** `own` replaces the fields of the request's API, and outlives this; nullptr: none. */
    OutputLimits(std::string_view path, const OwnOutputField* own);

    /** The next piece of the body's text, in UTF-8. */
    void feed(std::string_view piece);

    /** The text stands in the body as it is, from this byte on: only then can it be edited. */
    void set_offset_in_body(uint64_t offset) {
        is_plain_ = true;
        text_at_ = offset;
    }

    /** The body has ended. It is a readable one (RequestInfo::unreadable()). */
    void finish();

    /** How many answers the request asks for, beside `n` and the like: one for each prompt. At
     * least 1. */
    Amount prompts() const { return answers_ > 1 ? answers_ : 1; }

    /**
     * Finds the most tokens of one answer once edit() has limited it to `limit`. False if nothing
     * limits it: no field is in the body, and nobody knows which one to insert. Without edits, pass
     * UINT64_MAX.
     */
    bool most_output(Amount limit, Amount* tokens) const;

    /** True if edit() has something to do for a limit, which is at least 1. */
    bool must_edit(Amount limit) const;

    /**
     * Adds the edits after which no field is above `limit`, and a field of the request's API limits
     * the output. Returns false if they cannot be made: why_fixed() says why.
     */
    bool edit(Amount limit, OutputEdits* edits) const;

    /** Why edits cannot be made, as a sentence for the client; empty if they can. Static. */
    std::string_view why_fixed() const;

private:
    static constexpr size_t kMostPlaces = 24;
    static constexpr size_t kMostObjects = 16;
    static constexpr uint8_t kNoObject = UINT8_MAX;

    enum class Kind : uint8_t { kValue, kNull, kOther };

    /** A value of a field. */
    struct Place {
        uint64_t at;
        uint64_t size;
        Amount tokens;  // UINT64_MAX: no limit
        JsonPathId id;
        Kind kind;
        bool exact;      // it is spelled as in the path
        uint8_t parent;  // the object that it is in; kNoObject in arrays
    };

    /** The root, or an object that fields are in. */
    struct Object {
        uint64_t at;  // behind its brace; of null, where it begins
        JsonPathId id;
        uint8_t depth;
        uint8_t parent;
        Kind kind;  // kValue: it is an object; kOther: it is none
        bool exact;
        bool empty;
    };

    void take(const JsonToken& token, uint64_t end);
    void take_object(const JsonToken& token, uint64_t end, uint8_t depth);
    void take_field(const JsonToken& token, uint64_t end);
    void take_string(const JsonToken& token, uint64_t end);
    Place* begin_field(JsonPathId id, uint64_t at);
    uint8_t parent_of(JsonPathId field) const;
    void look_at_first_byte(std::string_view used);

    bool is_field_of_api(const Place& place) const;
    bool is_object_of_api(const Object& object) const;
    bool is_like_object_of_api(const Object& object) const;
    bool has_field(uint8_t object) const;
    bool has_value(uint8_t object, JsonPathId field) const;
    bool is_limited(uint8_t object) const;
    JsonPathId null_to_replace(uint8_t object) const;
    bool has_child(uint8_t object) const;
    bool replaces_null(const Place& place) const;
    bool must_replace(const Place& place, Amount limit) const;
    bool must_insert(uint8_t object) const;
    bool inserts() const;
    bool is_broken() const;
    bool insert(const Object& object, std::string_view digits, BodyEdits* edits) const;

    JsonScanner scanner_;
    const OwnOutputField* own_;
    const OutputApi* api_ = nullptr;  // once the body has ended; nullptr: unknown
    size_t first_api_;
    uint8_t candidates_ = 0;  // rows from that one on that are for the path, by bit
    uint64_t offset_ = 0;
    uint64_t text_at_ = 0;
    uint64_t keys_ = 0;  // of the root, by their ids from kOutputRoot on
    uint64_t answers_ = 0;
    bool is_plain_ = false;
    bool is_vague_ = false;       // a value's place is not known, or there are too many
    bool in_field_ = false;       // in an array or object that is the value of a field
    uint8_t opened_ = kNoObject;  // the object whose first byte comes next
    uint8_t place_count_ = 0;
    uint8_t object_count_ = 0;
    uint8_t innermost_[OutputMember::kMostKeys + 1];  // object by depth
    Place places_[kMostPlaces];
    Object objects_[kMostObjects];
    JsonText<32> word_;
};

static_assert(std::is_trivially_copyable_v<OutputLimits>);

}  // namespace ai_limit
