#include "nginx/conf/policy_words.h"

#include "core/limits/rate.h"
#include "core/sharers/part.h"
#include "core/words/number.h"

namespace ai_limit {

const char* parse_limit(const PolicyConf& policy, std::string_view text, Limit* limit) {
    if (policy.has_concurrency) {
        Amount slots = 0;
        if (!read_whole(text, kMaxAmount, &slots)) {
            return "expected a whole number";
        }
        *limit = concurrency_limit(slots);
        return nullptr;
    }
    Rate rate;
    if (const char* error = parse_rate(text, &rate)) {
        return error;
    }
    if (rate.measure == Measure::kMoney && !policy.has_prices) {
        return "a rate in usd needs ai_limit_prices";
    }
    Amount burst = 0;
    if (!amount_of(policy.burst, rate.measure, &burst)) {
        return "the policy's burst= is no whole number of what the rate counts";
    }
    const char* error = make_limit(policy.algorithm, rate, burst, policy.time_zone, limit);
    limit->by_wall = policy.limit.by_wall;
    return error;
}

bool parse_reserve(std::string_view text, Reserve* reserve, WrittenAmount* amount) {
    constexpr std::string_view kAutoUpTo = "auto:";
    if (text == "auto") {
        *reserve = Reserve::kAuto;
        *amount = kAnyAmount;
    } else if (text.substr(0, kAutoUpTo.size()) == kAutoUpTo) {
        *reserve = Reserve::kAuto;
        Amount tokens = 0;
        return read_amount(text.substr(kAutoUpTo.size()), amount) &&
               amount_of(*amount, Measure::kTokens, &tokens);
    } else if (text == "max") {
        *reserve = Reserve::kMax;
    } else if (text == "off") {
        *reserve = Reserve::kOff;
    } else if (read_amount(text, amount)) {
        *reserve = Reserve::kAmount;
    } else {
        return false;
    }
    return true;
}

bool parse_sharer_weight(std::string_view text, uint32_t* weight) {
    Amount number = 0;
    if (!read_whole(text, kMaxAmount, &number) || number == 0 || number > kMaxSharerWeight) {
        return false;
    }
    *weight = static_cast<uint32_t>(number);
    return true;
}

bool parse_sync(ngx_str_t text, Syncing* syncing) {
    if (view(text) == "off" || view(text) == "strict") {
        *syncing = {view(text) == "off" ? Sync::kOff : Sync::kStrict, 0};
        return true;
    }
    ngx_int_t interval = ngx_parse_time(&text, 0);
    *syncing = {Sync::kEvery, interval};
    return interval >= kShortestInterval && interval <= kLongestInterval;
}

}  // namespace ai_limit
