#pragma once

// Zones in memory of a test's own, and processes that use them, with a host that says who lives.

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/carry/migration.h"
#include "core/decide/admission.h"
#include "core/decide/sharer.h"
#include "core/observe/meters.h"
#include "core/policies/policies.h"

namespace ai_limit {

/**
 * A zone's memory between two pages that nobody may touch. A sanitizer sees an overrun of less than
 * a page as well. The memory is mapped rather than allocated: of the megabytes of a zone a test
 * touches few.
 */
class ZoneMemory {
public:
    explicit ZoneMemory(const ZoneSizes& sizes, uint8_t secret = 7)
        : ZoneMemory(sizes, MAP_PRIVATE, secret) {}

    /** The same between this process and those that it forks. */
    static std::unique_ptr<ZoneMemory> shared(const ZoneSizes& sizes) {
        return std::unique_ptr<ZoneMemory>(new ZoneMemory(sizes, MAP_SHARED, 7));
    }

    ~ZoneMemory() {
        ASAN_UNPOISON_MEMORY_REGION(data() + size_, mapped_ - size_);
        munmap(data() - kGuard, kGuard + mapped_ + kGuard);
    }

    ZoneMemory(const ZoneMemory&) = delete;
    ZoneMemory& operator=(const ZoneMemory&) = delete;

    const Zone& zone() const { return zone_; }
    char* data() const { return memory_; }
    size_t size() const { return size_; }

    /** Makes every byte zero. */
    void clear() {
        if (madvise(memory_, mapped_, MADV_DONTNEED) != 0) {
            abort();
        }
    }

    /** Makes an empty zone of the same sizes and the same secret. */
    void begin_anew() {
        const ZoneSizes sizes = zone_.sizes();
        uint8_t secret[kSecretBytes];
        memcpy(secret, zone_.header()->secret, sizeof(secret));
        clear();
        zone_ = Zone::create(memory_, sizes, secret);
    }

private:
    static constexpr size_t kGuard = 4096;

    ZoneMemory(const ZoneSizes& sizes, int sharing, uint8_t secret_byte)
        : size_(layout_of(sizes).total), mapped_((size_ + kGuard - 1) / kGuard * kGuard) {
        void* all = mmap(nullptr, kGuard + mapped_ + kGuard, PROT_READ | PROT_WRITE,
                         sharing | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED) {
            abort();
        }
        memory_ = static_cast<char*>(all) + kGuard;
        if (mprotect(all, kGuard, PROT_NONE) != 0 ||
            mprotect(memory_ + mapped_, kGuard, PROT_NONE) != 0) {
            abort();
        }
        ASAN_POISON_MEMORY_REGION(memory_ + size_, mapped_ - size_);
        uint8_t secret[kSecretBytes];
        memset(secret, secret_byte, sizeof(secret));
        zone_ = Zone::create(memory_, sizes, secret);
    }

    size_t size_;
    size_t mapped_;
    char* memory_;
    Zone zone_;
};

/** A policy as one zone knows it. */
struct ZonePolicy {
    uint32_t number;
    Limit limit;
};

constexpr Algorithm kRates[] = {Algorithm::kTokenBucket, Algorithm::kSlidingWindow,
                                Algorithm::kFixedWindow};

/** Returns the name that the configuration has for an algorithm. */
inline std::string name_of(Algorithm algorithm) {
    return algorithm == Algorithm::kTokenBucket     ? "token_bucket"
           : algorithm == Algorithm::kSlidingWindow ? "sliding_window"
                                                    : "fixed_window";
}

/** The limit of a rate such as `100kt/m`. */
inline Limit limit_of_rate(Algorithm algorithm, const char* text, Amount burst = 0) {
    Rate rate{};
    Limit limit{};
    if (parse_rate(text, &rate) != nullptr ||
        make_limit(algorithm, rate, burst, 0, &limit) != nullptr) {
        abort();
    }
    return limit;
}

/** A limit of `capacity` by any algorithm; what is used comes back in the course of an hour. */
inline Limit hourly(Algorithm algorithm, Amount capacity) {
    if (algorithm == Algorithm::kConcurrency) {
        return concurrency_limit(capacity);
    }
    return limit_of_rate(algorithm, (std::to_string(capacity) + "r/h").c_str());
}

/** A host that knows of no death. */
inline const Host kAllAlive = {[](uint32_t, uint64_t) { return true; }, [] {}};

inline ZonePolicy add_policy(const Zone& zone, const char* name, Limit limit, bool varies = false) {
    Journal journal;
    if (!journal.open(zone, &kAllAlive, 1, 0)) {
        abort();
    }
    const uint32_t number = register_policy(&journal, name, &limit, varies);
    journal.retire(journal.number());
    return {number, limit};
}

/** A policy in tokens: what is reserved and what is used are counted under numbers of their own. */
struct TokenPolicy {
    ZonePolicy held;
    ZonePolicy used;
};

inline TokenPolicy add_token_policy(const Zone& zone, const char* name, const Limit& limit,
                                    bool varies = false) {
    return {add_policy(zone, name, reservation_limit()), add_policy(zone, name, limit, varies)};
}

/** A policy whose keys several share. */
struct SharedPolicy {
    ZonePolicy use;
    ZonePolicy sharer;
};

inline SharedPolicy add_shared_policy(const Zone& zone, const char* name, const Limit& limit) {
    return {add_policy(zone, name, limit),
            add_policy(zone, name, sharer_limit(limit.algorithm == Algorithm::kConcurrency))};
}

/** One process's access to a zone. */
class ZoneUser {
public:
    ZoneUser(const Zone& zone, const Host* host, uint32_t pid, uint64_t birth = 0,
             OnFull on_full = OnFull::kEvict)
        : access_(allocate()) {
        access_->on_full = on_full;
        opened_ = access_->journal.open(zone, host, pid, birth);
    }

