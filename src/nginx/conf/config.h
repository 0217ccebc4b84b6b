#pragma once

// The contents of nginx.conf as the other files see them. They do not change once they are parsed
// and nginx has given its variables their meaning. State that changes while nginx runs is in
// live.h; each structure here points to its own.

#include "core/answers/usage_paths.h"
#include "core/counts/reservation.h"
#include "core/counts/token_weights.h"
#include "core/decide/admission.h"
#include "core/edits/output_fields.h"
#include "core/limits/limit.h"
#include "core/reply/error_body.h"
#include "core/reply/headers.h"
#include "core/words/amount_text.h"
#include "nginx/conf/position.h"
#include "nginx/conf/redis_conf.h"
#include "nginx/conf/text.h"
#include "ngx.h"

namespace ai_limit {

struct LivePolicy;  // live.h
struct LiveZone;
struct PriceConf;     // price_conf.h
struct UpstreamConf;  // upstream_conf.h

struct ZoneConf {
    ngx_str_t name;
    size_t size;  // for entries, in bytes
    OnFull on_full;
    bool small, wide, ledgers, sharers, waits, flights,
        upstreams;        // kinds of entries that its policies want
    ngx_uint_t policies;  // how many use it
    ZoneSizes sizes;
    ngx_shm_zone_t* shm;
    ngx_str_t state_path;  // with a zero behind it; empty: none
    ngx_str_t state_temp;  // what is renamed to that when it is written
    ngx_cycle_t* cycle;

    LiveZone* live;
};

/** How many tokens a policy reserves for a request that has no usage yet. */
enum class Reserve : uint8_t {
    kAuto,  // what such requests use, at most an amount for the output
    kMax,   // the most that the request asks for
    kOff,
    kAmount,
    kVariable  // holds one of the others
};

/** What becomes of a running answer that has used its reservation, if no more can be reserved. */
enum class Overrun : uint8_t {
    kDebt,  // it goes on, and what it uses beyond the limit is a debt
    kCut    // a stream ends there
};

struct PolicyConf {
    ngx_str_t name;
    Text key;
    Algorithm algorithm;
    bool has_rate, has_concurrency;
    bool preaccess;
    bool dry_run;
    Syncing syncing;
    bool in_redis;        // with other nodes, by Redis:
    bool syncs;           // it reports to them what this node lets through by itself
    bool by_share;        // which it does as far as its share goes, not only while Redis is away
    WrittenAmount burst;  // 0: the number in the rate
    Millis time_zone;
    ngx_str_t limit_text;                                           // of rate= or concurrency=
    ngx_str_t burst_text, count_text, time_zone_text, weight_text;  // empty: not written
    Limit limit;                                                    // where `variable` is null
    Limit ledger_limit;                                             // where `syncs`
    Text* variable;  // holds a rate, or the slots of a concurrency
    Amount cost;     // where `cost_variable` is null
    Text* cost_variable;
    bool may_count_tokens;   // its rate is in tokens or in money, or a variable holds it
    bool after_body;         // its key, rate, cost or sharer may depend on the request's body
    bool has_prices;         // there is an ai_limit_prices: its rate may be in money
    TokenWeights weights;    // where `weights_variable` is null
    Text* weights_variable;  // holds a count=
    Reserve reserve;
    WrittenAmount reserve_amount;  // for all (kAmount), or tokens for the output (kAuto)
    Text* reserve_variable;
    Overrun overrun;
    ngx_str_t wait_text;  // empty: not written
    Millis wait;          // requests wait so long for their turn; 0: they do not
    uint32_t queue;       // so many for one key
    Text* sharer;         // share=: who shares a key; nullptr: nobody does
    uint32_t weight;      // of each sharer, where `weight_variable` is null
    Text* weight_variable;
    UpstreamConf* upstream;  // with rate=upstream; nullptr: the limit is no provider's
    Text* label;             // label=: what is shown beside a key; nullptr: nothing
    uint32_t warn;           // percent of the limit at which keys are warned of; 0: never
    bool used;               // some ai_limit names it
    ngx_str_t zone_name;
    ZoneConf* zone;
    Position position;

