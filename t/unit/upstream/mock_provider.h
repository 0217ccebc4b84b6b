#pragma once

// A provider with quotas by the minute, as OpenAI and Anthropic have them: token buckets, headers
// on every answer, 429 with a retry-after.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/upstream/provider_answer.h"

namespace ai_limit {

/** A bucket that refills continuously. */
class ProviderBucket {
public:
    explicit ProviderBucket(double limit) : limit_(limit), left_(limit) {}

    void advance(Millis now) {
        left_ = std::min(limit_, left_ + limit_ * static_cast<double>(now - at_) / kMinute);
        at_ = now;
    }

    bool has(double amount) const { return left_ >= amount; }
    void take(double amount) { left_ -= amount; }

    ToldQuota told() const {
        const double reset = (limit_ - left_) / limit_ * kMinute;
        return {static_cast<Amount>(limit_), static_cast<Amount>(std::max(left_, 0.0)), true,
                static_cast<Millis>(std::ceil(reset)), kNotTold};
    }

    /** Milliseconds until the amount can be had. */
    Millis until(double amount) const {
        return static_cast<Millis>(std::ceil((amount - left_) / limit_ * kMinute));
    }

private:
    static constexpr double kMinute = 60'000;
    double limit_;
    double left_;
    Millis at_ = 0;
};

/** The answer to one request. */
struct MockAnswer {
    unsigned status;
    ProviderAnswer told;
};

class MockProvider {
public:
    MockProvider(double requests, double tokens) : requests_(requests), tokens_(tokens) {}

    /** A request arrives; `tokens` are what it will use in the end. */
    MockAnswer ask(double tokens, Millis now) {
        constexpr unsigned kOk = 200;
        constexpr unsigned kTooMany = 429;
        requests_.advance(now);
        tokens_.advance(now);
        const bool passes = requests_.has(1) && tokens_.has(tokens);
        MockAnswer answer{passes ? kOk : kTooMany, {}};
        answer.told.retry_after = kNotTold;
        if (passes) {
            requests_.take(1);
            tokens_.take(tokens);
        } else {
            // Whole seconds, rounded up, as in Retry-After.
            const Millis wait = std::max(requests_.until(1), tokens_.until(tokens));
            answer.told.retry_after = (wait + 999) / 1000 * 1000;
        }
        answer.told.quotas[static_cast<size_t>(QuotaKind::kRequests)] = requests_.told();
        answer.told.quotas[static_cast<size_t>(QuotaKind::kTokens)] = tokens_.told();
        return answer;
    }

private:
    ProviderBucket requests_;
    ProviderBucket tokens_;
};

}  // namespace ai_limit
