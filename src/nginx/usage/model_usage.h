#pragma once

// Counts what an answer used by its model (core/observe/models.h).

#include "nginx/decision/decision.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** The charges of one answer. It is counted once, however many policies charge it: in the zone of
 * the first of them. */
class ModelUsage {
public:
    /** Notes what one policy has charged. */
    void note_charge(const Charge& use, Amount amount) {
        zone_ = zone_ != nullptr ? zone_ : &use.access->journal.zone();
        if (use.limit->measure == Measure::kMoney && amount > cost_) {
            cost_ = amount;
        }
    }

    /** Counts the answer, whose `used` is what it was charged for. There was a charge. */
    void count(ngx_http_request_t* r, const TokenContext& tokens, Millis wall) const;

private:
    const Zone* zone_ = nullptr;
    Amount cost_ = 0;
};

}  // namespace ai_limit
