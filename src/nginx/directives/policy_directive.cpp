// Reads ai_limit_policy. A new parameter is one row of kParameters, with its word, the policies
// that it is for and the function that reads it (policy_parameters.h).

#include <iterator>

#include "nginx/conf/conf_words.h"
#include "nginx/directives/directives.h"
#include "nginx/directives/foreign_words.h"
#include "nginx/directives/policy_parameters.h"
#include "nginx/directives/upstream_parts.h"

namespace ai_limit {

namespace {

/** The policies that a parameter is for. */
enum class For : uint8_t {
    kAll,
    kWaiting,       // with wait=
    kShared,        // with share=
    kUpstream,      // with rate=upstream
    kRates,         // not for concurrency=
    kRequestRates,  // for rates that count requests
    kTokenRates,
    kSettledRates,  // in tokens or in money
    kTokenBuckets,
    kFixedWindows,
};

struct ParameterRow {
    std::string_view name;  // with its "=" if a value follows
    For whom;
    char* (*read)(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
};

// Parameters that cannot be combined with others are complained about in this order.
constexpr ParameterRow kParameters[] = {
    {"key=", For::kAll, read_key},
    {"rate=", For::kAll, read_rate},
    {"concurrency=", For::kAll, read_concurrency},
    {"algorithm=", For::kRates, read_algorithm},
    {"burst=", For::kTokenBuckets, read_burst},
    {"cost=", For::kRequestRates, read_cost},
    {"tz=", For::kFixedWindows, read_time_zone},
    {"reserve=", For::kSettledRates, read_reserve},
    {"overrun=", For::kSettledRates, read_overrun},
    {"count=", For::kTokenRates, read_count},
    {"wait=", For::kAll, read_wait},
    {"queue=", For::kWaiting, read_queue},
    {"share=", For::kAll, read_share},
    {"weight=", For::kShared, read_weight},
    {"headroom=", For::kUpstream, read_headroom},
    {"label=", For::kAll, read_label},
    {"warn=", For::kAll, read_warn},
    {"phase=", For::kAll, read_phase},
    {"zone=", For::kAll, read_zone_of_policy},
    {"sync=", For::kAll, read_sync},
    {"dry_run", For::kAll, read_dry_run},
};

constexpr size_t kParameterCount = std::size(kParameters);

/** The parameters of a policy as they were written, for mistakes that only show at the end. */
class WrittenParameters {
public:
    /** Notes the parameter of this row; false if it was there before. */
    bool add(size_t row, ngx_str_t word) {
        bool is_new = words_[row].len == 0;
        words_[row] = word;
        return is_new;
    }

    /** The word of the first parameter that is for such policies; empty if there is none. */
    ngx_str_t first_for(For whom) const {
        for (size_t row = 0; row < kParameterCount; ++row) {
            if (kParameters[row].whom == whom && words_[row].len != 0) {
                return words_[row];
            }
        }
        return {};
    }

    /** The word of the first parameter that is not for a number of slots. */
    ngx_str_t first_of_rate() const {
        for (size_t row = 0; row < kParameterCount; ++row) {
            if (kParameters[row].whom >= For::kRates && words_[row].len != 0) {
                return words_[row];
            }
        }
        return {};
    }

    /** The word of the first parameter that is for rates that are known beforehand. */
    ngx_str_t first_of_known_rate() const {
        for (const For whom : {For::kRates, For::kRequestRates, For::kTokenRates,
                               For::kTokenBuckets, For::kFixedWindows}) {
            if (first_for(whom).len != 0) {
                return first_for(whom);
            }
        }
        return {};
    }

