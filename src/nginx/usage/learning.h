#pragma once

// Learns from answers what requests usually use (core/learn/habits.h).

#include "core/counts/answer_cost.h"
#include "nginx/conf/live.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** Notes what the answer teaches, before it is settled. */
void note_sample(ngx_http_request_t* r, TokenContext* tokens, const AnswerFacts& facts,
                 const AnswerCost& cost);

/** Returns what a policy has reserved for the request, with what that has grown by. */
Amount reserved_until_now(const Decision& one, ngx_uint_t i);

/** Teaches the keys of one request, each once. */
class Learning {
public:
    Learning(TokenContext* tokens, Now now);

    /** Teaches the key of a charge, if the policy reserves by what was learned. */
    void teach(const PolicyConf& policy, const Charge& use) {
        // A policy that asks a variable may not have looked for a habit: it learns from each
        // answer.
        if (stands_for_ != 0 || policy.reserve == Reserve::kVariable) {
            teach_habit(policy, use);
        }
    }

private:
    void teach_habit(const PolicyConf& policy, const Charge& use);

    TokenContext* tokens_;
    Millis wall_;
    uint32_t stands_for_;  // 0: nothing is learned
    uint64_t last_key_ = 0;
    const void* last_zone_ = nullptr;
};

}  // namespace ai_limit
