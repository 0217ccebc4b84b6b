// Tests what one answer may cost a key: a count is capped, and a debt is at most 100 times the
// limit.

#include <gtest/gtest.h>

#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;

class Debt : public testing::TestWithParam<Algorithm> {
protected:
    /**
     * Returns what the key has used once one answer with each of these numbers of tokens has ended.
     */
    Amount used_after(const char* rate, std::initializer_list<Amount> answers) {
        ZoneMemory memory({64, 64, 4});
        ZoneUser user(memory.zone(), &kAllAlive, 1);
        TokenPolicy policy = add_token_policy(memory.zone(), "t", limit_of_rate(GetParam(), rate));
        std::vector<Request> requests;
        for (size_t i = 0; i < answers.size(); ++i) {
            requests.emplace_back(user);
            EXPECT_TRUE(requests.back().charge_tokens(policy, kKey, 1).admit(kNow));
        }
        for (size_t i = 0; i < answers.size(); ++i) {
            requests[i].settle(0, answers.begin()[i], kNow);
        }
        EXPECT_TRUE(is_at_rest(memory.zone()));
        return look(user, policy.used, kKey, kNow);
    }
};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, Debt, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(Debt, CapsTheDebtOfOneAnswerAtAHundredLimits) {
    EXPECT_EQ(used_after("1000t/h", {5'000}), 5'000u);
    EXPECT_EQ(used_after("1000t/h", {101'000}), 101'000u);
    EXPECT_EQ(used_after("1000t/h", {101'001}), 101'000u);
    EXPECT_EQ(used_after("1000t/h", {kMaxAmount}), 101'000u);
    EXPECT_EQ(used_after("1000t/h", {UINT64_MAX}), 101'000u);
}

TEST_P(Debt, CapsTheDebtOfManyAnswersAtAHundredLimits) {
    EXPECT_EQ(used_after("1000t/h", {60'000, 60'000, 60'000}), 101'000u);
}

}  // namespace
}  // namespace ai_limit
