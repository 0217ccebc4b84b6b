#include "nginx/sharing/redis_growth.h"

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"

namespace ai_limit {

struct GrowthQuestion : RedisCommand {
    Flight* flight;  // nullptr once it has ended
};

namespace {

void wake(Flight* flight) {
    if (flight->growing.next_text != nullptr) {
        *flight->growing.next_text = 0;
    }
}

/** Takes over what Redis says. If a part of what was wanted fits, asks for that. */
void take_over(Flight* flight, const RedisGrowth& growth) {
    const bool is_refused = growth.is_known && !growth.grows;
    if (is_refused && growth.left != 0 && growth.left < flight->growth) {
        flight->growth = growth.left;
        ask_again(flight);
        return;
    }
    const Amount granted = growth.grows ? flight->growth : 0;
    flight->reserved += granted;
    if (flight->sharer != nullptr) {
        flight->sharer->grown += granted;
        flight->sharer->growth = 0;
    }
    flight->growth = 0;
    flight->growing.is_refused = is_refused;
    flight->growing.is_unknown = !growth.is_known;
}

bool on_answer(RedisCommand* command, const Reply* reply) {
    GrowthQuestion* question = static_cast<GrowthQuestion*>(command);
    Flight* flight = question->flight;
    bool fits = reply == nullptr || reply->kind() == ReplyKind::kText;
    if (flight != nullptr) {
        const Zone& zone = flight->access->journal.zone();
        RedisGrowth growth{};
        flight->question = nullptr;
        flight->growing.is_unknown = true;
        fits = reply == nullptr ||
               read_grow(*reply, *flight, zone, flight->policy, &growth, flight->sharer != nullptr);
        if (reply != nullptr && fits) {
            set_redis_clock(zone, now_by_nginx(), growth.redis_now);
            take_over(flight, growth);
        }
        wake(flight);
    }
    std::free(question->bytes);
    std::free(question);
    return fits;
}

RedisClient* client_for(const Flight& flight) {
    RedisClient* client = flight.redis->router.client_for(slot_of(flight.key));
    return client != nullptr && client->is_there() ? client : nullptr;
}

}  // namespace

void ask_again(Flight* flight) {
    RedisClient* client = client_for(*flight);
    if (client == nullptr || is_asked(*flight)) {
        return;
    }
    auto* question = static_cast<GrowthQuestion*>(std::calloc(1, sizeof(GrowthQuestion)));
    if (question == nullptr) {
        return;
    }
    if (flight->sharer != nullptr) {
        flight->sharer->growth = flight->growth;
    }
    Command* command = empty_command();
    write_grow(*flight, flight->access->journal.zone(), now_by_nginx(), command, flight->sharer);
    question->bytes = command->format(&question->size);
    if (question->bytes == nullptr) {
        std::free(question);
        return;
    }
    question->flight = flight;
    question->done = on_answer;
    question->is_script = true;
    question->is_background = true;
    flight->question = question;
    client->send(question);
}

void ask_growth(Flight* flight, Amount more, uint64_t* next_text) {
    flight->growing.next_text = next_text;
    flight->growing.is_refused = false;
    flight->growing.is_unknown = true;  // until Redis has answered
    if (client_for(*flight) == nullptr) {
        return;
    }
    if (flight->growth == 0) {
        flight->growth = more;
    }
    ask_again(flight);
}

void forget_question(Flight* flight) {
    if (flight->question != nullptr) {
        flight->question->flight = nullptr;
        flight->question = nullptr;
    }
}

}  // namespace ai_limit
