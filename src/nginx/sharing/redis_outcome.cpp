#include "nginx/sharing/redis_outcome.h"

#include "core/policies/redis_clock.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

namespace {

void describe_as_said(const RedisCharge& shared, Now here) {
    Charge* charge = &shared.charge->use;
    charge->state = shared.state;
    if (shared.sharer != nullptr) {
        shared.charge->sharer->part = shared.sharer->part;
    }
    Charge* reservation = shared.charge->reservation;
    if (reservation != nullptr) {
        const Now now = redis_time(charge->access->journal.zone(), here);
        charge_any(*charge->limit, &charge->state, shared.reserved, now);
        reservation->state = {};
        charge_any(*reservation->limit, &reservation->state, shared.reserved, now);
    }
}

/** Takes over what Redis said; what it let pass counts here as well. */
void take_over(RedisDecision* decision) {
    for (size_t i = 0; i < decision->count; ++i) {
        PolicyCharge* charge = decision->charges[i].charge;
        const Verdict verdict = charge->use.verdict;
        set_decider(charge, Decider::kDecided);
        charge->use.state = decision->charges[i].state;
        charge->use.verdict = verdict;
        if (charge->reservation != nullptr) {
            charge->reservation->verdict = verdict;
        }
    }
}

/** Notes whether what is in flight counts in its sharer's part. */
void note_own_part(const RedisCharge& shared, Flight* flight) {
    if (flight != nullptr && flight->sharer != nullptr) {
        flight->sharer->is_own = shared.sharer->part.is_own;
    }
}

/** Hands the flights over to the request, whose end settles them. */
void hand_over_flights(RedisDecision* decision, Decision* one) {
    for (size_t i = 0; i < decision->count; ++i) {
        Flight* flight = decision->flights[i];
        if (flight == nullptr) {
            continue;
        }
        decision->flights[i] = nullptr;
        const PolicyCharge* charge = decision->charges[i].charge;
        note_own_part(decision->charges[i], flight);
        if (charge->use.verdict != Verdict::kPassed) {
            forget_flight(flight);  // on a dry run, and left out
            continue;
        }
        one->in_redis[charge - one->charges].flight = flight;
        keep_in_flight(flight);
    }
}

/** Copies a charge as one that Redis has decided on and let pass. */
Charge decided_copy(const Charge& charge) {
    Charge copy = charge;
    copy.decider = Decider::kDecided;
    copy.verdict = Verdict::kPassed;
    copy.cost = has_flights(charge.limit->algorithm) ? 0 : charge.cost;
    return copy;
}

/** Keeps the states that Redis reports in a refusal, for when Redis is away or has lost its data.
 */
void remember(const RedisDecision& decision, Now now) {
    PolicyCharge known[kMaxSetPolicies];
    Charge reservations[kMaxSetPolicies];
    Charge ledgers[kMaxSetPolicies];
    size_t count = 0;
    for (size_t i = 0; i < decision.count; ++i) {
        const RedisCharge& shared = decision.charges[i];
        const PolicyCharge& charge = *shared.charge;
        if (has_flights(charge.use.limit->algorithm)) {
            continue;
        }
        PolicyCharge* copy = &known[count];
        *copy = {decided_copy(charge.use), nullptr, nullptr, nullptr};
        copy->use.state = shared.state;
        // Redis's reply does not include what a ledger has not reported.
        if (charge.ledger != nullptr) {
            ledgers[count] = decided_copy(*charge.ledger);
            copy->ledger = &ledgers[count];
        }
        if (charge.reservation != nullptr) {
            reservations[count] = decided_copy(*charge.reservation);
            copy->reservation = &reservations[count];
        }
        ++count;
    }
    if (count != 0) {
        admit_step_by_step(known, count, now);
    }
}

}  // namespace

void give_back(RedisDecision* decision, Now now) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        const RedisPart& part = decision->parts[i];
        for (size_t j = 0; part.answered && part.passes && j < part.count; ++j) {
            const RedisCharge& shared = part.charges[j];
            const Charge& charge = shared.charge->use;
            note_own_part(shared, decision->flights[&shared - decision->charges]);
            if (!is_in_flight(*charge.limit) && charge.cost != 0 &&
                charge.verdict == Verdict::kPassed) {
                Command* command = empty_command();
                write_give_back(shared, now, command);
                send_once(decision->redis, shared.key, *command);
                if (shared.sharer != nullptr) {
                    give_back_part(decision->redis, shared, now);
                }
            }
        }
    }
    settle_flights(decision);
}

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
        take_over(decision);
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

}  // namespace ai_limit
