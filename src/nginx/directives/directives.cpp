// Reads the directives but ai_limit_policy. Every mistake is reported with the directive, the word
// and, by nginx, the line.

#include "nginx/directives/directives.h"

#include <new>

#include "core/words/number.h"
#include "nginx/conf/config.h"
#include "nginx/directives/foreign_words.h"

namespace ai_limit {

namespace {

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

/** True if there is a folder for the file, whose path ends in 0. */
bool has_folder(ngx_str_t path) {
    u_char folder[NGX_MAX_PATH];
    size_t slash = view(path).rfind('/');
    if (slash == std::string_view::npos || slash == 0 || slash >= sizeof(folder)) {
        return true;
    }
    ngx_cpystrn(folder, path.data, slash + 1);
    ngx_file_info_t found;
    return ngx_file_info(folder, &found) == 0 && ngx_is_dir(&found);
}

char* read_state(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, const MainConf& main,
                 ZoneConf* zone) {
    static constexpr std::string_view kTempEnding = ".new";
    if (value.len == 0) {
        return mistake(cf, "no file in", word);
    }
    zone->state_path = value;
    if (ngx_conf_full_name(cf->cycle, &zone->state_path, 0) != NGX_OK) {
        return error_result();
    }
    for (const ZoneConf* other : zones_of(main)) {
        if (view(other->state_path) == view(zone->state_path)) {
            return mistake(cf, "another zone has the same file in", word);
        }
    }
    ngx_file_info_t found;
    const char* path = reinterpret_cast<const char*>(zone->state_path.data);
    if (zone->state_path.data[zone->state_path.len - 1] == '/' ||
        (ngx_file_info(path, &found) == 0 && ngx_is_dir(&found))) {
        return mistake(cf, "a folder in place of a file in", word);
    }
    if (!has_folder(zone->state_path)) {
        return mistake(cf, "no such folder for the file in", word,
                       ": make it, so that nginx's workers may write there");
    }
    size_t size = zone->state_path.len + kTempEnding.size();
    u_char* temp = static_cast<u_char*>(ngx_pnalloc(cf->pool, size + 1));
    if (temp == nullptr) {
        return error_result();
    }
    ngx_sprintf(temp, "%V.new%Z", &zone->state_path);
    zone->state_temp = {size, temp};
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_zone(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    MainConf* main = static_cast<MainConf*>(conf);
    ZoneConf* zone = allocate<ZoneConf>(cf);
    if (zone == nullptr || refuse_inner_quotes(cf) != NGX_CONF_OK) {
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
        } else if (value_of(word, "state=", &value)) {
            result = zone->state_path.len != 0 ? mistake(cf, "duplicate parameter", word)
                                               : read_state(cf, word, value, *main, zone);
        } else {
            static constexpr char kOfPolicy[] = ", the key and the rate belong to ai_limit_policy";
            static constexpr ForeignWord kForeign[] = {
                {"$", kOfPolicy}, {"key=", kOfPolicy}, {"rate=", kOfPolicy}};
            result = mistake(
                cf, "invalid parameter", word,
                hint_for(kForeign, word, ", expected zone=name:size, state=file or on_full="));
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
    if (count > kMaxSetPolicies) {
        return mistake(cf, "too many policies, at most 16 fit before",
                       arguments(cf)[kMaxSetPolicies]);
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
        static constexpr char kNames[] =
            ", which is limit_req's: ai_limit takes the names of policies, and ai_limit_policy"
            " says what they allow";
        static constexpr ForeignWord kForeign[] = {
            {"zone=", kNames}, {"burst=", kNames}, {"delay=", kNames}};
        const char* hint = hint_for(kForeign, name);
        if (*hint != '\0') {
            return mistake(cf, "no policy", name, hint);
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

namespace {

/** Says which words a directive takes: "auto", those that `list` writes, and "off". */
char* unknown_word(ngx_conf_t* cf, const char* what, ngx_str_t word,
                   void (*list)(TextWriter& out)) {
    char why[256];
    TextWriter out(why, sizeof(why) - 1);
    out.text(", expected auto, ");
    list(out);
    out.text(" or off");
    why[out.view().size()] = '\0';
    return mistake(cf, what, word, why);
}

}  // namespace

char* ngx_http_ai_limit_headers(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->headers != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    ngx_uint_t styles = 0;
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        ngx_uint_t style = view(word) == "off"    ? kHeadersOff
                           : view(word) == "auto" ? kHeadersAuto
                                                  : find_header_style(view(word));
        if (style == kNoHeaders) {
            return unknown_word(cf, "unknown style", word, list_header_styles);
        }
        if (styles & style) {
            return mistake(cf, "duplicate style", word);
        }
        styles |= style;
    }
    for (ngx_uint_t alone : {kHeadersOff, kHeadersAuto}) {
        if ((styles & alone) && styles != alone) {
            return mistake(
                cf, "styles cannot be combined with",
                alone == kHeadersOff ? ngx_str_t ngx_string("off") : ngx_str_t ngx_string("auto"));
        }
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
        return unknown_word(cf, "unknown format", arguments(cf)[0], list_error_formats);
    }
    loc->error_format = static_cast<ngx_uint_t>(format);
    return NGX_CONF_OK;
}

namespace {

char* read_status(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, ngx_uint_t* status) {
    Amount number = 0;
    if (!read_whole(view(value), 600, &number) || number < 400 || number > 599) {
        return mistake(cf, "invalid status", word, ", expected a number from 400 to 599");
    }
    *status = number;
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_status(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->status != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    ngx_str_t first = arguments(cf)[0];
    if (char* error = read_status(cf, first, first, &loc->status)) {
        return error;
    }
    for (ngx_uint_t i = 1; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        ngx_str_t value;
        ngx_uint_t* status = value_of(word, "never=", &value)     ? &loc->never_status
                             : value_of(word, "blocked=", &value) ? &loc->blocked_status
                                                                  : nullptr;
        if (status == nullptr) {
            return mistake(cf, "invalid parameter", word, ", expected never= or blocked=");
        }
        if (*status != NGX_CONF_UNSET_UINT) {
            return mistake(cf, "duplicate parameter", word);
        }
        if (char* error = read_status(cf, word, value, status)) {
            return error;
        }
    }
    // The directive is inherited as a whole.
    ngx_conf_init_uint_value(loc->never_status, kDefaultNeverStatus);
    ngx_conf_init_uint_value(loc->blocked_status, kDefaultBlockedStatus);
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_websocket(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->websocket != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    ngx_str_t word = arguments(cf)[0];
    if (view(word) == "pass") {
        loc->websocket = static_cast<ngx_uint_t>(WebSocket::kPass);
        return NGX_CONF_OK;
    }
    if (view(word) != "refuse") {
        return mistake(cf, "unknown value", word, ", expected refuse or pass");
    }
    loc->websocket = static_cast<ngx_uint_t>(WebSocket::kRefuse);
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
    main->access = true;  // also where no location has a policy
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

char* ngx_http_ai_limit_unreadable_body(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->unreadable_body != NGX_CONF_UNSET_UINT) {
        return const_cast<char*>("is duplicate");
    }
    std::string_view word = view(arguments(cf)[0]);
    if (word != "reject" && word != "estimate") {
        return mistake(cf, "unknown word", arguments(cf)[0], ", expected reject or estimate");
    }
    loc->unreadable_body = static_cast<ngx_uint_t>(word == "reject" ? UnreadableBody::kReject
                                                                    : UnreadableBody::kEstimate);
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_usage(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    if (loc->usage != NGX_CONF_UNSET_PTR) {
        return const_cast<char*>("is duplicate");
    }
    loc->usage = nullptr;
    if (argument_count(cf) == 1 && view(arguments(cf)[0]) == "auto") {
        return NGX_CONF_OK;
    }
    void* memory = ngx_palloc(cf->pool, sizeof(UsagePaths));
    if (memory == nullptr) {
        return error_result();
    }
    UsagePaths* paths = new (memory) UsagePaths();
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        if (const char* error = paths->add(view(word))) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_usage: invalid parameter \"%V\": %s",
                               &word, error);
            return error_result();
        }
    }
    loc->usage = paths;
    return NGX_CONF_OK;
}

char* ngx_http_ai_limit_include_usage(ngx_conf_t* cf, ngx_command_t* cmd, void* conf) {
    char* result = ngx_conf_set_flag_slot(cf, cmd, conf);
    if (result == NGX_CONF_OK && static_cast<LocConf*>(conf)->include_usage == 1) {
        MainConf* main = static_cast<MainConf*>(
            ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
        main->access = true;
        main->tokens = true;
    }
    return result;
}

}  // namespace ai_limit
