#pragma once

// Earlier formats of a state file (state_format.h), which are read as well.

#include <cstdint>

#include "core/carry/state_format.h"

namespace ai_limit {

/** How the files of one format differ from those that are written now. */
struct StateVersion {
    uint32_t format;
    uint32_t layout;          // kLayoutVersion of then, without kCountsLayout
    uint32_t missing_from;    // where a PolicyRecord lacked bytes,
    uint32_t missing_record;  // and how many
    bool has_habits;
    bool has_models;
    uint32_t counts;  // of each policy: the first of CountFields
};

/** Finds how a file with these numbers is read. False if it cannot be. */
bool find_state_version(uint32_t format, uint32_t layout, StateVersion* version);

/** Takes a policy's part off a file, with zeros where the file says nothing. False at its end. */
bool take_policy(const StateVersion& version, StateParts* from, PolicyPart* part);

}  // namespace ai_limit
