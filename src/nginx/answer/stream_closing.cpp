#include "nginx/answer/stream_closing.h"

#include "core/policies/policies.h"
#include "nginx/answer/answer.h"
#include "nginx/answer/chunk_hiding.h"
#include "nginx/decision/count_requests.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

/** The client asked for the usage of an OpenAI-style stream. */
bool wants_usage(ngx_http_request_t* r, const TokenContext& tokens) {
    const RequestInfo* info = read_request_info(r);
    return !tokens.asked_for_usage && info != nullptr && info->includes_usage();
}

/** Makes the last buffer of a stream: what passes of a piece, if `passes`, and the end. */
ngx_buf_t* make_end(ngx_http_request_t* r, TokenContext* tokens, std::string_view piece,
                    const StreamCut& cut, bool passes) {
    const StreamCutting& cutting = *tokens->cutting;
    const size_t shown = passes ? cut.passed : 0;
    if (cutting.events != nullptr) {
        cutting.events->pass(piece.substr(0, cut.passed));
    }
    const StreamCutPlace place = {piece.substr(0, cut.passed),
                                  piece.substr(cut.passed, cut.dropped),
                                  cut.continued,
                                  tokens->used,
                                  wants_usage(r, *tokens),
                                  cutting.events};
    const size_t room = room_for_end(place);
    char* scratch = static_cast<char*>(ngx_palloc(r->pool, StreamCopy::kScratch));
    u_char* text = static_cast<u_char*>(ngx_palloc(r->pool, shown + room));
    ngx_buf_t* buf = static_cast<ngx_buf_t*>(ngx_calloc_buf(r->pool));
    if (scratch == nullptr || text == nullptr || buf == nullptr) {
        return nullptr;
    }
    TextWriter out(reinterpret_cast<char*>(text) + shown, room);
    const bool written = cutting.copy.write_end(place, scratch, &out);
    ngx_memcpy(text, piece.data(), shown);
    buf->start = buf->pos = text;
    buf->last = text + shown + (written ? out.view().size() : 0);
    buf->end = text + shown + room;
    buf->temporary = 1;
    buf->flush = 1;
    return buf;
}

/**
 * Has nginx end the request and close the connection to upstream as soon as it comes back to it.
 * nginx sends the end of the body then, as if the answer had been whole, so nothing of an answer
 * that is cut may be kept.
 */
void end_upstream(ngx_http_request_t* r) {
    ngx_http_upstream_t* upstream = r->upstream;
    upstream->keepalive = 0;
#if (NGX_HTTP_CACHE)
    upstream->cacheable = 0;
#endif
    if (upstream->store) {
        upstream->headers_in.content_length_n = -2;  // no file has this size, so none is stored
    }
    if (upstream->buffering) {
        upstream->pipe->upstream_done = 1;
    } else {
        // nginx neither waits until a slow client has taken what came before, nor reads on
        // meanwhile: that lies in the request's memory, and stays there until it has been sent.
        upstream->length = 0;
        upstream->busy_bufs = nullptr;
        upstream->buffer.last = upstream->buffer.end;
    }
}

void consume(ngx_chain_t* link) {
    for (; link != nullptr; link = link->next) {
        link->buf->pos = link->buf->last;
        link->buf->file_pos = link->buf->file_last;
    }
}

/** True if nginx's own end of the body is in the chain. */
bool has_last(const ngx_chain_t* link) {
    while (link != nullptr && !link->buf->last_buf) {
        link = link->next;
    }
    return link != nullptr;
}

/** Adds nginx's own end of the body; nullptr without memory. */
ngx_chain_t** add_last(ngx_http_request_t* r, ngx_chain_t** end) {
    ngx_buf_t* buf = static_cast<ngx_buf_t*>(ngx_calloc_buf(r->pool));
    if (buf == nullptr) {
        return nullptr;
    }
    buf->last_buf = 1;
    return add_link(r, buf, end);
}

/** Logs and counts a stream that ends after so many characters of text. */
void note_cut(ngx_http_request_t* r, const TokenContext* tokens, uint64_t text) {
    const PolicyConf* policy = tokens->used_up;
    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "the stream is ended after %uL characters of text: policy \"%V\" has no more "
                  "room",
                  text, &policy->name);
    count_cut(policy->zone->live->access.journal.zone(), policy->live->ask.policy);
}

