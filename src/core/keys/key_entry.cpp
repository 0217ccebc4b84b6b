#include "core/keys/key_entry.h"

#include "core/buckets/period_entries.h"
#include "core/policies/likely_limit.h"
#include "core/policies/redis_clock.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** The buckets of one of the key's entries. */
BucketPair bucket_pair_in(const KeyQuestion& question, Algorithm algorithm, uint32_t policy) {
    return bucket_pair_of(question.access->journal.zone(), algorithm, tag_of(question.hash, policy),
                          policy);
}

/** Does something with an entry while its buckets are locked; false if there is none. */
template <typename Action>
bool with_entry(Journal* journal, const BucketPair& pair, const Action& action) {
    if (journal->zone().buckets(*pair.geometry) == 0) {
        return false;
    }
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    Cell cell = pair.find();
    bool present = cell.index != kNoCell;
    if (present) {
        action(cell);
    }
    journal->finish();
    return present;
}

bool read_entry(Journal* journal, const BucketPair& pair, State* state) {
    return with_entry(journal, pair, [&](Cell cell) { load_state(cell, *pair.geometry, state); });
}

bool remove_entry(Journal* journal, const BucketPair& pair) {
    return with_entry(journal, pair, [&](Cell cell) { store_tag(journal, cell, 0); });
}

/** The number of entries that a key may have, which differ in their variant. */
uint32_t variants_of(const KeyQuestion& question) {
    const Zone& zone = question.access->journal.zone();
    return !question.in_redis && has_several_periods(zone, question.use) ? kMaxVariants : 1;
}

/** The two buckets of the entry with this variant. */
BucketPair bucket_pair_of_variant(const KeyQuestion& question, Algorithm algorithm,
                                  uint32_t variant) {
    BucketPair pair = bucket_pair_in(question, algorithm, question.use);
    pair.tag ^= tag_bits(variant);
    return pair;
}

Millis length_of_window(Algorithm algorithm, const State& state) {
    return is_calendar(algorithm) ? Millis{state.fixed_window.end - state.fixed_window.start}
                                  : Millis{state.sliding_window.period_seconds};
}

/**
 * Reads the entry of a key for a limit that is not known. Among several, it takes the one with the
 * longest window, which has counted the most. Returns false if there is none.
 */
bool read_longest(const KeyQuestion& question, Algorithm algorithm, State* state) {
    Journal* journal = &question.access->journal;
    bool present = false;
    for (uint32_t variant = 0; variant < variants_of(question); ++variant) {
        State one{};
        if (read_entry(journal, bucket_pair_of_variant(question, algorithm, variant), &one) &&
            (!present || length_of_window(algorithm, one) > length_of_window(algorithm, *state))) {
            *state = one;
            present = true;
        }
    }
    return present;
}

/** Reads the entry that counts for the limit, or what it would begin with. False if nothing is
 * counted. A limit of nothing has no window of its own: the key is said to have used what it has
 * used by any other. */
bool read_for_limit(const KeyQuestion& question, const Limit& limit, Now now, State* state) {
    Journal* journal = &question.access->journal;
    uint32_t variant = question.in_redis ? 0 : limit.variant;
    BucketPair pair = bucket_pair_of_variant(question, limit.algorithm, variant);
    bool present = read_entry(journal, pair, state);
    if ((present && limit.capacity != 0) || variants_of(question) == 1 ||
        journal->zone().buckets(*pair.geometry) == 0) {
        return present;
    }
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    OtherPeriods others = find_other_periods(pair, variant);
    advance(limit, state, now);
    Amount own = used(limit, *state);
    Amount most = most_used(others, limit, now);
    charge_any(limit, state, most > own ? most - own : 0, now);
    journal->finish();
    return present || others.count != 0;
}

}  // namespace

Now now_of(const KeyQuestion& question, Now here) {
    return question.in_redis ? redis_time(question.access->journal.zone(), here) : here;
}

KeyAnswer describe_key(const Limit& limit, State state, Amount reserved, Now now) {
    KeyAnswer answer{};
    answer.limit = limit;
    advance(limit, &state, now);
    answer.state = state;
    answer.used = used(limit, state);
    answer.reserved = reserved;
    charge_any(limit, &state, reserved, now);
    answer.said = describe(limit, state, 1, false, now);
    return answer;
}

bool read_key(const KeyQuestion& question, Now now, KeyAnswer* answer) {
    Journal* journal = &question.access->journal;
    const Zone& zone = journal->zone();
    Algorithm algorithm = zone.policy(question.use)->slowest.algorithm;
    State state{};
    State reservation{};
    bool present = question.limit != nullptr
                       ? read_for_limit(question, *question.limit, now_of(question, now), &state)
                       : read_longest(question, algorithm, &state);
    if (question.reservation != 0 &&
        read_entry(journal, bucket_pair_in(question, Algorithm::kReservation, question.reservation),
                   &reservation)) {
        present = true;
    }
    Limit limit =
        question.limit != nullptr ? *question.limit : likely_limit(zone, question.use, state);
    *answer = describe_key(limit, state, reservation.concurrency.used, now_of(question, now));
    return present;
}

bool forget_key(const KeyQuestion& question) {
    Journal* journal = &question.access->journal;
    Algorithm algorithm = journal->zone().policy(question.use)->slowest.algorithm;
    bool forgotten = false;
    for (uint32_t variant = 0; variant < variants_of(question); ++variant) {
        forgotten |= remove_entry(journal, bucket_pair_of_variant(question, algorithm, variant));
    }
    if (question.ledger != 0) {
        remove_entry(journal, bucket_pair_in(question, Algorithm::kLedger, question.ledger));
    }
    return forgotten;
}

}  // namespace ai_limit
