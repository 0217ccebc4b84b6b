// Recorded answers of all providers, priced by a small map and compared with sums by hand.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "prices/price_tables.h"
#include "prices/priced_answer.h"
#include "usage/usage_answer.h"

namespace ai_limit {
namespace {

__extension__ typedef unsigned __int128 Wide;

/** Reads a number with up to six decimals, in millionths, from the front of the text. */
uint64_t take_millionths(std::string_view* text) {
    uint64_t value = 0;
    int decimals = -1;
    while (!text->empty() && (isdigit(text->front()) != 0 || text->front() == '.')) {
        if (text->front() == '.') {
            decimals = 0;
        } else {
            value = value * 10 + static_cast<uint64_t>(text->front() - '0');
            decimals += decimals >= 0 ? 1 : 0;
        }
        text->remove_prefix(1);
    }
    EXPECT_LE(decimals, 6);
    for (int i = decimals > 0 ? decimals : 0; i < 6; ++i) {
        value *= 10;
    }
    return value;
}

/**
 * Works out `count*price + count*price ...`, with prices in USD for a million, in exact integers of
 * 10^-12 dollars. Returns the sum in millionths of a dollar, rounded up once. It shares nothing
 * with weigh().
 */
Amount cost_by_hand(std::string_view terms) {
    Wide sum = 0;
    while (!terms.empty()) {
        const uint64_t count = take_millionths(&terms) / 1'000'000;
        EXPECT_EQ(terms.substr(0, 1), "*");
        terms.remove_prefix(1);
        sum += Wide{count} * take_millionths(&terms);
        if (!terms.empty()) {
            EXPECT_EQ(terms.substr(0, 3), " + ");
            terms.remove_prefix(3);
        }
    }
    return static_cast<Amount>((sum + 999'999) / 1'000'000);
}

TEST(PricedAnswers, WorkOutSumsByHand) {
    EXPECT_EQ(cost_by_hand("1*2"), 2U);
    EXPECT_EQ(cost_by_hand("1000*3 + 400*0.3 + 1*0.000001"), 3121U);
    EXPECT_EQ(cost_by_hand("3*0.333333 + 1*0.000001"), 1U);
    EXPECT_EQ(cost_by_hand("3*0.333334"), 2U);
    EXPECT_EQ(cost_by_hand("8*0.02"), 1U);
    EXPECT_EQ(cost_by_hand("2*39000 + 0*5"), 78'000U);
}

UsageReader read_answer_of(const PricedAnswer& answer) {
    UsageReader reader(answer.kind, nullptr);
    for (const auto& [name, value] : answer.headers) {
        reader.header(name, value);
    }
    reader.feed(answer.body);
    reader.finish();
    return reader;
}

class Priced : public testing::Test {
protected:
    Priced() : prices_(book()) {}

    /** The cost of an answer: by the model that it names, otherwise by the request's. */
    void expect_cost(const PricedAnswer& answer) const {
        const PriceTable& table = prices_.table();
        const UsageReader reader = read_answer_of(answer);
        EXPECT_FALSE(reader.malformed());
        const std::string_view model =
            reader.model().empty() ? std::string_view(answer.requested) : reader.model();
        const ModelPrices* prices = table.find(model);
        ASSERT_NE(prices, nullptr) << model;
        EXPECT_EQ(table.find(answer.requested), prices);
        const AnswerCost cost = cost_of(reader);
        EXPECT_EQ(cost.estimated, answer.estimated);
        const PriceTier tier = tier_of(reader.service_tier());
        const TokenWeights& weights = table.weights_of(*prices, tier, cost.counts.input);
        EXPECT_EQ(weigh(cost.counts, weights), cost_by_hand(answer.cost));
    }

    void expect_costs(const std::vector<PricedAnswer>& answers) const {
        for (const PricedAnswer& answer : answers) {
            SCOPED_TRACE(answer.name);
            expect_cost(answer);
        }
    }

private:
    static PriceBook book() {
        PriceBook book;
        EXPECT_EQ(read_prices(kPricedModels, &book), "");
        book.add_provider("azure");
        return book;
    }

    TestPrices prices_;
};

TEST_F(Priced, AnswersOfOpenAiCostWhatTheyDoByHand) {
    expect_costs(priced_openai_answers());
}

TEST_F(Priced, AnswersInOpenAisFormatCostWhatTheyDoByHand) {
    expect_costs(priced_compatible_answers());
}

TEST_F(Priced, AnswersOfAnthropicCostWhatTheyDoByHand) {
    expect_costs(priced_anthropic_answers());
}

TEST_F(Priced, AnswersOfGoogleCostWhatTheyDoByHand) {
    expect_costs(priced_google_answers());
}

TEST_F(Priced, AnswersOfBedrockCostWhatTheyDoByHand) {
    expect_costs(priced_bedrock_answers());
}

TEST_F(Priced, AnswersOfOthersCostWhatTheyDoByHand) {
    expect_costs(priced_other_answers());
}

TEST(PricedAnswers, AreMoreThanSixtyShapes) {
    size_t shapes = 0;
    for (const auto& some :
         {priced_openai_answers(), priced_compatible_answers(), priced_anthropic_answers(),
          priced_google_answers(), priced_bedrock_answers(), priced_other_answers()}) {
        shapes += some.size();
    }
    EXPECT_GE(shapes, 60U);
}

}  // namespace
}  // namespace ai_limit
