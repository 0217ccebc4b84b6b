#include "redis/script/script_call.h"

#include <algorithm>

#include "core/policies/redis_clock.h"
#include "redis/script/call_words.h"
#include "redis/script/fair_call.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr uint64_t kMostNodes = 1'000'000;

/** EVALSHA, its keys and the call's name; a policy that has something in flight has a second one
 * for that. */
template <typename T>
void begin_call(const T* items, size_t n, const Limit& (*limit_of)(const T&), std::string_view name,
                Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    int64_t keys = 0;
    for (size_t i = 0; i < n; ++i) {
        keys += has_member(limit_of(items[i])) ? 2 : 1;
    }
    command->number(keys);
    for (size_t i = 0; i < n; ++i) {
        command->word(items[i].key);
        if (has_member(limit_of(items[i]))) {
            command->joined_word({items[i].key, ":flights"});
        }
    }
    command->word(name);
}

const Limit& limit_of_charge(const RedisCharge& charge) {
    return *charge.charge->use.limit;
}

const Limit& limit_of_flight(const RedisFlight& flight) {
    return flight.limit;
}

const Limit& limit_of_key(const RedisKey& asked) {
    return *asked.limit;
}

void add_flight(const RedisFlight& flight, MessagePack* arguments) {
    add_member(flight.member, reserves(flight.limit), flight.reserved, arguments);
}

/** Returns the member as it is once it has grown. */
RedisFlight grown(RedisFlight flight) {
    flight.reserved += flight.growth;
    flight.growth = 0;
    return flight;
}

Counted counted_by(const Charge& charge) {
    return {charge.limit, &charge.access->journal.zone(), charge.policy};
}

Counted counted_by(const LedgerEntry& entry) {
    return {&entry.limit, &entry.access->journal.zone(), entry.used_policy};
}

}  // namespace

void write_take(const RedisCharge* charges, size_t n, Now now, Command* command) {
    if (are_fair(charges, n)) {
        write_fair_take(charges, n, now, command);
        return;
    }
    begin_call(charges, n, limit_of_charge, "take", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        add_charge(charges[i], now, arguments);
    }
    command->packed_word(*arguments);
}

bool read_take(const Reply& reply, RedisCharge* charges, size_t n, bool* passes,
               Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    bool all_pass = numbers.next(1) != 0;
    Millis now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply[kMaxSetPolicies];
    FairReply fair_reply[kMaxSetPolicies];
    for (size_t i = 0; i < n; ++i) {
        read_charge_reply(counted_by(charges[i].charge->use), &numbers, &charge_reply[i]);
        read_fair_reply(charges[i], &numbers, &fair_reply[i]);
    }
    if (!numbers.are_fine_and_all()) {
        return false;
    }
    *passes = all_pass;
    *redis_now = now;
    for (size_t i = 0; i < n; ++i) {
        charges[i].charge->use.verdict =
            charge_reply[i].fits ? Verdict::kPassed : Verdict::kRefused;
        charges[i].reserved = charge_reply[i].reserved;
        charges[i].state = charge_reply[i].state;
        take_over(fair_reply[i], &charges[i]);
    }
    return true;
}

void write_settle(const RedisFlight& flight, Amount tokens, const State& known, const Zone& zone,
                  Now now, Command* command) {
    // If it is not known whether the member has grown, it is there under one of two names.
    const RedisFlight names[] = {flight, grown(flight)};
    const size_t n = flight.growth != 0 ? 2 : 1;
    begin_call(names, n, limit_of_flight, "settle", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        add_limit(flight.limit, redis_time(zone, now).wall, arguments);
        add_seed(flight.limit, known, zone, arguments);
        add_flight(names[i], arguments);
        arguments->numbers({names[i].reserved, std::min(tokens, kMaxAmount)});
    }
    command->packed_word(*arguments);
}

void write_grow(const RedisFlight& flight, const Zone& zone, Now now, Command* command,
                const RedisSharerFlight* sharer) {
    if (sharer != nullptr) {
        begin_fair_grow(flight, *sharer, command);
    } else {
        begin_call(&flight, 1, limit_of_flight, "grow", command);
    }
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    add_limit(flight.limit, redis_time(zone, now).wall, arguments);
    arguments->text({});  // no seed
    add_flight(grown(flight), arguments);
    arguments->number(static_cast<int64_t>(flight.growth));
    add_flight(flight, arguments);
    if (sharer != nullptr) {
        arguments->number(static_cast<int64_t>(slice_length(flight.limit)));
        arguments->truth(sharer->is_own);
    }
    command->packed_word(*arguments);
}

