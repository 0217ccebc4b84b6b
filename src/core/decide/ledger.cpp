#include "core/decide/ledger.h"

#include <algorithm>

#include "core/buckets/free_cell.h"
#include "core/decide/admission.h"
#include "core/policies/redis_clock.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

constexpr Millis kOverdueAfter = 5'000;

constexpr uint64_t kAmountMask = (uint64_t{1} << 40) - 1;
constexpr uint64_t kTouchedMask = (uint64_t{1} << 23) - 1;
constexpr uint64_t kAskedMask = (uint64_t{1} << 24) - 1;
constexpr Millis kAskedUnit = 256;

// A busy worker reads an answer late, and takes it all the same.
constexpr Millis kShortestQuestion = 2'048;
// Far from the 50 days after which `asked_until` begins again.
constexpr Millis kLongestQuestion = 3'600'000;

uint64_t in_asked_units(Millis time) {
    return static_cast<uint64_t>(time / kAskedUnit);
}

/** The units until no answer is awaited; 0 or far more than the longest question if none is. */
uint64_t awaited_for(const LedgerState& ledger, Millis now) {
    return (ledger.asked_until - in_asked_units(now)) & kAskedMask;
}

// By then all others know of this node.
constexpr Millis kBeforeNodesAreKnown = 1'100;

/** A key's two entries, their buckets being locked from its begin to its end. */
class LockedEntry {
public:
    explicit LockedEntry(const LedgerEntry& entry)
        : entry_(entry), journal_(&entry.access->journal) {
        const Zone& zone = journal_->zone();
        uint64_t tag = tag_of(tag_of(entry.tag, entry.policy), entry.used_policy);
        ledger_buckets_ = bucket_pair_of(zone, Algorithm::kLedger, entry.tag, entry.policy);
        used_buckets_ = bucket_pair_of(zone, entry.limit.algorithm, tag, entry.used_policy);
        LockOrder locks;
        ledger_buckets_.want(&locks, journal_);
        used_buckets_.want(&locks, journal_);
        locks.take_all();
        ledger_cell_ = ledger_buckets_.find();
        used_cell_ = used_buckets_.find();
        load(ledger_cell_, kWide, &ledger_);
        load(used_cell_, *used_buckets_.geometry, &used_);
    }
    ~LockedEntry() { journal_->finish(); }
    LockedEntry(const LockedEntry&) = delete;
    LockedEntry& operator=(const LockedEntry&) = delete;

    bool has_ledger() const { return ledger_cell_.index != kNoCell; }
    bool has_used() const { return used_cell_.index != kNoCell; }
    LedgerState* ledger() { return &ledger_.ledger; }
    State* used() { return &used_; }

    void store_ledger() {
        if (is_over(ledger_.ledger)) {
            store_tag(journal_, ledger_cell_, 0);
        } else {
            store_state(journal_, ledger_cell_, kWide, ledger_);
        }
    }

    /** Begins one where there is none; false without room. */
    bool open_ledger(Now now) {
        if (has_ledger()) {
            return true;
        }
        bool evicts = entry_.access->on_full == OnFull::kEvict;
        Cell used = used_cell_;
        ledger_cell_ = find_free_cell(
            journal_, kWide, ledger_buckets_.first, ledger_buckets_.second, now, evicts,
            [used](Cell cell) { return cell.bucket == used.bucket && cell.index == used.index; });
        if (!has_ledger()) {
            return false;
        }
        ledger_buckets_.first->overflowed |= ledger_cell_.bucket != ledger_buckets_.first ? 1 : 0;
        store_tag(journal_, ledger_cell_, ledger_buckets_.tag);
        begin_ledger(journal_->zone(), entry_.policy, &ledger_.ledger);
        return true;
    }

    void store_used(Now now) {
        Amount taken = ai_limit::used(entry_.limit, used_);
        if (!has_used() && (taken == 0 || !free_cell_for(now))) {
            return;
        }
        used_.head.policy = entry_.used_policy & 0xff;
        used_.head.spent = taken >= entry_.limit.capacity;
        used_.head.refused = used_.head.refused && used_.head.spent;
        store_state(journal_, used_cell_, *used_buckets_.geometry, used_);
    }

private:
    static void load(Cell cell, const Geometry& geometry, State* state) {
        *state = State{};
        if (cell.index != kNoCell) {
            load_state(cell, geometry, state);
        }
    }

