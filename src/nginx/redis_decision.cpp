#include "nginx/redis_decision.h"

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/redis_flights.h"
#include "nginx/redis_ledgers.h"

namespace ai_limit {

/** Charges of a decision that Redis decides on by one call: those of one slot. */
struct RedisPart : RedisCommand {
    RedisDecision* decision;
    uint16_t slot;
    bool answered;
    bool passes;
    size_t count;
    RedisCharge* charges;
};

struct RedisDecision {
    enum Stage : uint8_t { kBeingAsked, kAsked, kDone };

    RedisDecision* next_spare;

    ngx_http_request_t* r;  // nullptr once the request has gone
    RedisConf* redis;
    Stage stage;
    std::string_view hashed;  // the key that `hash` is of
    KeyHash hash;
    size_t count;
    RedisCharge charges[kMaxSetPolicies];  // those of one part are neighbours
    Flight* flights[kMaxSetPolicies];      // nullptr of a charge that has nothing in flight
    char keys[kMaxSetPolicies][kMaxRedisKey];
    size_t part_count;
    size_t awaited;  // parts without an answer
    RedisPart parts[kMaxSetPolicies];
};

namespace {

constexpr Millis kReportedBefore = 30'000;  // when Redis is back

// This node asks Redis about one of so many requests that it would refuse by what it knows: Redis
// may know better by now.
constexpr long kRefusalsPerQuestion = 16;

bool is_in_flight(const Limit& limit) {
    return limit.measure != Measure::kRequests;
}

/** Policies that follow each other often have the same key. */
bool hash_key(RedisDecision* decision, const Charge& charge, std::string_view key) {
    if (decision->count != 0 && decision->hashed == key) {
        return true;
    }
    decision->hashed = key;
    return hash_key_for_redis(key, hash_of(charge), &decision->hash);
}

bool add_charge(RedisDecision* decision, Charge* charge, const Part& part) {
    if (!hash_key(decision, *charge, view(part.key))) {
        return false;
    }
    size_t i = decision->count++;
    RedisConf* redis = decision->redis;
    char* text = decision->keys[i];
    decision->flights[i] = nullptr;
    RedisCharge* redis_charge = &decision->charges[i];
    *redis_charge = {};
    redis_charge->charge = charge;
    if (is_in_flight(*charge->limit)) {
        Flight* flight = make_flight(redis, *charge);
        if (flight == nullptr) {
            return false;
        }
        text = flight->key_text;
        redis_charge->member = flight->member;
        decision->flights[i] = flight;
    }
    size_t size = write_redis_key(view(redis->servers.prefix), decision->hash,
                                  view(part.policy->name), charge->limit->measure, text);
    redis_charge->key = {text, size};
    if (decision->flights[i] != nullptr) {
        decision->flights[i]->key = redis_charge->key;
    }
    return true;
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

/** Ends what the decision may have put in flight. */
void settle_flights(RedisDecision* decision) {
    for (size_t i = 0; i < decision->count; ++i) {
        if (decision->flights[i] != nullptr) {
            settle_flight(decision->flights[i], 0);
            decision->flights[i] = nullptr;
        }
    }
}

/** Frees flights that were never in flight. */
void free_flights(RedisDecision* decision) {
    for (size_t i = 0; i < decision->count; ++i) {
        forget_flight(decision->flights[i]);
        decision->flights[i] = nullptr;
    }
}

void go_on(ngx_http_request_t* r) {
    ngx_connection_t* c = r->connection;
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

/** Ends the question once all parts are answered or lost. */
void all_done(RedisDecision* decision) {
    ngx_http_request_t* r = decision->r;
    if (r == nullptr) {
        // Settles them even if it is not known whether Redis has got the call.
        settle_flights(decision);
        free_decision(decision);
        return;
    }
    bool waits = decision->stage == RedisDecision::kAsked;
    decision->stage = RedisDecision::kDone;
    if (waits) {
        go_on(r);
    }
}

bool on_answer(RedisCommand* command, const Reply* reply) {
    RedisPart* part = static_cast<RedisPart*>(command);
    RedisDecision* decision = part->decision;
    Millis redis_now = 0;
    // The charges are the request's.
    part->answered = decision->r != nullptr && reply != nullptr &&
                     read_take(*reply, part->charges, part->count, &part->passes, &redis_now);
    for (size_t i = 0; part->answered && i < part->count; ++i) {
        const Zone& zone = part->charges[i].charge->access->journal.zone();
        set_redis_clock(zone, now_by_nginx(), redis_now);
    }
    // Once the charges are gone, nobody can tell whether the answer is the right one.
    bool fits = part->answered || reply == nullptr ||
                (decision->r == nullptr && reply->kind() == ReplyKind::kText);
    if (--decision->awaited == 0) {
        all_done(decision);
    }
    return fits;
}

/** Sets the decider of each charge of a shared policy, and of the reservation before it if it
 * counts tokens. */
void set_decider(Decision* one, Decider decider) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (in_redis(one->charges[i])) {
            one->charges[i].decider = decider;
            one->charges[i].verdict = Verdict::kPassed;  // whatever a part of Redis has said
        }
    }
}

bool lacks_ledger(const Charge& charge, const Part& part) {
    return part.policy != nullptr && part.policy->syncs && in_redis(charge) && !charge.has_ledger;
}

/**
 * Gives a ledger to each policy that reports its count to other nodes and has none, since Redis was
 * asked for it and lost meanwhile: this node must report what it decides alone. There is room for
 * it.
 */
void add_ledgers(Decision* one) {
    ngx_uint_t missing = 0;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        missing += lacks_ledger(one->charges[i], one->parts[i]) ? 1 : 0;
    }
    ngx_uint_t from = one->count;
    one->count += missing;
    for (ngx_uint_t to = one->count; to != from;) {
        Charge charge = one->charges[--from];
        const Part part = one->parts[from];
        const bool lacks = lacks_ledger(charge, part);
        charge.has_ledger |= lacks;
        one->charges[--to] = charge;
        one->parts[to] = part;
        if (!lacks) {
            continue;
        }
        if (charge.settled_later) {  // behind the ledger comes what is held
            --from;
            one->charges[--to] = one->charges[from];
            one->parts[to] = one->parts[from];
        }
        begin_charge(&one->charges[--to], part.policy->ledger, hash_of(charge));
        one->parts[to] = {nullptr, part.key};
    }
}

/** Notes that this node has decided alone: it reports that before Redis decides on the same key. */
void note_alone(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].has_ledger) {
            const Zone& zone = one.charges[i].access->journal.zone();
            zone.header()->alone_until.store(redis_time(zone, one.now).monotonic + kReportedBefore,
                                             std::memory_order_relaxed);
        }
    }
}

