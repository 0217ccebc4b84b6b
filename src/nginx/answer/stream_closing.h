#pragma once

// Ends a stream in the body that passes, and reads what nginx has of the body behind the end.

#include <string_view>

#include "core/endings/stream_copy.h"
#include "core/endings/stream_cut.h"
#include "nginx/body/shown_body.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

struct StreamCutting {
    StreamCutting() {}  // not in braces, where the compiler would fill `copy` with zeros

    StreamCopy copy;
    PassedEvents* events = nullptr;  // where the end needs them
    UsageReader* before = nullptr;   // a piece that may be too much, once there was one
    ShownBody decoded{};             // the body without its compression
    bool is_plain = false;           // the next part of the body may be known server-sent events
    bool decodes = false;
    bool must_end = false;  // behind the event that is open
    bool is_cut = false;    // what comes is dropped
};

/** The bytes of a buffer that is in memory. */
inline std::string_view bytes_of(const ngx_buf_t* buf) {
    return {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)};
}

/** Adds a buffer to a chain that ends at `end`. Returns where it ends then, nullptr without memory.
 */
ngx_chain_t** add_link(ngx_http_request_t* r, ngx_buf_t* buf, ngx_chain_t** end);

/**
 * Ends the stream in the piece that `link` has, without its compression, and adds what the client
 * still gets at `end`. Returns where the chain ends then, nullptr without memory.
 */
ngx_chain_t** end_stream(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* link,
                         const StreamCut& cut, ngx_chain_t** end);

/** Passes a part of the body behind the end of a stream: nothing but nginx's own end. */
ngx_int_t pass_end(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                   ngx_http_output_body_filter_pt next);

/** Takes back the buffers that have been sent. `hidden` or `decoded` has just been passed on. */
void note_all_sent(TokenContext* tokens, ngx_chain_t* hidden, ngx_chain_t* decoded);

}  // namespace ai_limit
