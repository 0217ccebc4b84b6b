#pragma once

// What the answer of a provider tells about the quotas of the account that asked.
//
// Providers: OpenAI, Azure, Groq and others write x-ratelimit-*-requests and -tokens; Mistral and
// Cerebras name the minute in the headers; Anthropic has names of its own. Gemini and Bedrock tell
// nothing but that they refuse.

#include <string_view>

#include "core/limits/quota_kind.h"
#include "core/words/types.h"

namespace ai_limit {

/** A length of time that an answer does not tell. */
constexpr Millis kNotTold = -1;

/** One quota as an answer tells it. */
struct ToldQuota {
    Amount limit;      // 0: not told
    Amount remaining;  // at most the limit
    bool has_remaining;
    Millis reset;   // until all of it remains again; kNotTold if that is not told
    Millis period;  // in which the limit comes back; kNotTold if that is not told
};

/** What one answer tells. */
struct ProviderAnswer {
    ToldQuota quotas[kQuotaKinds];
    Millis retry_after;  // kNotTold, or what a refusal asks to wait
};

/** The parts of a quota that have headers of their own. */
enum class QuotaPart : uint8_t { kLimit, kRemaining, kReset, kLast = kReset };
constexpr size_t kQuotaParts = static_cast<size_t>(QuotaPart::kLast) + 1;

/** Reads the headers of one answer, one by one, and then what they tell together. */
class ProviderHeaders {
public:
    /** `wall`: our own time, for an answer without a date. */
    explicit ProviderHeaders(Millis wall) : date_(wall) {}

    /** Reads one header. The texts must last until answer(). */
    void read(std::string_view name, std::string_view value);

    /** Returns what the headers tell. Nonsense is left out. */
    ProviderAnswer answer() const;

private:
    std::string_view quotas_[kQuotaKinds][kQuotaParts];
    std::string_view retry_after_ms_;
    std::string_view retry_after_;
    Millis date_;  // of the answer: points in time are by the clock of the provider
};

/** True if an answer with this status refuses for want of quota or of capacity. */
constexpr bool is_provider_refusal(unsigned status) {
    constexpr unsigned kTooManyRequests = 429;
    constexpr unsigned kUnavailable = 503;
    constexpr unsigned kOverloaded = 529;  // Anthropic's
    return status == kTooManyRequests || status == kUnavailable || status == kOverloaded;
}

/**
 * Finds the `retryDelay` of a RetryInfo in the body of a refusal, or in its beginning
 * (google.rpc.RetryInfo, which Gemini writes). Returns kNotTold if there is none.
 */
Millis read_retry_info(std::string_view body);

}  // namespace ai_limit
