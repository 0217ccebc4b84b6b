// Passes the body of an answer on, and shows it to who watches it.

#include "nginx/answer/body_filter.h"

#include "nginx/answer/answer.h"
#include "nginx/answer/chunk_hiding.h"
#include "nginx/answer/stream_cutting.h"

namespace ai_limit {

namespace {

ngx_http_output_body_filter_pt next_body_filter;

/** Reads each buffer before what is hidden in it: both look for the same events. */
__attribute__((noinline)) ngx_int_t pass_without_chunk(ngx_http_request_t* r, TokenContext* tokens,
                                                       ngx_chain_t* in) {
    ChunkHiding* hiding = tokens->hiding;
    ngx_chain_t* out = nullptr;
    ngx_chain_t** end = &out;
    for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
        KnownRun run{known_events(hiding)};
        watch_answer(r, tokens, link->buf, &run);
        end = hide_chunk(hiding, link->buf, run, end);
        if (end == nullptr) {
            return NGX_ERROR;
        }
    }
    if (in != nullptr && out == nullptr) {
        return NGX_OK;  // nginx takes it for a mistake if there is nothing to send
    }
    ngx_int_t rc = next_body_filter(r, out);
    note_sent(hiding, out);
    return rc;
}

__attribute__((noinline)) ngx_int_t pass_unchanged(ngx_http_request_t* r, TokenContext* tokens,
                                                   ngx_chain_t* in) {
    for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
        watch_answer(r, tokens, link->buf, nullptr);
    }
    return next_body_filter(r, in);
}

/** Not part of body_filter(), which costs little if nobody watches. */
__attribute__((noinline)) ngx_int_t pass_watched(ngx_http_request_t* r, TokenContext* tokens,
                                                 ngx_chain_t* in) {
    if (r != r->main) {
        return next_body_filter(r, in);
    }
    if (tokens->cutting != nullptr) {
        return pass_cuttable(r, tokens, in, next_body_filter);
    }
    return tokens->hiding != nullptr ? pass_without_chunk(r, tokens, in)
                                     : pass_unchanged(r, tokens, in);
}

__attribute__((hot)) ngx_int_t body_filter(ngx_http_request_t* r, ngx_chain_t* in) noexcept {
    // A context that was lost in a redirect has been found again by the header filter.
    RequestContext* context =
        static_cast<RequestContext*>(ngx_http_get_module_ctx(r, ngx_http_ai_limit_module));
    return context != nullptr && context->tokens != nullptr ? pass_watched(r, context->tokens, in)
                                                            : next_body_filter(r, in);
}

}  // namespace

void add_body_filter() {
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = body_filter;
}

}  // namespace ai_limit
