#include "core/decide/sharer.h"

#include <algorithm>

#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** A sharer's entry, if it is there, with its buckets locked. */
class LockedSharer {
public:
    explicit LockedSharer(const PolicyCharge& policy)
        : limit_(policy.use.limit),
          journal_(&policy.use.access->journal),
          activity_(policy.sharer->activity) {
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
        if (activity_ != nullptr &&
            activity_->tag.load(std::memory_order_acquire) != charge.key_tag) {
            activity_ = nullptr;
        }
    }

    ~LockedSharer() {
        if (cell_.index != kNoCell) {
            store_state(journal_, cell_, kWide, state_);
        }
        journal_->finish();
        if (cell_.index != kNoCell && activity_ != nullptr) {
            count_activity(activity_, activity_of(*limit_, before_),
                           activity_of(*limit_, state_.sharer));
        }
    }

    LockedSharer(const LockedSharer&) = delete;
    LockedSharer& operator=(const LockedSharer&) = delete;

    SharerState* state() { return &state_.sharer; }
    Journal* journal() { return journal_; }

private:
    const Limit* limit_;
    Journal* journal_;
    KeyActivity* activity_;
    Cell cell_{};
    State state_{};
    SharerState before_{};
};

}  // namespace

uint64_t hash_sharer(uint64_t key, uint64_t sharer) {
    constexpr unsigned kTurn = 31;  // tells a key that shares another from the other way round
    const uint64_t turned = sharer << kTurn | sharer >> (64 - kTurn);
    return tag_base((key ^ turned) * 0x9E3779B97F4A7C15);
}

void describe_part(const PolicyCharge& charge, Now now, Description* said) {
    const Charge& use = charge.use;
    const SharerPart& part = charge.sharer->part;
    const Amount cost = least_left(use);
    const bool passed = use.verdict == Verdict::kPassed;
    const Amount own = part.left - (passed && part.is_own ? std::min(part.left, cost) : 0);
    const Amount lent = said->remaining - std::min(said->remaining, part.claimed);
    said->remaining = std::min(said->remaining, std::max(own, lent));
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

void settle_sharer(const PolicyCharge& charge, Amount used) {
    if (charge.sharer->is_counted && charge.use.verdict == Verdict::kPassed) {
        correct_part(*charge.use.limit, charge.sharer->part, least_left(charge.use), used,
                     LockedSharer(charge).state());
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
