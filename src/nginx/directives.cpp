// Reads the directives. Every mistake is told with the directive, the word and, by nginx, the line.

#include "nginx/directives.h"

#include "core/number.h"
#include "core/rate.h"
#include "nginx/config.h"

namespace ai_limit {

namespace {

char* error_result() {
    return static_cast<char*>(NGX_CONF_ERROR);
}

/** Says `<directive>: <what> "<word>"<why>`. */
char* mistake(ngx_conf_t* cf, const char* what, ngx_str_t word, const char* why = "") {
    ngx_str_t* directive = static_cast<ngx_str_t*>(cf->args->elts);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V: %s \"%V\"%s", directive, what, &word, why);
    return error_result();
}

ngx_str_t* arguments(ngx_conf_t* cf) {
    return static_cast<ngx_str_t*>(cf->args->elts) + 1;
}

ngx_uint_t argument_count(ngx_conf_t* cf) {
    return cf->args->nelts - 1;
}

Position position_of(ngx_conf_t* cf) {
    return {cf->conf_file->file.name, cf->conf_file->line};
}

/** The part behind `name=` where the word begins with that. */
bool value_of(const ngx_str_t& word, std::string_view name, ngx_str_t* value) {
    std::string_view text = view(word);
    if (text.substr(0, name.size()) != name) {
        return false;
    }
    *value = to_ngx(text.substr(name.size()));
    return true;
}

bool has_variables(const ngx_str_t& text) {
    return view(text).find('$') != std::string_view::npos;
}

/** Names end up in headers, JSON, labels and names of variables. */
bool is_name(const ngx_str_t& text) {
    for (char c : view(text)) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.') {
            return false;
        }
    }
    return text.len != 0 && text.len <= kMaxPolicyName && view(text) != "off";
}

template <typename T>
T* allocate(ngx_conf_t* cf) {
    return static_cast<T*>(ngx_pcalloc(cf->pool, sizeof(T)));
}

template <typename T>
ngx_int_t append(ngx_array_t* array, T item) {
    T* place = static_cast<T*>(ngx_array_push(array));
    if (place == nullptr) {
        return NGX_ERROR;
    }
    *place = item;
    return NGX_OK;
}

// ai_limit_zone

char* read_zone_name(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, ZoneConf* zone) {
    size_t colon = view(value).find(':');
    if (colon == std::string_view::npos || colon == 0) {
        return mistake(cf, "invalid zone", word, ", expected zone=name:size");
    }
    zone->name = to_ngx(view(value).substr(0, colon));
    ngx_str_t text = to_ngx(view(value).substr(colon + 1));
    ssize_t size = ngx_parse_size(&text);
    if (size == NGX_ERROR) {
        return mistake(cf, "invalid zone size", word, ", expected a size such as 32m");
    }
    if (size < static_cast<ssize_t>(8 * ngx_pagesize)) {
        return mistake(cf, "zone", word, " is too small");
    }
    zone->size = static_cast<size_t>(size);
    return NGX_CONF_OK;
}

char* read_on_full(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, ZoneConf* zone) {
    if (view(value) == "evict") {
        zone->on_full = OnFull::kEvict;
    } else if (view(value) == "allow") {
        zone->on_full = OnFull::kAllow;
    } else if (view(value) == "reject") {
        zone->on_full = OnFull::kReject;
    } else {
        return mistake(cf, "invalid value", word, ", expected on_full=evict, allow or reject");
    }
    return NGX_CONF_OK;
}

// ai_limit_policy: one row for each parameter

enum Parameter : unsigned {
    kKey = 1 << 0,
    kRate = 1 << 1,
    kConcurrency = 1 << 2,
    kAlgorithm = 1 << 3,
    kBurst = 1 << 4,
    kCost = 1 << 5,
    kTimeZone = 1 << 6,
    kPhase = 1 << 7,
    kZone = 1 << 8,
    kDryRun = 1 << 9,
};

