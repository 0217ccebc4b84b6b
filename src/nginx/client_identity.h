#pragma once

#include "ngx.h"

namespace ai_limit {

/**
 * The request's API key: from `Authorization: Bearer`, x-api-key, api-key or x-goog-api-key, in
 * that order; empty without one. Belongs to the request.
 */
std::string_view api_key(ngx_http_request_t* r);

/** Bytes that write_client_address() and write_key_identity() need at most. */
constexpr size_t kMaxAddressText = NGX_SOCKADDR_STRLEN;
constexpr size_t kKeyIdentityLength = sizeof("key:") - 1 + 32;

/** Writes the client's address, an IPv6 one cut to its /64, an IPv4 one within IPv6 as IPv4; its
 * length. */
size_t write_client_address(ngx_http_request_t* r, u_char* out);

/** Writes `key:` and the first 32 hex digits of the key's SHA-256; false where OpenSSL fails. */
bool write_key_identity(std::string_view key, u_char* out);

/** For a worker that ends: frees what write_key_identity() keeps for the next key. */
void forget_digest_context();

}  // namespace ai_limit
