#include "nginx/upstream/account_use.h"

#include <new>

#include "clock.h"
#include "core/policies/policies.h"
#include "nginx/conf/conf_words.h"

namespace ai_limit {

namespace {

const PolicyConf& requests_of(const UpstreamConf& upstream) {
    return *upstream.parts[static_cast<size_t>(QuotaKind::kRequests)];
}

Journal* journal_of(const UpstreamConf& upstream) {
    return &requests_of(upstream).zone->live->access.journal;
}

uint64_t account_tag(const UpstreamConf& upstream, uint64_t hash) {
    return tag_of(hash, requests_of(upstream).live->ask.policy);
}

UpstreamAccount* account_of(const UpstreamConf& upstream, uint64_t hash) {
    return find_account(journal_of(upstream)->zone(), account_tag(upstream, hash));
}

/** False if the zone has no room for one of the parts: then nothing is known of any account. */
bool is_usable(const UpstreamConf& upstream) {
    for (const PolicyConf* part : upstream.parts) {
        if (!part->live->usable) {
            return false;
        }
    }
    return true;
}

AccountPolicies policies_of(const UpstreamConf& upstream) {
    AccountPolicies policies{};
    for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
        policies.quotas[kind] = upstream.parts[kind]->live->ask.policy;
    }
    policies.cooldown = upstream.parts[kCooldownPart]->live->ask.policy;
    return policies;
}

AccountUse* find_use(const RequestContext& context, const UpstreamConf& upstream, uint64_t hash) {
    for (AccountUse* use = context.accounts; use != nullptr; use = use->next) {
        if (use->upstream == &upstream && use->hash == hash && !use->is_sent) {
            return use;
        }
    }
    return nullptr;
}

AccountUse* begin_use(ngx_http_request_t* r, RequestContext* context, const UpstreamConf& upstream,
                      uint64_t hash) {
    void* memory = ngx_pcalloc(r->pool, sizeof(AccountUse));
    if (memory == nullptr) {
        return nullptr;
    }
    AccountUse* use = new (memory) AccountUse{};
    use->next = context->accounts;
    use->upstream = &upstream;
    use->hash = hash;
    context->accounts = use;
    UpstreamAccount* account = account_of(upstream, hash);
    use->sent.is_uncounted =
        account != nullptr && takes_uncounted_try(account, now_by_nginx().monotonic);
    return use;
}

/** A limit that refuses nothing, for a cost of 0. */
const Limit& open_limit() {
    static const Limit open = [] {
        Rate rate{};
        parse_rate("1r/s", &rate);
        return token_bucket_limit(rate, kMaxAmount);
    }();
    return open;
}

/** Without a cooldown, nothing is charged or reported. */
void ask_cooldown(const UpstreamAccount* account, const PolicyConf& policy, Ask* ask) {
    const bool closed = account != nullptr && is_cooling(*account);
    ask->limit = closed ? &policy.live->limit : &open_limit();
    ask->cost = closed ? 1 : 0;
    ask->dry_run = !closed || policy.dry_run;
}

/** NGX_DECLINED if nothing is known of the quota. */
ngx_int_t read_quota(ngx_http_request_t* r, const UpstreamAccount& account,
                     const PolicyConf& policy, const Limit** limit) {
    Limit known{};
    if (!make_quota_limit(account, kind_of(policy), policy.upstream->headroom, &known)) {
        return NGX_DECLINED;
    }
    // A request that waits asks again and again: it has memory for its limit already.
    const bool has_own = *limit != &policy.live->limit;
    Limit* own = has_own ? const_cast<Limit*>(*limit)
                         : static_cast<Limit*>(ngx_palloc(r->pool, sizeof(Limit)));
    if (own == nullptr) {
        return NGX_ERROR;
    }
    *own = known;
    note_limit(policy.live->ask.access->journal.zone(), policy.live->ask.policy, own);
    *limit = own;
    return NGX_OK;
}

void note_sent_quotas(const Decision& one, const UpstreamAccount& account, AccountUse* use) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyConf& policy = *one.parts[i].policy;
        const Charge& charge = one.charges[i].use;
        if (policy.upstream == use->upstream && is_learned(policy) &&
            charge.verdict == Verdict::kPassed) {
            note_sent_quota(account, kind_of(policy), used(*charge.limit, charge.state),
                            charge.cost, &use->sent);
        }
    }
}

void read_headers(const ngx_list_t& list, ProviderHeaders* headers) {
    for (const ngx_list_part_t* part = &list.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* elements = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            headers->read(view(elements[i].key), view(elements[i].value));
        }
    }
}

/** True if the request's upstream server has answered, and not nginx for it. */
bool has_answer(ngx_http_request_t* r) {
#if (NGX_HTTP_CACHE)
    if (r->cached) {
        return false;
    }
#endif
    return r->upstream != nullptr && r->upstream->headers_in.status_n != 0;
}

/** Looks for the wait of a refusal in the part of its body that came with its head: Gemini writes
 * no header for it. */
Millis wait_in_body(const ngx_http_upstream_t& upstream) {
    const ngx_buf_t& came = upstream.buffer;
    if (came.pos == nullptr || came.last <= came.pos) {
        return kNotTold;
    }
    return read_retry_info(
        {reinterpret_cast<char*>(came.pos), static_cast<size_t>(came.last - came.pos)});
}

ProviderAnswer read_answer(const ngx_http_upstream_t& upstream) {
    ProviderHeaders headers(now_by_nginx().wall);
    read_headers(upstream.headers_in.headers, &headers);
    ProviderAnswer answer = headers.answer();
    const auto status = static_cast<unsigned>(upstream.headers_in.status_n);
    if (answer.retry_after == kNotTold && is_provider_refusal(status)) {
        answer.retry_after = wait_in_body(upstream);
    }
    return answer;
}

