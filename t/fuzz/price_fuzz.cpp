// Fuzzes price files: a file is refused with one clean line, or all weights of its table are within
// bounds and every model is found.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "prices/price_file.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

void check_error(const std::string& error) {
    require(!error.empty() && error.size() < 1000);
    for (const char c : error) {
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
    }
}

void check_weights(const TokenWeights& weights) {
    uint64_t all[sizeof(TokenWeights) / sizeof(uint64_t)];
    std::memcpy(all, &weights, sizeof all);
    for (const uint64_t weight : all) {
        require(weight <= kMaxPriceWeight && weight % kWeightOfPrice == 0);
    }
    TokenCounts most{UINT64_MAX, UINT64_MAX, UINT64_MAX / 2};
    most.images = most.searches = most.seconds = UINT64_MAX;
    require(weigh(most, weights) <= kMaxAmount);
}

void check_model(const PriceTable& table, std::string_view name) {
    const ModelPrices* model = table.find(name);
    require(model != nullptr && model->threshold_count <= kMaxPriceThresholds);
    for (size_t tier = 0; tier < kPriceTiers; ++tier) {
        for (const Amount prompt : {Amount{0}, Amount{1001}, Amount{200'001}, UINT64_MAX}) {
            check_weights(table.weights_of(*model, PriceTier(tier), prompt));
        }
    }
    // A date at the end changes nothing, unless a model has this very name.
    require(table.find(std::string(name) + "-2026-11-30") != nullptr);
}

void check_table(const PriceBook& book) {
    const size_t size = book.bytes();
    std::vector<uint64_t> memory((size + 7) / 8);
    const PriceTable table = book.build(memory.data());
    PriceTableHeader header;
    std::memcpy(&header, memory.data(), sizeof header);
    const char* bytes = reinterpret_cast<const char*>(memory.data());
    size_t names = 0;
    for (size_t i = 0; i <= header.slot_mask; ++i) {
        PriceSlot slot;
        std::memcpy(&slot, bytes + sizeof header + i * sizeof slot, sizeof slot);
        if (slot.key != 0) {
            const size_t length = slot.key & 0xFFFF;
            require(slot.name + length <= size);
            check_model(table, {bytes + slot.name, length});
            ++names;
        }
    }
    require(names >= book.models() && names * 2 <= header.slot_mask + size_t{1});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    PriceBook book;
    std::string error;
    // Once more: a second file replaces what the first has.
    for (int i = 0; i < 2; ++i) {
        std::FILE* file = fmemopen(const_cast<uint8_t*>(data), size, "r");
        require(file != nullptr);
        const bool good = book.read_open(file, "prices.json", &error);
        std::fclose(file);
        if (!good) {
            check_error(error);
            return 0;
        }
    }
    book.add_provider("a");
    book.add_provider("");
    check_table(book);
    return 0;
}
