// Reads answers of the script that decides in Redis, as the module does. The module believes an
// answer only if all of it is right.

#include "redis/script/script_call.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "redis_model/redis_model.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr int64_t kWall = 1'755'777'600'000;  // Redis's time
constexpr int64_t kMost = INT64_MAX;

/** An array in MessagePack. */
std::string packed(const std::vector<int64_t>& numbers) {
    std::string text = message_pack(std::vector<uint64_t>(numbers.size()));  // of zeros
    text.resize(text.size() - numbers.size());
    for (const int64_t number : numbers) {
        pack_number(number, &text);
    }
    return text;
}

/** The charges of a request by policies of these limits, and Redis's answer to it. */
class Question {
public:
    explicit Question(const std::vector<Limit>& limits)
        : memory_({64, 64, 16}), user_(memory_.zone(), &kAllAlive, 1), limits_(limits) {
        for (size_t i = 0; i < limits_.size(); ++i) {
            charge_[i] = {};
            const ZonePolicy policy =
                add_policy(memory_.zone(), std::to_string(i).c_str(), limits_[i]);
            begin_charge(&charge_[i], {&limits_[i], user_.access(), 1, policy.number, false}, i);
            charge_[i].use.verdict = Verdict::kZoneFull;
            redis_charges_[i] = {};
            redis_charges_[i].charge = &charge_[i];
            redis_charges_[i].key = "ai_limit:{key}:policy";
        }
    }

    bool reads_bytes(const std::string& bytes) {
        auto reader = std::make_unique<ReplyReader>();
        EXPECT_TRUE(reader->restart() && reader->feed(bytes));
        const Reply* reply = reader->next();
        EXPECT_NE(reply, nullptr) << bytes;
        return reply != nullptr && read_take(*reply, redis_charges_, limits_.size(), &passes, &now);
    }

    bool reads_text(const std::string& text) {
        return reads_bytes("$" + std::to_string(text.size()) + "\r\n" + text + "\r\n");
    }

    bool reads(const std::vector<int64_t>& numbers) { return reads_text(packed(numbers)); }

    /** True if nothing of an answer was taken over. */
    bool is_untouched() const {
        bool untouched = !passes && now == 0;
        for (size_t i = 0; i < limits_.size(); ++i) {
            untouched = untouched && charge_[i].use.verdict == Verdict::kZoneFull &&
                        redis_charges_[i].reserved == 0 &&
                        used(limits_[i], redis_charges_[i].state) == 0;
        }
        return untouched;
    }

    Verdict verdict(size_t i) const { return charge_[i].use.verdict; }
    Amount held(size_t i) const { return redis_charges_[i].reserved; }
    Amount used_of(size_t i) const { return used(limits_[i], redis_charges_[i].state); }

    bool passes = false;
    Millis now = 0;

private:
    ZoneMemory memory_;
    ZoneUser user_;
    std::vector<Limit> limits_;
    PolicyCharge charge_[kMaxSetPolicies];
    RedisCharge redis_charges_[kMaxSetPolicies];
};

struct Kind {
    Limit limit;
    std::vector<int64_t> answer;  // of the script, for one charge
    Amount used;
};

