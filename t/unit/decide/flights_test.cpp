// Tests the records of requests in flight: how many there are, and for whom.

#include "core/decide/flights.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/buckets/served_keys.h"
#include "random.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

TEST(Flights, AreLimitedByTheRecordsOfTheZoneAndReused) {
    Fixture f({64, 0, 3}, OnFull::kReject);
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 1'000'000);
    for (int round = 0; round < 3; ++round) {
        std::vector<FlightRecord*> held;
        for (uint64_t i = 0;; ++i) {
            Request request(f.user);
            if (!request.charge(slots, i % 7).admit(kNow)) {
                break;
            }
            held.push_back(request[0].flight);
        }
        ASSERT_EQ(held.size(), 3u * kFlightsPerChunk);
        Random random(static_cast<uint64_t>(round));
        while (!held.empty()) {
            size_t i = random.below(held.size());
            end_flight(f.user.access(), held[i]);
            held[i] = held.back();
            held.pop_back();
        }
        ASSERT_EQ(flights_in(f.zone), 0u);
        for (uint64_t i = 0; i < 7; ++i) {
            ASSERT_EQ(f.used(slots, i), 0u);
        }
    }
}

/** Made-up keys, however many, leave records to keys whose requests were served before. */
TEST(Flights, AreLeftForKnownKeysByMadeUpOnes) {
    Fixture f({512, 0, 8}, OnFull::kReject);
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 2);
    constexpr uint64_t kKnown = 0xfeed'0000'0000'0001;
    note_served(f.zone, kKnown);
    std::vector<FlightRecord*> made_up;
    for (uint64_t i = 1; i <= 1000; ++i) {
        Request request(f.user);
        if (request.charge(slots, i * 0x9E3779B97F4A7C15).admit(kNow)) {
            made_up.push_back(request[0].flight);
        }
    }
    ASSERT_EQ(made_up.size(), 6u * kFlightsPerChunk);
    Request first(f.user);
    Request second(f.user);
    ASSERT_TRUE(first.charge(slots, kKnown).admit(kNow));
    ASSERT_TRUE(second.charge(slots, kKnown).admit(kNow));
    EXPECT_FALSE(Request(f.user).charge(slots, kKnown).admit(kNow)) << "it has two slots";
    for (const Request* request : {&first, &second}) {
        end_flight(f.user.access(), (*request)[0].flight);
    }
    for (FlightRecord* record : made_up) {
        end_flight(f.user.access(), record);
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
}

}  // namespace
}  // namespace ai_limit
