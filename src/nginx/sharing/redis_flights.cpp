#include "nginx/sharing/redis_flights.h"

#include <unistd.h>

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/conf/live.h"
#include "nginx/sharing/redis_growth.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kRenewAfter = kLease / 3;
constexpr ngx_msec_t kRenewalInterval = 500;

bool forget(RedisCommand* command, const Reply* reply) {
    std::free(command->bytes);
    std::free(command);
    return reply == nullptr || reply->kind() == ReplyKind::kText;
}

/** Sends what must arrive; without memory, Redis ends it by itself. */
void deliver(LiveRedis* redis, std::string_view key, const Command& command) {
    size_t size = 0;
    char* bytes = command.format(&size);
    if (bytes != nullptr) {
        redis->router.deliver(slot_of(key), bytes, size);
    }
}

void put_last(FlightLink* link, ngx_queue_t* flights) {
    link->renew_at = msec_now() + kRenewAfter;
    ngx_queue_insert_tail(flights, &link->queue);
}

void renew_flights(LiveRedis* redis) {
    ngx_queue_t* flights = &redis->flights;
    while (!ngx_queue_empty(flights)) {
        FlightLink* link = ngx_queue_data(ngx_queue_head(flights), FlightLink, queue);
        if (msec_until(link->renew_at) > 0) {
            break;
        }
        ngx_queue_remove(&link->queue);
        put_last(link, flights);
        if (link->flight->growth != 0) {
            ask_again(link->flight);  // which renews it, whichever name it has
            continue;
        }
        Command* command = empty_command();
        write_renew(*link->flight, command);
        send_once(redis, link->flight->key, *command);
        if (link->flight->sharer != nullptr) {
            write_renew_sharer(link->flight->sharer->key, link->flight->member, command);
            send_once(redis, link->flight->key, *command);
        }
    }
    if (!ngx_queue_empty(flights)) {
        redis->renewal.start(kRenewalInterval);
    }
}

}  // namespace

void start_sharing(LiveRedis* redis, const MainConf& main) {
    static const char* const kThen[] = {"this node decides alone", "requests pass",
                                        "requests are refused with 503"};
    const Zone zone(zones_of(main)[0].live->memory);
    redis->main = &main;
    redis->access = redis->conf->access;
    redis->access.traffic = &zone.header()->traffic;
    redis->router.init(&redis->access, &redis->conf->servers, zone,
                       kThen[static_cast<size_t>(redis->conf->on_failure)]);
    if (getentropy(&redis->worker, sizeof(redis->worker)) != 0) {
        redis->worker = static_cast<uint64_t>(ngx_pid) << 32 | static_cast<uint32_t>(ngx_random());
    }
    redis->members = 0;
    ngx_queue_init(&redis->flights);
    redis->renewal.init<renew_flights>(redis, ngx_cycle->log);
}

void stop_sharing(LiveRedis* redis) {
    redis->router.close();
    forget_key_hashing();
}

Command* empty_command() {
    static Command command;
    command.clear();
    return &command;
}

void send_once(LiveRedis* redis, std::string_view key, const Command& command) {
    RedisClient* client = redis->router.client_for(slot_of(key));
    if (client == nullptr || !client->is_there()) {
        return;
    }
    RedisCommand* made = static_cast<RedisCommand*>(std::calloc(1, sizeof(RedisCommand)));
    if (made == nullptr) {
        return;
    }
    made->done = forget;
    made->is_script = true;
    made->is_background = true;
    made->bytes = command.format(&made->size);
    if (made->bytes == nullptr) {
        forget(made, nullptr);
    } else {
        client->send(made);
    }
}

Flight* make_flight(LiveRedis* redis, const Charge& charge) {
    Flight* flight = static_cast<Flight*>(std::calloc(1, sizeof(Flight)));
    if (flight != nullptr) {
        flight->member = {redis->worker, ++redis->members};
        flight->reserved = charge.cost;
        flight->limit = *charge.limit;
        flight->redis = redis;
        flight->access = charge.access;
        flight->policy = charge.policy;
    }
    return flight;
}

bool add_sharer(Flight* flight, const RedisSharer& sharer) {
    auto* made = static_cast<SharerOfFlight*>(std::calloc(1, sizeof(SharerOfFlight)));
    if (made == nullptr) {
        return false;
    }
    sharer.key.copy(made->text, sizeof(made->text));
    made->key = {made->text, sharer.key.size()};
    made->member = flight->member;
    made->limit = flight->limit;
    made->charged = flight->reserved;
    flight->sharer = made;
    return true;
}

void forget_flight(Flight* flight) {
    if (flight != nullptr) {
        std::free(flight->sharer);
        std::free(flight);
    }
}

void give_back_part(LiveRedis* redis, const RedisCharge& charge, Now now) {
    const Charge& use = charge.charge->use;
    const RedisSharerFlight part = {
        charge.sharer->key, {}, *use.limit, charge.sharer->part.is_own, use.cost};
    Command* command = empty_command();
    write_end_sharer(part, 0, use.access->journal.zone(), now, command);
    send_once(redis, charge.key, *command);
}

void keep_in_flight(Flight* flight) {
    flight->link.flight = flight;
    put_last(&flight->link, &flight->redis->flights);
    flight->redis->renewal.start_if_idle(kRenewalInterval);
}

void settle_flight(Flight* flight, Amount tokens, const State& known) {
    if (flight->link.flight != nullptr) {
        ngx_queue_remove(&flight->link.queue);
    }
    Command* command = empty_command();
    Zone zone = flight->access->journal.zone();
    write_settle(*flight, tokens, known, zone, now_by_nginx(), command);
    deliver(flight->redis, flight->key, *command);
    if (flight->sharer != nullptr) {
        write_end_sharer(*flight->sharer, tokens, zone, now_by_nginx(), command);
        deliver(flight->redis, flight->key, *command);
    }
    forget_question(flight);
    forget_flight(flight);
}

}  // namespace ai_limit
