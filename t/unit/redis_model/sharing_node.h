#pragma once

// A node of several that share a policy: a zone, and what the module does with it
// (src/nginx/sharing/redis_decision.cpp, src/nginx/sharing/redis_ledgers.cpp) without nginx,
// connections and timers, which are the caller's.

#include <sys/mman.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/policies/redis_clock.h"
#include "core/zone/bucket_pair.h"
#include "redis/script/script.h"
#include "redis/script/script_call.h"
#include "redis_wire.h"
#include "zone_memory.h"

namespace ai_limit {

/** A zone whose memory is there once it is touched: a thousand of them fit into a machine. */
class LazyZone {
public:
    explicit LazyZone(const ZoneSizes& sizes) : size_(layout_of(sizes).total) {
        memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) {
            abort();
        }
        const uint8_t secret[kSecretBytes] = {7};
        zone_ = Zone::create(memory_, sizes, secret);
    }
    ~LazyZone() { munmap(memory_, size_); }
    LazyZone(const LazyZone&) = delete;
    LazyZone& operator=(const LazyZone&) = delete;

    const Zone& zone() const { return zone_; }

private:
    size_t size_;
    void* memory_;
    Zone zone_;
};

/** The report of a key that is on its way. */
struct KeyTelling {
    uint64_t key;
    LedgerDelta ledger_delta;
};

class SharingNode {
public:
    enum class Answer : uint8_t { kPassed, kRefused, kUnknown };

    SharingNode(uint64_t name, Limit limit, Millis interval, const ZoneSizes& sizes, Now now)
        : name_(name), memory_(sizes), user_(memory_.zone(), &kAllAlive, 1) {
        limit.by_wall = is_wide(limit.algorithm);
        Limit ledger = ledger_limit();
        ledger.period_length = interval;
        counts_tokens_ = is_settled(limit.measure);
        ledger_ = add_policy(zone(), "p", ledger);
        kept_ = counts_tokens_ ? add_policy(zone(), "p", reservation_limit()) : ZonePolicy{};
        used_ = add_policy(zone(), "p", limit);
        start_redis_clock(zone(), now);
    }

    const Zone& zone() const { return memory_.zone(); }
    const ZoneUser& user() const { return user_; }
    const Limit& limit() const { return used_.limit; }
    const ZonePolicy& ledger_policy() const { return ledger_; }
    const ZonePolicy& used_policy() const { return used_; }
    uint64_t name() const { return name_; }

    void set_nodes(uint32_t nodes) { zone().header()->nodes.store(nodes); }

    void set_dry_run() { dry_run_ = true; }

    /**
     * Decides as far as the share goes. Sets `news` to what must be done so that others learn of
     * it.
     */
    Answer decide(uint64_t key, Amount cost, Now now, DeltaDue* news = nullptr) {
        Parts parts = parts_of(key, cost, Decider::kByShare);
        const bool passes = admit_step_by_step(parts.charge(), 1, now);
        if (news != nullptr) {
            *news = parts.ledger.delta_due;
        }
        const bool unknown = parts.use().verdict == Verdict::kUnknown;
        return passes ? Answer::kPassed : unknown ? Answer::kUnknown : Answer::kRefused;
    }

    /** Decides on a request in tokens that reserves nothing, and settles it if it passes. */
    Answer use_tokens(uint64_t key, Amount tokens, Now now, DeltaDue* news = nullptr) {
        Parts parts = parts_of(key, 0, Decider::kByShare);
        if (!admit_step_by_step(parts.charge(), 1, now)) {
            const bool unknown = parts.use().verdict == Verdict::kUnknown;
            return unknown ? Answer::kUnknown : Answer::kRefused;
        }
        settle_charge(parts.charge(), tokens, now);
        if (news != nullptr) {
            *news = parts.ledger.delta_due;
        }
        return Answer::kPassed;
    }

    /** Returns what is used of the key, as far as this node knows. */
    Amount used_here(uint64_t key, Now now) {
        Parts parts = parts_of(key, 0, Decider::kAlone);
        would_admit(parts.charge(), 1, now);
        return used(used_.limit, parts.use().state);
    }

    /** Returns the key's ledger as far as this node knows; all zeros if it has none. */
    LedgerState ledger_of(uint64_t key) const {
        const LedgerEntry entry = entry_of(key);
        const BucketPair home = bucket_pair_of(zone(), Algorithm::kLedger, entry.tag, entry.policy);
        const Cell cell = home.find();
        State state{};
        if (cell.index != kNoCell) {
            load_state(cell, kWide, &state);
        }
        return state.ledger;
    }