/** Refuses for each shared policy; false if all of them are on a dry run, which never refuse. */
bool refuse_undecided(Decision* one) {
    bool refuses = false;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        Charge* charge = &one->charges[i];
        bool undecided = in_redis(*charge) && one->parts[i].policy != nullptr && !charge->dry_run;
        charge->verdict = undecided ? Verdict::kUndecided : Verdict::kPassed;
        charge->state = {};
        refuses |= undecided;
    }
    return refuses && !one->dry_run;
}

ngx_int_t decide_without_redis(RedisConf* redis, Decision* one, bool* passes) {
    if (redis->on_failure == OnFailure::kReject && refuse_undecided(one)) {
        *passes = false;
        return NGX_OK;
    }
    bool alone = redis->on_failure == OnFailure::kLocal;
    if (alone) {
        add_ledgers(one);
    }
    set_decider(one, alone ? Decider::kAlone : Decider::kElsewhere);
    if (alone) {
        note_alone(*one);
    }
    *passes = admit_step_by_step(one->charges, one->count, one->now);
    schedule_deltas(redis, one);
    return NGX_OK;
}

/** True if Redis need not be asked for any of the policies before the share is spent. */
bool decides_by_share(RedisConf* redis, const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i];
        const PolicyConf* policy = one.parts[i].policy;
        if (in_redis(charge) && policy != nullptr && !passes_by_share(*policy, charge)) {
            return false;  // and then it is asked for all
        }
    }
    return redis->on_failure == OnFailure::kLocal || redis->router.are_all_there();
}

bool is_unknown(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].verdict == Verdict::kRefused && !one.charges[i].dry_run) {
            return false;
        }
    }
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].verdict == Verdict::kUnknown) {
            return true;
        }
    }
    return false;
}

/** Decides by this node's share; false if that says nothing. */
bool decide_by_share(RedisConf* redis, Decision* one, bool* passes) {
    if (!decides_by_share(redis, *one)) {
        return false;
    }
    set_decider(one, Decider::kByShare);
    *passes = admit_step_by_step(one->charges, one->count, one->now);
    schedule_deltas(redis, one);
    return *passes || (!is_unknown(*one) && ngx_random() % kRefusalsPerQuestion != 0);
}