bool awaits_this(ngx_http_request_t* r, const AccountUse& use) {
    return use.is_sent && use.before != r->upstream;
}

bool has_policy_of(const PolicySet& set, const UpstreamConf* upstream) {
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        if (set.policies[i]->upstream == upstream) {
            return true;
        }
    }
    return false;
}

/** True if the request's location sends to accounts of this policy. */
bool is_sent_from_here(ngx_http_request_t* r, const UpstreamConf* upstream) {
    const PolicyList* list = loc_conf(r)->list;
    return list != nullptr &&
           (has_policy_of(list->preaccess, upstream) || has_policy_of(list->access, upstream));
}

/** False if what led the request here is certainly not error_page, but try_files for example.
 * With recursive_error_pages, nginx does not always note it. */
bool may_come_from_error_page(ngx_http_request_t* r) {
    const auto* conf = static_cast<const ngx_http_core_loc_conf_t*>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    return r->error_page || r->err_status != 0 || conf->recursive_error_pages;
}

/** True if the request was refused before it was sent, such as by auth_request, and error_page led
 * it to a location that is not of the account. */
bool was_never_sent(ngx_http_request_t* r, const AccountUse& use) {
    return use.before == r->upstream && use.uri_changes != r->uri_changes &&
           may_come_from_error_page(r) && !is_sent_from_here(r, use.upstream);
}

void hear_for(const AccountUse& use, const ProviderAnswer& told, unsigned status) {
    Journal* journal = journal_of(*use.upstream);
    UpstreamAccount* account = account_of(*use.upstream, use.hash);
    if (journal->is_open() && account != nullptr) {
        const AccountPolicies policies = policies_of(*use.upstream);
        hear(journal, account,
             {use.hash, &policies, &use.sent, &told, status, use.upstream->headroom},
             now_by_nginx());
    }
}

}  // namespace

ngx_int_t read_account_limit(ngx_http_request_t* r, const PolicyConf& policy, uint64_t hash,
                             Ask* ask) {
    RequestContext* context = find_context(r);
    const UpstreamConf& upstream = *policy.upstream;
    if (!is_usable(upstream)) {
        return NGX_DECLINED;
    }
    const UpstreamAccount* account = account_of(upstream, hash);
    const AccountUse* use = find_use(*context, upstream, hash);
    if (is_cooldown(policy)) {
        ask_cooldown(account, policy, ask);
        return use != nullptr || begin_use(r, context, upstream, hash) != nullptr ? NGX_OK
                                                                                  : NGX_ERROR;
    }
    return account == nullptr || use == nullptr || use->sent.is_uncounted
               ? NGX_DECLINED
               : read_quota(r, *account, policy, &ask->limit);
}

void renew_account_limit(ngx_http_request_t* r, const PolicyConf& policy, Charge* charge) {
    const UpstreamAccount* account = account_of(*policy.upstream, hash_of(*charge));
    if (is_cooldown(policy)) {
        ask_cooldown(account, policy, charge);
    } else if (account != nullptr) {
        read_quota(r, *account, policy, &charge->limit);
    }
}

Millis until_try(const PolicyConf& policy, const Charge& charge, Millis now) {
    constexpr Millis kLikelyAnswer = 20;
    const UpstreamAccount* account = account_of(*policy.upstream, hash_of(charge));
    const Millis until =
        account != nullptr ? account->cooling_until.load(std::memory_order_relaxed) - now : 0;
    return ngx_max(until, kLikelyAnswer);
}

void note_sent(ngx_http_request_t* r, RequestContext* context, const Decision& one) {
    const Millis now = now_by_nginx().monotonic;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyConf& policy = *one.parts[i].policy;
        if (!is_cooldown(policy)) {
            continue;
        }
        const UpstreamConf& upstream = *policy.upstream;
        AccountUse* use = find_use(*context, upstream, hash_of(one.charges[i].use));
        UpstreamAccount* account =
            use == nullptr
                ? nullptr
                : use_account(journal_of(upstream)->zone(), account_tag(upstream, use->hash),
                              requests_of(upstream).live->ask.policy,
                              {view(one.parts[i].key), !has_variables(policy.key.source)}, now);
        if (account == nullptr) {
            continue;
        }
        const bool is_uncounted = use->sent.is_uncounted;
        begin_sent(account, now, &use->sent);
        use->sent.is_uncounted = is_uncounted;
        note_sent_quotas(one, *account, use);
        use->before = r->upstream;
        use->uri_changes = static_cast<uint8_t>(r->uri_changes);
        use->is_sent = true;
    }
}

void forget_sent(const RequestContext& context) {
    for (AccountUse* use = context.accounts; use != nullptr; use = use->next) {
        use->is_sent = false;
    }
}

void hear_answer(ngx_http_request_t* r, const RequestContext& context) {
    if (context.accounts == nullptr || !has_answer(r)) {
        return;
    }
    const ProviderAnswer told = read_answer(*r->upstream);
    for (AccountUse* use = context.accounts; use != nullptr; use = use->next) {
        if (awaits_this(r, *use)) {
            hear_for(*use, told, static_cast<unsigned>(r->upstream->headers_in.status_n));
            use->is_sent = false;
        }
    }
}

void end_answer(ngx_http_request_t* r, const RequestContext& context) {
    hear_answer(r, context);
    for (AccountUse* use = context.accounts; use != nullptr; use = use->next) {
        use->is_sent = use->is_sent && !awaits_this(r, *use) && !was_never_sent(r, *use);
    }
}

}  // namespace ai_limit
