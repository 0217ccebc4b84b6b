#include "nginx/client_identity.h"

#include <openssl/evp.h>

namespace ai_limit {

namespace {

// Kept over requests: looking the algorithm up costs more than a key's digest.
EVP_MD_CTX* digest_context;

constexpr std::string_view kKeyHeaders[] = {"x-api-key", "api-key", "x-goog-api-key"};
constexpr size_t kNoHeader = sizeof(kKeyHeaders) / sizeof(kKeyHeaders[0]);

bool equals(const ngx_str_t& text, std::string_view lowercase) {
    return text.len == lowercase.size() &&
           ngx_strncasecmp(text.data, to_ngx(lowercase).data, text.len) == 0;
}

std::string_view bearer_token(ngx_http_request_t* r) {
    static constexpr std::string_view kScheme = "bearer ";
    ngx_table_elt_t* header = r->headers_in.authorization;
    if (header == nullptr || header->value.len <= kScheme.size() ||
        !equals({kScheme.size(), header->value.data}, kScheme)) {
        return {};
    }
    std::string_view token = view(header->value).substr(kScheme.size());
    while (!token.empty() && token.front() == ' ') {
        token.remove_prefix(1);
    }
    return token;
}

/** The index in kKeyHeaders of a header with that name and a value. */
size_t key_header(const ngx_table_elt_t& header) {
    for (size_t i = 0; i < kNoHeader; ++i) {
        if (equals(header.key, kKeyHeaders[i]) && header.value.len != 0) {
            return i;
        }
    }
    return kNoHeader;
}

}  // namespace

std::string_view api_key(ngx_http_request_t* r) {
    std::string_view token = bearer_token(r);
    if (!token.empty()) {
        return token;
    }
    size_t best = kNoHeader;
    std::string_view key;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            size_t found = key_header(headers[i]);
            if (found < best) {
                best = found;
                key = view(headers[i].value);
            }
        }
    }
    return key;
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