/** A policy while its parameters are read. */
struct PolicyReader {
    PolicyConf* policy;
    unsigned seen;
    ngx_str_t words[10];  // by bit of Parameter, for mistakes that only show at the end
    Rate rate;
};

char* read_key(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "empty key in", word, ", expected key=$ai_limit_client, for example");
    }
    reader->policy->key_text = value;
    return compile_text(cf, &value, &reader->policy->key) == NGX_OK ? NGX_CONF_OK : error_result();
}

char* read_variable(ngx_conf_t* cf, ngx_str_t value, Text** text) {
    *text = allocate<Text>(cf);
    if (*text == nullptr || compile_text(cf, &value, *text) != NGX_OK) {
        return error_result();
    }
    return NGX_CONF_OK;
}

char* read_rate(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    reader->policy->has_rate = true;
    if (has_variables(value)) {
        return read_variable(cf, value, &reader->policy->variable);
    }
    if (const char* error = parse_rate(view(value), &reader->rate)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_policy: invalid rate \"%V\": %s", &word,
                           error);
        return error_result();
    }
    if (reader->rate.measure == Measure::kTokens) {
        return mistake(cf, "unit t is not supported by this version in", word,
                       ", use r for requests");
    }
    if (reader->rate.quota == 0) {
        return mistake(cf, "a rate of nothing in", word, ", use \"deny all\" to refuse everything");
    }
    return NGX_CONF_OK;
}

char* read_concurrency(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    PolicyConf* policy = reader->policy;
    policy->has_concurrency = true;
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
    Algorithm* algorithm = &reader->policy->algorithm;
    if (view(value) == "token_bucket") {
        *algorithm = Algorithm::kTokenBucket;
    } else if (view(value) == "sliding_window") {
        *algorithm = Algorithm::kSlidingWindow;
    } else if (view(value) == "fixed_window") {
        *algorithm = Algorithm::kFixedWindow;
    } else {
        return mistake(cf, "unknown algorithm", word,
                       ", expected token_bucket, sliding_window or fixed_window");
    }
    return NGX_CONF_OK;
}