/** Reads buffers without their compression. */
void read_plain(TokenContext* tokens, const ngx_chain_t* link) {
    for (; link != nullptr; link = link->next) {
        if (is_in_memory(link->buf)) {
            read_answer(tokens, bytes_of(link->buf), nullptr);
        }
    }
}

/**
 * Reads what is not passed on. With proxy_buffering on, nginx may have read much behind the end
 * before a slow client had taken what stands before it. The model has made it, so it is charged.
 */
void read_dropped(TokenContext* tokens, const ngx_chain_t* link) {
    if (tokens->basis != UsageBasis::kUnknown) {
        return;
    }
    if (!tokens->cutting->decodes) {
        read_plain(tokens, link);
        return;
    }
    for (; link != nullptr; link = link->next) {
        if (is_in_memory(link->buf)) {
            decode_answer(tokens, bytes_of(link->buf),
                          [tokens](std::string_view text) { read_answer(tokens, text, nullptr); });
        }
    }
}

}  // namespace

ngx_chain_t** add_link(ngx_http_request_t* r, ngx_buf_t* buf, ngx_chain_t** end) {
    ngx_chain_t* link = ngx_alloc_chain_link(r->pool);
    if (end == nullptr || link == nullptr) {
        return nullptr;
    }
    link->buf = buf;
    link->next = nullptr;
    *end = link;
    return &link->next;
}

ngx_chain_t** end_stream(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* link,
                         const StreamCut& cut, ngx_chain_t** end) {
    const std::string_view piece = bytes_of(link->buf);
    note_cut(r, tokens, cut.text);
    const bool reads_on = r->upstream->buffering;
    note_cut_answer(r, tokens, cut.text);
    if (!reads_on) {
        settle_cut_answer(r, tokens);
    }
    const bool hides = tokens->hiding != nullptr;
    ngx_buf_t* last = make_end(r, tokens, piece, cut, !hides);
    if (last == nullptr) {
        return nullptr;
    }
    if (hides) {
        ngx_buf_t* front = static_cast<ngx_buf_t*>(ngx_calloc_buf(r->pool));
        u_char* text = static_cast<u_char*>(ngx_palloc(r->pool, cut.passed));
        if (front == nullptr || text == nullptr) {
            return nullptr;
        }
        front->pos = text;
        front->last = ngx_cpymem(text, piece.data(), cut.passed);
        front->temporary = 1;
        end = cut.passed == 0
                  ? end
                  : hide_chunk(tokens->hiding, front, KnownRun{known_events(tokens->hiding)}, end);
    }
    tokens->cutting->is_cut = true;
    // If nginx had to wait for a file, its end of the body may come with the last bytes.
    const bool is_last = has_last(link);
    if (reads_on) {
        tokens->reader->feed(piece.substr(cut.passed + cut.dropped));
        read_plain(tokens, link->next);
    }
    consume(link);
    end_upstream(r);
    if (is_last) {
        settle_answer(r, tokens);
    }
    end = last->pos == last->last ? end : add_link(r, last, end);
    return is_last && end != nullptr ? add_last(r, end) : end;
}

void note_all_sent(TokenContext* tokens, ngx_chain_t* hidden, ngx_chain_t* decoded) {
    if (tokens->hiding != nullptr) {
        note_sent(tokens->hiding, hidden);
    }
    if (tokens->cutting->decodes) {
        note_shown(&tokens->cutting->decoded, decoded);
    }
}

ngx_int_t pass_end(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                   ngx_http_output_body_filter_pt next) {
    const bool ends = has_last(in);
    read_dropped(tokens, in);
    consume(in);
    end_upstream(r);
    ngx_int_t rc = NGX_OK;
    if (ends) {
        settle_answer(r, tokens);
        ngx_chain_t* out = nullptr;
        if (add_last(r, &out) == nullptr) {
            return NGX_ERROR;
        }
        rc = next(r, out);
    } else if (in == nullptr) {
        rc = next(r, in);
    }
    note_all_sent(tokens, nullptr, nullptr);
    return rc;
}

}  // namespace ai_limit
