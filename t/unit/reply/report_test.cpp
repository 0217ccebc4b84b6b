#include "core/reply/report.h"

#include <gtest/gtest.h>

#include "core/reply/error_kind.h"

namespace ai_limit {
namespace {

Description refusing(Millis wait, Amount limit) {
    Description said{};
    said.limit = limit;
    said.wait = wait;
    said.refused = true;
    return said;
}

TEST(Report, ShowsTheLongerWaitOfTwoThatRefuse) {
    EXPECT_TRUE(speaks_rather(refusing(2'000, 5), refusing(1'000, 5)));
    EXPECT_FALSE(speaks_rather(refusing(1'000, 5), refusing(2'000, 5)));
    EXPECT_TRUE(speaks_rather(refusing(kNever, 5), refusing(2'000, 5)));
}

TEST(Report, PrefersABlockedKeyToARequestThatIsTooLarge) {
    EXPECT_TRUE(speaks_rather(refusing(kNever, 0), refusing(kNever, 5)));
    EXPECT_FALSE(speaks_rather(refusing(kNever, 5), refusing(kNever, 0)));
}

TEST(Report, PrefersAModelWithoutAPriceToARequestThatIsTooLarge) {
    Description unpriced = refusing(kNever, 5);
    unpriced.unpriced = true;
    EXPECT_TRUE(speaks_rather(unpriced, refusing(kNever, 5)));
    EXPECT_FALSE(speaks_rather(refusing(kNever, 5), unpriced));
    EXPECT_FALSE(speaks_rather(refusing(kNever, 0), unpriced));
    EXPECT_EQ(kind_of(unpriced), ErrorKind::kBlocked);
    EXPECT_EQ(kind_of(refusing(kNever, 5)), ErrorKind::kTooLarge);
}

TEST(Report, KeepsTheFirstOfEquals) {
    EXPECT_FALSE(speaks_rather(refusing(kNever, 0), refusing(kNever, 0)));
    EXPECT_FALSE(speaks_rather(refusing(kNever, 5), refusing(kNever, 5)));
    EXPECT_FALSE(speaks_rather(refusing(2'000, 5), refusing(2'000, 5)));
}

}  // namespace
}  // namespace ai_limit