char* read_burst(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (!read_whole(view(value), kMaxAmount, &reader->policy->burst) ||
        reader->policy->burst == 0) {
        return mistake(cf, "invalid value", word, ", expected a whole number above zero");
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

char* read_time_zone(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
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

char* read_zone_of_policy(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader) {
    if (value.len == 0) {
        return mistake(cf, "empty zone name in", word);
    }
    reader->policy->zone_name = value;
    return NGX_CONF_OK;
}

struct ParameterRow {
    std::string_view name;  // with its "="
    Parameter bit;
    char* (*read)(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
};

constexpr ParameterRow kParameters[] = {
    {"key=", kKey, read_key},
    {"rate=", kRate, read_rate},
    {"concurrency=", kConcurrency, read_concurrency},
    {"algorithm=", kAlgorithm, read_algorithm},
    {"burst=", kBurst, read_burst},
    {"cost=", kCost, read_cost},
    {"tz=", kTimeZone, read_time_zone},
    {"phase=", kPhase, read_phase},
    {"zone=", kZone, read_zone_of_policy},
};

char* note_parameter(ngx_conf_t* cf, ngx_str_t word, Parameter bit, PolicyReader* reader) {
    if (reader->seen & bit) {
        return mistake(cf, "duplicate parameter", word);
    }
    reader->seen |= bit;
    reader->words[__builtin_ctz(bit)] = word;
    return NGX_CONF_OK;
}

char* read_parameter(ngx_conf_t* cf, ngx_str_t word, PolicyReader* reader) {
    if (view(word) == "dry_run") {
        reader->policy->dry_run = true;
        return note_parameter(cf, word, kDryRun, reader);
    }
    for (const ParameterRow& row : kParameters) {
        ngx_str_t value;
        if (value_of(word, row.name, &value)) {
            char* result = note_parameter(cf, word, row.bit, reader);
            return result != NGX_CONF_OK ? result : row.read(cf, word, value, reader);
        }
    }
    return mistake(cf, "invalid parameter", word);
}

char* check_combination(ngx_conf_t* cf, const PolicyReader& reader) {
    const PolicyConf& policy = *reader.policy;
    const auto word = [&reader](Parameter bit) { return reader.words[__builtin_ctz(bit)]; };
    if (!(reader.seen & kKey)) {
        return mistake(cf, "no key= in policy", policy.name,
                       ", expected key=$ai_limit_client, for example");
    }
    if (!policy.has_rate && !policy.has_concurrency) {
        return mistake(cf, "neither rate= nor concurrency= in policy", policy.name);
    }
    if (policy.has_rate && policy.has_concurrency) {
        return mistake(cf, "rate= cannot be combined with", word(kConcurrency),
                       ", make two policies");
    }
    for (Parameter bit : {kAlgorithm, kBurst, kCost, kTimeZone}) {
        if (policy.has_concurrency && (reader.seen & bit)) {
            return mistake(cf, "concurrency= cannot be combined with", word(bit));
        }
    }
    if ((reader.seen & kBurst) && policy.algorithm != Algorithm::kTokenBucket) {
        return mistake(cf, "only a token_bucket can have", word(kBurst));
    }
    if ((reader.seen & kTimeZone) && policy.algorithm != Algorithm::kFixedWindow) {
        return mistake(cf, "only a fixed_window can have", word(kTimeZone));
    }
    return NGX_CONF_OK;
}

char* finish_policy(ngx_conf_t* cf, PolicyReader* reader) {
    PolicyConf* policy = reader->policy;
    char* result = check_combination(cf, *reader);
    if (result != NGX_CONF_OK) {
        return result;
    }
    if (policy->has_concurrency) {
        policy->algorithm = Algorithm::kConcurrency;
    } else if (policy->variable == nullptr) {
        const char* error = make_limit(policy->algorithm, reader->rate, policy->burst,
                                       policy->time_zone, &policy->limit);
        if (error != nullptr) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_policy: invalid rate \"%V\": %s",
                               &reader->words[__builtin_ctz(kRate)], error);
            return error_result();
        }
    }
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_zone(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    MainConf* main = static_cast<MainConf*>(conf);
    ZoneConf* zone = allocate<ZoneConf>(cf);
    if (zone == nullptr) {
        return error_result();
    }
    bool has_on_full = false;
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        ngx_str_t value;
        char* result;
        if (value_of(word, "zone=", &value)) {
            result = zone->name.len != 0 ? mistake(cf, "duplicate parameter", word)
                                         : read_zone_name(cf, word, value, zone);
        } else if (value_of(word, "on_full=", &value)) {
            result = has_on_full ? mistake(cf, "duplicate parameter", word)
                                 : read_on_full(cf, word, value, zone);
            has_on_full = true;
        } else {
            result = mistake(cf, "invalid parameter", word);
        }
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    if (zone->name.len == 0) {
        return mistake(cf, "no zone=name:size but", arguments(cf)[0]);
    }
    if (find_zone(main, view(zone->name)) != nullptr) {
        return mistake(cf, "duplicate zone", zone->name);
    }
    return append(&main->zones, zone) == NGX_OK ? NGX_CONF_OK : error_result();
}

char* ngx_http_ai_limit_policy(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    MainConf* main = static_cast<MainConf*>(conf);
    PolicyConf* policy = allocate<PolicyConf>(cf);
    if (policy == nullptr) {
        return error_result();
    }
    policy->name = arguments(cf)[0];
    policy->cost = 1;
    policy->position = position_of(cf);
    if (!is_name(policy->name)) {
        return mistake(cf, "invalid policy name", policy->name,
                       ", expected up to 64 letters, digits, \"_\", \"-\" and \".\", not \"off\"");
    }
    if (find_policy(main, view(policy->name)) != nullptr) {
        return mistake(cf, "duplicate policy", policy->name);
    }
    PolicyReader reader{};
    reader.policy = policy;
    for (ngx_uint_t i = 1; i < argument_count(cf); ++i) {
        char* result = read_parameter(cf, arguments(cf)[i], &reader);
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    char* result = finish_policy(cf, &reader);
    if (result != NGX_CONF_OK) {
        return result;
    }
    return append(&main->policies, policy) == NGX_OK ? NGX_CONF_OK : error_result();
}

char* ngx_http_ai_limit(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->list != NGX_CONF_UNSET_PTR) {
        return const_cast<char*>("is duplicate");
    }
    ngx_uint_t count = argument_count(cf);
    if (count == 1 && view(arguments(cf)[0]) == "off") {
        loc->list = nullptr;
        return NGX_CONF_OK;
    }
    if (count > kMaxCharges) {
        return mistake(cf, "too many policies, at most 16 fit before", arguments(cf)[kMaxCharges]);
    }
    PolicyList* list = allocate<PolicyList>(cf);
    if (list == nullptr ||
        ngx_array_init(&list->names, cf->pool, count, sizeof(ngx_str_t)) != NGX_OK) {
        return error_result();
    }
    list->position = position_of(cf);
    for (ngx_uint_t i = 0; i < count; ++i) {
        ngx_str_t name = arguments(cf)[i];
        if (view(name) == "off") {
            return mistake(cf, "policies cannot be combined with", name);
        }
        for (ngx_uint_t j = 0; j < i; ++j) {
            if (equal_ignoring_case(view(arguments(cf)[j]), view(name))) {
                return mistake(cf, "duplicate policy", name);
            }
        }
        if (append(&list->names, name) != NGX_OK) {
            return error_result();
        }
    }
    loc->list = list;
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
    return append(&main->lists, list) == NGX_OK ? NGX_CONF_OK : error_result();
}

char* ngx_http_ai_limit_headers(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->headers != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    ngx_uint_t styles = 0;
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        ngx_uint_t style = view(word) == "off" ? kHeadersOff : find_header_style(view(word));
        if (style == kNoHeaders) {
            return mistake(cf, "unknown style", word,
                           ", expected off, x-ratelimit, ietf, openai or anthropic");
        }
        if (styles & style) {
            return mistake(cf, "duplicate style", word);
        }
        styles |= style;
    }
    if ((styles & kHeadersOff) && styles != kHeadersOff) {
        return mistake(cf, "styles cannot be combined with", ngx_string("off"));
    }
    loc->headers = styles;
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_error_format(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->error_format != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    ErrorFormat format;
    if (!find_error_format(view(arguments(cf)[0]), &format)) {
        return mistake(cf, "unknown format", arguments(cf)[0],
                       ", expected json, openai, anthropic, gemini, problem or off");
    }
    loc->error_format = static_cast<ngx_uint_t>(format);
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_status(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->status != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    Amount status = 0;
    if (!read_whole(view(arguments(cf)[0]), 600, &status) || status < 400 || status > 599) {
        return mistake(cf, "invalid status", arguments(cf)[0],
                       ", expected a number from 400 to 599");
    }
    loc->status = status;
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_log_level(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    static constexpr struct {
        std::string_view name;
        ngx_uint_t level;
    } kLevels[] = {{"info", NGX_LOG_INFO},
                   {"notice", NGX_LOG_NOTICE},
                   {"warn", NGX_LOG_WARN},
                   {"error", NGX_LOG_ERR}};
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->log_level != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    for (const auto& row : kLevels) {
        if (row.name == view(arguments(cf)[0])) {
            loc->log_level = row.level;
            return NGX_CONF_OK;
        }
    }
    return mistake(cf, "unknown level", arguments(cf)[0], ", expected info, notice, warn or error");
}

}  // namespace ai_limit
