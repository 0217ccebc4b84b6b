#pragma once

// Takes the chunk out of a stream that ai_limit_include_usage has asked for and the client did not.

#include "ngx.h"

namespace ai_limit {

struct ChunkHiding;

/** For one answer; the request's pool owns it. nullptr without memory. */
ChunkHiding* make_chunk_hiding(ngx_http_request_t* r);

/**
 * Uses `in` up and puts what the client is to see of it into `out`, a copy in buffers that are used
 * again once they have been sent. NGX_ERROR without memory.
 */
ngx_int_t hide_chunk(ngx_http_request_t* r, ChunkHiding* hiding, ngx_chain_t* in,
                     ngx_chain_t** out);

/** To be called behind each attempt to send `out`, with the same. */
void reclaim_sent(ngx_http_request_t* r, ChunkHiding* hiding, ngx_chain_t** out);

}  // namespace ai_limit
