#include "core/key_entry.h"

#include "core/home.h"
#include "core/policies.h"
#include "core/shared_clock.h"

namespace ai_limit {

namespace {

/** The buckets of one of the key's entries. */
Home home_in(const KeyQuestion& question, Algorithm algorithm, uint32_t policy) {
    return home_of(question.access->journal.zone(), algorithm, tag_of(question.hash, policy),
                   policy);
}

/** Reads an entry; false where there is none. */
bool read_entry(Journal* journal, const Home& home, State* state) {
    if (journal->zone().buckets(*home.geometry) == 0) {
        return false;
    }
    LockOrder locks;
    home.want(&locks, journal);
    locks.take_all();
    Cell cell = home.find();
    bool present = cell.index != kNoCell;
    if (present) {
        load_state(cell, *home.geometry, state);
    }
    journal->finish();
    return present;
}

bool remove_entry(Journal* journal, const Home& home) {
    if (journal->zone().buckets(*home.geometry) == 0) {
        return false;
    }
    LockOrder locks;
    home.want(&locks, journal);
    locks.take_all();
    Cell cell = home.find();
    if (cell.index != kNoCell) {
        store_tag(journal, cell, 0);
    }
    journal->finish();
    return cell.index != kNoCell;
}

/** Whether an entry could have been counted by the limit. */
bool fits_entry(const Limit& limit, const State& state) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return state.token_bucket.rate == limit.rate_number;
        case Algorithm::kSlidingWindow:
            return Millis{state.sliding_window.period_seconds} * 1000 == limit.period_length;
        case Algorithm::kFixedWindow: {
            // A month is not always as long.
            Millis length =
                (Millis{state.fixed_window.end} - Millis{state.fixed_window.start}) * 1000;
            Millis shortest = limit.period.unit == PeriodUnit::kMonth
                                  ? limit.period_length / 30 * 28
                                  : limit.period_length;
            return length >= shortest && length <= limit.period_length / 30 * 32;
        }
        default:
            return true;
    }
}

Limit likely_limit(const Zone& zone, uint32_t policy, const State& state) {
    Limit best = find_limit(zone, policy, 0);
    bool found = false;
    for (uint32_t number = 1; number <= kMaxKnownLimits; ++number) {
        const KnownLimit& known = zone.policy(policy)->limits[number - 1];
        if (known.state.load(std::memory_order_acquire) == KnownLimit::kKnown &&
            fits_entry(known.limit, state) && (!found || known.limit.capacity > best.capacity)) {
            best = known.limit;
            found = true;
        }
    }
    return best;
}

}  // namespace

bool read_key(const KeyQuestion& question, Now now, KeyAnswer* answer) {
    Journal* journal = &question.access->journal;
    const Zone& zone = journal->zone();
    Algorithm algorithm = zone.policy(question.use)->slowest.algorithm;
    State state{};
    State hold{};
    bool present = read_entry(journal, home_in(question, algorithm, question.use), &state);
    answer->held = 0;
    if (question.hold != 0 &&
        read_entry(journal, home_in(question, Algorithm::kHold, question.hold), &hold)) {
        present = true;
        answer->held = hold.concurrency.used;
    }
    if (!present) {
        return false;
    }
    now = question.is_shared ? shared_now(zone, now) : now;
    answer->limit =
        question.limit != nullptr ? *question.limit : likely_limit(zone, question.use, state);
    advance(answer->limit, &state, now);
    answer->used = used(answer->limit, state);
    charge_any(answer->limit, &state, answer->held);
    answer->said = describe(answer->limit, state, 1, false, now);
    return true;
}

bool forget_key(const KeyQuestion& question) {
    Journal* journal = &question.access->journal;
    Algorithm algorithm = journal->zone().policy(question.use)->slowest.algorithm;
    bool forgotten = remove_entry(journal, home_in(question, algorithm, question.use));
    if (question.ledger != 0) {
        remove_entry(journal, home_in(question, Algorithm::kLedger, question.ledger));
    }
    return forgotten;
}

}  // namespace ai_limit
