#include "core/zone/charged_answers.h"

#include <gtest/gtest.h>

#include <string>

#include "core/usage/stored_answer.h"
#include "small_zone.h"

namespace ai_limit {
namespace {

TEST(ChargedAnswers, AreKnownForADay) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const uint64_t answer = hash_answer(zone, 1, "resp_1");
    EXPECT_FALSE(is_answer_charged(zone, answer, kStart));
    note_charged_answer(zone, answer, kStart);
    EXPECT_TRUE(is_answer_charged(zone, answer, kStart));
    EXPECT_TRUE(is_answer_charged(zone, answer, kStart + 24 * kHour - 60'000));
    EXPECT_FALSE(is_answer_charged(zone, answer, kStart + 24 * kHour));
    EXPECT_FALSE(is_answer_charged(zone, answer, kStart + 10'000 * kHour));
    note_charged_answer(zone, answer, kStart + 25 * kHour);
    EXPECT_TRUE(is_answer_charged(zone, answer, kStart + 48 * kHour));
}

TEST(ChargedAnswers, AreKeptWhenTheClockIsSetBack) {
    ZoneMemory memory(small_sizes());
    const uint64_t answer = hash_answer(memory.zone(), 1, "resp_1");
    note_charged_answer(memory.zone(), answer, kStart);
    EXPECT_TRUE(is_answer_charged(memory.zone(), answer, kStart - 30 * kHour));
}

TEST(ChargedAnswers, AreDistinguishedByClientAndId) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    note_charged_answer(zone, hash_answer(zone, 1, "resp_1"), kStart);
    EXPECT_FALSE(is_answer_charged(zone, hash_answer(zone, 2, "resp_1"), kStart));
    EXPECT_FALSE(is_answer_charged(zone, hash_answer(zone, 1, "resp_2"), kStart));
    EXPECT_FALSE(is_answer_charged(zone, hash_answer(zone, 1, ""), kStart));
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_FALSE(is_answer_charged(zone, hash_answer(zone, 1, std::to_string(i)), kStart));
    }
}

TEST(ChargedAnswers, ReplaceTheOldestOfAFullSet) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const auto answer = [](uint64_t i) { return (i + 1) << 32 | 5; };  // all of one set
    for (uint64_t i = 0; i < 3 * kAnswerWays; ++i) {
        note_charged_answer(zone, answer(i), kStart + static_cast<Millis>(i) * 60'000);
        for (uint64_t k = 0; k <= i; ++k) {
            EXPECT_EQ(is_answer_charged(zone, answer(k), kStart + kHour), k + kAnswerWays > i);
        }
    }
    note_charged_answer(zone, answer(0), kStart + 30 * kHour);
    EXPECT_TRUE(is_answer_charged(zone, answer(0), kStart + 30 * kHour));
}

TEST(ChargedAnswers, AreCopiedToAZoneOfAnotherSize) {
    ZoneMemory from(small_sizes());
    ZoneMemory to(sizes_for(256 * 1024, true, true));
    const uint64_t answer = hash_answer(from.zone(), 1, "resp_1");
    note_charged_answer(from.zone(), answer, kStart);
    copy_charged_answers(from.zone(), to.zone());
    EXPECT_TRUE(is_answer_charged(to.zone(), hash_answer(to.zone(), 1, "resp_1"), kStart));
}

void expect_part(const Zone& zone, uint64_t hash, Millis wall, Amount input, Amount output) {
    const ChargedPart part = charged_part(zone, hash, wall);
    EXPECT_EQ(part.input, input);
    EXPECT_EQ(part.output, output);
}

TEST(ChargedParts, AreKnownForADay) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const uint64_t answer = hash_answer(zone, 1, "resp_1");
    expect_part(zone, answer, kStart, 0, 0);
    note_charged_part(zone, answer, {30, 4}, kStart);
    expect_part(zone, answer, kStart + 23 * kHour, 30, 4);
    expect_part(zone, answer, kStart + 24 * kHour, 0, 0);
    EXPECT_FALSE(is_answer_charged(zone, answer, kStart));
    expect_part(zone, hash_answer(zone, 2, "resp_1"), kStart, 0, 0);
    note_charged_part(zone, answer, {kMaxAmount, kMaxAmount}, kStart + kHour);
    expect_part(zone, answer, kStart + 2 * kHour, UINT32_MAX, UINT32_MAX);
}

TEST(ChargedParts, ReplaceTheOldestOfAFullSet) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const auto answer = [](uint64_t i) { return (i + 1) << 32 | 5; };  // all of one set
    for (uint64_t i = 0; i < 3 * kPartWays; ++i) {
        note_charged_part(zone, answer(i), {i + 1, 0}, kStart + static_cast<Millis>(i) * 60'000);
        for (uint64_t k = 0; k <= i; ++k) {
            expect_part(zone, answer(k), kStart + kHour, k + kPartWays > i ? k + 1 : 0, 0);
        }
    }
}

TEST(ChargedParts, AreCopiedToAZoneOfAnotherSize) {
    ZoneMemory from(small_sizes());
    ZoneMemory to(sizes_for(256 * 1024, true, true));
    note_charged_part(from.zone(), hash_answer(from.zone(), 1, "resp_1"), {30, 4}, kStart);
    copy_charged_answers(from.zone(), to.zone());
    expect_part(to.zone(), hash_answer(to.zone(), 1, "resp_1"), kStart, 30, 4);
}

TEST(AnswerPrices, AreKnownForADayBesideTheEstimate) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const uint64_t price = hash_answer_price(zone, "resp_1");
    EXPECT_EQ(answer_price(zone, price, kStart), 0U);
    note_answer_price(zone, price, UINT64_MAX - 1, kStart);
    note_charged_part(zone, hash_answer(zone, 1, "resp_1"), {30, 4}, kStart);
    EXPECT_EQ(answer_price(zone, price, kStart + 23 * kHour), UINT64_MAX - 1);
    EXPECT_EQ(answer_price(zone, price, kStart + 24 * kHour), 0U);
    EXPECT_EQ(answer_price(zone, hash_answer_price(zone, "resp_2"), kStart), 0U);
    expect_part(zone, hash_answer(zone, 1, "resp_1"), kStart, 30, 4);
}

TEST(ChargedParts, LeaveOnlyTheRestToBeCharged) {
    TokenCounts used;
    used.input = 100;
    used.output = 50;
    used.cached_input = 80;
    used.reasoning = 45;
    used.searches = 2;
    const TokenCounts rest = remaining(used, {40, 10});
    EXPECT_EQ(rest.input, 60U);
    EXPECT_EQ(rest.cached_input, 60U);
    EXPECT_EQ(rest.output, 40U);
    EXPECT_EQ(rest.reasoning, 40U);
    EXPECT_EQ(rest.searches, 2U);
    const TokenCounts none = remaining(used, {1000, 1000});
    EXPECT_EQ(none.input + none.output + none.cached_input + none.reasoning, 0U);
}

TEST(StoredAnswer, IsRecognizedByItsPath) {
    for (const char* path : {"/v1/responses", "/v1/responses/", "/x/openai/responses",
                             "/v1beta/interactions", "/responses"}) {
        EXPECT_EQ(stored_answer(path), StoredAnswer::kMade) << path;
    }
    for (const char* path : {"/v1/responses/resp_1", "/v1/responses/resp_1/",
                             "/v1/responses/resp_1/cancel", "/v1beta/interactions/abc"}) {
        EXPECT_EQ(stored_answer(path), StoredAnswer::kFetched) << path;
    }
    for (const char* path :
         {"", "/", "responses", "/v1/chat/completions", "/v1/responses/a/input_items",
          "/v1/responses/a/b/c", "/v1/responsesx/a", "/cancel", "//"}) {
        EXPECT_EQ(stored_answer(path), StoredAnswer::kNone) << path;
    }
}

std::string id_of(std::string_view body, size_t most) {
    AnswerIdReader reader;
    for (; !body.empty(); body.remove_prefix(std::min(most, body.size()))) {
        reader.feed(body.substr(0, most));
    }
    return std::string(reader.id());
}

TEST(StoredAnswer, ReportsItsIdHoweverItIsCut) {
    struct {
        const char* body;
        const char* id;
    } const cases[] = {
        {R"({"id":"resp_1","output":[{"id":"msg_1"}],"usage":null})", "resp_1"},
        {R"({"output":[{"id":"msg_1"}],"id":"resp_\u0031"})", "resp_1"},
        {"event: response.created\ndata: "
         "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}"
         "\n\ndata: {\"item\":{\"id\":\"x\"}}\n\n",
         "resp_2"},
        {"data: {\"interaction\":{\"id\":\"v1_abc\"},\"event_type\":\"interaction.start\"}\n\n",
         "v1_abc"},
        {"\xEF\xBB\xBF{\"id\":\"resp_3\"}", "resp_3"},
        {"\r\n {\"id\":\"resp_3\"}", "resp_3"},
        {"\xEF\xBB\xBF: ping\n\ndata: {\"response\":{\"id\":\"resp_4\"}}\n\n", "resp_4"},
        {R"({"metadata":{"id":"x"},"output":[]})", ""},
        {R"({"id":7})", ""},
        {R"({"id":"resp)", ""},
        {"", ""},
    };
    for (const auto& one : cases) {
        for (size_t most = 1; most < 100; ++most) {
            EXPECT_EQ(id_of(one.body, most), one.id) << one.body;
        }
    }
    EXPECT_EQ(id_of("{\"id\":\"" + std::string(kMaxAnswerId, 'x') + "\"}", 7),
              std::string(kMaxAnswerId, 'x'));
    EXPECT_EQ(id_of("{\"id\":\"" + std::string(kMaxAnswerId + 1, 'x') + "\"}", 7), "");
}

}  // namespace
}  // namespace ai_limit
