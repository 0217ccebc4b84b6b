// /keys: one key of one policy.

#include "clock.h"
#include "core/buckets/period_entries.h"
#include "core/json/json_writer.h"
#include "core/keys/key_entry.h"
#include "core/learn/habits.h"
#include "core/observe/top_keys.h"
#include "core/policies/overrides.h"
#include "core/policies/policies.h"
#include "core/turns/queue.h"
#include "core/words/query.h"
#include "core/words/shown_key.h"
#include "nginx/api/api_output.h"
#include "nginx/api/api_policies.h"
#include "nginx/api/api_resources.h"
#include "nginx/conf/live.h"
#include "nginx/conf/policy_words.h"
#include "nginx/conf/upstream_conf.h"
#include "nginx/overrides/shared_overrides.h"
#include "nginx/sharing/redis_key.h"
#include "nginx/values/policy_values.h"
#include "zone_lock.h"

namespace ai_limit {

namespace {

constexpr size_t kMaxKeyJson = 8 * 1024;
constexpr size_t kMaxKey = 4096;
constexpr time_t kLongestTime = time_t{366} * 24 * 3600;

/** A request for a key: the question, and the policy and zone that it is for. */
struct KeyRequest {
    Query query;
    const PolicyConf* policy;
    std::string_view key;
    KeyQuestion question;
    uint64_t override_tag;
    std::string_view rate;  // what PUT sets: the limit, as it was written and read, and how long
    Limit limit;
    Millis lasts;
    RedisKey in_redis;  // of a policy that nodes share
    Limit redis_limit;
    bool was_overridden;  // by what all nodes knew

