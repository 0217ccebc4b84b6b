#include "nginx/directives/policy_parameters.h"

#include "core/counts/token_weights.h"
#include "core/sharers/part.h"
#include "core/words/number.h"
#include "nginx/conf/conf_words.h"
#include "nginx/conf/policy_words.h"
#include "nginx/conf/upstream_conf.h"

namespace ai_limit {

namespace {

char* read_variable(ngx_conf_t* cf, ngx_str_t value, Text** text) {
    *text = allocate<Text>(cf);
    if (*text == nullptr || compile_text(cf, &value, *text) != NGX_OK) {
        return error_result();
    }
    return NGX_CONF_OK;
}

/** Writes ", expected a, b or c" with the names that algorithm= can have. */
void write_expected_algorithms(TextWriter& text) {
    size_t left = 0;
    for (const AlgorithmFacts& facts : kAlgorithmFacts) {
        left += facts.is_chosen ? 1 : 0;
    }
    text.text(", expected ");
    for (const AlgorithmFacts& facts : kAlgorithmFacts) {
        if (facts.is_chosen) {
            --left;
            text.text(facts.name);
            text.text(left > 1 ? ", " : left == 1 ? " or " : "");
        }
    }
}

constexpr Amount kMostHeadroom = 90;
constexpr uint32_t kLongestQueue = 1'000'000;
constexpr Millis kLongestTurnWait = 3'600'000;

/** Reads a whole number with or without a "%". */
bool read_percentage(ngx_str_t value, Amount least, Amount most, uint32_t* percent) {
    if (value.len != 0 && value.data[value.len - 1] == '%') {
        --value.len;
    }
    Amount number = 0;
    if (!read_whole(view(value), kMaxAmount, &number) || number < least || number > most) {
        return false;
    }
    *percent = static_cast<uint32_t>(number);
    return true;
}

}  // namespace

char* read_key(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "empty key in", word, ", expected key=$ai_limit_client, for example");
    }
    return compile_text(cf, &value, &reader->policy->key) == NGX_OK ? NGX_CONF_OK : error_result();
}

char* read_rate(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->has_rate = true;
    reader->policy->limit_text = value;
    if (value.len > 1 && value.data[0] == '$' && value.data[1] >= '0' && value.data[1] <= '9') {
        return mistake(cf, "invalid rate", word, ", expected dollars as in 2usd/d");
    }
    if (has_variables(value)) {
        return read_variable(cf, value, &reader->policy->variable);
    }
    if (view(value) == "upstream") {
        reader->policy->upstream = allocate<UpstreamConf>(cf);
        return reader->policy->upstream != nullptr ? NGX_CONF_OK : error_result();
    }
    if (const char* error = parse_rate(view(value), &reader->rate)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_policy: invalid rate \"%V\": %s", &word,
                           error);
        return error_result();
    }
    if (reader->rate.quota == 0) {
        return mistake(cf, "a rate of nothing in", word, ", use \"deny all\" to refuse everything");
    }
    return NGX_CONF_OK;
}

char* read_concurrency(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    PolicyConf* policy = reader->policy;
    policy->has_concurrency = true;
    policy->limit_text = value;
    if (has_variables(value)) {
        return read_variable(cf, value, &policy->variable);
    }
    Amount slots = 0;
    if (!read_whole(view(value), kMaxAmount, &slots) || slots == 0) {
        return mistake(cf, "invalid value", word, ", expected a whole number above zero");
    }
    policy->limit = concurrency_limit(slots);
    return NGX_CONF_OK;
}

char* read_algorithm(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    for (const AlgorithmFacts& facts : kAlgorithmFacts) {
        if (facts.is_chosen && facts.name == view(value)) {
            reader->policy->algorithm = facts.algorithm;
            return NGX_CONF_OK;
        }
    }
    char buffer[256];
    TextWriter expected(buffer, sizeof(buffer) - 1);
    write_expected_algorithms(expected);
    buffer[expected.view().size()] = '\0';
    return mistake(cf, "unknown algorithm", word, buffer);
}

char* read_burst(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->burst_text = value;
    if (!read_amount(view(value), &reader->policy->burst) ||
        reader->policy->burst.millionths == 0) {
        return mistake(cf, "invalid value", word, kExpectedBurst);
    }
    return NGX_CONF_OK;
}

