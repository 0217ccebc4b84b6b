// Reads ai_limit_max_output.

#include <new>

#include "core/words/number.h"
#include "nginx/conf/conf_words.h"
#include "nginx/conf/config.h"
#include "nginx/directives/directives.h"

namespace ai_limit {

namespace {

constexpr char kExpected[] = ", expected off, remaining or a number of tokens such as 4000";

char* read_field(ngx_conf_t* cf, ngx_str_t word, MaxOutputConf* conf) {
    ngx_str_t pointer;
    if (!value_of(word, "field=", &pointer)) {
        return mistake(cf, "invalid parameter", word, ", expected field=/max_tokens, for example");
    }
    void* memory = ngx_palloc(cf->pool, sizeof(OwnOutputField));
    if (memory == nullptr) {
        return error_result();
    }
    OwnOutputField* field = new (memory) OwnOutputField();
    if (const char* error = field->set(view(pointer))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "ai_limit_max_output: invalid JSON Pointer in \"%V\": %s, expected "
                           "field=/max_tokens or field=/options/num_predict, for example",
                           &word, error);
        return error_result();
    }
    conf->field = field;
    return NGX_CONF_OK;
}

char* read_number(ngx_conf_t* cf, ngx_str_t word, Amount* number) {
    if (!read_whole(view(word), kMaxAmount, number)) {
        return mistake(cf, "unknown value", word, kExpected);
    }
    if (*number == 0) {
        return mistake(cf, "invalid number", word, ", which would leave no output: use deny all");
    }
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_max_output(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->max_output != NGX_CONF_UNSET_PTR) {
        return const_cast<char*>("is duplicate");
    }
    ngx_str_t word = arguments(cf)[0];
    const bool has_field = argument_count(cf) == 2;
    if (view(word) == "off") {
        loc->max_output = nullptr;
        return has_field ? mistake(cf, "off cannot be combined with", arguments(cf)[1])
                         : NGX_CONF_OK;
    }
    MaxOutputConf* own = allocate<MaxOutputConf>(cf);
    if (own == nullptr) {
        return error_result();
    }
    own->position = position_of(cf);
    if (view(word) != "remaining") {
        if (char* error = read_number(cf, word, &own->number)) {
            return error;
        }
    }
    if (has_field) {
        if (char* error = read_field(cf, arguments(cf)[1], own)) {
            return error;
        }
    }
    loc->max_output = own;
    MainConf* main = main_conf(cf);
    main->access = true;  // also where no location has a policy
    return append(&main->max_outputs, MaxOutputUse{own, nullptr}) == NGX_OK ? NGX_CONF_OK
                                                                            : error_result();
}

}  // namespace ai_limit
