#include "core/admission.h"
#include "core/straight_journal.h"
#include "core/token_bucket.h"

namespace ai_limit {

namespace {

/**
 * Takes the cost in the charge's copy of the state; `words` are the entry's. False where it does
 * not fit, or the numbers are too large to be quick about it.
 */
inline __attribute__((always_inline)) bool take_at_once(Charge* charge, const uint64_t* words,
                                                        Millis now) {
    const Limit& limit = *charge->limit;
    token_bucket::Level level = token_bucket::unpack(words);
    if (!token_bucket::advance_quickly(limit, &level, now) ||
        !fits(limit, level.used, charge->cost)) {
        return false;
    }
    level.used += charge->cost;
    token_bucket::pack(level, charge->policy, level.used >= limit.capacity, &charge->state);
    return true;
}

/** Opens the locks of a decision that cannot be made at once, of which nothing was changed. */
__attribute__((noinline, cold)) bool give_up(StraightJournal journal, Charge* charges,
                                             size_t locked) {
    for (size_t i = 0; i < locked; ++i) {
        journal.unlock(charges[i].first);
    }
    journal.end_locking();
    return false;
}

}  // namespace

// Locks are only tried, so that their order does not matter; only a single one is waited for.
bool admit_at_once(Charge* charges, size_t n, Millis now) {
    const ZoneAccess* access = charges->access;
    StraightJournal journal(access->journal);
    Charge* end = charges + n;
    size_t i = 0;
    for (Charge* charge = charges; charge != end; ++charge) {
        if (charge->limit->algorithm != Algorithm::kTokenBucket || charge->access != access) {
            return give_up(journal, charges, i);
        }
        Bucket* first = charge->first;
        journal.note_lock(i, first);
        if (!journal.try_lock(first)) {
            if (n > 1) {
                return give_up(journal, charges, i);
            }
            charge->access->journal.wait_for(first);
        }
        uint32_t cell = find_tag(first, kSmall, charge->tag);
        if (cell == kNoCell) {
            return give_up(journal, charges, i + 1);
        }
        const uint64_t* words = state_words(first, kSmall, cell);
        if (!take_at_once(charge, words, now)) {
            return give_up(journal, charges, i + 1);
        }
        journal.note_pair(i++, words);
    }
    journal.begin_changing(n);
    i = 0;
    for (Charge* charge = charges; charge != end; ++charge) {
        journal.change_pair(i++, charge->state.words);
    }
    journal.end_changing();
    for (Charge* charge = charges; charge != end; ++charge) {
        journal.unlock(charge->first);
    }
    journal.end_locking();
    return true;
}

}  // namespace ai_limit