    ~ZoneUser() { spares().push_back(std::move(access_)); }

    ZoneUser(const ZoneUser&) = delete;
    ZoneUser& operator=(const ZoneUser&) = delete;

    bool opened() const { return opened_; }
    ZoneAccess* access() const { return access_.get(); }
    Journal* journal() const { return &access_->journal; }
    const Zone& zone() const { return access_->journal.zone(); }

private:
    /** It is a quarter of a megabyte: fresh memory each time would take the fuzzer half of its
     * time. */
    static std::unique_ptr<ZoneAccess> allocate() {
        if (spares().empty()) {
            return std::make_unique<ZoneAccess>();
        }
        std::unique_ptr<ZoneAccess> access = std::move(spares().back());
        spares().pop_back();
        new (access.get()) ZoneAccess();
        return access;
    }

    static std::vector<std::unique_ptr<ZoneAccess>>& spares() {
        static thread_local std::vector<std::unique_ptr<ZoneAccess>> spares;
        return spares;
    }

    std::unique_ptr<ZoneAccess> access_;
    bool opened_ = false;
};

/** One request: which policies are charged, for which key. The policies must outlive it. */
class Request {
public:
    explicit Request(const ZoneUser& user) : user_(&user) {}

    Request& charge(const ZonePolicy& policy, uint64_t hash, Amount cost = 1,
                    bool dry_run = false) {
        begin_charge(&charges_[count_++],
                     {&policy.limit, user_->access(), cost, policy.number, dry_run},
                     tag_base(hash));
        return *this;
    }

    /** A charge with a reservation of `reserve`, which is settled. */
    Request& charge_tokens(const TokenPolicy& policy, uint64_t hash, Amount reserve,
                           bool dry_run = false) {
        reserves_any_ = true;
        reserves_[count_] = true;
        begin_charge(&reservations_[count_],
                     {&policy.held.limit, user_->access(), reserve, policy.held.number, dry_run},
                     tag_base(hash));
        return charge(policy.used, hash, reserve, dry_run);
    }

    /** A charge for a sharer of the key. */
    Request& charge_shared(const SharedPolicy& policy, uint64_t hash, uint64_t sharer,
                           uint32_t weight = 1, Amount cost = 1, bool dry_run = false) {
        return charge(policy.use, hash, cost, dry_run).for_sharer(policy.sharer, sharer, weight);
    }

    /** Makes the last charge one for a sharer of its key. */
    Request& for_sharer(const ZonePolicy& policy, uint64_t sharer, uint32_t weight = 1) {
        shares_any_ = true;
        shares_[count_ - 1] = true;
        const Charge& use = charges_[count_ - 1].use;
        begin_charge(&sharers_[count_ - 1],
                     {&policy.limit, user_->access(), 1, policy.number, use.dry_run},
                     hash_sharer(use.tag, sharer), weight, use);
        return *this;
    }

    /** Gives the last charge a ledger: this node decides on it alone, and reports it later. */
    Request& with_ledger(const ZonePolicy& policy) {
        Charge& use = charges_[count_ - 1].use;
        keeps_ledger_[count_ - 1] = true;
        begin_charge(
            &ledgers_[count_ - 1],
            {&policy.limit, user_->access(), use.cost, policy.number, use.dry_run, Decider::kAlone},
            tag_of(use.tag, use.policy));
        use.decider = reservations_[count_ - 1].decider = Decider::kAlone;
        return *this;
    }

