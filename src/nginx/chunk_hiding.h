#pragma once

// Takes the chunk out of a stream that ai_limit_include_usage has asked for and the client did not.

#include "ngx.h"

namespace ai_limit {

struct ChunkHiding;

/** For one answer; the request's pool owns it. nullptr without memory. */
ChunkHiding* make_chunk_hiding(ngx_http_request_t* r);

/**
 * Uses `in` up and makes of it what the client is to see: a chain of buffers of its own, which may
 * be empty. They are used again once they have been sent. NGX_ERROR without memory.
 */
ngx_int_t hide_chunk(ChunkHiding* hiding, ngx_chain_t* in, ngx_chain_t** out);

/** To be called behind the attempt to send what hide_chunk() made. */
void note_sent(ChunkHiding* hiding, ngx_chain_t* out);

}  // namespace ai_limit
