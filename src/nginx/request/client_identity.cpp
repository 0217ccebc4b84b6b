#include "nginx/request/client_identity.h"

#include <openssl/evp.h>

#include "core/requests/client_key.h"
#include "core/requests/request_path.h"

namespace ai_limit {

namespace {

// Kept over requests: looking the algorithm up costs more than a key's digest.
EVP_MD_CTX* digest_context;

bool is_named(const ngx_table_elt_t& header, std::string_view lowercase) {
    return ngx_memcmp(header.lowcase_key, lowercase.data(), lowercase.size()) == 0;
}

/** Goes by the length of the name first, since nearly all headers of a request are others. */
inline void add_header(const ngx_table_elt_t& header, ClientKey* key) {
    const std::string_view value = view(header.value);
    switch (header.key.len) {
        case std::string_view("api-key").size():
            if (is_named(header, "api-key")) {
                key->add(value);
            }
            break;
        case std::string_view("x-api-key").size():
            if (is_named(header, "x-api-key")) {
                key->add(value);
            }
            break;
        case std::string_view("authorization").size():
            if (is_named(header, "authorization")) {
                key->add_authorization(value);
            }
            break;
        case std::string_view("x-goog-api-key").size():
            if (is_named(header, "x-goog-api-key")) {
                key->add(value);
            }
            break;
        case std::string_view("sec-websocket-protocol").size():
            if (is_named(header, "sec-websocket-protocol")) {
                key->add_websocket_protocols(value);
            }
            break;
        default:
            break;
    }
}

/** The URL as the client sent it: a redirect or a rewrite makes nobody another client, and what a
 * configuration puts into $args is no key of the client's. */
__attribute__((noinline)) ngx_int_t add_url(ngx_http_request_t* r, ClientKey* key) {
    const std::string_view url = view(r->unparsed_uri);
    const size_t mark = url.find('?');
    if (mark == url.npos) {
        return NGX_OK;
    }
    const std::string_view query = url.substr(mark + 1);
    char* buffer = static_cast<char*>(ngx_pnalloc(r->pool, query.size() + 1));
    if (buffer == nullptr) {
        return NGX_ERROR;
    }
    const bool google = is_google_path(url.substr(0, mark)) || is_google_path(view(r->uri));
    key->add_query(query, google, buffer);
    return NGX_OK;
}

}  // namespace

ngx_int_t read_api_key(ngx_http_request_t* r, std::string_view* key) {
    r = r->main;
    ClientKey found;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (const ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            add_header(*header, &found);
        }
    }
    if (add_url(r, &found) != NGX_OK) {
        return NGX_ERROR;
    }
    *key = found.believed();
    return NGX_OK;
}

size_t write_client_address(ngx_http_request_t* r, u_char* out) {
    ngx_connection_t* c = r->connection;
#if (NGX_HAVE_INET6)
    if (c->sockaddr->sa_family == AF_INET6) {
        sockaddr_in6 address = *reinterpret_cast<sockaddr_in6*>(c->sockaddr);
        if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
            return ngx_inet_ntop(AF_INET, &address.sin6_addr.s6_addr[12], out, kMaxAddressText);
        }
        ngx_memzero(&address.sin6_addr.s6_addr[8], 8);
        return ngx_inet_ntop(AF_INET6, &address.sin6_addr, out, kMaxAddressText);
    }
#endif
    size_t length = ngx_min(c->addr_text.len, kMaxAddressText);
    ngx_memcpy(out, c->addr_text.data, length);
    return length;
}

bool write_key_identity(std::string_view key, u_char* out) {
    u_char digest[EVP_MAX_MD_SIZE];
    if (digest_context == nullptr) {
        digest_context = EVP_MD_CTX_new();
    }
    if (digest_context == nullptr ||
        EVP_DigestInit_ex(digest_context, EVP_sha256(), nullptr) != 1 ||
        EVP_DigestUpdate(digest_context, key.data(), key.size()) != 1 ||
        EVP_DigestFinal_ex(digest_context, digest, nullptr) != 1) {
        return false;
    }
    ngx_memcpy(out, "key:", 4);
    ngx_hex_dump(out + 4, digest, 16);
    return true;
}

void forget_digest_context() {
    EVP_MD_CTX_free(digest_context);
    digest_context = nullptr;
}

}  // namespace ai_limit
