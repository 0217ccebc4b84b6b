// Prices that are probably wrong: one line names the first and counts the others.

#include <gtest/gtest.h>

#include <string>

#include "prices/large_price_map.h"
#include "prices/price_tables.h"

namespace ai_limit {
namespace {

std::string doubt_of(const std::string& text) {
    PriceBook book;
    EXPECT_EQ(read_prices(text, &book), "");
    return book.doubt();
}

std::string doubt_of_field(const std::string& name, const std::string& value = "1e-6") {
    return doubt_of("{\"m\":{\"" + name + "\":" + value + "}}");
}

constexpr const char* kBegin = "price file \"prices.json\": model \"m\": ";

TEST(PriceDoubts, NamesAPriceThatMayBeForAMillionTokens) {
    const std::string why = "is above 0.01 USD for one token: is it the price of a million tokens?";
    EXPECT_EQ(doubt_of_field("input_cost_per_token", "3"),
              kBegin + ("\"input_cost_per_token\" " + why));
    EXPECT_EQ(doubt_of_field("output_cost_per_token_flex", "0.010001"),
              kBegin + ("\"output_cost_per_token_flex\" " + why));
    for (const char* name : {"cache_read_input_token_cost", "output_cost_per_audio_token",
                             "output_cost_per_image_token"}) {
        EXPECT_NE(doubt_of_field(name, "0.15"), "") << name;
        EXPECT_EQ(doubt_of_field(name, "0.01"), "") << name;
    }
    for (const char* name :
         {"output_cost_per_image", "search_context_cost_per_query", "input_cost_per_second"}) {
        EXPECT_EQ(doubt_of_field(name, "0.35"), "") << name;
    }
}

TEST(PriceDoubts, NamesAFieldThatIsProbablyMisspelt) {
    EXPECT_EQ(
        doubt_of_field("ouput_cost_per_token"),
        std::string(kBegin) +
            "\"ouput_cost_per_token\" is ignored: is it a mistake for output_cost_per_token?");
    for (const char* name :
         {"input_cost_per_tokens", "input_costs_per_token", "Input_cost_per_token",
          "input-cost-per_token", "inputcost_pertoken", "input_cost_per_tokne",
          "output_cost_per_tokens_priority", "imput_cost_per_token_above_200k_tokens",
          "cache_creation_input_token_cost_above_1h", "cache_read_input_tokens_cost",
          "output_cost_per_reasoning_tokens", "search_context_cost_per_querry"}) {
        EXPECT_NE(doubt_of_field(name), "") << name;
    }
}

TEST(PriceDoubts, AcceptsTheOtherFieldsOfLiteLlmsMap) {
    for (const char* name : {"annotation_cost_per_page",
                             "cache_creation_input_audio_token_cost",
                             "cache_read_input_audio_token_cost",
                             "cache_read_input_image_token_cost",
                             "cache_read_input_token_cost_per_audio_token",
                             "citation_cost_per_token",
                             "code_interpreter_cost_per_session",
                             "input_cost_per_audio_per_second",
                             "input_cost_per_audio_per_second_above_128k_tokens",
                             "input_cost_per_character",
                             "input_cost_per_character_above_128k_tokens",
                             "input_cost_per_image",
                             "input_cost_per_image_above_128k_tokens",
                             "input_cost_per_image_token",
                             "input_cost_per_pixel",
                             "input_cost_per_query",
                             "input_cost_per_request",
                             "input_cost_per_token_batch_requests",
                             "input_cost_per_token_cache_hit",
                             "input_cost_per_video_per_second",
                             "input_cost_per_video_per_second_above_8s_interval",
                             "input_dbu_cost_per_token",
                             "ocr_cost_per_page",
                             "output_cost_per_character",
                             "output_cost_per_image_above_1024_and_1024_pixels",
                             "output_cost_per_image_premium_image",
                             "output_cost_per_pixel",
                             "output_cost_per_second",
                             "output_cost_per_second_1080p",
                             "output_cost_per_video_per_second",
                             "output_db_cost_per_token",
                             "output_dbu_cost_per_token"}) {
        EXPECT_EQ(doubt_of_field(name), "") << name;
    }
    EXPECT_EQ(doubt_of(LargePriceMap().text()), "");
}

TEST(PriceDoubts, CountsTheOtherModels) {
    EXPECT_EQ(doubt_of(R"({"m":{"input_cost_per_token":3,"output_cost_per_token":15},
        "b":{"input_cost_per_token":1e-6},"c":{"imput_cost_per_token":1e-6}})"),
              std::string(kBegin) +
                  "\"input_cost_per_token\" is above 0.01 USD for one token: is it the price of a "
                  "million tokens?; 1 more model has a price to check");
    std::string many = "{";
    for (int i = 0; i < 1000; ++i) {
        many += "\"m" + std::to_string(i) + "\":{\"input_cost_per_token\":3},";
    }
    many.back() = '}';
    const std::string doubt = doubt_of(many);
    EXPECT_NE(doubt.find("; 999 more models have a price to check"), std::string::npos) << doubt;
    EXPECT_EQ(doubt.find('\n'), std::string::npos);
}

TEST(PriceDoubts, AreOfTheLastFile) {
    PriceBook book;
    EXPECT_EQ(read_prices(R"({"m":{"input_cost_per_token":3}})", &book), "");
    EXPECT_NE(book.doubt(), "");
    EXPECT_EQ(read_prices(R"({"m":{"input_cost_per_token":3e-6}})", &book), "");
    EXPECT_EQ(book.doubt(), "");
}

TEST(PriceDoubts, ShowNoRawBytesOfAName) {
    const std::string doubt = doubt_of("{\"a\\nb\":{\"input_cost_per_token\":3}}");
    EXPECT_NE(doubt.find(R"("a\x0Ab")"), std::string::npos) << doubt;
}

}  // namespace
}  // namespace ai_limit
