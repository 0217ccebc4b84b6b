#include "redis/script/call_words.h"

#include <charconv>

#include "core/policies/redis_clock.h"

namespace ai_limit {

namespace {

constexpr size_t kMemberLength = 16 + 1 + 16 + 1 + 20;

size_t write_number(uint64_t value, int base, char* out, size_t room) {
    return static_cast<size_t>(std::to_chars(out, out + room, value, base).ptr - out);
}

}  // namespace

bool reserves(const Limit& limit) {
    return is_settled(limit.measure);
}

void add_member(const MemberId& id, bool has_amount, Amount reserved, MessagePack* arguments) {
    char text[kMemberLength];
    size_t size = write_number(id.worker, 16, text, 16);
    text[size++] = '-';
    size += write_number(id.number, 16, text + size, 16);
    if (has_amount) {
        text[size++] = ':';
        size += write_number(reserved, 10, text + size, 20);
    }
    arguments->text({text, size});
}

void add_node(uint64_t node, MessagePack* arguments) {
    char text[16];
    arguments->text({text, write_number(node, 16, text, sizeof(text))});
}

void add_charge(const RedisCharge& redis_charge, Now now, MessagePack* arguments) {
    const Charge& charge = redis_charge.charge->use;
    const Limit& limit = *charge.limit;
    const Zone& zone = charge.access->journal.zone();
    add_limit(limit, redis_time(zone, now).wall, arguments);
    add_seed(limit, charge.state, zone, arguments);
    if (has_member(limit)) {
        add_member(redis_charge.member, reserves(limit), charge.cost, arguments);
    } else {
        arguments->text({});
    }
    arguments->number(static_cast<int64_t>(charge.cost));
    arguments->truth(charge.dry_run);
}

MessagePack* empty_arguments() {
    static MessagePack arguments;
    arguments.clear();
    return &arguments;
}

std::string_view packed_in(const Reply& reply) {
    return reply.kind() == ReplyKind::kText ? reply.text() : std::string_view();
}

void read_charge_reply(const Counted& counted, PackedNumbers* numbers, ChargeReply* charge_reply) {
    charge_reply->fits = numbers->next(1) != 0;
    charge_reply->reserved = numbers->next(kMaxAmount);
    charge_reply->state = read_state(counted, numbers);
}

}  // namespace ai_limit
