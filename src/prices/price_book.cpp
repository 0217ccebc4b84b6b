#include <algorithm>
#include <cstring>

#include "prices/price_file.h"

namespace ai_limit {

namespace {

/** Takes `count` objects of a size out of the memory; returns their place. */
uint32_t take_place(size_t count, size_t size, size_t* bytes) {
    const size_t place = *bytes;
    *bytes += count * size;
    return static_cast<uint32_t>(place);
}

/** Writes the parts of a table into their places. */
class TableWriter {
public:
    TableWriter(void* memory, const PriceTableHeader& header)
        : memory_(static_cast<char*>(memory)), header_(header) {
        std::memcpy(memory_, &header, sizeof header);
    }

    void model(const PriceList& prices) {
        uint32_t thousands[kMaxPriceThresholds] = {};
        const size_t count = thresholds_of(prices, thousands);
        ModelPrices model{weights_, thresholds_, static_cast<uint8_t>(count), {}, {}};
        uint8_t groups = 0;
        for (size_t tier = 0; tier < kPriceTiers; ++tier) {
            if (tier > 0 && !has_tier(prices, PriceTier(tier))) {
                continue;  // the group of the standard tier
            }
            model.groups[tier] = groups++;
            put_weights(weights_of(prices, PriceTier(tier), 0));
            for (size_t i = 0; i < count; ++i) {
                put_weights(weights_of(prices, PriceTier(tier), thousands[i]));
            }
        }
        for (size_t i = 0; i < count; ++i) {
            put(header_.thresholds, thresholds_++, Amount{thousands[i]} * 1000);
        }
        put(header_.models, models_++, model);
    }

    void name(std::string_view name, uint32_t place, uint32_t model) {
        std::memcpy(memory_ + header_.names + place, name.data(), name.size());
        const uint64_t hash = hash_model_name(name);
        const PriceSlot slot{static_cast<uint32_t>(hash >> 32), place,
                             static_cast<uint32_t>(name.size()), model};
        auto* slots = reinterpret_cast<PriceSlot*>(memory_ + header_.slots);
        auto i = static_cast<uint32_t>(hash);
        while (slots[i & header_.slot_mask].size != 0) {
            ++i;
        }
        slots[i & header_.slot_mask] = slot;
    }

private:
    template <class Type>
    void put(uint32_t place, uint32_t index, const Type& object) {
        std::memcpy(memory_ + place + index * sizeof(Type), &object, sizeof(Type));
    }

    void put_weights(const TokenWeights& weights) { put(header_.weights, weights_++, weights); }

    char* memory_;
    PriceTableHeader header_;
    uint32_t weights_ = 0;
    uint32_t thresholds_ = 0;
    uint32_t models_ = 0;
};

}  // namespace

/** What the table will have: its names, with the models' numbers in it, and its places. */
struct PriceBook::Plan {
    NameIndex names;
    std::vector<uint32_t> models;  // those with prices, as indices into the book's
    PriceTableHeader header{};
    size_t bytes = 0;

    void add_names(const PriceBook& book) {
        for (const NameIndex::Entry& entry : book.names_.entries()) {
            if (book.models_[entry.model].price_count > 0) {
                names.find_or_add(book.names_.name_of(entry), static_cast<uint32_t>(models.size()));
                models.push_back(entry.model);
            }
        }
        const size_t own = names.entries().size();
        for (const std::string& provider : book.providers_) {
            for (size_t i = 0; i < own; ++i) {
                add_short_name(names.entries()[i], provider);
            }
        }
    }

    /** A copy of the entry is taken: adding moves it. */
    void add_short_name(const NameIndex::Entry entry, std::string_view provider) {
        const std::string name(names.name_of(entry));
        if (name.size() > provider.size() + 1 && name[provider.size()] == '/' &&
            name.compare(0, provider.size(), provider) == 0) {
            names.find_or_add(std::string_view(name).substr(provider.size() + 1), entry.model);
        }
    }

    void add_places(const PriceBook& book) {
        size_t rows = 0;
        size_t thresholds = 0;
        for (const uint32_t model : models) {
            const PriceList prices = book.prices_of(book.models_[model]);
            uint32_t thousands[kMaxPriceThresholds] = {};
            const size_t count = thresholds_of(prices, thousands);
            size_t groups = 1;
            for (size_t tier = 1; tier < kPriceTiers; ++tier) {
                groups += has_tier(prices, PriceTier(tier)) ? 1 : 0;
            }
            rows += groups * (count + 1);
            thresholds += count;
        }
        size_t slots = 2;
        while (slots < names.entries().size() * 2) {
            slots *= 2;
        }
        header.slot_mask = static_cast<uint32_t>(slots - 1);
        take_place(1, sizeof header, &bytes);
        // What has 64-bit members comes first.
        header.weights = take_place(rows, sizeof(TokenWeights), &bytes);
        header.thresholds = take_place(thresholds, sizeof(Amount), &bytes);
        header.slots = take_place(slots, sizeof(PriceSlot), &bytes);
        header.models = take_place(models.size(), sizeof(ModelPrices), &bytes);
        header.names = take_place(names.names().size(), 1, &bytes);
    }
};

static_assert(sizeof(PriceTableHeader) % alignof(TokenWeights) == 0);

PriceBook::Plan PriceBook::plan() const {
    Plan plan;
    plan.add_names(*this);
    plan.add_places(*this);
    return plan;
}

size_t PriceBook::models() const {
    return static_cast<size_t>(std::count_if(
        models_.begin(), models_.end(), [](const Model& model) { return model.price_count > 0; }));
}

size_t PriceBook::bytes() const {
    return plan().bytes;
}

PriceTable PriceBook::build(void* memory) const {
    const Plan plan = this->plan();
    std::memset(memory, 0, plan.bytes);
    TableWriter writer(memory, plan.header);
    for (const uint32_t model : plan.models) {
        writer.model(prices_of(models_[model]));
    }
    for (const NameIndex::Entry& entry : plan.names.entries()) {
        writer.name(plan.names.name_of(entry), entry.name, entry.model);
    }
    return PriceTable(memory);
}

}  // namespace ai_limit