    LivePolicy* live;
};

/** Neighbours in a set that have the same key in the same zone. */
struct KeyRun {
    ngx_uint_t count;  // of policies
    ngx_uint_t key;    // the first run with this key: this one or one before it
};

/** The policies of one phase of a location, in the order of the directive. */
struct PolicySet {
    const PolicyConf* policies[kMaxSetPolicies];
    ngx_uint_t count;
    KeyRun runs[kMaxSetPolicies];
    ngx_uint_t run_count;
    bool dry_run;      // one of them is on a dry run
    bool warns;        // one of them warns of keys
    bool is_unusual;   // either of that
    bool concurrency;  // one of them counts requests in flight
    bool sharers;      // one of them has keys that several share
    bool turns;        // requests may wait for their turn by one of them
    bool upstreams;    // the limit of one of them is a provider's
    bool may_wait;     // for the request's body, which one may count tokens by, or for Redis
};

/** One `ai_limit` directive. Its names are resolved once all policies are known. */
struct PolicyList {
    ngx_array_t names;  // of ngx_str_t
    Position position;
    PolicySet preaccess;
    PolicySet access;
};

struct BodyFieldsConf;  // body_field_names.h

struct MainConf {
    ngx_array_t zones;        // of ZoneConf*
    ngx_array_t policies;     // of PolicyConf*
    ngx_array_t lists;        // of PolicyList*
    ngx_array_t max_outputs;  // of MaxOutputUse
    PriceConf* prices;        // nullptr: there are none
    RedisConf* redis;         // nullptr: there is none
    Position redis_position;
    bool upstreams;                   // a policy has rate=upstream
    bool preaccess, access;           // phases that have something to do
    BodyFieldsConf* body_fields;      // nullptr: there are none
    bool body_variables;              // the configuration uses $ai_limit_model, a field or the like
    bool usage_variables;             // the configuration uses what an answer says that it used
    bool cost_variable;               // there are prices, and it uses what an answer cost
    bool api;                         // there is an ai_limit_api
    Millis day_zone;                  // the time zone by which the days of models begin,
    ngx_str_t day_zone_text;          // as it is written; empty: UTC
    bool tokens;                      // answers are of interest, to whomever
    ngx_int_t plain_header_variable;  // an $http_ variable that nobody defines
};

/** An ai_limit_max_output. Locations that inherit it share it. */
struct MaxOutputConf {
    Amount number;                // 0: what remains
    const OwnOutputField* field;  // nullptr: that of the request's API
    Position position;
    bool has_policies;  // in some location a policy in tokens or money applies with it
};

/** A location's ai_limit_max_output and its policies, which are resolved later. */
struct MaxOutputUse {
    MaxOutputConf* max_output;
    const PolicyList* list;  // nullptr: none
};

/** How the module handles an upgrade to WebSocket. */
enum class WebSocket : uint8_t {
    kByPolicies,  // refused if a policy in tokens or money applies
    kRefuse,
    kPass
};

/** How the module handles a request whose body should be read and cannot be. */
enum class UnreadableBody : uint8_t { kReject, kEstimate };

struct LocConf {
    PolicyList* list;  // null: none
    ngx_uint_t headers;
    ngx_uint_t error_format;
    ngx_uint_t status;          // of a refusal
    ngx_uint_t never_status;    // of one that waiting does not help
    ngx_uint_t blocked_status;  // of one whose limit is 0
    ngx_uint_t websocket;       // of WebSocket
    ngx_flag_t dry_run;
    ngx_uint_t log_level;
    const UsagePaths* usage;  // null: automatic
    ngx_flag_t include_usage;
    MaxOutputConf* max_output;   // null: off
    ngx_uint_t unreadable_body;  // an UnreadableBody
    // ai_limit_self shows the policies of `shown`, the location's own or inherited ones, and
    // applies none. Not inherited, like the handler that it sets.
    bool is_self;
    PolicyList* shown;  // nullptr: none
    Position self_position;
    bool api_writes;  // ai_limit_api write=on; not inherited, like the handler that it sets
    Position api_position;
};

// Beside HeaderStyles: "off", which "not said" is not, and "auto".
constexpr ngx_uint_t kHeadersOff = 1 << 8;
constexpr ngx_uint_t kHeadersAuto = 1 << 9;

constexpr ngx_uint_t kDefaultNeverStatus = NGX_HTTP_BAD_REQUEST;
constexpr ngx_uint_t kDefaultBlockedStatus = NGX_HTTP_FORBIDDEN;

/** A field of LocConf, and its value where no block around a location sets it. All have a word. */
struct LocSetting {
    size_t offset;
    ngx_uint_t preset;
};

/** The numbers and flags that a location takes over from the block around it. */
constexpr LocSetting kLocSettings[] = {
    {offsetof(LocConf, headers), header_styles(HeaderStyle::kXRateLimit)},
    {offsetof(LocConf, error_format), static_cast<ngx_uint_t>(ErrorFormat::kAuto)},
    {offsetof(LocConf, status), NGX_HTTP_TOO_MANY_REQUESTS},
    {offsetof(LocConf, never_status), kDefaultNeverStatus},
    {offsetof(LocConf, blocked_status), kDefaultBlockedStatus},
    {offsetof(LocConf, websocket), static_cast<ngx_uint_t>(WebSocket::kByPolicies)},
    {offsetof(LocConf, dry_run), 0},
    {offsetof(LocConf, log_level), NGX_LOG_ERR},
    {offsetof(LocConf, include_usage), 0},
    {offsetof(LocConf, unreadable_body), static_cast<ngx_uint_t>(UnreadableBody::kReject)},
};

inline const MainConf* main_conf(ngx_http_request_t* r) {
    return static_cast<MainConf*>(ngx_http_get_module_main_conf(r, ngx_http_ai_limit_module));
}
inline MainConf* main_conf(ngx_conf_t* cf) {
    return static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
}
inline const LocConf* loc_conf(ngx_http_request_t* r) {
    return static_cast<LocConf*>(ngx_http_get_module_loc_conf(r, ngx_http_ai_limit_module));
}

/** Returns what this worker has for ai_limit_redis; nullptr if there is none. */
inline LiveRedis* live_redis(ngx_http_request_t* r) {
    const RedisConf* redis = main_conf(r)->redis;
    return redis != nullptr ? redis->live : nullptr;
}

/** The elements of an array of pointers. */
template <typename T>
class Elements {
public:
    explicit Elements(const ngx_array_t& array)
        : first_(static_cast<T* const*>(array.elts)), count_(array.nelts) {}

    T* const* begin() const { return first_; }
    T* const* end() const { return first_ + count_; }
    T& operator[](ngx_uint_t i) const { return *first_[i]; }

private:
    T* const* first_;
    ngx_uint_t count_;
};

inline Elements<const ZoneConf> zones_of(const MainConf& conf) {
    return Elements<const ZoneConf>(conf.zones);
}
inline Elements<const PolicyConf> policies_of(const MainConf& conf) {
    return Elements<const PolicyConf>(conf.policies);
}

/** Return nullptr if there is none of that name. */
PolicyConf* find_policy(MainConf* conf, std::string_view name);
const PolicyConf* find_policy(const MainConf* conf, std::string_view name);
ZoneConf* find_zone(MainConf* conf, std::string_view name);

extern "C" {
void* ngx_http_ai_limit_create_main_conf(ngx_conf_t* cf);
void* ngx_http_ai_limit_create_loc_conf(ngx_conf_t* cf);
char* ngx_http_ai_limit_merge_loc_conf(ngx_conf_t* cf, void* parent, void* child);
}

}  // namespace ai_limit
