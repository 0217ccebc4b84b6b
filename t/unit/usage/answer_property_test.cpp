// Tests that nothing that was seen is free, whichever API answers, and wherever its answer is cut.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "provider_answers.h"
#include "usage_answer.h"

namespace ai_limit {
namespace {

constexpr Amount kPrompt = 70;

/** Q is what the model writes; a stream may repeat it all. A single one may be part of a checksum.
 */
uint64_t text_in(std::string_view body, bool repeats) {
    uint64_t all = 0;
    uint64_t longest = 0;
    uint64_t run = 0;
    for (const char c : body) {
        run = c == 'Q' ? run + 1 : 0;
        all += run == 2 ? 2 : run > 2 ? 1 : 0;
        longest = std::max(longest, run);
    }
    return repeats ? longest : all;
}

TEST(AnswersOfProviders, CostWhatTheyReport) {
    for (const ProviderAnswer& answer : provider_answers()) {
        UsageReader reader(answer.kind, nullptr);
        reader.feed(answer.body);
        reader.finish();
        EXPECT_FALSE(reader.malformed()) << answer.name;
        const AnswerCost cost = cost_of(reader, kPrompt);
        // Only what tells no tokens is estimated.
        const bool tells_input = answer.counts.input != 0;
        EXPECT_EQ(cost.counts.input, tells_input ? answer.counts.input : kPrompt) << answer.name;
        EXPECT_EQ(cost.counts.output, answer.counts.output) << answer.name;
        EXPECT_EQ(cost.estimated, !tells_input) << answer.name;
        for (const auto part :
             {&TokenCounts::cached_input, &TokenCounts::cache_write, &TokenCounts::cache_write_1h,
              &TokenCounts::audio_input, &TokenCounts::reasoning, &TokenCounts::audio_output,
              &TokenCounts::images, &TokenCounts::searches, &TokenCounts::seconds}) {
            EXPECT_EQ(cost.counts.*part, answer.counts.*part) << answer.name;
        }
    }
}

TEST(AnswersOfProviders, CostTheSameWithAnyType) {
    for (const ProviderAnswer& answer : provider_answers()) {
        if (answer.kind != AnswerKind::kJson && answer.kind != AnswerKind::kSse) {
            continue;
        }
        for (const AnswerKind hint : {AnswerKind::kOther, AnswerKind::kJson, AnswerKind::kSse}) {
            UsageReader reader(hint, nullptr);
            reader.feed("\xEF\xBB\xBF" + answer.body);
            reader.finish();
            EXPECT_EQ(cost_of(reader, kPrompt).counts.output, answer.counts.output) << answer.name;
        }
    }
}

/** Lines of JSON are found under the name of JSON, too. */
TEST(AnswersOfProviders, CostTheSameAsJson) {
    for (const ProviderAnswer& answer : provider_answers()) {
        if (answer.kind == AnswerKind::kLines) {
            UsageReader reader(AnswerKind::kJson, nullptr);
            reader.feed(answer.body);
            reader.finish();
            EXPECT_EQ(cost_of(reader, kPrompt).counts.input, answer.counts.input) << answer.name;
            EXPECT_EQ(cost_of(reader, kPrompt).counts.output, answer.counts.output) << answer.name;
        }
    }
}

TEST(AnswersOfProviders, AreNeverFreeWhereverTheyAreCut) {
    for (const ProviderAnswer& answer : provider_answers()) {
        const std::string& body = answer.body;
        const size_t told_by = answer.input_told_by.empty()
                                   ? body.npos
                                   : body.find(answer.input_told_by) + answer.input_told_by.size();
        ASSERT_TRUE(answer.input_told_by.empty() || told_by < body.size()) << answer.name;
        for (size_t cut = 0; cut <= body.size(); ++cut) {
            const std::string seen = body.substr(0, cut);
            const uint64_t text = text_in(seen, answer.repeats_text);
            for (const bool by_client : {true, false}) {
                UsageReader reader(answer.kind, nullptr);
                reader.feed(seen);
                by_client ? reader.stop() : reader.finish();
                const TokenCounts counts = cost_of(reader, kPrompt).counts;
                const uint64_t quarter = (text + 3) / 4;
                EXPECT_GE(counts.output, quarter) << answer.name << " cut at " << cut;
                EXPECT_LE(counts.output, std::max(quarter, answer.counts.output))
                    << answer.name << " cut at " << cut;
                EXPECT_GE(counts.input, cut > told_by ? answer.counts.input : 0)
                    << answer.name << " cut at " << cut;
                EXPECT_TRUE(text == 0 || counts.input > 0) << answer.name << " cut at " << cut;
            }
        }
    }
}

/** A shape that no table knows tells nothing: all of its strings are charged. */
TEST(AnswersOfProviders, AreNeverFreeInAnUnknownShape) {
    const std::string value = R"({"thread":{"parts":[{"value":")" + text(40) + R"("}]}})";
    for (const auto& [kind, body] : {std::pair{AnswerKind::kSse, sse({value, value, value})},
                                     std::pair{AnswerKind::kLines, lines({value, value})},
                                     std::pair{AnswerKind::kJson, value}}) {
        for (size_t cut = 0; cut <= body.size(); ++cut) {
            for (const bool by_client : {true, false}) {
                UsageReader reader(kind, nullptr);
                reader.feed(body.substr(0, cut));
                by_client ? reader.stop() : reader.finish();
                const uint64_t seen = text_in(body.substr(0, cut), false);
                const TokenCounts counts = cost_of(reader, kPrompt).counts;
                EXPECT_GE(counts.output, seen / 4) << body << " cut at " << cut;
                EXPECT_TRUE(seen == 0 || counts.output > 0) << body << " cut at " << cut;
                EXPECT_EQ(counts.input, kPrompt);
                if (kind != AnswerKind::kJson && by_client) {
                    EXPECT_LE(counts.output, seen / 4 + 1) << body << " cut at " << cut;
                }
            }
        }
    }
}

TEST(AnswersOfProviders, NameTheirModelAndTier) {
    UsageReader reader(AnswerKind::kSse, nullptr);
    reader.feed("data: {\"model\":\"\",\"choices\":[]}\n\n");
    reader.feed("data: {\"model\":\"gpt-5\",\"service_tier\":\"auto\",\"choices\":[]}\n\n");
    reader.feed("data: {\"model\":\"other\",\"service_tier\":\"flex\",\"choices\":[]}\n\n");
    reader.finish();
    EXPECT_EQ(reader.model(), "gpt-5");
    EXPECT_EQ(reader.service_tier(), "flex");
    const std::pair<const char*, const char*> models[] = {
        {R"({"type":"message_start","message":{"model":"c","usage":{"service_tier":"priority"}}})",
         "c priority"},
        {R"({"response":{"model":"r","service_tier":"default"}})", "r default"},
        {R"({"modelVersion":"g"})", "g "},
        {R"({"interaction":{"model":"i"}})", "i "},
    };
    for (const auto& [document, expected] : models) {
        UsageReader one(AnswerKind::kSse, nullptr);
        one.feed("data: " + std::string(document) + "\n\n");
        EXPECT_EQ(std::string(one.model()) + " " + std::string(one.service_tier()), expected);
    }
    UsageReader whole(AnswerKind::kJson, nullptr);
    whole.feed(R"({"model_id":"w","serviceTier":{"type":"flex"}})");
    EXPECT_EQ(whole.model(), "w");
    EXPECT_EQ(whole.service_tier(), "flex");
}

}  // namespace
}  // namespace ai_limit
