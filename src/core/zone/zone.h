#pragma once

// The shared memory of one zone, in this order: the header, the policies, what was counted and seen
// of them (meters.h, top_keys.h, history.h), the models that were used (models.h), limits of single
// keys (overrides.h), the answers that were charged (charged_answers.h), the processes that use the
// zone with a journal each, the records of requests in flight, what requests usually use
// (habit_set.h), who shares keys (key_activity.h) and their names (sharer_names.h), who waits for
// keys (key_queue.h), the accounts at providers (upstream_account.h), the buckets of small entries,
// the buckets of wide ones. It has no pointers: everything is found by its offset, so that each
// process may map the zone where it likes. Everything is valid when it is zero.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/limits/limit.h"
#include "core/limits/slot_wait.h"
#include "core/limits/state.h"
#include "core/zone/charged_answers.h"
#include "core/zone/habit_set.h"
#include "core/zone/key_activity.h"
#include "core/zone/key_queue.h"
#include "core/zone/remote_traffic.h"
#include "core/zone/sharer_names.h"
#include "core/zone/statistics.h"
#include "core/zone/upstream_account.h"

namespace ai_limit {

constexpr uint32_t kLayoutVersion = 22 + kCountsLayout;
constexpr size_t kSecretBytes = 192;

constexpr uint32_t kMaxPolicies = 255;    // numbers 1 to 255; 0 is nobody's
constexpr uint32_t kMaxProcesses = 1024;  // old generations of workers live on after a reload
constexpr size_t kMaxPolicyName = 64;
constexpr uint32_t kMaxKnownLimits = 15;  // of a policy, numbers 1 to 15; 0 is nobody's
constexpr size_t kMaxSetPolicies = 16;    // of one request in one phase

// A policy in tokens takes two charges: one for its reservations, one for its usage. A policy that
// nodes share has a ledger as well, and one whose keys have sharers a charge for the sharer.
constexpr size_t kMaxCharges = 4 * kMaxSetPolicies;

/** Buckets of one kind of entry. The lock and the tags come first, then the states. */
struct Geometry {
    uint32_t bucket_bytes;
    uint32_t cells;
    uint32_t state_words;
};

constexpr Geometry kSmall = {128, 5, kSmallStateBytes / 8};
constexpr Geometry kWide = {512, 9, kWideStateBytes / 8};

/**
 * One or a few cache lines. `lock` holds the number of the process that changes the bucket, or 0.
 * A tag is the key's hash, 0 for an empty cell. `overflowed` says that a key whose first bucket
 * this is lies in its second. `warned` has a bit for each cell: operators have been warned of its
 * key (core/keys/warning.h).
 */
struct Bucket {
    std::atomic<uint32_t> lock;
    uint16_t overflowed;
    uint16_t warned;
    uint64_t tags[1];
};

constexpr size_t kTagsOffset = 8;
static_assert(offsetof(Bucket, tags) == kTagsOffset);
static_assert(kTagsOffset + kSmall.cells * (8 + kSmallStateBytes) == kSmall.bucket_bytes);
static_assert(kTagsOffset + kWide.cells * (8 + kWideStateBytes) == kWide.bucket_bytes);

/** A limit that a policy has had. It is not changed while it is known. */
struct KnownLimit {
    enum : uint32_t { kFree, kBeingWritten, kKnown };
    std::atomic<uint32_t> state;
    Limit limit;
};

/** A policy that the zone knows, by its name, its algorithm and what it counts. */
struct PolicyRecord {
    uint32_t name_size;  // 0: a free record
    uint32_t last_use;   // value of ZoneHeader::uses when a worker last asked for it
    char name[kMaxPolicyName];
    Limit
        slowest;  // of all its limits the one that takes longest to come back: judges what to evict
    std::atomic<uint64_t> errors;         // malformed variables
    std::atomic<uint64_t> overshoot;      // tokens that were used above the limit
    std::atomic<uint64_t> usage_missing;  // answers that did not say what they used
    std::atomic<uint64_t> cut;            // streams that were ended where their reservation was
    std::atomic<uint64_t> settled;        // tokens that ended requests were charged
    std::atomic<uint64_t> released;       // what had been reserved for these
    std::atomic<uint64_t> day_start;      // `settled` when the day began (day_count.h)
    SlotDuration slot_duration;           // of concurrency=
    std::atomic<uint64_t> refill_millis[kNoRateNumber - 1];  // by rate_number, from 1
    KnownLimit limits[kMaxKnownLimits];                      // by their number, from 1
    std::atomic<uint64_t> periods[kMaxVariants];             // by variant; 0: none (policies.cpp)
    std::atomic<uint32_t> has_too_many_periods;              // once some had the same variant
    uint32_t varies;                                         // a variable holds its limit
    uint32_t in_redis;                  // nodes share it: its entries are by redis_clock.h
    std::atomic<uint32_t> other_units;  // what other nodes count by this name: one bit per Measure
};

/** A process that uses the zone. `pid` is 0 in a free one. */
struct ProcessSlot {
    std::atomic<uint32_t> pid;
    std::atomic<uint32_t> repairer;  // number of the process that repairs what this one left, or 0
    std::atomic<uint64_t> birth;  // tells apart two processes that had the same pid, 0: not known
};

// A charge may lock two buckets, and a third to move an entry there. It writes the moved entry and
// its old tag, its own entry, and a record of a request in flight. If a policy has two charges in
// tokens, the one for its usage makes no room and writes only a mark. The one for a ledger makes
// room as well, and so does that for a sharer, with a record of its own. A key may have entries for
// other periods, which are written, too.
constexpr size_t kMaxLocks = (3 + 3 + 2 + 3) * kMaxSetPolicies;
// Each tag that appears or goes is counted by one more word.
constexpr size_t kMaxUndo = kMaxSetPolicies * (3 * (2 * (2 + kWideStateBytes / 8) + 2) + 2 * 2 +
                                               (kMaxVariants - 1) * kWideStateBytes / 8);

/** A word as it was before it was changed. */
struct Undo {
    uint64_t offset;
    uint64_t before;
};

/** The locks and changes of a process that it has not finished (journal.h). */
struct JournalData {
    uint32_t locks;
    uint32_t undos;
    uint64_t lock_offsets[kMaxLocks];
    Undo undo[kMaxUndo];
};

/**
 * A request in flight: the tag of the entry that counts it, under `policy`, and the amount. A tag
 * of 0 is a free record. For reserved tokens, `used_policy` is the number under which the same
 * key's usage is counted, by the limit numbered `limit_number`; else both are 0.
 */
struct FlightRecord {
    uint64_t tag;
    uint64_t policy : 8, amount : 40, used_policy : 8, limit_number : 4, reserved : 4;
};
static_assert(sizeof(FlightRecord) == 16);

constexpr uint32_t kFlightsPerChunk = 64;

struct ZoneSizes {
    uint64_t small_buckets;  // multiples of 8
    uint64_t wide_buckets;
    uint32_t flight_chunks;
    uint32_t habit_sets = 0;
    uint32_t activity_sets = 0;  // 0: no key has sharers
    uint32_t queues = 0;         // 0: nobody waits
    uint32_t account_sets = 0;   // 0: no limit is a provider's
};

/** The processes' common knowledge of a server that makes decisions for all nodes
 * (redis/network/client.h). */
struct RemoteHealth {
    // kOnTrial: it has been found again, but has not decided on anything yet. kReplaced: by another
    // server, which decides in its place.
    enum : uint32_t { kThere, kAway, kOnTrial, kReplaced };
    std::atomic<uint64_t> server;  // a hash of who it is, 0 for a free place
    std::atomic<uint32_t> state;
    std::atomic<uint32_t> losses;         // how often it was lost
    std::atomic<uint32_t> failures;       // to find it, one after another
    std::atomic<uint64_t> next_probe_at;  // in milliseconds of the monotonic clock
};

constexpr size_t kMaxRemotes = 64;  // further servers share their places

constexpr uint32_t kMaxOverrides = 256;
constexpr size_t kMaxRateText = 40;

/** Another limit for one key of one policy, for a while; see overrides.h. */
struct Override {
    std::atomic<uint64_t> version;  // odd while it is written
    Limit limit;
    Millis expires_at;  // of the monotonic clock
    uint32_t policy;
    uint8_t rate_size, key_size;
    char rate[kMaxRateText];
    char key[kMaxTopKeyText];  // as a log shows it
};

struct ZoneHeader {
    uint32_t version;
    uint32_t uses;  // how often a policy was asked for, see PolicyRecord
    ZoneSizes sizes;
    uint8_t secret[kSecretBytes];
    std::atomic<int64_t> redis_clock_base;    // redis_clock.h
    std::atomic<int64_t> redis_clock_offset;  // 0 before the clock is started
    RemoteHealth remotes[kMaxRemotes];
    RemoteTraffic traffic;
    std::atomic<uint64_t> node;        // names this zone to other nodes; 0 before that is drawn
    std::atomic<uint64_t> ledgers;     // how many there have been (ledger.h)
    std::atomic<uint32_t> nodes;       // that share policies, this one included; 0: not known
    std::atomic<int64_t> nodes_since;  // of the Redis clock: since when there are some
    std::atomic<int64_t>
        alone_until;  // of the Redis clock: decisions made alone are reported by then
    std::atomic<int64_t>
        fewer_since;  // of the Redis clock: since when they are fewer; 0: they are not
    std::atomic<int64_t>
        next_heartbeat_at;  // of the Redis clock: when this node must send a heartbeat
    std::atomic<int64_t> next_announcement_at;  // monotonic: of what the policies count
    std::atomic<uint64_t> idle_evictions;       // entries that had come back completely
    std::atomic<uint64_t> live_evictions;       // entries that still counted
    std::atomic<uint64_t> zone_full;            // keys for which there was none
    std::atomic<uint64_t> unknown_prices;       // answers of models that have no price
    std::atomic<int64_t> next_sample_at;        // monotonic: of the history
    std::atomic<uint32_t> overrides;            // places of them that are looked at
    std::atomic<int64_t> next_save_at;          // monotonic: of the state file
    std::atomic<uint32_t> save_failed;          // the last time, which has been said
    std::atomic<uint64_t> save_failures;
    std::atomic<int64_t> saved_at;  // by the wall clock; 0: not since the zone was made
    // Overrides of policies in Redis (nginx/overrides/shared_overrides.h), in the first zone.
    std::atomic<int64_t> next_overrides_at;   // monotonic: when Redis is asked for changes
    std::atomic<int64_t> next_whole_look_at;  // monotonic: when it is asked for all of them
    std::atomic<int64_t> overrides_version;   // changes up to this one are known here
    std::atomic<int64_t> newest_override;     // a version that Redis has had
};

/** The offsets of the parts, in bytes from the zone's start. */
struct ZoneLayout {
    size_t policies;
    size_t counts;
    size_t top_keys;
    size_t day_keys;
    size_t histories;
    size_t models;
    size_t override_tags;  // uint64_t each: of the key's entry, 0: a free place
    size_t overrides;
    size_t answers;
    size_t answer_parts;
    size_t processes;
    size_t journals;
    size_t tallies;  // int64_t each: entries that a process number has made, less those it removed
    size_t chunk_owners;  // uint32_t each: number of the process that has the chunk, or 0
    size_t flights;
    size_t served_keys;  // uint32_t each: as many as there are records (served_keys.h)
    size_t habits;
    size_t activity;
    size_t sharer_names;  // of each policy, if some have sharers
    size_t queue_changes;
    size_t queues;
    size_t accounts;
    size_t small;
    size_t wide;
    size_t total;
};

ZoneLayout layout_of(const ZoneSizes& sizes);

/**
 * Divides `bytes` for entries into buckets, if small, wide or both kinds of states are wanted.
 * `ledgers` and `sharers` are wide too, and few: they take an eighth if nothing else is wide.
 */
ZoneSizes sizes_for(size_t bytes, bool small, bool wide, bool ledgers = false,
                    bool sharers = false);

/**
 * One process's view of a zone. Copies are views of the same zone. The memory is the caller's; it
 * must be aligned to 64 bytes.
 */
class Zone {
public:
    /** Makes a zone of memory that is all zeros. */
    static Zone create(void* memory, const ZoneSizes& sizes, const uint8_t* secret);

