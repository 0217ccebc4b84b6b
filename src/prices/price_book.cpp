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

/** Where the parts of a table are, in bytes from its beginning. */
struct Places {
    uint64_t slot_mask = 0;
    uint32_t weights = 0;
    uint32_t thresholds = 0;
    uint32_t models = 0;
    uint32_t names = 0;
};

/** Writes the parts of a table into their places. */
class TableWriter {
public:
    TableWriter(void* memory, const Places& places)
        : memory_(static_cast<char*>(memory)), places_(places) {
        const PriceTableHeader header{places.slot_mask};
        std::memcpy(memory_, &header, sizeof header);
    }

    void model(const PriceList& prices) {
        uint32_t thousands[kMaxPriceThresholds] = {};
        const size_t count = thresholds_of(prices, thousands);
        ModelPrices model{place_of<TokenWeights>(places_.weights, weights_),
                          place_of<Amount>(places_.thresholds, thresholds_),
                          static_cast<uint8_t>(count),
                          {},
                          {}};
        const uint32_t first = weights_;
        for (size_t tier = 0; tier < kPriceTiers; ++tier) {
            if (tier > 0 && !has_tier(prices, PriceTier(tier))) {
                continue;  // the rows of the standard tier
            }
            model.first_row[tier] = static_cast<uint8_t>(weights_ - first);
            put_weights(weights_of(prices, PriceTier(tier), 0));
            for (size_t i = 0; i < count; ++i) {
                put_weights(weights_of(prices, PriceTier(tier), thousands[i]));
            }
        }
        for (size_t i = 0; i < count; ++i) {
            put(places_.thresholds, thresholds_++, Amount{thousands[i]} * 1000);
        }
        put(places_.models, models_++, model);
    }

    /** `model` is the number of a model in the order in which they were written. */
    void name(std::string_view name, uint32_t model) {
        const uint32_t place = places_.names + names_;
        std::memcpy(memory_ + place, name.data(), name.size());
        names_ += static_cast<uint32_t>(name.size());
        const uint64_t hash = hash_model_name(name);
        auto* slots = reinterpret_cast<PriceSlot*>(memory_ + sizeof(PriceTableHeader));
        uint64_t i = hash;
        while (slots[i & places_.slot_mask].key != 0) {
            ++i;
        }
        slots[i & places_.slot_mask] = {key_of(hash, name.size()), place,
                                        place_of<ModelPrices>(places_.models, model)};
    }

private:
    template <class Type>
    static uint32_t place_of(uint32_t first, uint32_t index) {
        return first + index * static_cast<uint32_t>(sizeof(Type));
    }

    template <class Type>
    void put(uint32_t first, uint32_t index, const Type& object) {
        std::memcpy(memory_ + place_of<Type>(first, index), &object, sizeof(Type));
    }

    void put_weights(const TokenWeights& weights) { put(places_.weights, weights_++, weights); }

    char* memory_;
    Places places_;
    uint32_t weights_ = 0;
    uint32_t thresholds_ = 0;
    uint32_t models_ = 0;
    uint32_t names_ = 0;  // bytes
};

}  // namespace

/** What the table will have: its names, with the models' numbers in it, and its places. */
struct PriceBook::Plan {
    NameIndex names;
    std::vector<uint32_t> models;  // those with prices, as indices into the book's
    Places places;
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
        take_place(1, sizeof(PriceTableHeader), &bytes);
        // What has 64-bit members comes first.
        take_place(slots, sizeof(PriceSlot), &bytes);
        places.slot_mask = slots - 1;
        places.weights = take_place(rows, sizeof(TokenWeights), &bytes);
        places.thresholds = take_place(thresholds, sizeof(Amount), &bytes);
        places.models = take_place(models.size(), sizeof(ModelPrices), &bytes);
        places.names = take_place(names.names().size(), 1, &bytes);
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
    TableWriter writer(memory, plan.places);
    for (const uint32_t model : plan.models) {
        writer.model(prices_of(models_[model]));
    }
    for (const NameIndex::Entry& entry : plan.names.entries()) {
        writer.name(plan.names.name_of(entry), entry.model);
    }
    return PriceTable(memory);
}

}  // namespace ai_limit
