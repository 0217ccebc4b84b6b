#include "core/decide/weighing.h"

#include "core/limits/token_bucket.h"
#include "core/sharers/service.h"

namespace ai_limit {

namespace {

/** Marks the charge as passed or refused. */
bool decide(Charge* charge, bool passes) {
    charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
    return passes;
}

inline __attribute__((always_inline)) bool weigh_token_bucket(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    const Limit& limit = *charge->limit;
    token_bucket::Level level{};
    if (entry->present) {
        load_state(entry->cell, kSmall, &charge->state);
        level = token_bucket::unpack(charge->state.pair);
    }
    level = token_bucket::advance(limit, level, now_of(*charge, now).monotonic);
    entry->taken = level.used;
    charge->state.pair = token_bucket::pack(level, charge->policy, false);
    return decide(charge, fits(limit, level.used, charge->cost));
}

/** Finds the key's entries for other periods. A first entry for this period begins with what those
 * have counted. */
__attribute__((noinline)) void find_others(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    const Limit& limit = *charge->limit;
    Bucket* second = entry->both ? entry->second() : charge->first;
    BucketPair pair = {&entry->geometry(), charge->tag, charge->first, second};
    entry->others = find_other_periods(pair, limit.variant);
    if (!entry->present) {
        charge_any(limit, &charge->state, most_used(entry->others, limit, now), now);
    }
}

__attribute__((noinline)) bool weigh_other(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    const Limit& limit = *charge->limit;
    charge->state = State{};
    if (entry->present) {
        load_state(entry->cell, entry->geometry(), &charge->state);
    }
    advance(limit, &charge->state, now_of(*charge, now));
    charge->state.head.policy = charge->policy & 0xff;
    charge->state.head.spent = 0;
    charge->state.head.refused = 0;
    if (may_have_others(*charge)) {
        find_others(entry, now);
    }
    entry->taken = used(limit, charge->state);
    return decide(charge, fits(limit, entry->taken, charge->cost));
}

/** Weighs a charge for use whose policy has reserved tokens, which count as used. */
__attribute__((noinline)) bool weigh_use(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    weigh_other(entry, now);
    charge_any(*charge->limit, &charge->state, entry->reservation->taken, now_of(*charge, now));
    Amount taken = used(*charge->limit, charge->state);
    bool passes = decide(charge, fits(*charge->limit, taken, least_left(*charge)));
    entry->reservation->charge->verdict = charge->verdict;
    return passes;
}

inline __attribute__((always_inline)) bool weigh_here(ChargeEntry* entry, Now now) {
    if (entry->reservation != nullptr) {
        return weigh_use(entry, now);
    }
    if (entry->limit().algorithm == Algorithm::kTokenBucket) {
        return weigh_token_bucket(entry, now);
    }
    return weigh_other(entry, now);
}

/**
 * Weighs a charge that is decided elsewhere and keeps its verdict: the local count decides nothing.
 * Requests in flight and reserved tokens are counted all the same.
 */
bool weigh_elsewhere(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    if (!is_taken_over(*charge)) {
        Verdict verdict = charge->verdict;
        weigh_other(entry, now);
        charge->verdict = verdict;
    }
    return true;
}

void open_ledger(ChargeEntry* entry) {
    Charge* charge = entry->charge;
    charge->state = State{};
    charge->delta_due = DeltaDue::kNone;
    charge->cost = 0;
    entry->taken = 0;
    entry->is_unknown = false;
    if (entry->present) {
        load_state(entry->cell, kWide, &charge->state);
    } else {
        begin_ledger(entry->zone(), charge->policy, &charge->state.ledger);
    }
}

/** True if the calendar window of the ledger's unreported count is over. */
bool has_new_window(const ChargeEntry& entry) {
    const Charge& charge = *entry.charge;
    if (!is_calendar(charge.limit->algorithm) || !entry.present) {
        return false;
    }
    State before{};
    load_state(entry.cell, entry.geometry(), &before);
    return is_of_older_window(*charge.limit, before, charge.state);
}

/** True if the charge is within this node's share. `passes` is the decision by the local count. */
bool weigh_by_ledger(ChargeEntry* entry, bool passes, Now now) {
    Charge* charge = entry->charge;
    Charge* opened = entry->ledger->charge;
    LedgerState* ledger = &opened->state.ledger;
    if (has_new_window(*entry)) {
        ledger->acknowledged = ledger->counted;
    }
    if (charge->decider == Decider::kDecided) {
        note_answered(ledger, least_left(*charge));
    }
    if (!is_weighed(*charge)) {
        return passes;
    }
    if (unreported(*ledger) == 0) {
        Amount asked = asked_of_redis(*ledger, now.monotonic);
        set_share(entry->zone(), remaining_of(*charge->limit, entry->taken + asked), ledger);
    }
    Amount wanted = unreported(*ledger) + least_left(*charge);
    bool asks = passes && charge->decider == Decider::kByShare && !charge->dry_run &&
                wanted > ledger->share;
    if (asks) {
        charge->verdict = Verdict::kUnknown;
    }
    entry->ledger->is_unknown = unreported(*ledger) == 0 && entry->taken == 0;
    opened->verdict = charge->verdict;
    opened->cost = entry->reservation != nullptr ? 0 : charge->cost;
    return passes && !asks;
}

__attribute__((noinline)) bool weigh_in_redis(ChargeEntry* entry, Now now) {
    if (is_ledger(*entry)) {
        open_ledger(entry);
        return true;
    }
    bool passes = is_weighed(*entry->charge) ? weigh_here(entry, now) : weigh_elsewhere(entry, now);
    return entry->ledger != nullptr ? weigh_by_ledger(entry, passes, now) : passes;
}

/** Compares what a request asks for with its sharer's part. Never refuses by itself. */
bool weigh_part(ChargeEntry* entry, Now now) {
    const PolicyCharge& policy = *entry->policy;
    SharerCharge* charge = policy.sharer;
    charge->state = State{};
    if (entry->present) {
        load_state(entry->cell, kWide, &charge->state);
    }
    SharerState* state = &charge->state.sharer;
    charge->before = *state;
    state->policy = charge->policy & 0xff;
    charge->start = begin_service(*policy.use.limit, charge->floor, now.monotonic, state);
    charge->part =
        weigh_sharer(sharer_ask(policy), find_activity(entry->zone(), charge->key_tag), now, state);
    return true;
}

/** True if Redis compares a charge with its sharer's part, or has done so before it passed here. */
bool is_compared_elsewhere(const PolicyCharge& policy) {
    const Decider decider = policy.use.decider;
    return decider == Decider::kDecided ||
           (decider == Decider::kElsewhere && policy.sharer->over_nodes);
}

/** True if this node's share has no room for the charge beside what others claim. */
bool is_beyond_share(const ChargeEntry& entry, Amount wanted) {
    if (entry.charge->decider != Decider::kByShare || entry.ledger == nullptr) {
        return false;
    }
    const LedgerState& ledger = entry.ledger->charge->state.ledger;
    return unreported(ledger) + wanted > ledger.share;
}

/** Returns what others claim of the limit. Each node knows only its own sharers' claims, and takes
 * it that those on other nodes are alike. */
Amount claims_of_all(const PolicyCharge& policy) {
    const Amount most = policy.use.limit->capacity - policy.sharer->part.claimed;
    const Amount others = policy.sharer->part.claimed * (nodes_of_part(policy) - 1);
    return policy.sharer->part.claimed + (others < most ? others : most);
}

/** Decides on a request that its key has room for: by its sharer's part, or by what that leaves. */
bool weigh_by_part(ChargeEntry* entry) {
    if (is_compared_elsewhere(*entry->policy)) {
        return true;
    }
    Charge* charge = entry->charge;
    const SharerPart& part = entry->policy->sharer->part;
    const Amount least = least_left(*charge);
    const Amount taken = used(*charge->limit, charge->state);
    const bool passes =
        part.is_own || fits(*charge->limit, taken, least + claims_of_all(*entry->policy));
    const bool asks = passes && !part.is_own && !charge->dry_run;
    if (asks && is_beyond_share(*entry, least + part.claimed)) {
        charge->verdict = Verdict::kUnknown;  // others may have left more
        return false;
    }
    if (entry->reservation != nullptr && !passes) {
        entry->reservation->charge->verdict = Verdict::kRefused;
    }
    return decide(charge, passes);
}

}  // namespace

bool weigh(ChargeEntry* entry, Now now) {
    if (is_sharer(*entry)) {
        return weigh_part(entry, now);
    }
    const bool passes =
        in_redis(*entry->charge) ? weigh_in_redis(entry, now) : weigh_here(entry, now);
    return entry->sharer == nullptr || !passes ? passes : weigh_by_part(entry);
}

}  // namespace ai_limit
