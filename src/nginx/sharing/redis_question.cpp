#include "nginx/sharing/redis_question.h"

#include <cstdlib>

#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

namespace {

/** Policies that follow each other often have the same key. */
bool hash_key(RedisDecision* decision, const Charge& charge, std::string_view key) {
    if (decision->count != 0 && decision->hashed == key) {
        return true;
    }
    decision->hashed = key;
    return hash_key_for_redis(key, hash_of(charge), &decision->hash);
}

/** Adds who shares the charge's key, and who waits for it, where Redis decides on these. */
bool add_parts_and_turns(const Decision& one, ngx_uint_t charge, char* text, RedisCharge* shared) {
    if (one.in_redis[charge].turn.node != 0) {
        shared->turn = &one.in_redis[charge].turn;
    }
    const SharerCharge* sharer = one.charges[charge].sharer;
    if (sharer == nullptr || !sharer->over_nodes) {
        return true;
    }
    KeyHash hash;
    if (!hash_key_for_redis(sharer->name, hash_of(*sharer), &hash)) {
        return false;
    }
    shared->sharer = &one.in_redis[charge].sharer;
    shared->sharer->key = {text, write_sharer_key(shared->key, hash, text)};
    shared->sharer->weight = sharer->weight;
    shared->sharer->member = shared->member;
    return true;
}

bool add_charge(RedisDecision* decision, Decision* one, ngx_uint_t number) {
    const Part& part = one->parts[number];
    PolicyCharge* policy_charge = &one->charges[number];
    const Charge* charge = &policy_charge->use;
    if (!hash_key(decision, *charge, view(part.key))) {
        return false;
    }
    size_t i = decision->count++;
    LiveRedis* redis = decision->redis;
    char* text = decision->keys[i];
    decision->flights[i] = nullptr;
    RedisCharge* shared = &decision->charges[i];
    *shared = {};
    shared->charge = policy_charge;
    if (is_in_flight(*charge->limit)) {
        Flight* flight = make_flight(redis, *charge);
        if (flight == nullptr) {
            return false;
        }
        text = flight->key_text;
        shared->member = flight->member;
        decision->flights[i] = flight;
    }
    size_t size = write_redis_key(view(redis->conf->servers.prefix), decision->hash,
                                  view(part.policy->name), charge->limit->measure, text);
    shared->key = {text, size};
    Flight* flight = decision->flights[i];
    if (flight != nullptr) {
        flight->key = shared->key;
    }
    return add_parts_and_turns(*one, number, decision->sharer_keys[i], shared) &&
           (flight == nullptr || shared->sharer == nullptr || add_sharer(flight, *shared->sharer));
}

// Kept for the next requests: they are large for malloc(), and what was just used is still at hand.
constexpr size_t kMostSpare = 256;
RedisDecision* spare;
size_t spare_count;

RedisDecision* allocate_decision() {
    if (spare == nullptr) {
        return static_cast<RedisDecision*>(std::malloc(sizeof(RedisDecision)));
    }
    RedisDecision* decision = spare;
    spare = decision->next_spare;
    --spare_count;
    return decision;
}

/** Puts the charges of one slot together: all of them without a cluster. */
void make_parts(RedisDecision* decision, bool (*done)(RedisCommand*, const Reply*)) {
    bool cluster = decision->redis->router.is_cluster();
    for (size_t i = 0; i < decision->count; ++i) {
        uint16_t slot = cluster ? slot_of(decision->charges[i].key) : 0;
        size_t end = i;
        for (size_t j = i; j < decision->count; ++j) {
            if (!cluster || slot_of(decision->charges[j].key) == slot) {
                std::swap(decision->charges[end], decision->charges[j]);
                std::swap(decision->flights[end], decision->flights[j]);
                ++end;
            }
        }
        RedisPart* part = &decision->parts[decision->part_count++];
        *part = {};
        part->decision = decision;
        part->slot = slot;
        part->charges = &decision->charges[i];
        part->count = end - i;
        part->is_script = true;
        part->done = done;
        i = end - 1;
    }
}

bool write_parts(RedisDecision* decision, Now now) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        RedisPart* part = &decision->parts[i];
        Command* command = empty_command();
        write_take(part->charges, part->count, now, command);
        part->bytes = command->format(&part->size);
        if (part->bytes == nullptr) {
            return false;
        }
    }
    return true;
}

}  // namespace

void settle_flights(RedisDecision* decision) {
    for (size_t i = 0; i < decision->count; ++i) {
        if (decision->flights[i] != nullptr) {
            settle_flight(decision->flights[i], 0);
            decision->flights[i] = nullptr;
        }
    }
}

void free_flights(RedisDecision* decision) {
    for (size_t i = 0; i < decision->count; ++i) {
        forget_flight(decision->flights[i]);
        decision->flights[i] = nullptr;
    }
}

void free_decision(RedisDecision* decision) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        std::free(decision->parts[i].bytes);
    }
    if (spare_count == kMostSpare) {
        std::free(decision);
        return;
    }
    decision->next_spare = spare;
    spare = decision;
    ++spare_count;
}

RedisDecision* make_decision(LiveRedis* redis, Decision* one,
                             bool (*done)(RedisCommand*, const Reply*)) {
    RedisDecision* decision = allocate_decision();
    if (decision == nullptr) {
        return nullptr;
    }
    decision->wait = {};
    decision->abandoned = false;
    decision->redis = redis;
    decision->stage = RedisDecision::kBeingAsked;
    decision->count = 0;
    decision->part_count = 0;
    bool made = true;
    for (ngx_uint_t i = 0; made && i < one->count; ++i) {
        if (in_redis(one->charges[i].use)) {
            made = add_charge(decision, one, i);
        }
    }
    if (made) {
        make_parts(decision, done);
        made = write_parts(decision, one->now);
    }
    if (!made) {
        free_flights(decision);
        free_decision(decision);
        return nullptr;
    }
    return decision;
}

void forget_spare_decisions() {
    while (spare != nullptr) {
        RedisDecision* next = spare->next_spare;
        std::free(spare);
        spare = next;
    }
    spare_count = 0;
}

}  // namespace ai_limit
