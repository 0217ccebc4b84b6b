#include "core/upstream/provider_answer.h"

#include <algorithm>

#include "core/upstream/time_text.h"
#include "core/words/ascii_case.h"
#include "core/words/number.h"
#include "core/words/optional_space.h"

namespace ai_limit {

namespace {

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;

struct HeaderRow {
    std::string_view name;  // in lower case
    QuotaKind kind;
    QuotaPart part;
};

// Quotas by the day or the month that have headers beside those by the minute (Cerebras, Mistral)
// are left out: what an account has left of a minute decides in nearly all cases.
constexpr HeaderRow kHeaders[] = {
    // OpenAI, Azure, Groq and many others
    {"x-ratelimit-limit-requests", QuotaKind::kRequests, QuotaPart::kLimit},
    {"x-ratelimit-remaining-requests", QuotaKind::kRequests, QuotaPart::kRemaining},
    {"x-ratelimit-reset-requests", QuotaKind::kRequests, QuotaPart::kReset},
    {"x-ratelimit-limit-tokens", QuotaKind::kTokens, QuotaPart::kLimit},
    {"x-ratelimit-remaining-tokens", QuotaKind::kTokens, QuotaPart::kRemaining},
    {"x-ratelimit-reset-tokens", QuotaKind::kTokens, QuotaPart::kReset},
    // Mistral
    {"x-ratelimit-limit-req-minute", QuotaKind::kRequests, QuotaPart::kLimit},
    {"x-ratelimit-remaining-req-minute", QuotaKind::kRequests, QuotaPart::kRemaining},
    // Cerebras
    {"x-ratelimit-limit-requests-minute", QuotaKind::kRequests, QuotaPart::kLimit},
    {"x-ratelimit-remaining-requests-minute", QuotaKind::kRequests, QuotaPart::kRemaining},
    {"x-ratelimit-reset-requests-minute", QuotaKind::kRequests, QuotaPart::kReset},
    // both
    {"x-ratelimit-limit-tokens-minute", QuotaKind::kTokens, QuotaPart::kLimit},
    {"x-ratelimit-remaining-tokens-minute", QuotaKind::kTokens, QuotaPart::kRemaining},
    {"x-ratelimit-reset-tokens-minute", QuotaKind::kTokens, QuotaPart::kReset},
    // Anthropic
    {"anthropic-ratelimit-requests-limit", QuotaKind::kRequests, QuotaPart::kLimit},
    {"anthropic-ratelimit-requests-remaining", QuotaKind::kRequests, QuotaPart::kRemaining},
    {"anthropic-ratelimit-requests-reset", QuotaKind::kRequests, QuotaPart::kReset},
    {"anthropic-ratelimit-tokens-limit", QuotaKind::kTokens, QuotaPart::kLimit},
    {"anthropic-ratelimit-tokens-remaining", QuotaKind::kTokens, QuotaPart::kRemaining},
    {"anthropic-ratelimit-tokens-reset", QuotaKind::kTokens, QuotaPart::kReset},
    {"anthropic-ratelimit-input-tokens-limit", QuotaKind::kInputTokens, QuotaPart::kLimit},
    {"anthropic-ratelimit-input-tokens-remaining", QuotaKind::kInputTokens, QuotaPart::kRemaining},
    {"anthropic-ratelimit-input-tokens-reset", QuotaKind::kInputTokens, QuotaPart::kReset},
    {"anthropic-ratelimit-output-tokens-limit", QuotaKind::kOutputTokens, QuotaPart::kLimit},
    {"anthropic-ratelimit-output-tokens-remaining", QuotaKind::kOutputTokens,
     QuotaPart::kRemaining},
    {"anthropic-ratelimit-output-tokens-reset", QuotaKind::kOutputTokens, QuotaPart::kReset},
};

/**
 * Returns the period in which the limit comes back, by the time in which the part that is used
 * does. `used` is rounded up to whole requests, so that the period is at least this long. Providers
 * count by the minute or by the day: what differs from both by far is nonsense, and the minute,
 * which refuses least, stands in for it.
 */
Millis period_of(Amount limit, Amount used, Millis reset) {
    if (used == 0 || reset <= 0) {
        return kNotTold;
    }
    __extension__ typedef unsigned __int128 Wide;
    const Wide period = Wide{static_cast<uint64_t>(reset)} * limit / used;
    return period > 2 * kMinute && period <= 2 * kDay ? (period <= 2 * kHour ? kHour : kDay)
                                                      : kMinute;
}

/** Reads a wait in milliseconds that is worth the name. */
Millis read_wait_millis(std::string_view text) {
    Millis wait = 0;
    // A plain number is read as seconds.
    return read_duration(text, &wait) && wait > 0 ? std::max<Millis>(wait / 1000, 1) : kNotTold;
}

Millis read_wait(std::string_view text, Millis now) {
    Millis wait = 0;
    return read_time_until(text, now, &wait) && wait > 0 ? wait : kNotTold;
}

ToldQuota read_quota(const std::string_view* parts, Millis now) {
    const auto part = [&](QuotaPart one) { return parts[static_cast<size_t>(one)]; };
    ToldQuota quota{};
    quota.reset = kNotTold;
    quota.period = kMinute;
    if (!read_whole(part(QuotaPart::kLimit), kMaxAmount, &quota.limit) || quota.limit == 0) {
        return {0, 0, false, kNotTold, kMinute};
    }
    quota.has_remaining = read_whole(part(QuotaPart::kRemaining), kMaxAmount, &quota.remaining);
    quota.remaining = std::min(quota.remaining, quota.limit);
    if (!read_time_until(part(QuotaPart::kReset), now, &quota.reset)) {
        quota.reset = kNotTold;
    }
    return quota;
}

}  // namespace

void ProviderHeaders::read(std::string_view name, std::string_view value) {
    value = trim_optional_space(value);
    for (const HeaderRow& row : kHeaders) {
        if (is_same(name, row.name)) {
            quotas_[static_cast<size_t>(row.kind)][static_cast<size_t>(row.part)] = value;
            return;
        }
    }
    if (is_same(name, "retry-after-ms")) {
        retry_after_ms_ = value;
    } else if (is_same(name, "retry-after")) {
        retry_after_ = value;
    } else if (is_same(name, "date")) {
        read_time(value, &date_);
    }
}

ProviderAnswer ProviderHeaders::answer() const {
    ProviderAnswer answer{};
    for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
        answer.quotas[kind] = read_quota(quotas_[kind], date_);
    }
    // Beside these, Anthropic's limit of all tokens stands for one or the other of them.
    if (answer.quotas[static_cast<size_t>(QuotaKind::kInputTokens)].limit != 0 ||
        answer.quotas[static_cast<size_t>(QuotaKind::kOutputTokens)].limit != 0) {
        answer.quotas[static_cast<size_t>(QuotaKind::kTokens)].limit = 0;
        answer.quotas[static_cast<size_t>(QuotaKind::kTokens)].has_remaining = false;
    }
    // Tokens have limits by the minute everywhere, requests by the day with some.
    ToldQuota* requests = &answer.quotas[static_cast<size_t>(QuotaKind::kRequests)];
    requests->period =
        period_of(requests->limit, requests->limit - requests->remaining, requests->reset);
    answer.retry_after = read_wait_millis(retry_after_ms_);
    if (answer.retry_after == kNotTold) {
        answer.retry_after = read_wait(retry_after_, date_);
    }
    return answer;
}

Millis read_retry_info(std::string_view body) {
    constexpr std::string_view kName = "\"retryDelay\"";
    constexpr std::string_view kBetween = " \t\r\n:";
    size_t at = body.find(kName);
    if (at == std::string_view::npos) {
        return kNotTold;
    }
    body.remove_prefix(at + kName.size());
    at = body.find_first_not_of(kBetween);
    if (at == std::string_view::npos || body[at] != '"') {
        return kNotTold;
    }
    body.remove_prefix(at + 1);
    const size_t end = body.find('"');
    Millis wait = 0;
    return end != std::string_view::npos && read_duration(body.substr(0, end), &wait) && wait > 0
               ? wait
               : kNotTold;
}

}  // namespace ai_limit
