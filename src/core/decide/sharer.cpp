#include "core/decide/sharer.h"

#include <algorithm>

#include "core/sharers/service.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** A sharer's entry, if it is there, with its buckets locked. */
class LockedSharer {
public:
    explicit LockedSharer(const PolicyCharge& policy)
        : limit_(policy.use.limit),
          journal_(&policy.use.access->journal),
          key_tag_(policy.sharer->key_tag) {
        const SharerCharge& charge = *policy.sharer;
        const BucketPair pair =
            bucket_pair_of(journal_->zone(), charge.limit->algorithm, charge.tag, charge.policy);
        LockOrder locks;
        pair.want(&locks, journal_);
        locks.take_all();
        cell_ = pair.find();
        if (cell_.index != kNoCell) {
            load_state(cell_, kWide, &state_);
        }
        before_ = state_.sharer;
    }

    ~LockedSharer() {
        if (cell_.index != kNoCell) {
            note_counted(*limit_, &state_.sharer);
            store_state(journal_, cell_, kWide, state_);
            KeyActivity* activity = find_activity(journal_->zone(), key_tag_);
            if (activity != nullptr) {
                count_activity(activity, activity_of(*limit_, before_),
                               activity_of(*limit_, state_.sharer));
            }
        }
        journal_->finish();
    }

    LockedSharer(const LockedSharer&) = delete;
    LockedSharer& operator=(const LockedSharer&) = delete;

    SharerState* state() { return &state_.sharer; }
    Journal* journal() { return journal_; }

private:
    const Limit* limit_;
    Journal* journal_;
    uint64_t key_tag_;
    Cell cell_{};
    State state_{};
    SharerState before_{};
};

}  // namespace

uint64_t hash_sharer(uint64_t key_tag, uint64_t sharer) {
    constexpr unsigned kTurn = 31;  // tells a key that shares another from the other way round
    const uint64_t turned = sharer << kTurn | sharer >> (64 - kTurn);
    return tag_base((key_tag ^ turned) * 0x9E3779B97F4A7C15);
}

void describe_part(const PolicyCharge& charge, Now now, Description* said) {
    const Charge& use = charge.use;
    const SharerPart& part = charge.sharer->part;
    const Amount cost = least_left(use);
    const bool passed = use.verdict == Verdict::kPassed;
    SharerPart after = part;
    after.left -= passed && part.is_own ? std::min(part.left, use.cost) : 0;
    said->remaining = room_of_sharer(after, said->remaining);
    if (use.verdict != Verdict::kRefused || said->wait == kNever || part.is_own) {
        return;
    }
    const Amount taken = used(*use.limit, use.state);
    const Amount wanted = taken + cost + part.claimed;
    const Amount above = wanted - std::min(wanted, use.limit->capacity);
    const Millis lends = until_back(*use.limit, use.state, std::max<Amount>(above, 1), now);
    const Millis waits = part.wait != 0 ? std::min(part.wait, lends) : lends;
    said->wait = std::max({said->wait, waits, Millis{1}});
}

Amount room_of_sharer(const SharerPart& part, Amount room) {
    const Amount lent = room - std::min(room, part.claimed);
    return std::min(room, std::max(part.left, lent));
}

SharerPart weigh_growth(const PolicyCharge& charge, Now now) {
    // A part is as large as what is asked for at once. An answer that runs can do with less.
    const SharerAsk ask = {charge.use.limit, charge.sharer->weight, 1};
    LockedSharer locked(charge);
    const Zone& zone = locked.journal()->zone();
    const uint64_t key_tag = charge.sharer->key_tag;
    // The sharer is active from now on.
    begin_service(*charge.use.limit, served_until_now(zone, key_tag), now.monotonic,
                  locked.state());
    return weigh_sharer(ask, find_activity(zone, key_tag), now, locked.state());
}

void take_more(PolicyCharge* charge, Amount more) {
    SharerCharge* sharer = charge->sharer;
    if (sharer->is_counted) {
        correct_part(*charge->use.limit, sharer->part, 0, more, LockedSharer(*charge).state());
        sharer->taken += more;
    }
}

uint64_t next_service(const PolicyCharge& charge, Now now) {
    const SharerCharge& sharer = *charge.sharer;
    Journal* journal = &sharer.access->journal;
    const BucketPair pair =
        bucket_pair_of(journal->zone(), sharer.limit->algorithm, sharer.tag, sharer.policy);
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    State state{};
    const Cell cell = pair.find();
    if (cell.index != kNoCell) {
        load_state(cell, kWide, &state);
    }
    journal->finish();
    return start_of_service(*charge.use.limit, state.sharer, sharer.floor, now.monotonic);
}

void settle_sharer(const PolicyCharge& charge, Amount used) {
    const SharerCharge& sharer = *charge.sharer;
    if (sharer.is_counted && charge.use.verdict == Verdict::kPassed) {
        LockedSharer locked(charge);
        const Limit& limit = *charge.use.limit;
        correct_part(limit, sharer.part, sharer.taken, used, locked.state());
        correct_service(limit, least_left(charge.use), used, locked.state());
    }
}

void end_sharer(const PolicyCharge& charge) {
    SharerCharge* sharer = charge.sharer;
    if (sharer->flight == nullptr) {
        return;
    }
    {
        LockedSharer locked(charge);
        give_back_slots(sharer->flight->amount, locked.state());
        locked.journal()->write(&sharer->flight->tag, 0);
    }
    sharer->access->flights.give_back(sharer->access->journal, sharer->flight);
    sharer->flight = nullptr;
}

}  // namespace ai_limit