    LedgerEntry entry_of(uint64_t key) const {
        return {user_.access(), tag_of(tag_base(mixed(key)), ledger_.number),
                ledger_.number, used_.number,
                used_.limit,    ledger_.limit.period_length};
    }

    // The commands to Redis, and its answers.

    void write_take(uint64_t key, Amount cost, Now now, Command* command) {
        Parts parts = parts_of(key, cost, Decider::kElsewhere);
        would_admit(parts.charge(), 1, now);
        RedisCharge redis_charge = redis_charge_of(&parts);
        const std::string text = text_of(key);
        redis_charge.key = text;
        ai_limit::write_take(&redis_charge, 1, now, command);
    }

    /** Takes over what Redis has decided; true where it passes. */
    bool read_take(uint64_t key, Amount cost, const Reply& reply, Now now) {
        Parts parts = parts_of(key, cost, Decider::kElsewhere);
        RedisCharge redis_charge = redis_charge_of(&parts);
        bool passes = false;
        Millis redis_now = 0;
        if (!ai_limit::read_take(reply, &redis_charge, 1, &passes, &redis_now)) {
            abort();
        }
        set_redis_clock(zone(), now, redis_now);
        for (Charge* charge : {&parts.ledger, &parts.reservation, &parts.use()}) {
            charge->decider = Decider::kDecided;
            charge->verdict = Verdict::kPassed;
        }
        parts.use().state = redis_charge.state;
        admit_step_by_step(parts.charge(), 1, now);
        return passes;
    }

    /** Redis is about to be asked, and answers within `lasts` milliseconds. */
    void note_ask(uint64_t key, Amount cost, Now now, Millis lasts = 2'000) const {
        LedgerDelta ledger_delta;
        ask_beside(entry_of(key), cost != 0 ? cost : 1, lasts, now, &ledger_delta);
    }

    /** False where there is nothing to tell. */
    bool read(uint64_t key, KeyTelling* ledger_delta) const {
        ledger_delta->key = key;
        return read_ledger(entry_of(key), true, &ledger_delta->ledger_delta);
    }

    void write_sync(const std::vector<KeyTelling>& deltas, Now now, Command* command) const {
        Shared redis_charge(*this, deltas);
        ai_limit::write_sync(name_, redis_charge.deltas, deltas.size(), now, command);
    }

    void read_sync(const std::vector<KeyTelling>& deltas, const Reply& reply, Now now) const {
        Shared redis_charge(*this, deltas);
        Millis redis_now = 0;
        if (!ai_limit::read_sync(reply, redis_charge.deltas, deltas.size(), &redis_now)) {
            abort();
        }
        set_redis_clock(zone(), now, redis_now);
        for (size_t i = 0; i < deltas.size(); ++i) {
            acknowledge(redis_charge.entries[i], deltas[i].ledger_delta,
                        redis_charge.deltas[i].state, redis_charge.deltas[i].reserved, now);
        }
    }

    bool must_send_again(uint64_t key, Now now) const {
        return ai_limit::must_send_again(entry_of(key), now);
    }

    static std::string text_of(uint64_t key) {
        char text[64];
        snprintf(text, sizeof(text), "ai_limit:{%022llu}:p", static_cast<unsigned long long>(key));
        return text;
    }

private:
    /** A policy's charge with its reservation and its ledger. */
    struct Parts {
        PolicyCharge all;
        Charge ledger;
        Charge reservation;
        bool has_reservation;

        PolicyCharge* charge() {
            all.ledger = &ledger;
            all.reservation = has_reservation ? &reservation : nullptr;
            return &all;
        }
        Charge& use() { return all.use; }
    };

    /** Tellings as the calls want them. */
    struct Shared {
        Shared(const SharingNode& node, const std::vector<KeyTelling>& reported) {
            for (size_t i = 0; i < reported.size(); ++i) {
                entries[i] = node.entry_of(reported[i].key);
                texts[i] = text_of(reported[i].key);
                deltas[i] = {&entries[i], &reported[i].ledger_delta, texts[i], {}, 0};
            }
        }

        LedgerEntry entries[kMaxDeltas];
        std::string texts[kMaxDeltas];
        RedisDelta deltas[kMaxDeltas];
    };

    /** Keys are numbers; their hashes are spread over all 64 bits. */
    static uint64_t mixed(uint64_t x) {
        x = (x ^ x >> 33 ^ 0x5851f42d4c957f2d) * 0xff51afd7ed558ccd;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
        return x ^ x >> 33;
    }