    const Zone& zone() const { return policy->zone->live->access.journal.zone(); }
    uint64_t tag() const { return tag_of(question.hash, question.use); }
};

void write_override(const OverrideView& found, JsonWriter& json) {
    json.open("override", '{');
    json.text("rate", found.rate_text());
    json.number("expires_in", seconds_rounded_up(found.expires_in));
    json.close('}');
}

void write_head(const KeyRequest& asked, JsonWriter& json) {
    char buffer[kMaxShownKey];
    TextWriter shown(buffer, sizeof(buffer));
    write_shown_key(asked.key, shown);
    json.open('{');
    json.text("policy", view(asked.policy->name));
    json.text("key", shown.view());
    ShownLabel label;
    if (find_label(*asked.policy->live->top_keys, asked.tag(), &label)) {
        json.text("label", label.view());
    }
}

/** Reads what is counted for the key. Returns false if that is nothing. `look` is Redis's reply
 * about the key, or nullptr to read this node's count. */
bool find_answer(const KeyRequest& asked, const RedisLook* look, KeyAnswer* answer) {
    bool present = read_key(asked.question, now_by_nginx(), answer);
    if (look == nullptr) {
        return present;
    }
    *answer = describe_key(answer->limit, look->state, look->reserved,
                           now_of(asked.question, now_by_nginx()));
    return answer->used != 0 || answer->reserved != 0;
}

/** Writes what was learned for the key, over all models. */
void write_learned(const KeyRequest& asked, JsonWriter& json) {
    Habit habit{};
    if (!read_habit(asked.zone(), {asked.question.hash, 0}, &habit)) {
        return;
    }
    json.open("learned", '{');
    if (habit.answers != 0) {
        json.number("output", usual_output(habit));
    }
    if (habit.ratio != 0) {
        json.thousandths("input_ratio", uint64_t{habit.ratio} * 1000 / kWholeRatio);
    }
    json.close('}');
}

ngx_int_t send_key(ngx_http_request_t* r, KeyRequest* asked, const RedisLook* look = nullptr) {
    OverrideView found;
    bool overridden = find_override_in_force(*asked->policy, asked->override_tag, &found);
    if (overridden) {
        asked->question.limit = &found.limit;
    }
    KeyAnswer answer{};
    if (!find_answer(*asked, look, &answer) && !overridden) {
        return send_api_error(r, NGX_HTTP_NOT_FOUND, "nothing is counted for this key");
    }
    note_room(asked->zone(), asked->tag());
    ApiOutput output(r);
    TextWriter out = output.begin(kMaxKeyJson);
    JsonWriter json(out);
    write_head(*asked, json);
    json.text("measure", facts_of(answer.limit.measure).name);
    const Measure measure = answer.limit.measure;
    json.amount("limit", measure, answer.said.limit);
    json.amount("remaining", measure, answer.said.remaining);
    json.number("reset", seconds_rounded_up(answer.said.reset));
    json.amount("used", measure, answer.used);
    if (asked->question.reservation != 0) {
        json.amount("reserved", measure, answer.reserved);
        write_learned(*asked, json);
    }
    if (overridden) {
        write_override(found, json);
    }
    json.close('}');
    out.text("\n");
    output.end(out);
    return output.send(NGX_HTTP_OK, kJsonType);
}

bool remove_override_of(const KeyRequest& asked) {
    ZoneLock lock(*asked.policy->zone->shm);
    return remove_override(asked.zone(), asked.override_tag, now_by_nginx().monotonic);
}

ngx_int_t send_forgotten(ngx_http_request_t* r, const KeyRequest& asked) {
    ApiOutput output(r);
    TextWriter out = output.begin(kMaxKeyJson);
    JsonWriter json(out);
    write_head(asked, json);
    json.truth("forgotten", true);
    json.close('}');
    out.text("\n");
    output.end(out);
    return output.send(NGX_HTTP_OK, kJsonType);
}

/** `was_used`: elsewhere. */
ngx_int_t forget_here(ngx_http_request_t* r, KeyRequest* asked, bool was_used) {
    bool overridden = remove_override_of(*asked) || asked->was_overridden;
    // Requests in flight are not forgotten: they end by themselves.
    bool forgotten = !asked->policy->has_concurrency && forget_key(asked->question);
    if (!forgotten && !overridden && !was_used) {
        return send_api_error(r, NGX_HTTP_NOT_FOUND, "nothing is counted for this key");
    }
    return send_forgotten(r, *asked);
}

ngx_int_t send_redis_key(ngx_http_request_t* r, void* data, const RedisLook* look) {
    return send_key(r, static_cast<KeyRequest*>(data), look);
}

ngx_int_t forget_redis_key(ngx_http_request_t* r, void* data, const RedisLook* look) {
    KeyRequest* asked = static_cast<KeyRequest*>(data);
    if (look == nullptr) {
        return send_api_error(
            r, NGX_HTTP_SERVICE_UNAVAILABLE,
            asked->was_overridden
                ? "Redis does not answer: try again, the key has the policy's limit again, but "
                  "what "
                  "it has used is not forgotten"
                : "Redis does not answer: try again, other nodes know of this key");
    }
    return forget_here(r, asked, look->is_used);
}

/** Asks Redis first, which knows what all nodes have counted. */
ngx_int_t ask_redis(ngx_http_request_t* r, KeyRequest* asked, bool forgets) {
    OverrideView found;
    KeyAnswer here{};
    if (find_override_in_force(*asked->policy, asked->override_tag, &found)) {
        asked->redis_limit = found.limit;
        asked->question.limit = &asked->redis_limit;
    }
    read_key(asked->question, now_by_nginx(), &here);
    asked->redis_limit = here.limit;
    asked->in_redis = {&asked->redis_limit, &asked->zone(), asked->question.use, {}, here.state};
    KeyThen then = forgets ? forget_redis_key : send_redis_key;
    ngx_int_t rc = look_in_redis(r, view(asked->policy->name), asked->key, asked->question.hash,
                                 &asked->in_redis, forgets, then, asked);
    return rc == NGX_DECLINED ? then(r, asked, nullptr) : rc;
}

/** Redis may have the change all the same if its answer does not come: nodes that share the policy
 * then have it, this one included. */
ngx_int_t send_no_answer(ngx_http_request_t* r, bool was_asked) {
    return send_api_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                          was_asked ? "Redis does not answer: try again, the change is in force on "
                                      "all nginx that share the policy, or on none"
                                    : "Redis is not there: try again, nothing has changed");
}

/** All nodes forget the key's other limit; then they forget what it has used. */
ngx_int_t forget_removed(ngx_http_request_t* r, void* data, const OverrideAnswer* answer) {
    KeyRequest* asked = static_cast<KeyRequest*>(data);
    if (answer == nullptr) {
        return send_no_answer(r, true);
    }
    asked->was_overridden = remove_override_of(*asked) || answer->was_set;
    return asked->policy->has_concurrency ? forget_here(r, asked, false)
                                          : ask_redis(r, asked, true);
}

ngx_int_t forget(ngx_http_request_t* r, KeyRequest* asked) {
    OverrideView found;
    bool is_known =
        find_override(asked->zone(), asked->override_tag, now_by_nginx().monotonic, &found);
    if (asked->policy->has_concurrency && !is_known) {
        return send_api_error(r, NGX_HTTP_BAD_REQUEST,
                              "requests in flight end by themselves, they cannot be forgotten by",
                              view(asked->policy->name));
    }
    if (!asked->policy->in_redis) {
        return forget_here(r, asked, false);
    }
    WantedChange removal = {
        asked->policy, asked->key, asked->question.hash, is_known ? found.expires_in : 0, {}};
    ngx_int_t rc = change_override(r, removal, forget_removed, asked);
    return rc == NGX_DECLINED ? send_no_answer(r, false) : rc;
}

/** Reads rate= and ttl=; returns what is wrong, or nullptr. */
const char* read_wish(KeyRequest* asked) {
    std::string_view* rate = &asked->rate;
    Limit* limit = &asked->limit;
    std::string_view text;
    if (!asked->query.get("rate", rate) || !asked->query.get("ttl", &text)) {
        return "rate= and ttl= are needed, such as rate=600r/m and ttl=1h";
    }
    if (rate->size() > kMaxRateText) {
        return "rate= is too long";
    }
    const PolicyConf& policy = *asked->policy;
    if (const char* error = parse_limit(policy, *rate, limit)) {
        return error;
    }
    if (is_settled(limit->measure) && !policy.may_count_tokens) {
        return limit->measure == Measure::kMoney
                   ? "rate= is in usd, but the policy counts requests"
                   : "rate= is in tokens, but the policy counts requests";
    }
    if (policy.variable == nullptr && limit->measure != policy.limit.measure) {
        return policy.limit.measure == Measure::kMoney
                   ? "rate= has another unit than the policy: it is in usd, such as 20usd/d"
                   : "rate= has another unit than the policy";
    }
    ngx_str_t time = to_ngx(text);
    time_t seconds = text.empty() ? NGX_ERROR : ngx_parse_time(&time, 1);
    if (seconds == NGX_ERROR || seconds <= 0 || seconds > kLongestTime) {
        return "ttl= is no time from 1s to 366d, such as 90s, 15m or 1h";
    }
    asked->lasts = Millis{seconds} * 1000;
    return nullptr;
}

/** keep_window() of the key that is asked for. If a variable holds its limit, the window is known
 * once the key is counted here. */
bool keep_redis_window(KeyRequest* asked) {
    Limit own = asked->policy->live->limit;
    if (asked->policy->variable != nullptr) {
        KeyAnswer here{};
        if (!read_key(asked->question, now_by_nginx(), &here)) {
            return true;
        }
        own = here.limit;
    }
    return keep_window(own, &asked->limit);
}

ngx_int_t send_full(ngx_http_request_t* r) {
    return send_api_error(r, NGX_HTTP_CONFLICT,
                          "there are 256 overrides in this zone already, delete one first");
}

bool has_room_here(const KeyRequest& asked) {
    ZoneLock lock(*asked.policy->zone->shm);
    return has_room_for_override(asked.zone(), asked.override_tag, now_by_nginx().monotonic);
}

ngx_int_t override_here(ngx_http_request_t* r, KeyRequest* asked) {
    Millis now = now_by_nginx().monotonic;
    note_limit(asked->zone(), asked->question.use, &asked->limit);
    log_too_many_periods(*asked->policy, r->connection->log);
    bool is_set = false;
    {
        ZoneLock lock(*asked->policy->zone->shm);
        is_set = set_override(asked->zone(),
                              {asked->override_tag, asked->question.use, &asked->limit, asked->rate,
                               asked->key, now + asked->lasts},
                              now);
    }
    if (!is_set) {
        return send_full(r);
    }
    note_room(asked->zone(), asked->tag());
    return send_key(r, asked);
}

/** Redis has it, and so have the other nodes soon. */
ngx_int_t override_answered(ngx_http_request_t* r, void* data, const OverrideAnswer* answer) {
    KeyRequest* asked = static_cast<KeyRequest*>(data);
    if (answer == nullptr) {
        return send_no_answer(r, true);
    }
    if (answer->is_full) {
        return send_api_error(r, NGX_HTTP_CONFLICT,
                              "Redis has no room for another override before some end: deleted "
                              "ones take room until they would have ended");
    }
    return override_here(r, asked);
}

ngx_int_t override_limit(ngx_http_request_t* r, KeyRequest* asked) {
    if (const char* error = read_wish(asked)) {
        return send_api_error(r, NGX_HTTP_BAD_REQUEST, error);
    }
    if (!asked->policy->in_redis) {
        return override_here(r, asked);
    }
    if (!keep_redis_window(asked)) {
        return send_api_error(r, NGX_HTTP_CONFLICT,
                              "several nginx share this policy, and a rate= with another period "
                              "would forget what the key has used: use the policy's period");
    }
    if (!has_room_here(*asked)) {
        return send_full(r);
    }
    WantedChange wanted = {asked->policy, asked->key, asked->question.hash, asked->lasts,
                           asked->rate};
    ngx_int_t rc = change_override(r, wanted, override_answered, asked);
    return rc == NGX_DECLINED ? send_no_answer(r, false) : rc;
}

/** The arguments of every method; those of PUT are known to all, so that they are seen at once
 * where they do not belong. */
ngx_int_t read_request(ngx_http_request_t* r, KeyRequest* asked) {
    static constexpr std::string_view kForReading[] = {"policy", "key"};
    static constexpr std::string_view kForPut[] = {"policy", "key", "rate", "ttl"};
    char* buffer = static_cast<char*>(ngx_pnalloc(r->pool, r->args.len + 1));
    if (buffer == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (const char* error = asked->query.parse(view(r->args), buffer)) {
        return send_api_error(
            r, r->args.len > kMaxQuery ? NGX_HTTP_REQUEST_URI_TOO_LARGE : NGX_HTTP_BAD_REQUEST,
            error);
    }
    std::string_view unknown = r->method & NGX_HTTP_PUT ? asked->query.unknown(kForPut)
                                                        : asked->query.unknown(kForReading);
    if (!unknown.empty()) {
        return send_api_error(r, NGX_HTTP_BAD_REQUEST, "unknown argument", unknown);
    }
    std::string_view name;
    if (!asked->query.get("policy", &name) || !asked->query.get("key", &asked->key) ||
        asked->key.empty()) {
        return send_api_error(r, NGX_HTTP_BAD_REQUEST, "policy= and key= are needed");
    }
    if (asked->key.size() > kMaxKey) {
        return send_api_error(r, NGX_HTTP_REQUEST_URI_TOO_LARGE, "key= is too long");
    }
    asked->policy = find_policy(main_conf(r), name);
    if (asked->policy == nullptr || !asked->policy->live->usable) {
        return send_api_error(r, NGX_HTTP_NOT_FOUND, "unknown policy", name);
    }
    return NGX_DECLINED;
}

}  // namespace

ngx_int_t answer_for_key(ngx_http_request_t* r) {
    KeyRequest* asked = static_cast<KeyRequest*>(ngx_pcalloc(r->pool, sizeof(KeyRequest)));
    if (asked == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = read_request(r, asked);
    if (rc != NGX_DECLINED) {
        return rc;
    }
    const PolicyConf& policy = *asked->policy;
    asked->question = question_of(
        policy, hash_key(asked->zone(), asked->key),
        policy.variable == nullptr && !is_learned(policy) ? &policy.live->limit : nullptr);
    asked->override_tag = tag_of_override(policy, asked->key, asked->question.hash);
    if (r->method & NGX_HTTP_DELETE) {
        return forget(r, asked);
    }
    if (r->method & NGX_HTTP_PUT) {
        return override_limit(r, asked);
    }
    return asked->policy->in_redis ? ask_redis(r, asked, false) : send_key(r, asked);
}

}  // namespace ai_limit
