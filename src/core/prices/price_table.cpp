#include "core/prices/price_table.h"

#include <type_traits>

#include "core/words/json_bytes.h"
#include "core/words/same_bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

// weigh() adds up five products of a count and a weight.
static_assert(Wide{UINT64_MAX} * kMaxPriceWeight <= ~Wide{0} / 5 - kWholeWeight);
static_assert(kPriceOfADollar * kWeightOfPrice == kWholeWeight * 1'000'000,
              "an Amount of money is a millionth of a dollar");
static_assert(std::is_trivially_copyable_v<PriceTable>);

/** Two digits, from 01 to `most`. */
bool is_number_to(std::string_view digits, int most) {
    const int number = (digits[0] - '0') * 10 + (digits[1] - '0');
    return number >= 1 && number <= most;
}

/** True for the eight digits of a day from 2000 to 2099. */
bool is_day(std::string_view digits) {
    for (const char c : digits) {
        if (!is_digit(c)) {
            return false;
        }
    }
    return digits[0] == '2' && digits[1] == '0' && is_number_to(digits.substr(4, 2), 12) &&
           is_number_to(digits.substr(6, 2), 31);
}

constexpr size_t kShortDate = 9;  // -20240806
constexpr size_t kLongDate = 11;  // -2024-08-06

bool ends_with_long_date(std::string_view name) {
    if (name.size() <= kLongDate) {
        return false;
    }
    const char* date = name.data() + name.size() - kLongDate;
    const char digits[] = {date[1], date[2], date[3], date[4], date[6], date[7], date[9], date[10]};
    return date[0] == '-' && date[5] == '-' && date[8] == '-' && is_day({digits, sizeof digits});
}

bool ends_with_short_date(std::string_view name) {
    if (name.size() <= kShortDate) {
        return false;
    }
    const std::string_view date = name.substr(name.size() - kShortDate);
    return (date[0] == '-' || date[0] == '@') && is_day(date.substr(1));
}

/** The sizes of nearly all names, for which XXH3 takes little. */
constexpr size_t kLeastUsual = 9;
constexpr size_t kMostUsual = 32;

}  // namespace

__attribute__((noinline)) uint64_t hash_model_name(std::string_view name) {
    return XXH3_64bits(name.data(), name.size());
}

std::string_view without_date(std::string_view name) {
    if (ends_with_long_date(name)) {
        name.remove_suffix(kLongDate);
    } else if (ends_with_short_date(name)) {
        name.remove_suffix(kShortDate);
    }
    return name;
}

inline const ModelPrices* PriceTable::find_hashed(std::string_view name, uint64_t hash) const {
    const auto* slots = at<PriceSlot>(sizeof(PriceTableHeader));
    const uint64_t mask = header().slot_mask;
    const uint64_t key = key_of(hash, name.size());
    // At least half of the slots are empty.
    for (uint64_t i = hash;; ++i) {
        const PriceSlot& slot = slots[i & mask];
        if (slot.key == key && are_same_bytes(at<char>(slot.name), name.data(), name.size())) {
            return at<ModelPrices>(slot.model);
        }
        if (slot.key == 0) {
            return nullptr;
        }
    }
}

inline const ModelPrices* PriceTable::find_exactly(std::string_view name) const {
    if (name.empty() || name.size() > kMaxPricedName || memory_ == nullptr) {
        return nullptr;
    }
    return find_hashed(name, hash_model_name(name));
}

__attribute__((noinline)) const ModelPrices* PriceTable::find_slowly(std::string_view name) const {
    const ModelPrices* model = find_exactly(name);
    return model != nullptr ? model : find_without_date(name);
}

__attribute__((noinline)) const ModelPrices* PriceTable::find_without_date(
    std::string_view name) const {
    const std::string_view dateless = without_date(name);
    return dateless.size() < name.size() ? find_exactly(dateless) : nullptr;
}

uint64_t PriceTable::number_of(std::string_view name) const {
    if (find_exactly(name) != nullptr) {
        return hash_model_name(name);
    }
    return find_without_date(name) != nullptr ? hash_model_name(without_date(name)) : 0;
}

const ModelPrices* PriceTable::find_by_number(uint64_t number) const {
    if (memory_ == nullptr || number == 0) {
        return nullptr;
    }
    const auto* slots = at<PriceSlot>(sizeof(PriceTableHeader));
    const uint64_t mask = header().slot_mask;
    for (uint64_t i = number; slots[i & mask].key != 0; ++i) {
        const PriceSlot& slot = slots[i & mask];
        const size_t size = slot.key & UINT32_MAX;
        if (slot.key == key_of(number, size) &&
            hash_model_name({at<char>(slot.name), size}) == number) {
            return at<ModelPrices>(slot.model);
        }
    }
    return nullptr;
}

// It calls nothing before it returns, so it saves no registers. They are a fifth of its
// instructions.
__attribute__((flatten)) const ModelPrices* PriceTable::find(std::string_view name) const {
    if (name.size() < kLeastUsual || name.size() > kMostUsual || memory_ == nullptr) {
        return find_slowly(name);
    }
    const ModelPrices* model = find_hashed(name, XXH3_64bits(name.data(), name.size()));
    return model != nullptr ? model : find_without_date(name);
}

}  // namespace ai_limit
