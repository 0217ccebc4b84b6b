#pragma once

// Other limits for single keys, for a while, as an operator has set them. They lie in the zone, so
// that all workers know them, over reloads too. Requests look for them without a lock, and at no
// cost while there are none.

#include <string_view>

#include "core/zone/zone.h"

namespace ai_limit {

inline bool has_overrides(const Zone& zone) {
    return zone.header()->overrides.load(std::memory_order_relaxed) != 0;
}

/** An override as it is shown. */
struct OverrideView {
    Limit limit;
    Millis expires_in;
    uint32_t policy;  // its number
    uint8_t rate_size, key_size;
    char rate[kMaxRateText];
    char key[kMaxTopKeyText];

    std::string_view rate_text() const { return {rate, rate_size}; }
    std::string_view shown_key() const { return {key, key_size}; }
};

/** The override with this tag; false if there is none now. Of a policy that is this node's alone it
 * is tag_of() the key's hash, and of one that nodes share, of the hash of what Redis knows of the
 * key (nginx/values/policy_values.h). */
bool find_override(const Zone& zone, uint64_t tag, Millis monotonic, OverrideView* found);

/** The one in a place; false if there is none. Places end at the header's `overrides`. */
bool read_override(const Zone& zone, uint32_t place, Millis monotonic, OverrideView* found);

/** An override to set. */
struct NewOverride {
    uint64_t tag;
    uint32_t policy;
    const Limit* limit;  // with its numbers (note_limit())
    std::string_view rate;
    std::string_view key;   // the key itself, of which only a shortened form is kept
    Millis expires_at;      // of the monotonic clock
    bool is_shown = false;  // `key` is that form already, of at most kMaxTopKeyText bytes
};

/** True if set_override() would find a place. The caller keeps other writers out. */
bool has_room_for_override(const Zone& zone, uint64_t tag, Millis monotonic);

/**
 * Sets an override, in place of the key's last one. False if there are kMaxOverrides of them, or
 * the rate's text is longer than kMaxRateText. The caller keeps other writers out.
 */
bool set_override(const Zone& zone, const NewOverride& wanted, Millis monotonic);

/** Removes the key's override; true if there was one. The caller keeps other writers out. */
bool remove_override(const Zone& zone, uint64_t tag, Millis monotonic);

/** Frees the places of those that are over. The caller keeps other writers out. */
void drop_expired_overrides(const Zone& zone, Millis monotonic);

/** For a number that is given to another policy. */
void forget_overrides(const Zone& zone, uint32_t policy);

/** For a zone that is copied to another size. */
void copy_overrides(const Zone& from, const Zone& to);

}  // namespace ai_limit
