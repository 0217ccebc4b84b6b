// Finds out what an operator asks for, and whether that may be had.

#include "nginx/api/api.h"

#include "nginx/api/api_output.h"
#include "nginx/api/api_resources.h"
#include "nginx/conf/conf_words.h"

namespace ai_limit {

namespace {

struct Resource {
    std::string_view path;  // behind the location's name
    ngx_int_t (*answer)(ngx_http_request_t* r);
    bool is_writable;
};

constexpr Resource kResources[] = {
    {"", send_page, false},
    {"status", send_status, false},
    {"metrics", send_metrics, false},
    {"keys", answer_for_key, true},
};

constexpr ngx_uint_t kReads = NGX_HTTP_GET | NGX_HTTP_HEAD;
constexpr ngx_uint_t kWrites = NGX_HTTP_PUT | NGX_HTTP_DELETE;

ngx_http_core_loc_conf_t* core_conf(ngx_http_request_t* r) {
    return static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
}

bool is_prefix_location(const ngx_http_core_loc_conf_t& location) {
#if (NGX_PCRE)
    if (location.regex != nullptr) {
        return false;
    }
#endif
    return !location.exact_match && !location.named;
}

/** Returns the part of the path that is for the API: all behind the location's name. In a location
 * that is no prefix, such as `location = /metrics`, it is the part behind the last slash. */
std::string_view path_of(ngx_http_request_t* r) {
    const ngx_http_core_loc_conf_t& location = *core_conf(r);
    std::string_view path = view(r->uri);
    if (!is_prefix_location(location) || location.name.len > path.size()) {
        return path.substr(path.rfind('/') + 1);
    }
    path.remove_prefix(location.name.len);
    bool ends_in_slash = location.name.len != 0 && location.name.data[location.name.len - 1] == '/';
    return !ends_in_slash && !path.empty() && path.front() == '/' ? path.substr(1) : path;
}

const Resource* find_resource(std::string_view path) {
    for (const Resource& resource : kResources) {
        if (resource.path == path) {
            return &resource;
        }
    }
    return nullptr;
}

/** The page's links are relative: it must be seen under a path that ends in a slash. */
ngx_int_t redirect_to_slash(ngx_http_request_t* r) {
    size_t size = r->uri.len + 1;
    u_char* text = static_cast<u_char*>(ngx_pnalloc(r->pool, size));
    ngx_http_clear_location(r);
    r->headers_out.location = static_cast<ngx_table_elt_t*>(ngx_list_push(&r->headers_out.headers));
    if (text == nullptr || r->headers_out.location == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_memcpy(text, r->uri.data, r->uri.len);
    text[size - 1] = '/';
    ngx_table_elt_t* location = r->headers_out.location;
    unlink_header(location);
    location->hash = 1;
    ngx_str_set(&location->key, "Location");
    location->value = {size, text};
    return NGX_HTTP_MOVED_PERMANENTLY;
}

ngx_int_t refuse_method(ngx_http_request_t* r, bool may_write) {
    if (add_api_header(r, "Allow", may_write ? "GET, HEAD, PUT, DELETE" : "GET, HEAD") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (r->method & kWrites && !loc_conf(r)->api_writes) {
        return send_api_error(r, NGX_HTTP_NOT_ALLOWED,
                              "nothing can be changed here without ai_limit_api write=on");
    }
    return send_api_error(r, NGX_HTTP_NOT_ALLOWED, "no such method here");
}

const ngx_str_t* find_header(ngx_http_request_t* r, std::string_view lowercase_name) {
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            if (std::string_view(reinterpret_cast<char*>(headers[i].lowcase_key),
                                 headers[i].key.len) == lowercase_name) {
                return &headers[i].value;
            }
        }
    }
    return nullptr;
}

/** True if an origin (RFC 6454) is the host that the request is for. */
bool is_origin_of(std::string_view origin, std::string_view host) {
    size_t scheme = origin.find("://");
    return scheme != std::string_view::npos && equal_ignoring_case(origin.substr(scheme + 3), host);
}

/** Returns the request's host with its port, which HTTP/3 may have in its :authority alone. Empty
 * if there is none. */
std::string_view host_of(ngx_http_request_t* r) {
    if (r->headers_in.host != nullptr) {
        return view(r->headers_in.host->value);
    }
    if (r->host_start == nullptr || r->host_end <= r->host_start) {
        return {};
    }
    return {reinterpret_cast<char*>(r->host_start),
            static_cast<size_t>(r->host_end - r->host_start)};
}

/**
 * True if a page of another origin has sent this. A browser asks before it sends PUT or DELETE
 * there, and is not allowed; these headers show a page from elsewhere that does not ask.
 */
bool is_cross_site(ngx_http_request_t* r) {
    const ngx_str_t* site = find_header(r, "sec-fetch-site");
    if (site != nullptr && view(*site) != "same-origin" && view(*site) != "none") {
        return true;
    }
    const ngx_str_t* origin = find_header(r, "origin");
    return origin != nullptr && !is_origin_of(view(*origin), host_of(r));
}

ngx_int_t handle(ngx_http_request_t* r) noexcept {
    std::string_view path = path_of(r);
    const Resource* resource = find_resource(path);
    if (resource == nullptr) {
        return send_api_error(r, NGX_HTTP_NOT_FOUND,
                              "there are /, /status, /metrics and /keys here, but no", path);
    }
    bool may_write = resource->is_writable && loc_conf(r)->api_writes;
    if (!(r->method & (kReads | (may_write ? kWrites : 0)))) {
        return refuse_method(r, may_write);
    }
    if (r->method & kWrites && is_cross_site(r)) {
        return send_api_error(r, NGX_HTTP_FORBIDDEN,
                              "a page of another origin must not change anything here");
    }
    bool is_page = path.empty();
    if (is_page && r->uri.data[r->uri.len - 1] != '/' && is_prefix_location(*core_conf(r))) {
        return redirect_to_slash(r);
    }
    return resource->answer(r);
}

}  // namespace

char* ngx_http_ai_limit_api(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    LocConf* loc = static_cast<LocConf*>(conf);
    ngx_http_core_loc_conf_t* core = static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    if (core->handler == handle) {
        return const_cast<char*>("is duplicate");
    }
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        if (view(word) != "write=on" && view(word) != "write=off") {
            return mistake(cf, "invalid parameter", word, ", expected write=on or write=off");
        }
        loc->api_writes = view(word) == "write=on";
    }
    loc->api_position = position_of(cf);
    core->handler = handle;
    // The location's name without its slash leads there, as for proxy_pass.
    core->auto_redirect = core->name.len != 0 && core->name.data[core->name.len - 1] == '/';
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
    main->api = true;
    return NGX_CONF_OK;
}

}  // namespace ai_limit
