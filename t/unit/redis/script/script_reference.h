#pragma once

// What the script has to decide, for the test that compares it with core/.

#include <algorithm>
#include <map>
#include <string>

#include "core/limits/algorithm.h"
#include "redis/script/script.h"

namespace ai_limit::script_reference {

constexpr Millis kDay = Millis{24} * 3600 * 1000;
constexpr Millis kLease = 30'000;

/** 2026-11-25, from which core/ counts what it calls monotonic where that has 38 bits. */
constexpr Millis kBegin = 1'795'575'600'000;

struct Flight {
    Amount amount;
    Millis lease_ends;
};

/** A policy's key as core/ keeps it, and what a lease is. */
class Reference {
public:
    explicit Reference(const Limit& limit) : limit(limit) {}

    struct Weighed {
        State state = {};
        Amount held = 0;
        bool fits = false;
        bool changed = false;
    };

    /** Returns the state at `now`, for what a charge of this cost wants. */
    Weighed weigh(Amount cost, bool has_flights, Millis now) {
        Weighed weighed;
        if (limit.algorithm == Algorithm::kConcurrency) {
            land_all(now);
            weighed.held = flights.size();
            weighed.fits = fits(limit, weighed.held, cost);
            return weighed;
        }
        weighed.state = at(now);
        weighed.held = held;
        Amount wanted = cost;
        Amount taken = 0;
        if (has_flights) {
            collect(&weighed, now);
            wanted = std::max<Amount>(cost, 1);
            taken = weighed.held;
        }
        weighed.fits = fits(limit, taken + used(limit, weighed.state), wanted);
        return weighed;
    }

    /** Makes what was weighed the key's state. */
    void keep(const Weighed& weighed) {
        held = weighed.held;
        present = held != 0 || used(limit, weighed.state) != 0;
        state = present ? weighed.state : State{};
    }

    void settle(const std::string& member, Amount amount_held, Amount amount, Millis now) {
        if (flights.erase(member) == 0 || limit.algorithm == Algorithm::kConcurrency) {
            return;
        }
        Weighed weighed;
        weighed.state = at(now);
        weighed.held = present ? held - std::min(held, amount_held) : sum_of_flights();
        charge_used(limit, &weighed.state, amount, clock(now));
        keep(weighed);
    }

    void renew(const std::string& member, Amount amount, Millis lease_ends) {
        const bool known = limit.algorithm != Algorithm::kConcurrency && present;
        if (!known || flights.count(member) != 0) {
            flights[member] = {amount, lease_ends};
        }
    }

    /** Returns the time that core/ calls now. */
    Now clock(Millis now) const {
        return {limit.algorithm == Algorithm::kTokenBucket ? now - kBegin + kDay : now, now};
    }

    State at(Millis now) const {
        State advanced = state;
        advance(limit, &advanced, clock(now));
        return advanced;
    }

    Amount sum_of_flights() const {
        Amount sum = 0;
        for (const auto& flight : flights) {
            sum += flight.second.amount;
        }
        return sum;
    }

    /** Ends those whose lease is over; returns what they had reserved. */
    Amount land_all(Millis now) {
        Amount sum = 0;
        for (auto flight = flights.begin(); flight != flights.end();) {
            const bool is_over = flight->second.lease_ends <= now;
            sum += is_over ? flight->second.amount : 0;
            flight = is_over ? flights.erase(flight) : std::next(flight);
        }
        return sum;
    }

    Limit limit;
    State state = {};
    Amount held = 0;
    bool present = false;
    std::map<std::string, Flight> flights;

private:
    void collect(Weighed* weighed, Millis now) {
        Amount over = weighed->held;
        if (!flights.empty()) {
            weighed->held = present ? held : sum_of_flights();
            over = land_all(now);
        }
        weighed->held -= std::min(weighed->held, over);
        charge_used(limit, &weighed->state, over, clock(now));
        weighed->changed = over != 0;
    }
};

}  // namespace ai_limit::script_reference
