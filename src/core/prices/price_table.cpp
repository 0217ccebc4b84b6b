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

/** True if all eight bytes are digits. A digit stays below 0x40 if 6 is added, and no other byte
 * with an upper half of 3 does. */
inline bool are_digits(uint64_t bytes) {
    constexpr uint64_t kUpperHalves = 0xf0f0f0f0f0f0f0f0;
    return (bytes & (bytes + 0x0606060606060606) & kUpperHalves) == 0x3030303030303030;
}

/** Two digits, from 01 to `most`. */
inline bool is_number_to(const char* digits, int most) {
    const int number = (digits[0] - '0') * 10 + (digits[1] - '0');
    return number >= 1 && number <= most;
}

/** True for the eight digits of a day from 2000 to 2099. */
inline bool is_day(const char* digits) {
    return are_digits(load_word(digits)) && digits[0] == '2' && digits[1] == '0' &&
           is_number_to(digits + 4, 12) && is_number_to(digits + 6, 31);
}

constexpr size_t kShortDate = 9;  // -20240806
constexpr size_t kLongDate = 11;  // -2024-08-06

/** Returns the size of the date at the end of a name; 0 if there is none. Nearly all names without
 * one are known by a byte or two. */
inline size_t date_size(std::string_view name) {
    if (name.size() <= kShortDate || !is_digit(name.back())) {
        return 0;
    }
    const char* end = name.data() + name.size();
    const char* date = end - kShortDate;
    if (end[-3] != '-') {
        return (date[0] == '-' || date[0] == '@') && is_day(date + 1) ? kShortDate : 0;
    }
    date = end - kLongDate;
    if (name.size() <= kLongDate || date[0] != '-' || date[5] != '-') {
        return 0;
    }
    const char digits[] = {date[1], date[2], date[3], date[4], date[6], date[7], date[9], date[10]};
    return is_day(digits) ? kLongDate : 0;
}

/** The sizes of nearly all names, for which XXH3 takes little. */
constexpr size_t kLeastUsual = 9;
constexpr size_t kMostUsual = 32;

}  // namespace

__attribute__((noinline)) uint64_t hash_model_name(std::string_view name) {
    return XXH3_64bits(name.data(), name.size());
}

std::string_view without_date(std::string_view name) {
    name.remove_suffix(date_size(name));
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

__attribute__((noinline, flatten)) const ModelPrices* PriceTable::find_without_date(
    std::string_view name) const {
    const size_t date = date_size(name);
    if (date == 0) {
        return nullptr;
    }
    name.remove_suffix(date);
    return name.size() >= kLeastUsual && name.size() <= kMostUsual && memory_ != nullptr
               ? find_hashed(name, XXH3_64bits(name.data(), name.size()))
               : find_exactly(name);
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