/** Puts the charges of one slot together: all of them without a cluster. */
void make_parts(RedisDecision* decision) {
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
        part->done = on_answer;
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

RedisDecision* make_decision(ngx_http_request_t* r, RedisConf* redis, Decision* one) {
    RedisDecision* decision = allocate_decision();
    if (decision == nullptr) {
        return nullptr;
    }
    decision->r = r;
    decision->redis = redis;
    decision->stage = RedisDecision::kBeingAsked;
    decision->count = 0;
    decision->part_count = 0;
    bool made = true;
    for (ngx_uint_t i = 0; made && i < one->count; ++i) {
        if (in_redis(one->charges[i]) && one->parts[i].policy != nullptr) {
            made = add_charge(decision, &one->charges[i], one->parts[i]);
        }
    }
    if (made) {
        make_parts(decision);
        made = write_parts(decision, one->now);
    }
    if (!made) {
        free_flights(decision);
        free_decision(decision);
        return nullptr;
    }
    return decision;
}

/** True if every Redis server that this decision needs is reachable. */
bool are_there(RedisDecision* decision) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        RedisClient* client = decision->redis->router.client_for(decision->parts[i].slot);
        if (client == nullptr || !client->is_there()) {
            return false;
        }
    }
    return true;
}

/** Returns NGX_AGAIN if answers are awaited; NGX_OK if nobody can be asked: it is done already. */
ngx_int_t ask(ngx_http_request_t* r, RedisDecision* decision) {
    RedisRouter* router = &decision->redis->router;
    decision->awaited = decision->part_count;
    size_t parts = decision->part_count;
    for (size_t i = 0; i < decision->count; ++i) {
        const RedisCharge& redis_charge = decision->charges[i];
        if (redis_charge.charge->has_ledger) {
            sync_before(decision->redis, redis_charge.charge, redis_charge.key);
        }
    }
    for (size_t i = 0; i < parts; ++i) {
        router->client_for(decision->parts[i].slot)->send(&decision->parts[i]);
    }
    if (decision->stage == RedisDecision::kDone) {
        return NGX_OK;
    }
    decision->stage = RedisDecision::kAsked;
    // A client that goes away meanwhile is noticed.
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
    return ngx_handle_read_event(r->connection->read, 0) == NGX_OK ? NGX_AGAIN
                                                                   : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

void describe_as_said(const RedisCharge& redis_charge, Now here) {
    Charge* charge = redis_charge.charge;
    charge->state = redis_charge.state;
    if (charge->settled_later) {
        charge_any(*charge->limit, &charge->state, redis_charge.reserved,
                   redis_time(charge->access->journal.zone(), here));
    }
}

/** Takes over what Redis said; what it let pass counts here as well. */
void take_over(RedisDecision* decision, Decider decider) {
    for (size_t i = 0; i < decision->count; ++i) {
        Charge* charge = decision->charges[i].charge;
        charge->state = decision->charges[i].state;
        charge->decider = decider;
        if (charge->has_ledger) {
            ledger_of(charge)->decider = decider;
        }
        if (charge->settled_later) {
            charge[-1].decider = decider;
            charge[-1].verdict = charge->verdict;
        }
    }
}

/** Gives back what Redis took for a request that is refused here, or by another part. */
void give_back(RedisDecision* decision, Now now) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        const RedisPart& part = decision->parts[i];
        for (size_t j = 0; part.answered && part.passes && j < part.count; ++j) {
            const RedisCharge& redis_charge = part.charges[j];
            const Charge& charge = *redis_charge.charge;
            if (!is_in_flight(*charge.limit) && charge.cost != 0 &&
                charge.verdict == Verdict::kPassed) {
                Command* command = empty_command();
                write_give_back(redis_charge, now, command);
                send_once(decision->redis, redis_charge.key, *command);
            }
        }
    }
    settle_flights(decision);
}

/** Hands the flights over to the request, whose end settles them. */
void hand_over_flights(RedisDecision* decision, Decision* one) {
    for (size_t i = 0; i < decision->count; ++i) {
        Flight* flight = decision->flights[i];
        if (flight == nullptr) {
            continue;
        }
        decision->flights[i] = nullptr;
        const Charge* charge = decision->charges[i].charge;
        if (charge->verdict != Verdict::kPassed) {
            forget_flight(flight);  // on a dry run, and left out
            continue;
        }
        one->flights[charge - one->charges] = flight;
        keep_in_flight(flight);
    }
}

