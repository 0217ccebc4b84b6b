#include "core/prices/price_table.h"

#include <cstring>
#include <type_traits>

#include "core/words/json_bytes.h"

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

}  // namespace

uint64_t hash_model_name(std::string_view name) {
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

__attribute__((flatten)) const ModelPrices* PriceTable::find_exactly(std::string_view name) const {
    if (name.size() > kMaxPricedName || name.empty() || memory_ == nullptr) {
        return nullptr;
    }
    const PriceTableHeader& table = header();
    const auto* slots = at<PriceSlot>(table.slots);
    const uint64_t hash = hash_model_name(name);
    const auto tag = static_cast<uint32_t>(hash >> 32);
    // At least half of the slots are empty.
    for (auto i = static_cast<uint32_t>(hash);; ++i) {
        const PriceSlot& slot = slots[i & table.slot_mask];
        if (slot.size == 0) {
            return nullptr;
        }
        if (slot.tag == tag && slot.size == name.size() &&
            std::memcmp(at<char>(table.names) + slot.name, name.data(), name.size()) == 0) {
            return at<ModelPrices>(table.models) + slot.model;
        }
    }
}

const ModelPrices* PriceTable::find(std::string_view name) const {
    if (const ModelPrices* model = find_exactly(name)) {
        return model;
    }
    const std::string_view dateless = without_date(name);
    return dateless.size() < name.size() ? find_exactly(dateless) : nullptr;
}

}  // namespace ai_limit
