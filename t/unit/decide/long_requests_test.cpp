// Tests that requests that last gain no tokens: what was truly used keeps what the algorithms
// promise.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/decide/settlement.h"
#include "random.h"
#include "token_zone.h"

namespace ai_limit {
namespace {

using namespace token_zone;
using Fixture = TokenZone;

/** True use and when: in time's order. */
using Uses = std::vector<std::pair<Millis, Amount>>;

/** The most that is used above `least + rate * T` in an interval of length T, by its ends. */
void expect_promise(const Uses& uses, const std::function<Amount(Millis)>& most) {
    for (size_t i = 0; i < uses.size(); ++i) {
        Amount sum = 0;
        for (size_t j = i; j < uses.size(); ++j) {
            sum += uses[j].second;
            ASSERT_LE(sum, most(uses[j].first - uses[i].first))
                << "from " << uses[i].first << " to " << uses[j].first;
        }
    }
}

/**
 * A client that makes some of its requests last for as long as it likes, to use nothing in the end,
 * while others use all they can. Its use counted when the requests began, and when they ended.
 */
class LongRequests : public testing::TestWithParam<Algorithm> {
protected:
    void run(uint64_t seed) {
        Fixture f;
        const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
        Random random(seed);
        struct Held {
            Request request;
            Amount reserve;
            size_t begun;
        };
        std::vector<Held> held;
        for (Millis time = 0; time < 6 * kHour; time += random.between(0, 5 * kMinute)) {
            const Now now = later(time);
            for (int tries = 0; tries < 3; ++tries) {
                const Amount reserve = random.one_in(6) ? 1000 : random.scaled(400);
                Request request(f.user);
                if (request.charge_tokens(policy, 42, reserve).admit(now)) {
                    begun.emplace_back(time, 0);
                    held.push_back({request, reserve, begun.size() - 1});
                }
            }
            while (!held.empty() && random.one_in(2)) {
                const size_t i = random.below(held.size());
                // A refund of all, or of nothing.
                const Amount tokens = random.one_in(3) ? 0 : held[i].reserve;
                ASSERT_EQ(held[i].request.settle(0, tokens, now), 0u);
                begun[held[i].begun].second = tokens;
                ended.emplace_back(time, tokens);
                held[i] = held.back();
                held.pop_back();
            }
        }
    }

    static Amount most(Millis length) {
        switch (GetParam()) {
            case Algorithm::kTokenBucket:
                return 1000 + static_cast<Amount>(length) * 1000 / kHour;
            case Algorithm::kSlidingWindow:
                return 1000 * static_cast<Amount>(length / kHour + 1);
            default:
                // An interval touches so many windows at most.
                return 1000 * static_cast<Amount>(length / kHour + 2);
        }
    }

    Uses begun;
    Uses ended;
};

INSTANTIATE_TEST_SUITE_P(By, LongRequests, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(LongRequests, GainNoTokens) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        begun.clear();
        ended.clear();
        ASSERT_NO_FATAL_FAILURE(run(seed));
        ASSERT_NO_FATAL_FAILURE(expect_promise(begun, most));
        ASSERT_NO_FATAL_FAILURE(expect_promise(ended, most));
    }
}

TEST_P(LongRequests, KeepTheirReservationWhileTheyLast) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 1000);
    EXPECT_FALSE(f.admits(policy, 42, 0, later(100 * kHour)));
    EXPECT_EQ(request.settle(0, 0, later(100 * kHour)), 0u);
    EXPECT_TRUE(f.admits(policy, 42, 1000, later(100 * kHour)));
}

}  // namespace
}  // namespace ai_limit
