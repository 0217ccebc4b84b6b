#pragma once

// The only place that includes nginx's headers, and that knows of differences between its versions.

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
}

#include <string_view>

extern "C" ngx_module_t ngx_http_ai_limit_module;
extern "C" ngx_module_t ngx_http_ai_limit_pages_module;

namespace ai_limit {

inline std::string_view view(const ngx_str_t& s) {
    return {reinterpret_cast<const char*>(s.data), s.len};
}

inline ngx_str_t to_ngx(std::string_view s) {
    return {s.size(), reinterpret_cast<u_char*>(const_cast<char*>(s.data()))};
}

/** nginx before 1.21 does not put the argument of its macro into parentheses. */
inline bool is_in_memory(const ngx_buf_t* buf) {
    return ngx_buf_in_memory(buf);
}

/** True if a resolver's `connections` name a server: an array in nginx, a list in Angie. */
inline bool has_servers(const ngx_array_t& connections) {
    return connections.nelts != 0;
}

inline bool has_servers(const void* connections) {
    return connections != nullptr;
}

/** Since 1.23.0 headers of the same name are linked. */
inline void unlink_header(ngx_table_elt_t* header) {
#if (nginx_version >= 1023000)
    header->next = nullptr;
#else
    (void)header;
#endif
}

}  // namespace ai_limit
