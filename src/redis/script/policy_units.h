#pragma once

// Finds out what other nodes count by a policy of the same name: requests, tokens, dollars or
// requests in flight. The keys in Redis differ by that, so nodes whose configurations differ in it
// do not limit together, which nobody would notice. Nodes therefore announce it in Redis now and
// then, by a script of its own: keys PREFIX:units:{all}:POLICY:UNIT, sorted sets of nodes by the
// time when an announcement is over.

#include <string_view>

#include "core/words/types.h"
#include "redis/protocol/command.h"
#include "redis/protocol/reply.h"

namespace ai_limit {

/** The most policies that one call announces. */
constexpr size_t kMaxAnnounced = 16;

/** The things that a policy may count beside what it counts here. */
constexpr size_t kOtherMeasures = kMeasures - 1;

/** How long Redis remembers an announcement. */
constexpr Millis kAnnouncementLease = 10'000;

/** A policy, as it is announced and answered. */
struct PolicyUnit {
    std::string_view policy;
    Measure measure;                   // what it counts on this node
    uint64_t others[kOtherMeasures];   // the answer: how many nodes count something else,
    Measure measures[kOtherMeasures];  // which is this
};

/** Fills in the other things that a policy may count. */
void set_other_measures(PolicyUnit* unit);

/** The key whose slot all of these keys have. */
std::string_view slot_key_of_units();

/** Announces these, at most kMaxAnnounced, and asks what other nodes have announced. */
void write_announcement(std::string_view prefix, uint64_t node, const PolicyUnit* units, size_t n,
                        Command* command);

/** Reads the answer into the units. Returns false and changes nothing if it is none. */
bool read_announcement(const Reply& reply, PolicyUnit* units, size_t n);

}  // namespace ai_limit
