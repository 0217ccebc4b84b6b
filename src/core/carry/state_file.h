#pragma once

// Writes a zone's state as bytes and reads it again after a restart: its secret, policies, their
// counts, overrides, entries that still count, and reserved tokens. Numbers have this machine's
// format. The format's number, the layout's and a checksum show if a file cannot be read.

#include <string_view>

#include "core/zone/journal.h"

namespace ai_limit {

/** The process that writes a state. */
struct StateOrigin {
    uint64_t birth;  // of the master process, in the kernel's unit
    uint32_t pid;
    uint32_t reserved;
};

/** Takes the bytes, in order; false ends the writing. */
struct StateSink {
    bool (*write)(void* data, const char* bytes, size_t size);
    void* data;
};

/**
 * Writes the zone while others use it, without a lock: each entry is as it was at some moment
 * meanwhile. May run in a thread of its own. False if the sink said so.
 */
bool write_state(const Zone& zone, const StateOrigin& origin, Now now, const StateSink& sink);

enum class StateFault : uint8_t {
    kNone,
    kForeign,  // something else
    kOlder,    // of an earlier version of this module
    kNewer,
    kDamaged,
};

/**
 * Tells whether the bytes are a state that read_state() can read. A file with a right checksum is
 * damaged all the same if a number in it is out of its range: the checksum is no secret.
 */
StateFault check_state(std::string_view file);

/**
 * Reads which process wrote a state from its first kStateHeadBytes; false if these are not there.
 */
constexpr size_t kStateHeadBytes = 64;
bool read_state_origin(std::string_view head, StateOrigin* origin);

/** The secret of a state that was checked, kSecretBytes: the new zone must be created with it. */
const uint8_t* secret_of_state(std::string_view file);

/**
 * Fills a zone that nobody uses yet, from a state that was checked. Time has gone on since then by
 * the wall clock; a wall clock that was set back counts as no time. If the zone is smaller, the
 * entries that matter least are left out.
 */
void read_state(std::string_view file, Journal* to, Now now);

}  // namespace ai_limit
