#pragma once

// Takes the chunk out of a stream that ai_limit_include_usage has asked for and the client did not.

#include "ngx.h"

namespace ai_limit {

struct ChunkHiding;

/** For one answer; the request's pool owns it. nullptr without memory. */
ChunkHiding* make_chunk_hiding(ngx_http_request_t* r);

/**
 * Makes of `in` what the client is to see: a chain that may be empty, of buffers that show `in`'s
 * memory where they can. A buffer of `in` counts as sent when what is shown of it has been.
 * NGX_ERROR without memory.
 */
ngx_int_t hide_chunk(ChunkHiding* hiding, ngx_chain_t* in, ngx_chain_t** out);

/** To be called behind each attempt to send, of what hide_chunk() made or of what is left of it. */
void note_sent(ChunkHiding* hiding, ngx_chain_t* out);

}  // namespace ai_limit
