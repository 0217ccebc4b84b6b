#include "redis/script/fair_call.h"

#include <algorithm>

#include "core/policies/redis_clock.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr uint64_t kMostVirtual = (uint64_t{1} << 48) - 1;
constexpr size_t kSharerMark = 3;  // characters of ":s:"

void begin_fair_call(int64_t keys, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(fair_script_sha1());
    command->number(keys);
}

int64_t keys_of(const RedisCharge& charge) {
    const bool in_flight = has_member(*charge.charge->use.limit);
    const int64_t of_sharer = charge.sharer != nullptr ? 2 + in_flight : 0;
    return 1 + in_flight + of_sharer + (charge.turn != nullptr ? 1 : 0);
}

void add_sharer_keys(std::string_view key, std::string_view sharer_key, bool in_flight,
                     Command* command) {
    command->word(sharer_key);
    command->joined_word({key, ":sharers"});
    if (in_flight) {
        command->joined_word({sharer_key, ":flights"});
    }
}

void add_keys(const RedisCharge& charge, Command* command) {
    const bool in_flight = has_member(*charge.charge->use.limit);
    command->word(charge.key);
    if (in_flight) {
        command->joined_word({charge.key, ":flights"});
    }
    if (charge.sharer != nullptr) {
        add_sharer_keys(charge.key, charge.sharer->key, in_flight, command);
    }
    if (charge.turn != nullptr) {
        command->joined_word({charge.key, ":turns"});
    }
}

void add_sharer(const RedisCharge& charge, MessagePack* arguments) {
    const Limit& limit = *charge.charge->use.limit;
    const RedisSharer* sharer = charge.sharer;
    if (sharer == nullptr) {
        arguments->numbers({0, 0, 0});
        arguments->text({});
        return;
    }
    arguments->numbers({sharer->weight, static_cast<uint64_t>(slice_length(limit)), sharer->floor});
    if (has_member(limit)) {
        add_member(sharer->member, false, 0, arguments);
    } else {
        arguments->text({});
    }
}

void add_turn(const RedisCharge& charge, MessagePack* arguments) {
    const RedisTurn* turn = charge.turn;
    if (turn == nullptr) {
        arguments->text({});
        arguments->numbers({0, 0, 0});
        arguments->truth(false);
        return;
    }
    add_node(turn->node, arguments);
    arguments->numbers({static_cast<uint64_t>(turn->arrival), turn->count, turn->cost});
    arguments->truth(turn->waits);
}

/** Returns the key that the sharer of this key shares. */
std::string_view shared_key_of(std::string_view sharer_key) {
    constexpr size_t kEnd = kSharerMark + kKeyHashLength;
    return sharer_key.substr(0, sharer_key.size() - std::min(sharer_key.size(), kEnd));
}

}  // namespace

bool are_fair(const RedisCharge* charges, size_t n) {
    return std::any_of(charges, charges + n, [](const RedisCharge& charge) {
        return charge.sharer != nullptr || charge.turn != nullptr;
    });
}

void write_fair_take(const RedisCharge* charges, size_t n, Now now, Command* command) {
    int64_t keys = 0;
    for (size_t i = 0; i < n; ++i) {
        keys += keys_of(charges[i]);
    }
    begin_fair_call(keys, command);
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        add_keys(charges[i], command);
        add_charge(charges[i], now, arguments);
        add_sharer(charges[i], arguments);
        add_turn(charges[i], arguments);
    }
    command->word("take");
    command->packed_word(*arguments);
}

void begin_fair_grow(const RedisFlight& flight, const RedisSharerFlight& sharer, Command* command) {
    begin_fair_call(5, command);
    command->word(flight.key);
    command->joined_word({flight.key, ":flights"});
    add_sharer_keys(flight.key, sharer.key, true, command);
    command->word("grow");
}

void read_fair_reply(const RedisCharge& charge, PackedNumbers* numbers, FairReply* fair_reply) {
    if (charge.sharer != nullptr) {
        SharerPart* part = &fair_reply->part;
        part->is_own = numbers->next(1) != 0;
        part->left = numbers->next(kMaxAmount);
        part->claimed = numbers->next(kMaxAmount);
        part->wait = static_cast<Millis>(numbers->next(kAnyTime));
        part->need = numbers->next(kMaxAmount);
        part->weights = numbers->next(kAnyTime);
        fair_reply->start = numbers->next(kMostVirtual);
        fair_reply->served = numbers->next(kMostVirtual);
    }
    if (charge.turn != nullptr) {
        fair_reply->is_behind = numbers->next(1) != 0;
        fair_reply->others = static_cast<uint32_t>(numbers->next(UINT32_MAX));
        fair_reply->others_cost = numbers->next(kAnyTime);
    }
}

void take_over(const FairReply& fair_reply, RedisCharge* charge) {
    if (charge->sharer != nullptr) {
        charge->sharer->part = fair_reply.part;
        charge->sharer->start = fair_reply.start;
        charge->sharer->served = fair_reply.served;
    }
    if (charge->turn != nullptr) {
        charge->turn->is_behind = fair_reply.is_behind;
        charge->turn->others = fair_reply.others;
        charge->turn->others_cost = fair_reply.others_cost;
    }
}

void write_end_sharer(const RedisSharerFlight& flight, Amount used, const Zone& zone, Now now,
                      Command* command) {
    const bool in_flight = has_member(flight.limit);
    begin_fair_call(in_flight ? 3 : 2, command);
    add_sharer_keys(shared_key_of(flight.key), flight.key, in_flight, command);
    command->word("end");
    MessagePack* arguments = empty_arguments();
    add_limit(flight.limit, redis_time(zone, now).wall, arguments);
    arguments->text({});  // no seed
    if (in_flight) {
        add_member(flight.member, false, 0, arguments);
    } else {
        arguments->text({});
    }
    arguments->number(static_cast<int64_t>(slice_length(flight.limit)));
    arguments->truth(flight.is_own);
    arguments->numbers(
        {flight.charged + flight.grown, std::min(used, kMaxAmount), flight.charged, flight.growth});
    add_member(flight.member, true, flight.charged + flight.grown + flight.growth, arguments);
    command->packed_word(*arguments);
}

void write_renew_sharer(std::string_view sharer_key, const MemberId& member, Command* command) {
    RedisFlight flight{};
    flight.key = sharer_key;
    flight.member = member;
    flight.limit = concurrency_limit(1);
    write_renew(flight, command);
}

void write_leave(std::string_view key, uint64_t node, Command* command) {
    begin_fair_call(1, command);
    command->joined_word({key, ":turns"});
    command->word("leave");
    MessagePack* arguments = empty_arguments();
    add_node(node, arguments);
    command->packed_word(*arguments);
}

}  // namespace ai_limit