/** Keeps the states that Redis tells in a refusal: for when Redis is away, or has lost its data. */
void remember(const RedisDecision& decision, Now now) {
    Charge known[kMaxCharges];
    size_t count = 0;
    for (size_t i = 0; i < decision.count; ++i) {
        const RedisCharge& redis_charge = decision.charges[i];
        Charge* charge = redis_charge.charge;
        if (has_flights(charge->limit->algorithm)) {
            continue;
        }
        // Redis's reply does not include what a ledger has not reported.
        for (Charge* one = charge->has_ledger ? ledger_of(charge) : charge; one <= charge; ++one) {
            known[count] = *one;
            known[count].decider = Decider::kDecided;
            known[count].verdict = Verdict::kPassed;
            known[count].cost = has_flights(one->limit->algorithm) ? 0 : one->cost;
            ++count;
        }
        known[count - 1].state = redis_charge.state;
    }
    if (count != 0) {
        admit_step_by_step(known, count, now);
    }
}

/** True if all parts are answered; `passes` then says if they let the request pass. */
bool has_answer(const RedisDecision& decision, bool* passes) {
    *passes = true;
    for (size_t i = 0; i < decision.part_count; ++i) {
        if (!decision.parts[i].answered) {
            return false;
        }
        *passes = *passes && decision.parts[i].passes;
    }
    return true;
}

bool take_answer(RedisDecision* decision, Decision* one, bool passes) {
    if (passes) {
        take_over(decision, Decider::kDecided);
        passes = admit_step_by_step(one->charges, one->count, one->now);
    }
    if (passes) {
        hand_over_flights(decision, one);
    } else {
        give_back(decision, one->now);
        remember(*decision, one->now);
    }
    for (size_t i = 0; i < decision->count; ++i) {
        describe_as_said(decision->charges[i], one->now);
    }
    return passes;
}

}  // namespace

bool passes_by_share(const PolicyConf& policy, const Ask& ask) {
    return policy.by_share &&
           (ask.limit->measure != Measure::kTokens || policy.reserve == Reserve::kOff);
}

bool may_have_been_alone(ngx_http_request_t* r, const Zone& zone) {
    int64_t until = zone.header()->alone_until.load(std::memory_order_relaxed);
    return (until != 0 && redis_time(zone, now_by_nginx()).monotonic < until) ||
           !main_conf(r)->redis->router.are_all_there();
}

bool uses_redis(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (in_redis(one.charges[i])) {
            return true;
        }
    }
    return false;
}

ngx_int_t decide_in_redis(ngx_http_request_t* r, RedisConf* redis, Decision* one,
                          RedisDecision** place, bool* passes) {
    if (*place == nullptr) {
        if (redis->on_failure == OnFailure::kLocal && !redis->router.is_cluster() &&
            !redis->router.are_all_there()) {
            return decide_without_redis(redis, one, passes);
        }
        if (decide_by_share(redis, one, passes)) {
            return NGX_OK;
        }
        set_decider(one, Decider::kElsewhere);
        if (!would_admit(one->charges, one->count, one->now) && !one->dry_run) {
            *passes = false;
            return NGX_OK;
        }
        *place = make_decision(r, redis, one);
        if (*place == nullptr) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        if (!are_there(*place)) {
            free_flights(*place);
            free_decision(*place);
            *place = nullptr;
            return decide_without_redis(redis, one, passes);
        }
        ngx_int_t rc = ask(r, *place);
        if (rc == NGX_AGAIN) {
            return rc;
        }
        if (rc != NGX_OK) {
            abandon(*place);
            *place = nullptr;
            return rc;
        }
    }
    RedisDecision* decision = *place;
    if (decision->stage != RedisDecision::kDone) {
        return NGX_AGAIN;
    }
    *place = nullptr;
    bool passes_there = false;
    bool answered = has_answer(*decision, &passes_there);
    if (answered) {
        *passes = take_answer(decision, one, passes_there);
    } else {
        give_back(decision, one->now);  // Redis may have heard of it
    }
    free_decision(decision);
    return answered ? NGX_OK : decide_without_redis(redis, one, passes);
}

void forget_spare_decisions() {
    while (spare != nullptr) {
        RedisDecision* next = spare->next_spare;
        std::free(spare);
        spare = next;
    }
    spare_count = 0;
}

void abandon(RedisDecision* decision) {
    decision->r = nullptr;
    if (decision->stage == RedisDecision::kDone) {
        all_done(decision);
    }
}

}  // namespace ai_limit
