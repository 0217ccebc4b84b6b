// Tests what the script does with keys that hold something else.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "random.h"
#include "redis/script/script.h"
#include "redis_script_tests.h"

namespace ai_limit {
namespace {

using namespace redis_script_tests;

class RedisScriptOnGarbage : public RedisScript {};

/** Returns values that may lie in a key that is none of ours any more. */
std::vector<std::string> garbage() {
    std::vector<std::string> values = {
        "",
        "x",
        std::string("\x00", 1),
        "\xc0",                          // nil
        "\x90",                          // no fields
        "\x93\x01\x02\x03",              // too few
        "\x96\x09\x00\x01\x01\x00\x01",  // another number
        "\x96\x01\x00\xff\x01\x00\x01",  // negative
        "\x96\x01\x00\xa1x\x01\x00\x01",
        "\x96\x01\xc0\x01\x01\x00\x01",
        "\x95\x01\x00\x01\x01\x00\x01",
        "\x97\x01\x00\x01\x01\x00\x01\x01",
        "\xdc\xff\xff\x01",
        std::string("\x96\x01\x00\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01\x00\x01", 15),  // NaN
        std::string("\x96\x01\x00\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00\x01\x00\x01", 15),  // 0.5
        std::string("\x96\x01\x00\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\x01\x00\x01", 15),
        message_pack({1, 0, UINT64_MAX, 1, 0, 1}),
    };
    Random random(1);
    for (int i = 0; i < 500; ++i) {
        std::string value;
        for (uint64_t n = random.below(30); n > 0; --n) {
            value += static_cast<char>(random.below(256));
        }
        values.push_back(value);
    }
    return values;
}

TEST_F(RedisScriptOnGarbage, TreatsGarbageAsEmpty) {
    for (const Limit* limit : {&kBucket, &kSliding, &kFixed}) {
        redis.remove_all();
        const Numbers fresh = take({{limit, "k", "a:1", 1}});
        for (const std::string& value : garbage()) {
            redis.remove_all();
            redis.put("k", value);
            redis.put(flights_of("k"), value);
            EXPECT_EQ(take({{limit, "k", "a:1", 1}}), fresh) << ::testing::PrintToString(value);
        }
        redis.put_sorted_set("k");
        redis.remove(flights_of("k"));
        EXPECT_EQ(take({{limit, "k", "a:1", 1}}), fresh);
    }
}

TEST_F(RedisScriptOnGarbage, SurvivesStatesWithRandomNumbers) {
    Random random(2);
    for (int i = 0; i < 3000; ++i) {
        const Limit* limits[] = {&kBucket, &kSliding, &kFixed};
        const Limit* limit = random.one_of(limits);
        const uint64_t number = limit == &kBucket ? 1 : limit == &kSliding ? 2 : 3;
        std::vector<uint64_t> fields = {number};
        while (fields.size() < (number == 1 ? 6U : number == 2 ? 13U : 5U)) {
            fields.push_back(random.one_in(3) ? 0 : random.scaled(uint64_t{1} << 53) - 1);
        }
        redis.put("k", message_pack(fields));
        take({{limit, "k", random.one_in(2) ? "" : "a:1", 1}});
        run(settle_call({{limit, "k", "a:1", 1, 1}}, wall));
        EXPECT_NE(redis.time_to_live("k"), 0);
        redis.remove(flights_of("k"));
    }
}

TEST_F(RedisScriptOnGarbage, SettlesAndRenewsDespiteGarbage) {
    for (const Limit* limit : {&kBucket, &kSliding, &kFixed, &kSlots}) {
        redis.put("k", "garbage");
        redis.put(flights_of("k"), "garbage");
        run(settle_call({{limit, "k", "a:1", 1, 1}, {&kFixed, "other", "", 0, -1}}, wall));
        redis.put_sorted_set("k");
        redis.put(flights_of("k"), "garbage");
        renew(*limit, {"a:1"});
    }
    redis.put(flights_of("slots"), "garbage");
    EXPECT_TRUE(passes({{&kSlots, "slots", "a"}}));
}

}  // namespace
}  // namespace ai_limit
