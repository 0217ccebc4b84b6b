#include "redis/script/policy_units.h"

#include <charconv>

namespace ai_limit {

namespace {

/** KEYS: for each policy that of this node's unit and those of the others. ARGV: node, lease,
 * how many units there are. */
constexpr std::string_view kUnitsScript =
    "local call, node, lease, reply = redis.call, ARGV[1], tonumber(ARGV[2]), {}\n"
    "local units = tonumber(ARGV[3])\n"
    "local clock = call('TIME')\n"
    "local now = clock[1] * 1000 + math.floor(clock[2] / 1000)\n"
    "for i = 1, #KEYS, units do\n"
    "    call('ZADD', KEYS[i], now + lease, node)\n"
    "    call('PEXPIRE', KEYS[i], lease)\n"
    "    for other = i + 1, i + units - 1 do\n"
    "        call('ZREM', KEYS[other], node)\n"
    "        call('ZREMRANGEBYSCORE', KEYS[other], '-inf', now)\n"
    "        reply[#reply + 1] = call('ZCARD', KEYS[other])\n"
    "    end\n"
    "end\n"
    "return reply\n";

}  // namespace

void set_other_measures(PolicyUnit* unit) {
    size_t i = 0;
    for (const MeasureFacts& row : kMeasureFacts) {
        if (row.measure != unit->measure) {
            unit->measures[i++] = row.measure;
        }
    }
}

std::string_view slot_key_of_units() {
    return "{all}";
}

void write_announcement(std::string_view prefix, uint64_t node, const PolicyUnit* units, size_t n,
                        Command* command) {
    command->clear();
    command->word("EVAL");
    command->word(kUnitsScript);
    command->number(static_cast<int64_t>(kMeasures * n));
    for (size_t i = 0; i < n; ++i) {
        const auto add = [&](Measure measure) {
            command->joined_word(
                {prefix, ":units:{all}:", units[i].policy, facts_of(measure).redis});
        };
        add(units[i].measure);
        for (Measure measure : units[i].measures) {
            add(measure);
        }
    }
    char name[16];
    char* end = std::to_chars(name, name + sizeof(name), node, 16).ptr;
    command->word({name, static_cast<size_t>(end - name)});
    command->number(kAnnouncementLease);
    command->number(static_cast<int64_t>(kMeasures));
}

bool read_announcement(const Reply& reply, PolicyUnit* units, size_t n) {
    if (reply.kind() != ReplyKind::kArray || reply.number_count() != kOtherMeasures * n) {
        return false;
    }
    for (size_t i = 0; i < kOtherMeasures * n; ++i) {
        if (reply.numbers()[i] < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < kOtherMeasures * n; ++i) {
        units[i / kOtherMeasures].others[i % kOtherMeasures] =
            static_cast<uint64_t>(reply.numbers()[i]);
    }
    return true;
}

}  // namespace ai_limit