    /** A zone that was made before. */
    explicit Zone(void* memory);
    Zone() = default;

    /** True if the memory has a zone of this layout and these sizes. */
    static bool is_valid(const void* memory, const ZoneSizes& sizes);

    ZoneHeader* header() const { return at<ZoneHeader>(0); }
    PolicyRecord* policy(uint32_t number) const {
        return at<PolicyRecord>(layout_.policies) + (number - 1);
    }
    ProcessSlot* process(uint32_t number) const {
        return at<ProcessSlot>(layout_.processes) + (number - 1);
    }
    /** Returns the counts of one policy; see meters.h. */
    PolicyCounts* counts(uint32_t number, uint32_t shard) const {
        return at<PolicyCounts>(layout_.counts) + (number - 1) * kCountShards + shard;
    }
    TopKeys* top_keys(uint32_t number) const {
        return at<TopKeys>(layout_.top_keys) + (number - 1);
    }
    /** Returns the keys that were charged most today. */
    TopList* day_keys(uint32_t number) const {
        return at<TopList>(layout_.day_keys) + (number - 1);
    }
    ModelTable* models() const { return at<ModelTable>(layout_.models); }
    History* history(uint32_t number) const {
        return at<History>(layout_.histories) + (number - 1);
    }
    std::atomic<uint64_t>* override_tag(uint32_t place) const {
        return at<std::atomic<uint64_t>>(layout_.override_tags) + place;
    }
    Override* override_at(uint32_t place) const { return at<Override>(layout_.overrides) + place; }
    AnswerSet* answers(uint32_t set) const { return at<AnswerSet>(layout_.answers) + set; }
    PartSet* answer_parts(uint32_t set) const { return at<PartSet>(layout_.answer_parts) + set; }
    uint64_t* tally(uint32_t process) const {
        return at<uint64_t>(layout_.tallies) + (process - 1);
    }
    JournalData* journal(uint32_t number) const {
        return at<JournalData>(layout_.journals) + (number - 1);
    }
    std::atomic<uint32_t>* chunk_owner(uint32_t chunk) const {
        return at<std::atomic<uint32_t>>(layout_.chunk_owners) + chunk;
    }
    FlightRecord* flights(uint32_t chunk) const {
        return at<FlightRecord>(layout_.flights) + size_t{chunk} * kFlightsPerChunk;
    }
    std::atomic<uint32_t>* served_key(uint64_t place) const {
        return at<std::atomic<uint32_t>>(layout_.served_keys) + place;
    }
    HabitSet* habits(uint32_t set) const { return at<HabitSet>(layout_.habits) + set; }
    ActivitySet* activity(uint32_t set) const { return at<ActivitySet>(layout_.activity) + set; }
    /** Only in a zone that has queues. */
    QueueChanges* queue_changes() const { return at<QueueChanges>(layout_.queue_changes); }
    /** Returns the names of a policy's sharers, in a zone whose keys may have some. */
    SharerNames* sharer_names(uint32_t number) const {
        return at<SharerNames>(layout_.sharer_names) + (number - 1);
    }
    bool has_sharers() const { return sizes_.activity_sets != 0; }
    KeyQueue* queue(uint32_t number) const { return at<KeyQueue>(layout_.queues) + number; }
    AccountSet* accounts(uint32_t set) const { return at<AccountSet>(layout_.accounts) + set; }
    Bucket* bucket(const Geometry& geometry, uint64_t index) const {
        char* base = is_small(geometry) ? small_ : wide_;
        return reinterpret_cast<Bucket*>(base + index * geometry.bucket_bytes);
    }
    uint64_t buckets(const Geometry& geometry) const {
        return is_small(geometry) ? sizes_.small_buckets : sizes_.wide_buckets;
    }
    const ZoneSizes& sizes() const { return sizes_; }

    template <typename T>
    T* at(size_t offset) const {
        return reinterpret_cast<T*>(base_ + offset);
    }
    uint64_t offset_of(const void* place) const {
        return static_cast<uint64_t>(static_cast<const char*>(place) - base_);
    }

private:
    static bool is_small(const Geometry& geometry) {
        return geometry.state_words == kSmall.state_words;
    }

    char* base_ = nullptr;
    char* small_ = nullptr;
    char* wide_ = nullptr;
    ZoneSizes sizes_ = {};
    ZoneLayout layout_ = {};
};

inline uint64_t* state_words(Bucket* bucket, const Geometry& geometry, uint32_t cell) {
    return bucket->tags + geometry.cells + size_t{cell} * geometry.state_words;
}

}  // namespace ai_limit
