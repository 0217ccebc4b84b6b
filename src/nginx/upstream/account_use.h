#pragma once

// A request's use of accounts at providers: the limits that are known when it comes, and what its
// answer tells. An account is a key of a policy with rate=upstream.

#include "core/upstream/account.h"
#include "nginx/conf/upstream_conf.h"
#include "nginx/request/request_context.h"

namespace ai_limit {

/** One account that a request uses. It lies in the request's memory. */
struct AccountUse {
    AccountUse* next;
    const UpstreamConf* upstream;
    uint64_t hash;                // of the account's key
    ngx_http_upstream_t* before;  // nginx's upstream when the request was sent
    uint8_t uri_changes;          // r->uri_changes then: each redirect changes it
    bool is_sent;                 // its answer is awaited
    SentRequest sent;
};

/**
 * Puts the limit of a part of an account into `ask`, which comes with what the policy always asks
 * for. NGX_DECLINED if nothing is known of that part, so that it does not apply. NGX_ERROR without
 * memory. `hash`: of the account's key. The part for cooldowns must be asked for first. It always
 * applies, and demands nothing if there is no cooldown.
 */
ngx_int_t read_account_limit(ngx_http_request_t* r, const PolicyConf& policy, uint64_t hash,
                             Ask* ask);

/** Gives a charge that has not passed the limit that is known by now. */
void renew_account_limit(ngx_http_request_t* r, const PolicyConf& policy, Charge* charge);

/** Returns the milliseconds until a request may try after a cooldown, or until the answer of the
 * one that tries is likely. `charge`: of the part for cooldowns. `now`: monotonic. */
Millis until_try(const PolicyConf& policy, const Charge& charge, Millis now);

/** Notes that a request has passed a decision, and is sent to its accounts. */
void note_sent(ngx_http_request_t* r, RequestContext* context, const Decision& one);

/** Notes that the request is refused, and therefore not sent to any account. */
void forget_sent(const RequestContext& context);

/** Takes in what the answer of an upstream server tells about the accounts that the request was
 * sent to since. Does nothing if there is no answer, or if it came from nginx's cache. */
void hear_answer(ngx_http_request_t* r, const RequestContext& context);

/** The same before a request is sent to another upstream server, after which nobody waits for the
 * answer of the one before. */
void end_answer(ngx_http_request_t* r, const RequestContext& context);

}  // namespace ai_limit
