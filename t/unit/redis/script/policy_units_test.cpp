// Tests what nodes announce of their policies' units, and what they read from the answer.

#include "redis/script/policy_units.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace ai_limit {
namespace {

PolicyUnit unit_of(std::string_view policy, Measure measure) {
    PolicyUnit unit{policy, measure, {}, {}};
    set_other_measures(&unit);
    return unit;
}

/** True if this answer is read into two units. */
bool reads(std::string_view answer, PolicyUnit* units) {
    static const auto reader = std::make_unique<ReplyReader>();  // it is large
    EXPECT_TRUE(reader->restart());
    EXPECT_TRUE(reader->feed(answer));
    const Reply* reply = reader->next();
    return reply != nullptr && read_announcement(*reply, units, 2);
}

TEST(RedisPolicyUnits, NamesOwnKeyBeforeThoseOfOtherUnits) {
    const PolicyUnit units[] = {unit_of("a", Measure::kTokens), unit_of("b", Measure::kMoney)};
    static Command command;
    write_announcement("p", 0xab, units, 2, &command);
    size_t size = 0;
    char* bytes = command.format(&size);
    const std::string text(bytes, size);
    std::free(bytes);
    size_t at = 0;
    for (const char* word :
         {"p:units:{all}:a:t", "p:units:{all}:a:r", "p:units:{all}:a:c", "p:units:{all}:a:u",
          "p:units:{all}:b:u", "p:units:{all}:b:r", "p:units:{all}:b:t", "p:units:{all}:b:c",
          "\r\nab\r\n", "\r\n10000\r\n", "\r\n4\r\n"}) {
        const size_t found = text.find(word, at);
        EXPECT_NE(found, std::string::npos) << word;
        at = found;
    }
}

TEST(RedisPolicyUnits, ReadsHowManyNodesCountSomethingElse) {
    PolicyUnit units[] = {unit_of("a", Measure::kTokens), unit_of("b", Measure::kRequests)};
    ASSERT_TRUE(reads("*6\r\n:1\r\n:0\r\n:2\r\n:0\r\n:7\r\n:0\r\n", units));
    EXPECT_EQ(units[0].measures[0], Measure::kRequests);
    EXPECT_EQ(units[0].others[0], 1u);
    EXPECT_EQ(units[0].others[1], 0u);
    EXPECT_EQ(units[0].measures[2], Measure::kMoney);
    EXPECT_EQ(units[0].others[2], 2u);
    EXPECT_EQ(units[1].measures[1], Measure::kInFlight);
    EXPECT_EQ(units[1].others[1], 7u);
}

TEST(RedisPolicyUnits, IgnoresInvalidAnswers) {
    PolicyUnit units[] = {unit_of("a", Measure::kTokens), unit_of("b", Measure::kRequests)};
    for (const char* answer : {"*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
                               "*7\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
                               "*6\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:-1\r\n", ":6\r\n", "+OK\r\n",
                               "-NOPERM this user has no permissions\r\n"}) {
        EXPECT_FALSE(reads(answer, units)) << answer;
        EXPECT_EQ(units[0].others[0], 0u);
    }
}

}  // namespace
}  // namespace ai_limit
