#pragma once

// Watches a request's answer for what it used, and settles with the policies in tokens.

#include "nginx/body/answer_decoder.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/**
 * Finds out whether the answer's body reports what the request used, before its header is sent.
 * Settles if there is nothing to wait for. NGX_ERROR without memory.
 */
ngx_int_t begin_answer(ngx_http_request_t* r, TokenContext* tokens);

/** Reads more of the answer's body and changes nothing of it. Settles if it ends here. For `run`
 * see UsageReader. */
void watch_answer(ngx_http_request_t* r, TokenContext* tokens, ngx_buf_t* buf, KnownRun* run);

/** Reads a part of the body that has no content coding. For `run` see UsageReader. */
void read_answer(TokenContext* tokens, std::string_view text, KnownRun* run);

/** Undoes the compression of a part of the body: hands texts to `take(std::string_view)`. */
template <typename Take>
void decode_answer(TokenContext* tokens, std::string_view piece, const Take& take) {
    size_t size = piece.size();
    std::string_view text;
    do {
        text = decode(tokens->decoder, &piece);
        if (!text.empty()) {
            take(text);
        }
    } while (!text.empty());
    tokens->undecoded_bytes += is_broken(tokens->decoder) ? size : 0;
}

/** Settles an answer of which all has been read, or of a cut stream all that nginx has. */
void settle_answer(ngx_http_request_t* r, TokenContext* tokens);

/**
 * Notes in `tokens->used` what the client gets of a stream that ends for it here, after so many
 * characters of text. Read on if nginx may have more of it; otherwise call settle_cut_answer().
 */
void note_cut_answer(ngx_http_request_t* r, TokenContext* tokens, uint64_t text);

/** Settles a cut stream as it was noted. */
void settle_cut_answer(ngx_http_request_t* r, TokenContext* tokens);

/**
 * Has nginx send the whole answer to a request with a body, not a 304 or a 412 that it finds by
 * itself when the model has done its work: such an answer could not be read for its usage.
 */
void want_whole_answer(ngx_http_request_t* r);

/** Has the request settled at its end, however it ends. NGX_ERROR without memory. */
ngx_int_t settle_at_end(ngx_http_request_t* r, TokenContext* tokens);

}  // namespace ai_limit
