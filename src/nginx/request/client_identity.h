#pragma once

#include "ngx.h"

namespace ai_limit {

/**
 * Puts the request's API key into `key`, by all places that ClientKey (core/requests/client_key.h)
 * knows: `Authorization`, x-api-key, api-key, x-goog-api-key, `Sec-WebSocket-Protocol` and the
 * query. Empty without one, and where several differ. Belongs to the request. NGX_ERROR without
 * memory.
 */
ngx_int_t read_api_key(ngx_http_request_t* r, std::string_view* key);

/** Bytes that write_client_address() and write_key_identity() need at most. */
constexpr size_t kMaxAddressText = NGX_SOCKADDR_STRLEN;
constexpr size_t kKeyIdentityLength = sizeof("key:") - 1 + 32;

/** Writes the client's address, an IPv6 one cut to its /64, an IPv4 one within IPv6 as IPv4; its
 * length. */
size_t write_client_address(ngx_http_request_t* r, u_char* out);

/** Writes `key:` and the first 32 hex digits of the key's SHA-256; false where OpenSSL fails. */
bool write_key_identity(std::string_view key, u_char* out);

/** Frees, when a worker ends, what write_key_identity() keeps for the next key. */
void forget_digest_context();

}  // namespace ai_limit
