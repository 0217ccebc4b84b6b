#pragma once

// Charges a client once for an answer that it fetches again by its id
// (core/zone/charged_answers.h).

#include "core/zone/charged_answers.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** Begins to look for the id in an answer that the server may keep; leaves any other alone.
 * NGX_ERROR without memory. */
ngx_int_t watch_answer_id(ngx_http_request_t* r, TokenContext* tokens);

/** Finds out which clients of an answer that is settled have been charged for it before. */
class ChargedOnce {
public:
    ChargedOnce(const TokenContext& tokens);

    /** The part of the answer that a client was charged before. */
    struct Before {
        bool all = false;
        ChargedPart part;  // by estimate, where `all` is false
    };

    /**
     * Returns what the client with this key was charged before. Only an answer that is fetched can
     * have been charged. Notes what the client has been charged now: all, if the answer reports its
     * usage, otherwise the estimate.
     */
    Before charge(const ZoneConf& zone, std::string_view key);

private:
    struct Client {
        const ZoneConf* zone;
        uint64_t hash;
        Before before;
    };

    Before look_up(const ZoneConf& zone, uint64_t hash) const;

    std::string_view id_;  // empty: the answer is not kept
    bool fetches_;
    bool reports_;
    bool estimated_;
    TokenCounts used_;
    size_t count_ = 0;
    Client clients_[kMaxSetPolicies];  // those seen so far; more are looked up again
};

}  // namespace ai_limit
