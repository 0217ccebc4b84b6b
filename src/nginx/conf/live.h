#pragma once

// The state of policies and zones while nginx runs. It is in memory of its own, to which the
// configuration points, since the configuration does not change after it is parsed. Each worker has
// its own copy, and so has each configuration between two reloads.

#include "core/decide/admission.h"
#include "nginx/conf/config.h"
#include "timer.h"

namespace ai_limit {

/** Remembers the parsed values of the texts that a policy's variable had lately. Does not keep
 * texts longer than kLongestText. */
template <typename Value, size_t kRowCount, size_t kLongestText>
struct ValueMemo {
    static constexpr size_t kRows = kRowCount;
    static constexpr size_t kLongest = kLongestText;
    static_assert(kLongest <= 255);
    struct Row {
        u_char size;
        char text[kLongest];
        Value value;
    };
    Row rows[kRows];
};

using LimitMemo = ValueMemo<Limit, 16, 31>;
using WeightsMemo = ValueMemo<TokenWeights, 8, 159>;

/** A policy in a worker, which fills this in when it starts. */
struct LivePolicy {
    // The limits of the three below, with their numbers in the zone.
    Limit limit;
    Limit reservation_limit;
    Limit ledger_limit;
    Limit sharer_limit;
    Ask ask;               // of every request, but for what variables say
    Ask reservation;       // its other charge, where it counts tokens
    Ask ledger;            // its first charge, where this node may let requests through by itself
    Ask sharer;            // its charge for who shares the key, where there is share=
    PolicyCounts* counts;  // where this process counts its requests
    TopKeys* top_keys;
    bool usable;              // false where the zone has no room for this process
    bool has_logged_periods;  // log_too_many_periods()
    bool plain;               // usable, and no variables hold its rate, its slots or its cost
    LimitMemo* memo;
    WeightsMemo* weights_memo;  // nullptr without `weights_variable`
    SharerNames* sharer_names;  // nullptr without share=
};

struct StateSaver;  // state_saver.cpp

/** A zone in use. The master makes its memory or takes it over; the rest is a worker's. */
struct LiveZone {
    const ZoneConf* conf;
    void* memory;  // where the zone lies; set by init_zone()
    ZoneAccess access;
    Timer sweep;
    Timer sampling;
    StateSaver* saver;  // nullptr: nothing is saved
};

}  // namespace ai_limit
