// Tells a client its own limits. Nothing is charged, marked or counted for that.

#include "nginx/api/self.h"

#include "clock.h"
#include "core/decide/sharer.h"
#include "core/json/json_writer.h"
#include "nginx/api/api_output.h"
#include "nginx/api/api_policies.h"
#include "nginx/conf/conf_words.h"
#include "nginx/conf/live.h"
#include "nginx/decision/report.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_key.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

constexpr size_t kMaxRowJson = 512;
constexpr size_t kMaxRows = 2 * kMaxSetPolicies;

/** A policy that would apply to the client's requests. */
struct Row {
    const PolicyConf* policy;
    ngx_str_t key;
    uint64_t hash;  // of the key
    Limit limit;    // of this client
    bool in_redis;  // Redis is asked for it
    Description said;
};

struct SelfAnswer {
    size_t count;
    size_t next;  // the row that Redis is asked for
    RedisKey in_redis;
    Row rows[kMaxRows];
};

/** Describes the row's key as the headers of an answer do it. */
ngx_int_t describe_here(ngx_http_request_t* r, const Ask& ask, Row* row) {
    const LivePolicy& live = *row->policy->live;
    PolicyCharge charge;
    Charge reservation;
    SharerCharge shared;
    begin_charge(&charge, ask, row->hash);
    if (is_settled(ask.limit->measure)) {
        Ask reserved = live.reservation;
        reserved.cost = 0;
        begin_charge(&reservation, reserved, row->hash);
        charge.reservation = &reservation;
    }
    if (row->policy->sharer != nullptr) {
        Sharer sharer{};
        if (read_sharer(r, *row->policy, &sharer) != NGX_OK) {
            return NGX_ERROR;
        }
        begin_charge(&shared, live.sharer, hash_sharer(charge.use.tag, sharer.hash), sharer.weight,
                     charge.use);
        charge.sharer = &shared;
    }
    const Now now = now_by_nginx();
    look_at_charges(&charge, 1, now);
    row->said = describe_charge(charge, *row->policy, now);
    return NGX_OK;
}

/** Adds the row of a policy, if it would apply. A row of a policy in Redis is described later. */
ngx_int_t add_row(ngx_http_request_t* r, const PolicyConf& policy, SelfAnswer* self) {
    Row* row = &self->rows[self->count];
    // The limits of a provider's account are no client's own.
    if (!policy.live->usable || policy.dry_run || policy.after_body || policy.upstream != nullptr) {
        return NGX_OK;
    }
    if (evaluate(r, &policy.key, &row->key) != NGX_OK) {
        return NGX_ERROR;
    }
    if (row->key.len == 0) {
        return NGX_OK;
    }
    Ask ask = policy.live->ask;
    row->policy = &policy;
    row->hash = hash_key(ask.access->journal.zone(), view(row->key));
    const ngx_int_t rc = read_values(r, &policy, view(row->key), row->hash, &ask);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }
    // Redis knows the parts of sharers over all nodes, and only tells them to a request that takes.
    const bool is_shared = policy.in_redis && policy.sharer != nullptr;
    if (is_shared && !passes_by_share(policy, ask)) {
        return NGX_OK;
    }
    ask.cost = 0;
    row->limit = *ask.limit;
    row->in_redis = policy.in_redis && !is_shared;
    ++self->count;
    return row->in_redis ? NGX_OK : describe_here(r, ask, row);
}

ngx_int_t add_rows(ngx_http_request_t* r, const LocConf& conf, SelfAnswer* self) {
    if (conf.shown == nullptr || conf.dry_run) {
        return NGX_OK;
    }
    for (const PolicySet* set : {&conf.shown->preaccess, &conf.shown->access}) {
        for (ngx_uint_t i = 0; i < set->count; ++i) {
            if (add_row(r, *set->policies[i], self) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }
    return NGX_OK;
}

ngx_int_t send_rows(ngx_http_request_t* r, const SelfAnswer& self) {
    ApiOutput output(r);
    TextWriter out = output.begin((self.count + 1) * kMaxRowJson);
    JsonWriter json(out);
    json.open('{');
    json.open("policies", '[');
    for (size_t i = 0; i < self.count; ++i) {
        const Row& row = self.rows[i];
        const Measure measure = row.limit.measure;
        json.open('{');
        json.text("policy", view(row.policy->name));
        json.amount("limit", measure, row.said.limit);
        json.amount("remaining", measure, row.said.remaining);
        json.number("reset", seconds_rounded_up(row.said.reset));
        json.text("unit", facts_of(measure).unit);
        json.close('}');
    }
    json.close(']');
    json.close('}');
    out.text("\n");
    output.end(out);
    return output.send(NGX_HTTP_OK, kJsonType);
}

ngx_int_t describe_rows_in_redis(ngx_http_request_t* r, SelfAnswer* self);

/** Describes a row by what Redis knows, or by what this node knows if Redis does not answer. */
void describe_by_look(const RedisLook* look, Row* row) {
    const KeyQuestion question = question_of(*row->policy, row->hash, &row->limit);
    KeyAnswer answer{};
    read_key(question, now_by_nginx(), &answer);
    if (look != nullptr) {
        answer =
            describe_key(row->limit, look->state, look->reserved, now_of(question, now_by_nginx()));
    }
    row->said = answer.said;
}

ngx_int_t go_on(ngx_http_request_t* r, void* data, const RedisLook* look) {
    SelfAnswer* self = static_cast<SelfAnswer*>(data);
    describe_by_look(look, &self->rows[self->next++]);
    return describe_rows_in_redis(r, self);
}

/** Asks Redis for the rows one after the other, and sends the answer behind the last one. */
ngx_int_t describe_rows_in_redis(ngx_http_request_t* r, SelfAnswer* self) {
    for (; self->next < self->count; ++self->next) {
        Row* row = &self->rows[self->next];
        const PolicyConf& policy = *row->policy;
        if (!row->in_redis) {
            continue;
        }
        const KeyQuestion question = question_of(policy, row->hash, &row->limit);
        KeyAnswer here{};
        read_key(question, now_by_nginx(), &here);
        const Zone& zone = question.access->journal.zone();
        self->in_redis = {&row->limit, &zone, question.use, {}, here.state};
        const ngx_int_t rc = look_in_redis(r, view(policy.name), view(row->key), row->hash,
                                           &self->in_redis, false, go_on, self);
        if (rc != NGX_DECLINED) {
            return rc;
        }
        row->said = here.said;
    }
    return send_rows(r, *self);
}

ngx_int_t handle(ngx_http_request_t* r) noexcept {
    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return add_api_header(r, "Allow", "GET, HEAD") == NGX_OK
                   ? send_api_error(r, NGX_HTTP_NOT_ALLOWED, "no such method here")
                   : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    SelfAnswer* self = static_cast<SelfAnswer*>(ngx_pcalloc(r->pool, sizeof(SelfAnswer)));
    if (self == nullptr || add_rows(r, *loc_conf(r), self) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return describe_rows_in_redis(r, self);
}

}  // namespace

char* ngx_http_ai_limit_self(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    ngx_http_core_loc_conf_t* core = static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    if (loc->is_self) {
        return const_cast<char*>("is duplicate");
    }
    loc->is_self = true;
    loc->self_position = position_of(cf);
    core->handler = handle;
    return NGX_CONF_OK;
}

}  // namespace ai_limit
