// Fuzzes the numbers, rates and time zones that the configuration and variables give.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string_view>

#include "core/limits/limit.h"
#include "core/limits/rate.h"
#include "core/words/amount_text.h"
#include "core/words/number.h"

namespace {

using namespace ai_limit;

__extension__ typedef unsigned __int128 Wide;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** The number in front of the unit, which must be read exactly: dollars as millionths of them. */
void check_number(std::string_view text, const Rate& rate) {
    Wide number = 0;
    Wide denominator = 1;
    bool behind_point = false;
    size_t at = 0;
    for (; at < text.size() && (text[at] == '.' || (text[at] >= '0' && text[at] <= '9')); ++at) {
        if (text[at] == '.') {
            behind_point = true;
            continue;
        }
        number = number * 10 + static_cast<Wide>(text[at] - '0');
        denominator *= behind_point ? 10 : 1;
    }
    const char scale = text[at];
    number *= scale == 'k' || scale == 'K' ? 1'000 : 1;
    number *= scale == 'M' ? 1'000'000 : 1;
    number *= scale == 'G' ? 1'000'000'000 : 1;
    number *= rate.measure == Measure::kMoney ? 1'000'000 : 1;
    require(rate.quota == (number + denominator - 1) / denominator);
}

/** Written amounts are read back as they were, also without the zeros at their end. */
void check_amount(std::string_view text) {
    WrittenAmount written = {77, true};
    if (!read_amount(text, &written)) {
        require(written.millionths == 77 && written.in_usd);
        return;
    }
    require(written.millionths <= kAnyAmount.millionths);
    Amount dollars = 0;
    require(amount_of(written, Measure::kMoney, &dollars) && dollars <= kMaxAmount);
    char buffer[kMaxAmountText];
    TextWriter out(buffer, sizeof(buffer));
    write_amount(Measure::kMoney, dollars, out);
    WrittenAmount again{};
    require(!out.overflowed() && read_amount(out.view(), &again) && again.millionths == dollars);
    Amount tokens = 0;
    const bool is_whole = amount_of(written, Measure::kTokens, &tokens);
    require(is_whole == (!written.in_usd && written.millionths % 1'000'000 == 0));
    require(Wide{tokens} * 1'000'000 >= written.millionths && tokens <= kMaxAmount);
}

void check_rate(std::string_view text) {
    Rate rate{};
    rate.quota = 77;
    const char* error = parse_rate(text, &rate);
    if (error != nullptr) {
        require(strlen(error) > 0 && rate.quota == 77 && rate.refill_millis == 0);
        return;
    }
    require(rate.measure == Measure::kRequests || rate.measure == Measure::kTokens ||
            rate.measure == Measure::kMoney);
    require((rate.measure == Measure::kMoney) == (text.find("usd/") != text.npos));
    check_number(text, rate);
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
    check_amount(text);
    return 0;
}