std::vector<Kind> kinds() {
    return {
        {hourly(Algorithm::kTokenBucket, 100), {1, 5, 7, kWall, 0, 3'600'000}, 7},
        {hourly(Algorithm::kSlidingWindow, 100), {1, 5, kWall, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 45},
        {hourly(Algorithm::kFixedWindow, 100), {1, 5, 7, 1'755'777'600, 1'755'781'200}, 7},
        {hourly(Algorithm::kConcurrency, 100), {1, 0, 7}, 7},
    };
}

/** Each kind of policy alone, and all together. */
void for_each_question(
    const std::function<void(const std::vector<Limit>&, const std::vector<int64_t>&)>& test) {
    std::vector<Limit> limits;
    std::vector<int64_t> together = {1, kWall};
    for (const Kind& kind : kinds()) {
        std::vector<int64_t> answer = {1, kWall};
        answer.insert(answer.end(), kind.answer.begin(), kind.answer.end());
        test({kind.limit}, answer);
        limits.push_back(kind.limit);
        together.insert(together.end(), kind.answer.begin(), kind.answer.end());
    }
    test(limits, together);
}

std::string hash_of_key(const std::string& key, uint64_t hash_in_zone) {
    KeyHash hash;
    EXPECT_TRUE(hash_key_for_redis(key, hash_in_zone, &hash));
    return {hash.text, kKeyHashLength};
}

TEST(KeyHash, IsReproducible) {
    // Nodes of all versions share it: base64 of the first 16 bytes of SHA-256 (FIPS 180-2, "abc").
    const std::string abc = "ungWv48Bz+pBQUDeXa4iIw";
    const uint64_t hash = 0x0123'4567'89ab'cdef;
    EXPECT_EQ(hash_of_key("abc", hash), abc);
    EXPECT_EQ(hash_of_key("abc", hash), abc);
    // All these have the same place among those that are known.
    for (unsigned bit = 20; bit < 64; ++bit) {
        const uint64_t other = hash ^ uint64_t { 1 } << bit;
        EXPECT_NE(hash_of_key(std::to_string(other), other), abc);
        EXPECT_EQ(hash_of_key("abc", hash), abc);
    }
    forget_key_hashing();
    EXPECT_EQ(hash_of_key("abc", hash), abc);
}

TEST(RedisDecisionReply, IsRead) {
    std::vector<Limit> limits;
    std::vector<int64_t> answer = {1, kWall};
    for (const Kind& kind : kinds()) {
        limits.push_back(kind.limit);
        answer.insert(answer.end(), kind.answer.begin(), kind.answer.end());
    }
    Question question(limits);
    ASSERT_TRUE(question.reads(answer));
    EXPECT_TRUE(question.passes);
    EXPECT_EQ(question.now, kWall);
    for (size_t i = 0; i < limits.size(); ++i) {
        EXPECT_EQ(question.verdict(i), Verdict::kPassed);
        EXPECT_EQ(question.used_of(i), kinds()[i].used) << i;
    }
    EXPECT_EQ(question.held(0), 5U);
    answer[0] = answer[2] = 0;
    ASSERT_TRUE(question.reads(answer));
    EXPECT_FALSE(question.passes);
    EXPECT_EQ(question.verdict(0), Verdict::kRefused);
}

TEST(RedisDecisionReply, IsRejectedWithTooFewOrTooManyNumbers) {
    for_each_question([](const std::vector<Limit>& limits, const std::vector<int64_t>& answer) {
        Question question(limits);
        for (size_t size = 0; size < answer.size(); ++size) {
            EXPECT_FALSE(
                question.reads({answer.begin(), answer.begin() + static_cast<long>(size)}));
            EXPECT_TRUE(question.is_untouched()) << size << " numbers";
        }
        std::vector<int64_t> more = answer;
        more.push_back(0);
        EXPECT_FALSE(question.reads(more));
        EXPECT_TRUE(question.is_untouched());
        more.resize(Reply::kMaxNumbers);
        EXPECT_FALSE(question.reads(more));
    });
}

TEST(RedisDecisionReply, IsRejectedWithNegativeOrHugeNumbers) {
    for_each_question([](const std::vector<Limit>& limits, const std::vector<int64_t>& answer) {
        Question question(limits);
        for (const int64_t bad : {int64_t{-1}, INT64_MIN, kMost, (int64_t{1} << 52) + 1}) {
            for (size_t i = 0; i < answer.size(); ++i) {
                std::vector<int64_t> changed = answer;
                changed[i] = bad;
                EXPECT_FALSE(question.reads(changed)) << bad << " as number " << i;
                EXPECT_TRUE(question.is_untouched()) << bad << " as number " << i;
            }
        }
    });
}

TEST(RedisDecisionReply, IsReadWithTheLargestNumbers) {
    Question question(
        {hourly(Algorithm::kTokenBucket, 100), hourly(Algorithm::kSlidingWindow, 100)});
    const int64_t time = int64_t{1} << 52;
    const int64_t amount = static_cast<int64_t>(kMaxAmount);
    const int64_t part = UINT32_MAX;
    EXPECT_TRUE(question.reads({1,    time, 1,    amount, amount, time, time, time, 1,    amount,
                                time, part, part, part,   part,   part, part, part, part, part}));
    EXPECT_EQ(question.used_of(0), kMaxAmount);
}

TEST(RedisDecisionReply, IsRejectedIfOfAnotherKind) {
    for_each_question([](const std::vector<Limit>& limits, const std::vector<int64_t>&) {
        Question question(limits);
        for (const char* bytes : {"+OK\r\n", "-ERR no\r\n", ":1\r\n", "$1\r\n1\r\n", "$-1\r\n",
                                  "*0\r\n", "*-1\r\n", "*2\r\n+1\r\n$1\r\n1\r\n"}) {
            EXPECT_FALSE(question.reads_bytes(bytes)) << bytes;
            EXPECT_TRUE(question.is_untouched()) << bytes;
        }
    });
}

TEST(RedisDecisionReply, IsRejectedIfNotText) {
    for_each_question([](const std::vector<Limit>& limits, const std::vector<int64_t>& answer) {
        Question question(limits);
        const std::string text = packed(answer);
        const std::string numbers = "*1\r\n$" + std::to_string(text.size()) + "\r\n" + text;
        EXPECT_FALSE(question.reads_bytes(numbers + "\r\n"));
        EXPECT_TRUE(question.is_untouched());
    });
}

TEST(RedisDecisionReply, IsRejectedIfCutOrFollowedByMore) {
    for_each_question([](const std::vector<Limit>& limits, const std::vector<int64_t>& answer) {
        Question question(limits);
        const std::string text = packed(answer);
        for (size_t size = 0; size < text.size(); ++size) {
            EXPECT_FALSE(question.reads_text(text.substr(0, size))) << size;
        }
        EXPECT_FALSE(question.reads_text(text + '\0'));
        EXPECT_TRUE(question.is_untouched());
        EXPECT_TRUE(question.reads_text(text));
    });
}

TEST(RedisDecisionReply, IsRejectedWithoutWholeNumbers) {
    const std::vector<int64_t> answer = {1, kWall, 1, 0, 7, kWall, 0, 3'600'000};
    const std::string head = packed({1, kWall, 1, 0}).replace(0, 1, "\x98");
    const std::string rest = packed({kWall, 0, 3'600'000}).substr(1);
    Question question({hourly(Algorithm::kTokenBucket, 100)});
    for (const std::string& used : {
             std::string("\xc0"),                 // nil
             std::string("\xc3"),                 // true
             std::string("\xa1") + "7",           // a text
             std::string("\x91\x07"),             // an array
             std::string("\xca\x40\xe0\0\0", 5),  // 7.0
             std::string("\xd0\x07"),             // of a type for negative ones
             std::string("\xff"),                 // -1
             std::string("\xc1"),                 // never used
         }) {
        EXPECT_FALSE(question.reads_text(head + used + rest)) << ::testing::PrintToString(used);
        EXPECT_TRUE(question.is_untouched()) << ::testing::PrintToString(used);
    }
    for (const char* shape : {"\x97", "\x99", "\x88", "\xdd"}) {
        EXPECT_FALSE(question.reads_text(packed(answer).replace(0, 1, shape)));
        EXPECT_TRUE(question.is_untouched());
    }
    // The number takes more bytes than it needs.
    EXPECT_TRUE(question.reads_text(head + std::string("\xcd\0\x07", 3) + rest));
    EXPECT_EQ(question.used_of(0), 7U);
}

TEST(RedisDecisionReply, RestartsTheFractionOfAnotherRate) {
    Question question({hourly(Algorithm::kTokenBucket, 100)});
    EXPECT_TRUE(question.reads({1, kWall, 1, 0, 7, kWall, 3'599'999, 3'600'000}));
    EXPECT_TRUE(question.reads({1, kWall, 1, 0, 7, kWall, 12, 13}));
    EXPECT_EQ(question.used_of(0), 7U);
}

TEST(RedisDecisionReply, AsksForEveryPolicyAtOnce) {
    // The most that a decision may have, each with the longest of what can be said of it.
    std::vector<Limit> limits(kMaxSetPolicies, hourly(Algorithm::kSlidingWindow, 100));
    Question question(limits);
    std::vector<int64_t> answer = {1, kWall};
    const std::vector<int64_t> one = kinds()[1].answer;
    for (size_t i = 0; i < kMaxSetPolicies; ++i) {
        answer.insert(answer.end(), one.begin(), one.end());
    }
    EXPECT_TRUE(question.reads(answer));
}

}  // namespace
}  // namespace ai_limit
