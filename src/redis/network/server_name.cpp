#include "redis/network/server_name.h"

#include <charconv>
#include <cstring>

#include "redis/network/addresses.h"

namespace ai_limit {

bool split_address(std::string_view text, std::string_view* host, std::string_view* port) {
    size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return false;
    }
    *host = text.substr(0, colon);
    *port = text.substr(colon + 1);
    if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
        *host = host->substr(1, host->size() - 2);
    }
    return true;
}

bool read_port(std::string_view text, in_port_t* port) {
    std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), *port);
    return result.ec == std::errc() && result.ptr == text.data() + text.size() && *port != 0;
}

bool read_address(std::string_view text, ngx_sockaddr_t* socket, ngx_addr_t* address) {
    ngx_str_t host = to_ngx(text);
    std::memset(socket, 0, sizeof(*socket));
    address->sockaddr = &socket->sockaddr;
    socket->sockaddr_in.sin_addr.s_addr = ngx_inet_addr(host.data, host.len);
    if (socket->sockaddr_in.sin_addr.s_addr != INADDR_NONE) {
        socket->sockaddr.sa_family = AF_INET;
        address->socklen = sizeof(socket->sockaddr_in);
        return true;
    }
#if (NGX_HAVE_INET6)
    std::memset(socket, 0, sizeof(*socket));
    if (ngx_inet6_addr(host.data, host.len, socket->sockaddr_in6.sin6_addr.s6_addr) == NGX_OK) {
        socket->sockaddr.sa_family = AF_INET6;
        address->socklen = sizeof(socket->sockaddr_in6);
        return true;
    }
#endif
    return false;
}

bool is_host_name(std::string_view text) {
    constexpr std::string_view kAllowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
    return !text.empty() && text.size() <= kMaxHost &&
           text.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace ai_limit
