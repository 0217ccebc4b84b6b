#include "core/decide/admission.h"
#include "core/limits/token_bucket.h"
#include "core/zone/straight_journal.h"

namespace ai_limit {

namespace {

/**
 * The cell with the tag, kNoCell where there is none. Without branches: nobody can predict in which
 * cell of a full bucket a key lies, and a wrong guess costs more than all comparisons.
 */
inline __attribute__((always_inline)) uint32_t seek(const Bucket* bucket, uint64_t tag) {
    uint32_t found = kNoCell;
#pragma GCC unroll 5
    for (uint32_t cell = 0; cell < kSmall.cells; ++cell) {
        found = bucket->tags[cell] == tag ? cell : found;
        asm("" : "+r"(found));  // else the compiler makes branches of it
    }
    return found;
}

__attribute__((noinline)) Cell find_in_second(const Charge& charge) {
    Bucket* second = second_bucket(charge.access->journal.zone(), kSmall, charge.tag);
    return {second, seek(second, charge.tag)};
}

/**
 * Finds the cell of the charge's entry. It reads without a lock: under the lock, the tag must be
 * compared again.
 */
inline __attribute__((always_inline)) Cell find(const Charge& charge) {
    uint32_t index = seek(charge.first, charge.tag);
    return index != kNoCell ? Cell{charge.first, index} : find_in_second(charge);
}

/**
 * The state once the charge's cost is taken. False if it does not fit, or the numbers are too
 * large to be quick about it.
 */
inline __attribute__((always_inline)) bool take(const Charge& charge, const StatePair& seen,
                                                Millis now, StatePair* taken) {
    const Limit& limit = *charge.limit;
    token_bucket::Level level = token_bucket::unpack(seen);
    if (!token_bucket::advance_quickly(limit, &level, now) ||
        !fits(limit, level.used, charge.cost)) {
        return false;
    }
    level.used += charge.cost;
    *taken = token_bucket::pack(level, charge.policy, level.used >= limit.capacity);
    return true;
}

/**
 * Takes the lock of the second bucket of the i-th charge in place of that of its first, which does
 * not have the entry. Index kNoCell, and none of the two is locked, where the second has not either
 * or is not to be had.
 */
__attribute__((noinline)) Cell move_to_second(const Charge& charge, size_t i) {
    StraightJournal journal(charge.access->journal);
    Bucket* second = second_bucket(charge.access->journal.zone(), kSmall, charge.tag);
    journal.unlock(charge.first);
    journal.note_lock(i, second);
    if (!journal.try_lock(second)) {
        return {second, kNoCell};
    }
    uint32_t index = seek(second, charge.tag);
    if (index == kNoCell) {
        journal.unlock(second);
    }
    return {second, index};
}

/** Opens the locks of a decision that cannot be made at once, of which nothing was changed. */
__attribute__((noinline, cold)) bool give_up(const ZoneAccess* access, size_t locked) {
    StraightJournal(access->journal).unlock_all(locked);
    return false;
}

}  // namespace

// The entry is looked up, and reckoned with, before its bucket is locked, and looked at again under
// the lock: so nothing has to wait for the lock, which takes the processor longest.
__attribute__((hot)) bool admit_one_at_once(PolicyCharge* policy, Millis now) {
    Charge* charge = &policy->use;
    if (charge->limit->algorithm != Algorithm::kTokenBucket) {
        return false;
    }
    Cell cell = find(*charge);
    if (cell.index == kNoCell) {
        return false;
    }
    uint64_t* words = state_words(cell.bucket, kSmall, cell.index);
    StatePair seen = {words[0], words[1]};
    StraightJournal journal(charge->access->journal);
    journal.note_lock(0, cell.bucket);
    if (!journal.try_lock(cell.bucket)) {
        charge->access->journal.wait_for(cell.bucket);
        seen = {words[0], words[1]};
    }
    if (!take(*charge, seen, now, &charge->state.pair) ||
        cell.bucket->tags[cell.index] != charge->tag || words[0] != seen.first ||
        words[1] != seen.second) {
        return give_up(charge->access, 1);
    }
    journal.change_lone_pair(words, charge->state.pair);
    journal.unlock(cell.bucket);
    journal.end_locking();
    return true;
}

// Locks are only tried, so that their order does not matter.
__attribute__((hot)) bool admit_all_at_once(PolicyCharge* charges, size_t n, Millis now) {
    const ZoneAccess* access = charges->use.access;
    StraightJournal journal(access->journal);
    PolicyCharge* end = charges + n;
    size_t i = 0;
    for (PolicyCharge* policy = charges; policy != end; ++policy) {
        Charge* charge = &policy->use;
        if (charge->limit->algorithm != Algorithm::kTokenBucket || charge->access != access) {
            return give_up(access, i);
        }
        journal.note_lock(i, charge->first);
        if (!journal.try_lock(charge->first)) {
            return give_up(access, i);
        }
        // Most buckets of a zone that is not full have but one entry.
        Cell cell = {charge->first, 0};
        if (cell.bucket->tags[0] != charge->tag) {
            cell.index = seek(charge->first, charge->tag);
            if (cell.index == kNoCell) {
                cell = move_to_second(*charge, i);
                if (cell.index == kNoCell) {
                    return give_up(access, i);
                }
            }
        }
        uint64_t* words = state_words(cell.bucket, kSmall, cell.index);
        StatePair reserved = {words[0], words[1]};
        if (!take(*charge, reserved, now, &charge->state.pair)) {
            return give_up(access, i + 1);
        }
        journal.note_pair(i++, words, reserved);
    }
    journal.begin_changing(n);
    i = 0;
    for (PolicyCharge* policy = charges; policy != end; ++policy) {
        journal.change_pair(i++, policy->use.state.pair);
    }
    journal.end_changing();
    journal.unlock_all(n);
    return true;
}

}  // namespace ai_limit