    /** Gives back the slots of a request that passed. */
    void end() {
        for (size_t i = 0; i < count_; ++i) {
            Charge* charge = &charges()[i].use;
            if (charge->limit->algorithm == Algorithm::kConcurrency && charge->flight != nullptr) {
                end_flight(charge->access, charge->flight);
                charge->flight = nullptr;
            }
            if (shares_[i]) {
                end_sharer(charges()[i]);
            }
        }
    }

    bool admit(Now now) {
        return reserves_any_ || shares_any_ ? admit_step_by_step(charges(), count_, now)
                                            : ai_limit::admit(charges(), count_, now);
    }
    bool would_admit(Now now) { return ai_limit::would_admit(charges(), count_, now); }

    void look(Now now) { look_at_charges(charges(), count_, now); }

    /** Grows the reservation of the i-th charge. */
    Amount grow(size_t i, Amount more, Now now, bool is_decided = false) {
        return grow_charge(&charges()[i], more, is_decided, now);
    }

    /** Settles the i-th charge. */
    Amount settle(size_t i, Amount tokens, Now now) {
        return settle_charge(&charges()[i], tokens, now);
    }

    const Charge& operator[](size_t i) const { return charges_[i].use; }
    const SharerCharge& sharer(size_t i) const { return sharers_[i]; }
    const PolicyCharge& policy_charge(size_t i) { return charges()[i]; }
    const Charge& reservation(size_t i) const { return reservations_[i]; }
    size_t count() const { return count_; }
    Amount used(size_t i) const {
        return ai_limit::used(*charges_[i].use.limit, charges_[i].use.state);
    }

private:
    /** A request may have been copied since its charges were begun. */
    PolicyCharge* charges() {
        for (size_t i = 0; i < count_; ++i) {
            charges_[i].reservation = reserves_[i] ? &reservations_[i] : nullptr;
            charges_[i].sharer = shares_[i] ? &sharers_[i] : nullptr;
            charges_[i].ledger = keeps_ledger_[i] ? &ledgers_[i] : nullptr;
        }
        return charges_;
    }

    const ZoneUser* user_;
    PolicyCharge charges_[kMaxSetPolicies];
    Charge reservations_[kMaxSetPolicies];
    bool reserves_[kMaxSetPolicies] = {};
    bool reserves_any_ = false;
    SharerCharge sharers_[kMaxSetPolicies];
    bool shares_[kMaxSetPolicies] = {};
    bool shares_any_ = false;
    Charge ledgers_[kMaxSetPolicies];
    bool keeps_ledger_[kMaxSetPolicies] = {};
    size_t count_ = 0;
};

/** Returns what a key has used of a policy. Changes only the time of the entry's last use. */
inline Amount peek(const ZoneUser& user, const ZonePolicy& policy, uint64_t hash, Now now) {
    Request request(user);
    request.charge(policy, hash, 0).admit(now);
    return request.used(0);
}

/** The same, but does not even change the time of the entry's last use. */
inline Amount look(const ZoneUser& user, const ZonePolicy& policy, uint64_t hash, Now now) {
    Request request(user);
    request.charge(policy, hash, 0).would_admit(now);
    return request.used(0);
}

/**
 * True if no bucket of the zone is locked, no process has anything unfinished, and there are as
 * many entries as the zone says.
 */
inline bool is_at_rest(const Zone& zone) {
    uint64_t entries = 0;
    for (const Geometry& geometry : {kSmall, kWide}) {
        for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
            const Bucket* bucket = zone.bucket(geometry, i);
            if (bucket->lock.load() != 0) {
                return false;
            }
            for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
                entries += bucket->tags[cell] != 0 ? 1 : 0;
            }
        }
    }
    if (entries != count_entries(zone)) {
        return false;
    }
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        if (zone.journal(number)->locks != 0 || zone.journal(number)->undos != 0 ||
            zone.process(number)->repairer.load() != 0) {
            return false;
        }
    }
    return true;
}

/** Returns how many entries the zone has for a policy, whose states are small or wide. */
inline uint64_t entries_of(const Zone& zone, const ZonePolicy& policy) {
    const Geometry& geometry = geometry_of(policy.limit.algorithm);
    uint64_t count = 0;
    for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
        for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
            State state{};
            Bucket* bucket = zone.bucket(geometry, i);
            load_state({bucket, cell}, geometry, &state);
            count += bucket->tags[cell] != 0 && state.head.policy == policy.number ? 1 : 0;
        }
    }
    return count;
}

/** Returns how many flight records of the zone stand for a request. */
inline uint64_t flights_in(const Zone& zone) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < zone.sizes().flight_chunks * kFlightsPerChunk; ++i) {
        count += zone.flights(0)[i].tag != 0 ? 1 : 0;
    }
    return count;
}

}  // namespace ai_limit
