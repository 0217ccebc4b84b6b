#pragma once

// Tables of prices for the tests, from the text of price files.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "prices/price_file.h"

namespace ai_limit {

/** Reads a text as a price file of the name `prices.json`; returns the error, empty if none. */
inline std::string read_prices(std::string text, PriceBook* book) {
    std::string error;
    std::FILE* file = fmemopen(text.data(), text.size(), "r");
    const bool good = file != nullptr && book->read_open(file, "prices.json", &error);
    if (file != nullptr) {
        std::fclose(file);
    }
    EXPECT_EQ(good, error.empty()) << text;
    return error;
}

/** A table with its memory. */
class TestPrices {
public:
    explicit TestPrices(const PriceBook& book) : memory_((book.bytes() + 7) / 8) {
        table_ = book.build(memory_.data());
    }
    explicit TestPrices(const std::string& text) : TestPrices(book_of(text)) {}

    const PriceTable& table() const { return table_; }
    bool has(std::string_view name) const { return table_.find(name) != nullptr; }

    /** The weights of a model that is there. */
    TokenWeights weights(std::string_view name, PriceTier tier = PriceTier::kStandard,
                         Amount prompt = 0) const {
        const ModelPrices* model = table_.find(name);
        EXPECT_NE(model, nullptr) << name;
        return model != nullptr ? table_.weights_of(*model, tier, prompt) : TokenWeights();
    }

    /** The price of a token of input, in millionths of a dollar for a million tokens. */
    uint64_t input(std::string_view name, PriceTier tier = PriceTier::kStandard,
                   Amount prompt = 0) const {
        return weights(name, tier, prompt).input / kWeightOfPrice;
    }

private:
    static PriceBook book_of(const std::string& text) {
        PriceBook book;
        EXPECT_EQ(read_prices(text, &book), "");
        return book;
    }

    std::vector<uint64_t> memory_;
    PriceTable table_;
};

}  // namespace ai_limit