    bool free_cell_for(Now now) {
        bool evicts = entry_.access->on_full == OnFull::kEvict;
        Cell ledger = ledger_cell_;
        used_cell_ =
            find_free_cell(journal_, *used_buckets_.geometry, used_buckets_.first,
                           used_buckets_.second, now, evicts, [ledger](Cell cell) {
                               return cell.bucket == ledger.bucket && cell.index == ledger.index;
                           });
        if (!has_used()) {
            return false;
        }
        used_buckets_.first->overflowed |= used_cell_.bucket != used_buckets_.first ? 1 : 0;
        store_tag(journal_, used_cell_, used_buckets_.tag);
        return true;
    }

    const LedgerEntry& entry_;
    Journal* journal_;
    BucketPair ledger_buckets_;
    BucketPair used_buckets_;
    Cell ledger_cell_;
    Cell used_cell_;
    State ledger_;
    State used_;
};

/** Policies are purged when their number is given to another. */
bool is_current(const LedgerEntry& entry) {
    const Zone& zone = entry.access->journal.zone();
    return zone.policy(entry.policy)->slowest.algorithm == Algorithm::kLedger &&
           zone.policy(entry.used_policy)->slowest.algorithm == entry.limit.algorithm;
}

}  // namespace

bool is_of_older_window(const Limit& limit, const State& state, const State& other) {
    return is_calendar(limit.algorithm) && state.fixed_window.end <= other.fixed_window.start;
}

Amount share_of(const Zone& zone, Amount left) {
    uint32_t nodes = zone.header()->nodes.load(std::memory_order_relaxed);
    return nodes != 0 ? left / nodes : 0;
}

void set_share(const Zone& zone, Amount left, LedgerState* ledger) {
    ledger->share = share_of(zone, left) & kAmountMask;
}

Amount asked_of_redis(const LedgerState& ledger, Millis now) {
    uint64_t left = awaited_for(ledger, now);
    // Twice as long, since workers read the clock at different moments.
    bool waits = left != 0 && left <= in_asked_units(2 * kLongestQuestion);
    return waits ? Amount{ledger.asked} : 0;
}

void note_asked(LedgerState* ledger, Amount amount, Millis now, Millis lasts) {
    lasts = std::clamp(lasts, kShortestQuestion, kLongestQuestion);
    uint64_t until = in_asked_units(now + lasts) + 1;
    Amount before = asked_of_redis(*ledger, now);
    // Other questions may last longer: their worker has read another configuration.
    if (before == 0 || awaited_for(*ledger, now) < until - in_asked_units(now)) {
        ledger->asked_until = until & kAskedMask;
    }
    Amount sum = before + amount;
    ledger->asked = (sum < kMaxAmount ? sum : kMaxAmount) & kAmountMask;
}

void note_answered(LedgerState* ledger, Amount amount) {
    ledger->asked = (ledger->asked > amount ? ledger->asked - amount : 0) & kAmountMask;
}

void begin_ledger(const Zone& zone, uint32_t policy, LedgerState* ledger) {
    *ledger = {};
    ledger->policy = policy & 0xff;
    ledger->life = (zone.header()->ledgers.fetch_add(1, std::memory_order_relaxed) + 1) &
                   ((uint64_t{1} << 53) - 1);
}

void start_ledgers(const Zone& zone, Millis wall) {
    uint64_t none = 0;
    zone.header()->ledgers.compare_exchange_strong(none, static_cast<uint64_t>(wall) << 11);
}

DeltaDue count_in_ledger(LedgerState* ledger, Amount amount, Millis now, Millis interval) {
    ledger->counted += amount;
    ledger->touched_at = static_cast<uint64_t>(now / 1000) & kTouchedMask;
    if (ledger->is_urgent == 0 && 2 * unreported(*ledger) >= ledger->share) {
        ledger->is_urgent = 1;
        return DeltaDue::kNow;
    }
    Millis due_at = static_cast<Millis>(ledger->due_at);
    if (due_at != 0 && now <= due_at + kOverdueAfter) {
        return DeltaDue::kNone;
    }
    ledger->due_at = static_cast<uint64_t>(now + interval);
    return due_at == 0 ? DeltaDue::kLater : DeltaDue::kOverdue;
}