    Ask ask_of(const ZonePolicy& policy, Amount cost, Decider decider) const {
        Ask ask{&policy.limit, user_.access(), cost, policy.number, dry_run_};
        ask.decider = decider;
        return ask;
    }

    Parts parts_of(uint64_t key, Amount cost, Decider decider) const {
        const uint64_t hash = tag_base(mixed(key));
        Parts parts{};
        parts.has_reservation = counts_tokens_;
        begin_charge(&parts.ledger, ask_of(ledger_, 0, decider), hash);
        if (counts_tokens_) {
            begin_charge(&parts.reservation, ask_of(kept_, cost, decider), hash);
        }
        begin_charge(&parts.all, ask_of(used_, cost, decider), hash);
        return parts;
    }

    RedisCharge redis_charge_of(Parts* parts) const {
        RedisCharge redis_charge{};
        redis_charge.charge = parts->charge();
        redis_charge.key = "k";
        return redis_charge;
    }

    uint64_t name_;
    LazyZone memory_;
    ZoneUser user_;
    bool counts_tokens_ = false;
    bool dry_run_ = false;
    ZonePolicy ledger_;
    ZonePolicy kept_;
    ZonePolicy used_;
};

/** A Redis that answers at once, and nodes that share one policy by it. */
class SharingNodes {
public:
    static constexpr Now kStart{5 * 3'600'000, 1'755'777'600'000};

    SharingNodes(size_t count, const Limit& limit, Millis interval = 100) : redis(limit_script()) {
        redis.set_clock(kStart.wall);
        for (size_t i = 0; i < count; ++i) {
            nodes_.push_back(std::make_unique<SharingNode>(i + 1, limit, interval,
                                                           ZoneSizes{64, 64, 1}, kStart));
            nodes_.back()->set_nodes(static_cast<uint32_t>(count));
        }
    }

    SharingNode& operator[](size_t i) { return *nodes_[i]; }
    size_t size() const { return nodes_.size(); }

    Now now() const { return {kStart.monotonic + passed_, kStart.wall + passed_}; }

    void pass_time(Millis millis) {
        passed_ += millis;
        redis.set_clock(kStart.wall + passed_);
    }

    /** Reports to Redis, which answers; the node does not read the answer. */
    std::vector<int64_t> tell(size_t node, const KeyTelling& ledger_delta) {
        nodes_[node]->write_sync({ledger_delta}, now(), &command_);
        return run_script(&redis, script_call_of(command_));
    }

    void hear(size_t node, const KeyTelling& ledger_delta, const std::vector<int64_t>& answer) {
        nodes_[node]->read_sync({ledger_delta}, wire_.reply_of(answer), now());
    }

    /**
     * Reports what there is to report, and reads the answer. False if there is nothing to report.
     */
    bool exchange(size_t node, uint64_t key) {
        KeyTelling ledger_delta;
        if (!nodes_[node]->read(key, &ledger_delta)) {
            return false;
        }
        hear(node, ledger_delta, tell(node, ledger_delta));
        return true;
    }

    /** Asks Redis to decide, after a report to it. */
    bool ask(size_t node, uint64_t key, Amount cost = 1) {
        nodes_[node]->note_ask(key, cost, now());
        exchange(node, key);
        nodes_[node]->write_take(key, cost, now(), &command_);
        const std::vector<int64_t> answer = run_script(&redis, script_call_of(command_));
        return nodes_[node]->read_take(key, cost, wire_.reply_of(answer), now());
    }

    /** Passes a request by the node's share. */
    bool pass(size_t node, uint64_t key, Amount cost = 1) {
        return nodes_[node]->decide(key, cost, now()) == SharingNode::Answer::kPassed;
    }

    /** Returns what is used by Redis's count, from a take of nothing. */
    Amount used_in_redis(uint64_t key) {
        SharingNode fresh(99, nodes_[0]->limit(), 100, ZoneSizes{8, 8, 1}, now());
        fresh.set_nodes(1);
        fresh.write_take(key, 0, now(), &command_);
        const std::vector<int64_t> answer = run_script(&redis, script_call_of(command_));
        const bool tokens = is_settled(nodes_[0]->limit().measure);
        fresh.read_take(key, tokens ? 0 : 1, wire_.reply_of(answer), now());
        return fresh.used_here(key, now());
    }

    RedisModel redis;

private:
    std::vector<std::unique_ptr<SharingNode>> nodes_;
    Millis passed_ = 0;
    Command command_;
    WireReader wire_;
};

}  // namespace ai_limit
