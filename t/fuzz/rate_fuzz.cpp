// Fuzzes the numbers, rates and time zones that the configuration and variables give.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string_view>

#include "core/limits/limit.h"
#include "core/limits/rate.h"
#include "core/words/number.h"

namespace {

using namespace ai_limit;

__extension__ typedef unsigned __int128 Wide;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

void check_rate(std::string_view text) {
    Rate rate{};
    rate.quota = 77;
    const char* error = parse_rate(text, &rate);
    if (error != nullptr) {
        require(strlen(error) > 0 && rate.quota == 77 && rate.refill_millis == 0);
        return;
    }
    require(rate.measure == Measure::kRequests || rate.measure == Measure::kTokens);
    require(rate.period.count > 0 && rate.period.unit <= PeriodUnit::kLast);
    require(rate.period_length == length_of(rate.period));
    require(rate.period_length >= 1000 && rate.period_length <= kMaxPeriod);
    require(rate.refill_millis > 0 && rate.refill_millis < uint64_t{1} << 36);
    require(rate.refill_amount < uint64_t{1} << 63);
    require(std::gcd(rate.refill_amount, rate.refill_millis) == 1);
    require(rate.quota <= kMaxAmount && (rate.quota == 0) == (rate.refill_amount == 0));

    // The refill of one period, rounded up, is the quota.
    const Wide parts = Wide{rate.refill_amount} * static_cast<uint64_t>(rate.period_length);
    require(rate.quota == (parts + rate.refill_millis - 1) / rate.refill_millis);
    require(rate.whole == (parts % rate.refill_millis == 0));

    for (const Amount burst : {Amount{0}, Amount{1}, kMaxAmount}) {
        const Limit bucket = token_bucket_limit(rate, burst);
        require(bucket.refill_amount > 0 && bucket.refill_millis > 0 && bucket.fills_in >= 0);
        require(bucket.capacity <= kMaxAmount && (bucket.capacity == 0) == (rate.quota == 0));
    }
    Limit window{};
    const bool wanted = rate.whole && rate.quota <= kMaxSlidingQuota;
    require((make_limit(Algorithm::kSlidingWindow, rate, 0, 0, &window) == nullptr) == wanted);
    require(!wanted || window.capacity == rate.quota);
}

void check_time_zone(std::string_view text) {
    Millis offset = 1;
    if (!parse_time_zone(text, &offset)) {
        require(offset == 1);
        return;
    }
    require(text.size() == 6 && offset % 60'000 == 0);
    require(offset >= -14 * 3'600'000 && offset <= 14 * 3'600'000);
    require(text[0] == '+' ? offset >= 0 : offset <= 0);
}

void check_whole(std::string_view text) {
    for (const Amount max : {Amount{0}, Amount{1}, Amount{255}, kMaxAmount, Amount{UINT64_MAX}}) {
        Amount value = UINT64_MAX;
        const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
        require(read_whole(text, max, &value) == is_number);
        if (!is_number) {
            require(value == UINT64_MAX);
            continue;
        }
        const Amount most = max < kMaxAmount ? max : kMaxAmount;
        Wide expected = 0;
        for (const char c : text) {
            expected = expected * 10 + static_cast<Wide>(c - '0');
            expected = expected < most ? expected : Wide{most};
        }
        require(value == expected);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_rate(text);
    check_time_zone(text);
    check_whole(text);
    return 0;
}