char* read_cost(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (has_variables(value)) {
        return read_variable(cf, value, &reader->policy->cost_variable);
    }
    if (!read_whole(view(value), kMaxAmount, &reader->policy->cost)) {
        return mistake(cf, "invalid value", word, ", expected a whole number");
    }
    return NGX_CONF_OK;
}

char* read_reserve(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    PolicyConf* policy = reader->policy;
    if (has_variables(value)) {
        policy->reserve = Reserve::kVariable;
        return read_variable(cf, value, &policy->reserve_variable);
    }
    if (!parse_reserve(view(value), &policy->reserve, &policy->reserve_amount)) {
        return mistake(cf, "invalid value", word, kExpectedReserve);
    }
    return NGX_CONF_OK;
}

char* read_overrun(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (view(value) != "debt" && view(value) != "cut") {
        return mistake(cf, "invalid value", word, ", expected overrun=debt or overrun=cut");
    }
    reader->policy->overrun = view(value) == "cut" ? Overrun::kCut : Overrun::kDebt;
    return NGX_CONF_OK;
}

char* read_count(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->count_text = value;
    if (has_variables(value)) {
        return read_variable(cf, value, &reader->policy->weights_variable);
    }
    if (const char* error = parse_token_weights(view(value), &reader->policy->weights)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_policy: invalid value \"%V\": %s", &word,
                           error);
        return error_result();
    }
    return NGX_CONF_OK;
}

char* read_time_zone(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->time_zone_text = value;
    if (!parse_time_zone(view(value), &reader->policy->time_zone)) {
        return mistake(cf, "invalid time zone", word, ", expected tz=+HH:MM or tz=-HH:MM");
    }
    return NGX_CONF_OK;
}

char* read_phase(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (view(value) != "access" && view(value) != "preaccess") {
        return mistake(cf, "invalid value", word, ", expected phase=access or phase=preaccess");
    }
    reader->policy->preaccess = view(value) == "preaccess";
    return NGX_CONF_OK;
}

char* read_sync(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (!parse_sync(value, &reader->policy->syncing)) {
        return mistake(cf, "invalid value", word,
                       ", expected sync=strict, sync=off or a time from 1ms to 10s");
    }
    return NGX_CONF_OK;
}

char* read_zone_of_policy(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "empty zone name in", word);
    }
    reader->policy->zone_name = value;
    return NGX_CONF_OK;
}

char* read_dry_run(ngx_conf_t*, ngx_str_t, ngx_str_t, PolicyReader* reader) {
    reader->policy->dry_run = true;
    return NGX_CONF_OK;
}

char* read_wait(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    const ngx_int_t wait = ngx_parse_time(&value, 0);
    if (wait == NGX_ERROR || wait > kLongestTurnWait) {
        return mistake(cf, "invalid value", word,
                       ", expected a time up to 1h, such as 500ms or 10s");
    }
    reader->policy->wait = wait;
    reader->policy->wait_text = wait != 0 ? value : ngx_str_t{};
    return NGX_CONF_OK;
}

char* read_queue(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    Amount queue = 0;
    if (!read_whole(view(value), kLongestQueue, &queue) || queue == 0) {
        return mistake(cf, "invalid value", word, ", expected a whole number from 1 to 1000000");
    }
    reader->policy->queue = static_cast<uint32_t>(queue);
    return NGX_CONF_OK;
}

char* read_share(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (!has_variables(value)) {
        return mistake(cf, "no variable in", word,
                       ", expected share=$ai_limit_client, for example: who shares the key");
    }
    return read_variable(cf, value, &reader->policy->sharer);
}

char* read_headroom(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    return read_percentage(value, 0, kMostHeadroom, &reader->headroom)
               ? NGX_CONF_OK
               : mistake(cf, "invalid value", word, ", expected a percentage from 0 to 90");
}

char* read_label(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "empty label in", word, ", expected label=$customer, for example");
    }
    return read_variable(cf, value, &reader->policy->label);
}

char* read_warn(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    return read_percentage(value, 1, 100, &reader->policy->warn)
               ? NGX_CONF_OK
               : mistake(cf, "invalid value", word, ", expected a percentage from 1 to 100");
}

char* read_weight(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->weight_text = value;
    if (has_variables(value)) {
        return read_variable(cf, value, &reader->policy->weight_variable);
    }
    if (!parse_sharer_weight(view(value), &reader->policy->weight)) {
        return mistake(cf, "invalid value", word, ", expected a whole number from 1 to 1000");
    }
    return NGX_CONF_OK;
}

}  // namespace ai_limit