    ngx_str_t operator[](std::string_view name) const {
        for (size_t row = 0; row < kParameterCount; ++row) {
            if (kParameters[row].name == name) {
                return words_[row];
            }
        }
        return {};
    }

private:
    ngx_str_t words_[kParameterCount] = {};
};

/** True for the word of this row; `value` is the part behind the "=". */
bool is_written(const ParameterRow& row, ngx_str_t word, ngx_str_t* value) {
    return row.name.back() == '=' ? value_of(word, row.name, value) : view(word) == row.name;
}

/** Writes `, expected key=, rate= or dry_run` with all parameters, and a 0 at its end. */
void list_parameters(char* buffer, size_t size) {
    TextWriter out(buffer, size - 1);
    for (size_t row = 0; row < kParameterCount; ++row) {
        out.text(row == 0 ? ", expected " : row + 1 == kParameterCount ? " or " : ", ");
        out.text(kParameters[row].name);
    }
    buffer[out.view().size()] = '\0';
}

char* read_parameter(ngx_conf_t* cf, ngx_str_t word, PolicyReader* reader,
                     WrittenParameters* written) {
    for (size_t row = 0; row < kParameterCount; ++row) {
        ngx_str_t value{};
        if (is_written(kParameters[row], word, &value)) {
            return written->add(row, word) ? kParameters[row].read(cf, word, value, reader)
                                           : mistake(cf, "duplicate parameter", word);
        }
    }
    static constexpr char kNoDelay[] =
        ", which is limit_req's: burst= says how many may come at once, wait= how long others wait";
    static constexpr ForeignWord kForeign[] = {{"nodelay", kNoDelay}, {"delay=", kNoDelay}};
    char names[512];
    list_parameters(names, sizeof(names));
    return mistake(cf, "invalid parameter", word, hint_for(kForeign, word, names));
}

/** Complains about parameters that do not go with what the rate counts. */
char* check_measure(ngx_conf_t* cf, const PolicyReader& reader, const WrittenParameters& written) {
    const Measure measure = reader.rate.measure;
    ngx_str_t word = written.first_for(For::kRequestRates);
    if (is_settled(measure) && word.len != 0) {
        return measure == Measure::kMoney
                   ? mistake(cf, "a rate in usd cannot be combined with", word,
                             ", the prices of what an answer uses are its cost")
                   : mistake(cf, "a rate in tokens cannot be combined with", word,
                             ", weights go into count=");
    }
    word = written.first_for(For::kTokenRates);
    if (measure != Measure::kTokens && word.len != 0) {
        return measure == Measure::kMoney
                   ? mistake(cf, "a rate in usd cannot be combined with", word,
                             ", the prices of what an answer uses are its weights")
                   : mistake(cf, "only a rate in tokens, such as 100kt/m, can have", word);
    }
    word = written.first_for(For::kSettledRates);
    if (!is_settled(measure) && word.len != 0) {
        return mistake(cf, "only a rate in tokens or usd, such as 100kt/m or 20usd/d, can have",
                       word);
    }
    Amount amount = 0;
    if (!amount_of(reader.policy->burst, measure, &amount)) {
        return mistake(cf, "invalid value", written["burst="], kExpectedBurst);
    }
    if (!amount_of(reader.policy->reserve_amount, measure, &amount)) {
        return mistake(cf, "invalid value", written["reserve="], kExpectedReserve);
    }
    return NGX_CONF_OK;
}

char* check_combination(ngx_conf_t* cf, const PolicyReader& reader,
                        const WrittenParameters& written) {
    const PolicyConf& policy = *reader.policy;
    if (written["key="].len == 0) {
        return mistake(cf, "no key= in policy", policy.name,
                       ", expected key=$ai_limit_client, for example");
    }
    if (!policy.has_rate && !policy.has_concurrency) {
        return mistake(cf, "neither rate= nor concurrency= in policy", policy.name);
    }
    if (policy.has_rate && policy.has_concurrency) {
        return mistake(cf, "rate= cannot be combined with", written["concurrency="],
                       ", make two policies");
    }
    ngx_str_t word = written.first_of_rate();
    if (policy.has_concurrency && word.len != 0) {
        return mistake(cf, "concurrency= cannot be combined with", word);
    }
    if (policy.upstream != nullptr && written.first_of_known_rate().len != 0) {
        return mistake(cf, "rate=upstream cannot be combined with", written.first_of_known_rate(),
                       ", the provider says how it counts");
    }
    if (policy.upstream != nullptr && policy.warn != 0) {
        return mistake(cf, "rate=upstream cannot be combined with", written["warn="]);
    }
    if (policy.has_rate && policy.variable == nullptr && policy.upstream == nullptr) {
        char* result = check_measure(cf, reader, written);
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    word = written.first_for(For::kWaiting);
    if (policy.wait == 0 && word.len != 0) {
        return mistake(cf, "only a policy with wait= can have", word);
    }
    word = written.first_for(For::kShared);
    if (policy.sharer == nullptr && word.len != 0) {
        return mistake(cf, "only a policy with share= can have", word);
    }
    word = written.first_for(For::kUpstream);
    if (policy.upstream == nullptr && word.len != 0) {
        return mistake(cf, "only a policy with rate=upstream can have", word);
    }
    word = written.first_for(For::kTokenBuckets);
    if (policy.algorithm != Algorithm::kTokenBucket && word.len != 0) {
        return mistake(cf, "only a token_bucket can have", word);
    }
    word = written.first_for(For::kFixedWindows);
    if (!is_calendar(policy.algorithm) && word.len != 0) {
        return mistake(cf, "only a fixed_window can have", word);
    }
    return NGX_CONF_OK;
}

char* finish_policy(ngx_conf_t* cf, PolicyReader* reader, const WrittenParameters& written) {
    PolicyConf* policy = reader->policy;
    char* result = check_combination(cf, *reader, written);
    if (result != NGX_CONF_OK) {
        return result;
    }
    if (policy->upstream != nullptr) {
        policy->upstream->headroom = reader->headroom;
        return NGX_CONF_OK;
    }
    policy->may_count_tokens =
        policy->has_rate && (policy->variable != nullptr || is_settled(reader->rate.measure));
    if (policy->has_concurrency) {
        policy->algorithm = Algorithm::kConcurrency;
    } else if (policy->variable == nullptr) {
        Amount burst = 0;
        amount_of(policy->burst, reader->rate.measure, &burst);  // check_measure() has seen it
        const char* error =
            make_limit(policy->algorithm, reader->rate, burst, policy->time_zone, &policy->limit);
        if (error != nullptr) {
            ngx_str_t word = written["rate="];
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_policy: invalid rate \"%V\": %s",
                               &word, error);
            return error_result();
        }
    }
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_policy(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    MainConf* main = static_cast<MainConf*>(conf);
    PolicyConf* policy = allocate<PolicyConf>(cf);
    if (policy == nullptr || refuse_inner_quotes(cf) != NGX_CONF_OK) {
        return error_result();
    }
    policy->name = arguments(cf)[0];
    policy->cost = 1;
    policy->weight = 1;
    policy->queue = kUsualQueue;
    policy->weights = TokenWeights();
    policy->reserve_amount = kAnyAmount;
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
    WrittenParameters written;
    for (ngx_uint_t i = 1; i < argument_count(cf); ++i) {
        char* result = read_parameter(cf, arguments(cf)[i], &reader, &written);
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    char* result = finish_policy(cf, &reader, written);
    if (result != NGX_CONF_OK) {
        return result;
    }
    if (policy->upstream != nullptr) {
        return add_upstream_parts(cf, main, policy);
    }
    return append(&main->policies, policy) == NGX_OK ? NGX_CONF_OK : error_result();
}

}  // namespace ai_limit
