#pragma once

// Takes the chunk out of a stream that ai_limit_include_usage has asked for and the client did not.

#include "core/streams/event_template.h"
#include "ngx.h"

namespace ai_limit {

struct ChunkHiding;

/** Makes the state for one answer; the request's pool owns it. nullptr without memory. */
ChunkHiding* make_chunk_hiding(ngx_http_request_t* r);

/** Returns the events that a KnownRun takes. */
const KnownEvents* known_events(const ChunkHiding* hiding);

/**
 * Makes a chain of what the client is to see of a buffer. The chain may be empty; its buffers show
 * the buffer's memory if they can. The buffer counts as sent when what is shown of it has been. The
 * chain is added at `end`, where another one ends; returns where both end, nullptr without memory.
 * `found` is what has been noted of the same buffer.
 */
ngx_chain_t** hide_chunk(ChunkHiding* hiding, ngx_buf_t* buf, const KnownRun& found,
                         ngx_chain_t** end);

/** Call this after each attempt to send what hide_chunk() made, or what is left of it. */
void note_sent(ChunkHiding* hiding, ngx_chain_t* out);

}  // namespace ai_limit
