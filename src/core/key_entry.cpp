#include "core/key_entry.h"

#include "core/home.h"
#include "core/likely_limit.h"
#include "core/shared_clock.h"

namespace ai_limit {

namespace {

/** The buckets of one of the key's entries. */
Home home_in(const KeyQuestion& question, Algorithm algorithm, uint32_t policy) {
    return home_of(question.access->journal.zone(), algorithm, tag_of(question.hash, policy),
                   policy);
}

/** Does something with an entry while its buckets are locked; false where there is none. */
template <typename Action>
bool with_entry(Journal* journal, const Home& home, const Action& action) {
    if (journal->zone().buckets(*home.geometry) == 0) {
        return false;
    }
    LockOrder locks;
    home.want(&locks, journal);
    locks.take_all();
    Cell cell = home.find();
    bool present = cell.index != kNoCell;
    if (present) {
        action(cell);
    }
    journal->finish();
    return present;
}

bool read_entry(Journal* journal, const Home& home, State* state) {
    return with_entry(journal, home, [&](Cell cell) { load_state(cell, *home.geometry, state); });
}

bool remove_entry(Journal* journal, const Home& home) {
    return with_entry(journal, home, [&](Cell cell) { store_tag(journal, cell, 0); });
}

}  // namespace

Now now_of(const KeyQuestion& question, Now here) {
    return question.is_shared ? shared_now(question.access->journal.zone(), here) : here;
}

KeyAnswer describe_key(const Limit& limit, State state, Amount held, Now now) {
    KeyAnswer answer{};
    answer.limit = limit;
    advance(limit, &state, now);
    answer.state = state;
    answer.used = used(limit, state);
    answer.held = held;
    charge_any(limit, &state, held);
    answer.said = describe(limit, state, 1, false, now);
    return answer;
}

bool read_key(const KeyQuestion& question, Now now, KeyAnswer* answer) {
    Journal* journal = &question.access->journal;
    const Zone& zone = journal->zone();
    Algorithm algorithm = zone.policy(question.use)->slowest.algorithm;
    State state{};
    State hold{};
    bool present = read_entry(journal, home_in(question, algorithm, question.use), &state);
    if (question.hold != 0 &&
        read_entry(journal, home_in(question, Algorithm::kHold, question.hold), &hold)) {
        present = true;
    }
    Limit limit =
        question.limit != nullptr ? *question.limit : likely_limit(zone, question.use, state);
    *answer = describe_key(limit, state, hold.concurrency.used, now_of(question, now));
    return present;
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
