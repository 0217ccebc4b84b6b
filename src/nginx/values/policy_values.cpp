#include "nginx/values/policy_values.h"

#include "clock.h"
#include "core/learn/habits.h"
#include "core/policies/overrides.h"
#include "core/policies/policies.h"
#include "core/words/number.h"
#include "core/words/shown_key.h"
#include "nginx/conf/policy_words.h"
#include "nginx/request/model_hash.h"
#include "nginx/request/request_body.h"
#include "nginx/upstream/account_use.h"
#include "nginx/values/request_price.h"
#include "redis/script/key_names.h"

namespace ai_limit {

namespace {

void log_mistake(ngx_http_request_t* r, const PolicyConf& policy, const char* what, ngx_str_t value,
                 const char* why) {
    uint64_t errors = count_error(policy.live->ask.access->journal.zone(), policy.live->ask.policy);
    char buffer[kMaxShownKey];
    TextWriter shown(buffer, sizeof(buffer));
    write_escaped(view(value), shown);
    ngx_str_t text = to_ngx(shown.view());
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "invalid %s \"%V\" of policy \"%V\": %s; mistakes so far: %uL", what, &text,
                  &policy.name, why, static_cast<uint64_t>(errors));
}

/** Returns the row that a text has in a memo, whatever is in it. */
template <typename Memo>
typename Memo::Row* row_for(Memo* memo, std::string_view text) {
    size_t sum = text.size();
    for (char c : text) {
        sum = sum * 31 + static_cast<unsigned char>(c);
    }
    return &memo->rows[sum % Memo::kRows];
}

/** True if the row has the value of the text, which is not empty. */
template <typename Row>
bool is_row_of(const Row& row, std::string_view text) {
    return row.size == text.size() && ngx_memcmp(row.text, text.data(), text.size()) == 0;
}

/** Remembers a text that is not too long. */
template <typename Memo, typename Value>
void remember(Memo*, typename Memo::Row* row, std::string_view text, const Value& value) {
    if (text.size() <= Memo::kLongest) {
        row->size = static_cast<u_char>(text.size());
        ngx_memcpy(row->text, text.data(), text.size());
        row->value = value;
    }
}

/** The limit is copied for the request, since a row may be another's before the request ends. */
ngx_int_t read_limit(ngx_http_request_t* r, const PolicyConf* policy, const Limit** limit) {
    ngx_str_t value;
    if (evaluate(r, policy->variable, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    if (value.len == 0) {
        return NGX_DECLINED;
    }
    Limit* own = static_cast<Limit*>(ngx_palloc(r->pool, sizeof(Limit)));
    if (own == nullptr) {
        return NGX_ERROR;
    }
    *limit = own;
    std::string_view text = view(value);
    LimitMemo::Row* row = row_for(policy->live->memo, text);
    if (is_row_of(*row, text)) {
        *own = row->value;
        return NGX_OK;
    }
    if (const char* error = parse_limit(*policy, text, own)) {
        log_mistake(r, *policy, policy->has_concurrency ? "concurrency" : "rate", value, error);
        return NGX_DECLINED;
    }
    note_limit(policy->live->ask.access->journal.zone(), policy->live->ask.policy, own);
    log_too_many_periods(*policy, r->connection->log);
    remember(policy->live->memo, row, text, *own);
    return NGX_OK;
}

ngx_int_t read_cost(ngx_http_request_t* r, const PolicyConf* policy, Amount* cost) {
    ngx_str_t value;
    if (evaluate(r, policy->cost_variable, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    *cost = 1;
    if (value.len != 0 && !read_whole(view(value), kMaxAmount, cost)) {
        log_mistake(r, *policy, "cost", value, "expected a whole number, 1 is taken");
    }
    return NGX_OK;
}

/** An empty variable says auto. */
ngx_int_t read_reserve_variable(ngx_http_request_t* r, const PolicyConf* policy, Measure measure,
                                Reserve* reserve, WrittenAmount* amount) {
    ngx_str_t value;
    if (evaluate(r, policy->reserve_variable, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    *reserve = Reserve::kAuto;
    *amount = kAnyAmount;
    Amount number = 0;
    if (value.len != 0 &&
        (!parse_reserve(view(value), reserve, amount) || !amount_of(*amount, measure, &number))) {
        log_mistake(r, *policy, "reserve", value,
                    "expected auto, auto:N, max, off or a whole number, or dollars with a rate in "
                    "usd, auto is taken");
        *reserve = Reserve::kAuto;
        *amount = kAnyAmount;
    }
    return NGX_OK;
}

/** Notes that a request's count= was malformed; false where its policy has had that noted. */
bool note_mistake_in_count(ngx_http_request_t* r, const PolicyConf& policy) {
    TokenContext* tokens = token_context(r);
    uint32_t bit = uint32_t{1} << policy.live->ask.policy % 32;
    if (tokens == nullptr || tokens->count_mistakes & bit) {
        return false;
    }
    tokens->count_mistakes |= bit;
    return true;
}

/** The key that a policy counts by, and how it reserves for the output. */
struct Reserving {
    uint64_t hash;  // of the key
    Reserve reserve;
    Amount amount;       // of a fixed reservation
    Amount most_output;  // in tokens, of one that follows from the body
};

/** Finds how a policy reserves for this request, which it counts in `measure`. */
ngx_int_t read_reserving(ngx_http_request_t* r, const PolicyConf* policy, uint64_t hash,
                         Measure measure, Reserving* reserving) {
    *reserving = {hash, policy->reserve, 0, 0};
    WrittenAmount written = policy->reserve_amount;
    if (reserving->reserve == Reserve::kVariable &&
        read_reserve_variable(r, policy, measure, &reserving->reserve, &written) != NGX_OK) {
        return NGX_ERROR;
    }
    // With a rate of a variable, a constant may be of another unit: then it is rounded up.
    amount_of(written, measure, &reserving->amount);
    amount_of(written, Measure::kTokens, &reserving->most_output);
    return NGX_OK;
}

/** Finds what the request will probably use, by its body and by what was learned. */
ngx_int_t expect(ngx_http_request_t* r, const PolicyConf* policy, const Reserving& reserving,
                 Expectation* expected) {
    const RequestInfo* info = read_request_info(r);
    TokenContext* tokens = find_token_context(r);
    if (info == nullptr || tokens == nullptr) {
        return NGX_ERROR;
    }
    const Amount prompt = info->prompt_estimate();
    AskedOutput asked{};
    asked.is_limited = info->most_output(&asked.most);
    if (reserving.reserve == Reserve::kAuto) {
        const Zone& zone = policy->live->ask.access->journal.zone();
        const HabitOwner owner = {reserving.hash, model_hash(tokens, zone)};
        *expected = expect_use(zone, owner, info->streams(), prompt, asked, reserving.most_output,
                               &tokens->habit);
        return NGX_OK;
    }
    *expected = {prompt, prompt, asked.is_limited ? asked.most : 0};
    expected->is_most = reserving.reserve == Reserve::kMax;
    return NGX_OK;
}

ngx_int_t reserve_by_body(ngx_http_request_t* r, const PolicyConf* policy,
                          const Reserving& reserving, const Limit& limit, Amount* reserved) {
    Expectation expected{};
    if (expect(r, policy, reserving, &expected) != NGX_OK) {
        return NGX_ERROR;
    }
    TokenContext* tokens = find_token_context(r);
    tokens->reserves_by_body = true;
    tokens->reserved_output = ngx_max(tokens->reserved_output, expected.output);
    tokens->reserved_input = ngx_max(tokens->reserved_input, expected.input);
    *reserved = reservation(expected, *read_weights(r, policy, limit), limit.capacity);
    return NGX_OK;
}

/** Takes the limit that an operator has set for the key; NGX_DECLINED if there is none. */
ngx_int_t read_override(ngx_http_request_t* r, const PolicyConf& policy, std::string_view key,
                        uint64_t hash, Ask* ask) {
    OverrideView found;
    if (!has_overrides(ask->access->journal.zone()) ||
        !find_override_in_force(policy, tag_of_override(policy, key, hash), &found)) {
        return NGX_DECLINED;
    }
    Limit* own = static_cast<Limit*>(ngx_palloc(r->pool, sizeof(Limit)));
    if (own == nullptr) {
        return NGX_ERROR;
    }
    *own = found.limit;
    ask->limit = own;
    return NGX_OK;
}

}  // namespace

bool can_have(const PolicyConf& policy, Measure measure) {
    if (policy.variable == nullptr) {
        return measure == policy.limit.measure;
    }
    return !is_settled(measure) ||
           (policy.may_count_tokens && (measure != Measure::kMoney || policy.has_prices));
}

uint64_t tag_of_override(const PolicyConf& policy, std::string_view key, uint64_t hash) {
    if (!policy.in_redis) {
        return tag_of(hash, policy.live->ask.policy);
    }
    KeyHash hashed;
    return hash_key_for_redis(key, hash, &hashed)
               ? tag_of_shared_override(policy, {hashed.text, kKeyHashLength})
               : 0;
}

uint64_t tag_of_shared_override(const PolicyConf& policy, std::string_view redis_hash) {
    const Ask& ask = policy.live->ask;
    return tag_of(hash_key(ask.access->journal.zone(), redis_hash), ask.policy);
}

bool find_override_in_force(const PolicyConf& policy, uint64_t tag, OverrideView* found) {
    const Zone& zone = policy.live->ask.access->journal.zone();
    return find_override(zone, tag, now_by_nginx().monotonic, found) &&
           can_have(policy, found->limit.measure);
}

void log_too_many_periods(const PolicyConf& policy, ngx_log_t* log) {
    if (!policy.live->has_logged_periods &&
        has_too_many_periods(policy.zone->live->access.journal.zone(), policy.live->ask.policy)) {
        policy.live->has_logged_periods = true;
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "policy \"%V\" has limits of more than %uD periods: some share a count, and "
                      "a key that changes between these may begin anew",
                      &policy.name, kMaxVariants);
    }
}

void renew_override(ngx_http_request_t* r, const PolicyConf& policy, std::string_view key,
                    Charge* charge) {
    OverrideView found;
    const bool is_set =
        has_overrides(charge->access->journal.zone()) &&
        find_override_in_force(policy, tag_of_override(policy, key, hash_of(*charge)), &found);
    if (!is_set && policy.upstream != nullptr) {
        renew_account_limit(r, policy, charge);
        return;
    }
    if (!is_set) {
        charge->limit = policy.variable == nullptr ? &policy.live->limit : charge->limit;
        return;
    }
    const bool same = charge->limit->capacity == found.limit.capacity &&
                      charge->limit->refill_amount == found.limit.refill_amount &&
                      charge->limit->refill_millis == found.limit.refill_millis;
    Limit* own = same || charge->limit->variant != found.limit.variant
                     ? nullptr
                     : static_cast<Limit*>(ngx_palloc(r->pool, sizeof(Limit)));
    if (own != nullptr) {
        *own = found.limit;
        charge->limit = own;
    }
}

ngx_int_t read_reservation(ngx_http_request_t* r, const PolicyConf* policy, uint64_t hash,
                           const Limit& limit, Amount* reserved) {
    Reserving reserving{};
    if (read_reserving(r, policy, hash, limit.measure, &reserving) != NGX_OK) {
        return NGX_ERROR;
    }
    switch (reserving.reserve) {
        case Reserve::kOff:
            *reserved = 0;
            break;
        case Reserve::kAmount:
            *reserved = ngx_min(reserving.amount, limit.capacity);
            break;
        default:
            return reserve_by_body(r, policy, reserving, limit, reserved);
    }
    return NGX_OK;
}

ngx_int_t prompt_cost(ngx_http_request_t* r, const PolicyConf* policy, uint64_t hash,
                      const Limit& limit, Amount* cost) {
    Reserving reserving{};
    Expectation expected{};
    if (read_reserving(r, policy, hash, limit.measure, &reserving) != NGX_OK ||
        expect(r, policy, reserving, &expected) != NGX_OK) {
        return NGX_ERROR;
    }
    TokenCounts counts;
    counts.input = ngx_max(expected.prompt, expected.input);
    *cost = weigh(counts, *read_weights(r, policy, limit));
    return NGX_OK;
}

const TokenWeights* read_weights(ngx_http_request_t* r, const PolicyConf* policy,
                                 const Limit& limit) {
    static constexpr TokenWeights kTotal;
    ngx_str_t value;
    TokenContext* tokens = find_token_context(r);
    if (limit.measure == Measure::kMoney && tokens != nullptr) {
        return &request_prices(r, tokens);
    }
    if (policy->weights_variable == nullptr) {
        return &policy->weights;
    }
    if (evaluate(r, policy->weights_variable, &value) != NGX_OK || value.len == 0) {
        return &kTotal;
    }
    std::string_view text = view(value);
    WeightsMemo::Row* row = row_for(policy->live->weights_memo, text);
    if (is_row_of(*row, text)) {
        return &row->value;
    }
    static TokenWeights weights;
    if (const char* error = parse_token_weights(text, &weights)) {
        if (note_mistake_in_count(r, *policy)) {
            log_mistake(r, *policy, "count", value, error);
        }
        return &kTotal;
    }
    remember(policy->live->weights_memo, row, text, weights);
    return &weights;
}

ngx_int_t read_sharer(ngx_http_request_t* r, const PolicyConf& policy, Sharer* sharer) {
    ngx_str_t text;
    if (evaluate(r, policy.sharer, &sharer->text) != NGX_OK) {
        return NGX_ERROR;
    }
    const Journal& journal = policy.live->ask.access->journal;
    sharer->hash = sharer->text.len != 0 ? hash_key(journal.zone(), view(sharer->text)) : 0;
    sharer->weight = policy.weight;
    if (policy.weight_variable == nullptr) {
        return NGX_OK;
    }
    if (evaluate(r, policy.weight_variable, &text) != NGX_OK) {
        return NGX_ERROR;
    }
    if (text.len != 0 && !parse_sharer_weight(view(text), &sharer->weight)) {
        log_mistake(r, policy, "weight", text,
                    "expected a whole number from 1 to 1000, 1 is taken");
    }
    return NGX_OK;
}

ngx_int_t read_values(ngx_http_request_t* r, const PolicyConf* policy, std::string_view key,
                      uint64_t hash, Ask* ask) {
    // An operator's limit is in force whatever the variable holds, also if that is empty.
    ngx_int_t rc = read_override(r, *policy, key, hash, ask);
    if (rc == NGX_DECLINED && policy->upstream != nullptr) {
        return read_account_limit(r, *policy, hash, ask);
    }
    if (rc == NGX_DECLINED && policy->variable != nullptr) {
        rc = read_limit(r, policy, &ask->limit);
        if (rc == NGX_DECLINED) {
            return rc;
        }
    }
    if (rc == NGX_ERROR) {
        return rc;
    }
    bool has_cost = policy->cost_variable != nullptr && !is_settled(ask->limit->measure);
    return has_cost ? read_cost(r, policy, &ask->cost) : NGX_OK;
}

}  // namespace ai_limit