bool read_grow(const Reply& reply, const RedisFlight& flight, const Zone& zone, uint32_t policy,
               RedisGrowth* growth, bool has_sharer) {
    PackedNumbers numbers(packed_in(reply));
    growth->is_known = numbers.next(1) != 0;
    growth->redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply;
    read_charge_reply({&flight.limit, &zone, policy}, &numbers, &charge_reply);
    growth->grows = charge_reply.fits;
    growth->left =
        remaining_of(flight.limit, used(flight.limit, charge_reply.state) + charge_reply.reserved);
    if (has_sharer) {
        growth->left = std::min<Amount>(growth->left, numbers.next(kMaxAmount));
    }
    return numbers.are_fine_and_all();
}

void write_give_back(const RedisCharge& redis_charge, Now now, Command* command) {
    const Charge& charge = redis_charge.charge->use;
    begin_call(&redis_charge, 1, limit_of_charge, "settle", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(1);
    add_limit(*charge.limit, redis_time(charge.access->journal.zone(), now).wall, arguments);
    arguments->text({});  // no seed
    arguments->text({});  // no member
    arguments->number(0);
    arguments->number(-static_cast<int64_t>(charge.cost));
    command->packed_word(*arguments);
}

void write_look(const RedisKey& asked, bool forgets, Now now, Command* command) {
    const Limit& limit = *asked.limit;
    begin_call(&asked, 1, limit_of_key, forgets ? "forget" : "look", command);
    MessagePack* arguments = empty_arguments();
    add_limit(limit, redis_time(*asked.zone, now).wall, arguments);
    add_seed(limit, asked.known, *asked.zone, arguments);
    command->packed_word(*arguments);
}

bool read_look(const Reply& reply, const RedisKey& asked, RedisLook* look) {
    PackedNumbers numbers(packed_in(reply));
    look->redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply;
    read_charge_reply({asked.limit, asked.zone, asked.policy}, &numbers, &charge_reply);
    look->is_used = charge_reply.fits;
    look->reserved = charge_reply.reserved;
    look->state = charge_reply.state;
    return numbers.are_fine_and_all();
}

void write_renew(const RedisFlight& flight, Command* command) {
    begin_call(&flight, 1, limit_of_flight, "renew", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    arguments->number(1);
    add_kind(flight.limit, arguments);
    arguments->number(1);
    add_flight(flight, arguments);
    command->packed_word(*arguments);
}

void write_sync(uint64_t node, const RedisDelta* deltas, size_t n, Now now, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->number(static_cast<int64_t>(2 * n));
    for (size_t i = 0; i < n; ++i) {
        command->word(deltas[i].key);
        command->joined_word({deltas[i].key, ":nodes"});
    }
    command->word("sync");
    MessagePack* arguments = empty_arguments();
    add_node(node, arguments);
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        const LedgerEntry& entry = *deltas[i].entry;
        const LedgerDelta& ledger_delta = *deltas[i].ledger_delta;
        const Zone& zone = entry.access->journal.zone();
        add_limit(entry.limit, redis_time(zone, now).wall, arguments);
        add_seed(entry.limit, ledger_delta.state, zone, arguments);
        arguments->numbers({ledger_delta.life, ledger_delta.counted, ledger_delta.acknowledged});
    }
    command->packed_word(*arguments);
}

bool read_sync(const Reply& reply, RedisDelta* deltas, size_t n, Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    Millis now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply[kMaxDeltas];
    for (size_t i = 0; i < n; ++i) {
        read_charge_reply(counted_by(*deltas[i].entry), &numbers, &charge_reply[i]);
    }
    if (!numbers.are_fine_and_all()) {
        return false;
    }
    *redis_now = now;
    for (size_t i = 0; i < n; ++i) {
        deltas[i].reserved = charge_reply[i].reserved;
        deltas[i].state = charge_reply[i].state;
    }
    return true;
}

void write_heartbeat(std::string_view key, uint64_t node, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->word("1");
    command->word(key);
    command->word("heartbeat");
    MessagePack* arguments = empty_arguments();
    add_node(node, arguments);
    arguments->number(kNodeLease);
    command->packed_word(*arguments);
}

bool read_heartbeat(const Reply& reply, uint32_t* nodes, Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    *redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    *nodes = static_cast<uint32_t>(numbers.next(kMostNodes));
    return numbers.are_fine_and_all();
}

}  // namespace ai_limit