bool ask_beside(const LedgerEntry& entry, Amount amount, Millis lasts, Now now,
                LedgerDelta* ledger_delta) {
    LockedEntry locked(entry);
    LedgerState* ledger = locked.ledger();
    if (!is_current(entry) || !locked.open_ledger(now)) {
        return false;
    }
    *ledger_delta = {ledger->life, ledger->counted, ledger->acknowledged, *locked.used()};
    note_asked(ledger, amount, now.monotonic, lasts);
    locked.store_ledger();
    return unreported(*ledger) != 0;
}

void end_question(const LedgerEntry& entry, Amount amount) {
    LockedEntry locked(entry);
    if (locked.has_ledger() && is_current(entry)) {
        note_answered(locked.ledger(), amount);
        locked.store_ledger();
    }
}

bool read_ledger(const LedgerEntry& entry, bool is_due, LedgerDelta* ledger_delta) {
    LockedEntry locked(entry);
    LedgerState* ledger = locked.ledger();
    if (!locked.has_ledger() || !is_current(entry)) {
        return false;
    }
    *ledger_delta = {ledger->life, ledger->counted, ledger->acknowledged, *locked.used()};
    if (is_due) {
        ledger->due_at = 0;
        locked.store_ledger();
    }
    return ledger_delta->counted != ledger_delta->acknowledged;
}

bool must_send_again(const LedgerEntry& entry, Now now) {
    LockedEntry locked(entry);
    LedgerState* ledger = locked.ledger();
    if (!locked.has_ledger() || unreported(*ledger) == 0 || ledger->due_at != 0 ||
        !is_current(entry)) {
        return false;
    }
    Millis shared = redis_time(entry.access->journal.zone(), now).monotonic;
    ledger->due_at = static_cast<uint64_t>(shared + entry.interval);
    locked.store_ledger();
    return true;
}

void acknowledge(const LedgerEntry& entry, const LedgerDelta& ledger_delta, const State& theirs,
                 Amount reserved, Now now) {
    LockedEntry locked(entry);
    LedgerState* ledger = locked.ledger();
    bool lives = locked.has_ledger() && ledger->life == ledger_delta.life;
    // A life ends when all of it is acknowledged, by a report with a count no less than this one's.
    if (!is_current(entry) || !lives || ledger_delta.counted <= ledger->acknowledged) {
        return;  // what is known here is newer
    }
    ledger->acknowledged = ledger_delta.counted;
    bool has_used = locked.has_used();
    if (has_used && is_of_older_window(entry.limit, theirs, *locked.used())) {
        locked.store_ledger();  // their clock has stepped back
        return;
    }
    if (has_used && is_of_older_window(entry.limit, *locked.used(), theirs)) {
        ledger->acknowledged = ledger->counted;
    }
    Amount later = unreported(*ledger);
    Amount taken = used(entry.limit, theirs) + reserved;
    Now here = redis_time(entry.access->journal.zone(), now);
    ledger->asked = asked_of_redis(*ledger, now.monotonic) & kAmountMask;
    taken += ledger->asked;
    set_share(entry.access->journal.zone(), remaining_of(entry.limit, taken), ledger);
    ledger->is_urgent = 0;
    locked.store_ledger();
    bool refused = locked.used()->head.refused;
    *locked.used() = theirs;
    locked.used()->head.refused = refused;
    charge_used(entry.limit, locked.used(), later, here);
    locked.store_used(here);
}

void note_nodes(const Zone& zone, uint32_t nodes, Millis now) {
    ZoneHeader* header = zone.header();
    if (header->nodes.load() == 0) {
        int64_t since = 0;
        if (header->nodes_since.compare_exchange_strong(since, now) ||
            now - since < kBeforeNodesAreKnown) {
            return;
        }
    }
    if (nodes >= header->nodes.load()) {
        header->nodes.store(nodes);
        header->fewer_since.store(0);
        return;
    }
    int64_t since = header->fewer_since.load();
    if (since == 0) {
        header->fewer_since.store(now);
    } else if (now - since > kNodeLease) {
        header->nodes.store(nodes);
        header->fewer_since.store(0);
    }
}

}  // namespace ai_limit
