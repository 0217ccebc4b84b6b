#include "nginx/answer/stream_cutting.h"

#include <new>

#include "core/endings/stream_copy.h"
#include "core/endings/stream_cut.h"
#include "core/policies/policies.h"
#include "nginx/answer/answer.h"
#include "nginx/answer/chunk_hiding.h"
#include "nginx/body/answer_decoder.h"
#include "nginx/body/shown_body.h"
#include "nginx/decision/count_requests.h"
#include "nginx/request/request_body.h"
#include "nginx/usage/growth.h"

namespace ai_limit {

struct StreamCutting {
    StreamCopy copy;
    ShownBody decoded;  // the body without its compression
    bool decodes;
    bool must_end;  // behind the event that is open
    bool is_cut;    // what comes is dropped
};

namespace {

/** The reader of an answer, as read_piece() wants it. */
class AnswerReader {
public:
    /** So many bytes at the front of the piece have been read already. */
    AnswerReader(ngx_http_request_t* r, TokenContext* tokens, size_t has_read)
        : r_(r), tokens_(tokens), has_read_(has_read) {}

    uint64_t allowed() const { return text_allowed(*tokens_); }
    uint64_t text() const { return tokens_->reader->text_characters(); }
    void feed(std::string_view bytes) {
        size_t skipped = ngx_min(has_read_, bytes.size());
        has_read_ -= skipped;
        read_answer(tokens_, bytes.substr(skipped), nullptr);
    }
    bool must_end() { return grow(r_, tokens_) == GrowthResult::kCut; }

private:
    ngx_http_request_t* r_;
    TokenContext* tokens_;
    size_t has_read_;
};

/** Reads as many bytes as it takes to know what the body is. Returns their number. */
size_t read_kind(TokenContext* tokens, std::string_view piece) {
    StreamCopy* copy = &tokens->cutting->copy;
    if (copy->has_begun()) {
        return 0;
    }
    size_t size = 0;
    while (size < piece.size() && !tokens->reader->knows_kind()) {
        read_answer(tokens, piece.substr(size++, 1), nullptr);
    }
    if (tokens->reader->knows_kind()) {
        copy->begin(tokens->reader->kind(), piece);
    }
    return size;
}

/**
 * Reads a piece of the body. `run` is for a piece that is read at once: the other reader looks for
 * itself otherwise.
 */
StreamCut read(ngx_http_request_t* r, TokenContext* tokens, std::string_view piece, KnownRun* run) {
    StreamCutting* cutting = tokens->cutting;
    StreamCopy* copy = &cutting->copy;
    StreamCut cut;
    size_t has_read = read_kind(tokens, piece);
    bool may_end = piece.size() > text_allowed(*tokens) || cutting->must_end;
    if (may_end && copy->has_begun() && copy->ends().form() != StreamForm::kNone) {
        AnswerReader reader(r, tokens, has_read);
        cut = read_piece(piece, &copy->ends(), &cutting->must_end, &reader);
    } else {
        read_answer(tokens, piece.substr(has_read), has_read == 0 ? run : nullptr);
        if (copy->has_begun()) {
            copy->ends().take_all(piece);
        }
    }
    if (!cut.found) {
        copy->pass(piece);
        if (wants_growth(*tokens)) {
            grow(r, tokens);
        }
    }
    return cut;
}

/** The client asked for the usage of an OpenAI-style stream. */
bool wants_usage(ngx_http_request_t* r, const TokenContext& tokens) {
    const RequestInfo* info = read_request_info(r);
    return !tokens.asked_for_usage && info != nullptr && info->includes_usage();
}

/** Makes the last buffer of a stream: what passes of a piece, if `passes`, and the end. */
ngx_buf_t* make_end(ngx_http_request_t* r, TokenContext* tokens, std::string_view piece,
                    const StreamCut& cut, bool passes) {
    const StreamCopy& copy = tokens->cutting->copy;
    const size_t shown = passes ? cut.passed : 0;
    const size_t room = StreamCopy::kMaxHead + kMaxStreamEnd;
    char* scratch = static_cast<char*>(ngx_palloc(r->pool, StreamCopy::kScratch));
    u_char* text = static_cast<u_char*>(ngx_palloc(r->pool, shown + room));
    ngx_buf_t* buf = static_cast<ngx_buf_t*>(ngx_calloc_buf(r->pool));
    if (scratch == nullptr || text == nullptr || buf == nullptr) {
        return nullptr;
    }
    TextWriter out(reinterpret_cast<char*>(text) + shown, room);
    const StreamCutPlace place = {piece.substr(0, cut.passed),
                                  piece.substr(cut.passed, cut.dropped), cut.continued,
                                  tokens->used, wants_usage(r, *tokens)};
    const bool written = copy.write_end(place, scratch, &out);
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
        upstream->length = 0;
    }
}

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

void consume(ngx_chain_t* link) {
    for (; link != nullptr; link = link->next) {
        link->buf->pos = link->buf->last;
        link->buf->file_pos = link->buf->file_last;
    }
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

/** Ends the stream in the piece that `link` has. */
ngx_chain_t** end_stream(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* link,
                         const StreamCut& cut, ngx_chain_t** end) {
    ngx_buf_t* buf = link->buf;
    const std::string_view piece(reinterpret_cast<char*>(buf->pos),
                                 static_cast<size_t>(buf->last - buf->pos));
    note_cut(r, tokens, cut.text);
    settle_cut_answer(r, tokens, cut.text);
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
    consume(link);
    end_upstream(r);
    return last->pos == last->last ? end : add_link(r, last, end);
}

/** Shows a part of the body without its compression; nullptr if there is a mistake in it, or no
 * memory. */
ngx_chain_t** decode(TokenContext* tokens, ngx_chain_t* in, ngx_chain_t** end) {
    for (; in != nullptr && end != nullptr; in = in->next) {
        ShownBuffer shown(&tokens->cutting->decoded, in->buf, end);
        if (!shown.bytes().empty()) {
            decode_answer(tokens, shown.bytes(),
                          [&shown](std::string_view text) { shown.pass(text); });
        }
        end = is_broken(tokens->decoder) ? nullptr : shown.finish();
    }
    return end;
}

/** Takes back the buffers that have been sent. `out` has just been passed on. */
void note_all_sent(TokenContext* tokens, ngx_chain_t* hidden, ngx_chain_t* decoded) {
    if (tokens->hiding != nullptr) {
        note_sent(tokens->hiding, hidden);
    }
    if (tokens->cutting->decodes) {
        note_shown(&tokens->cutting->decoded, decoded);
    }
}

/** What comes behind the end of a stream: nginx's own end of the body passes. */
ngx_int_t pass_end(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                   ngx_http_output_body_filter_pt next) {
    bool ends = false;
    for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
        ends = ends || link->buf->last_buf;
    }
    consume(in);
    end_upstream(r);
    ngx_int_t rc = NGX_OK;
    if (ends) {
        ngx_buf_t* buf = static_cast<ngx_buf_t*>(ngx_calloc_buf(r->pool));
        ngx_chain_t* out = nullptr;
        if (buf == nullptr || add_link(r, buf, &out) == nullptr) {
            return NGX_ERROR;
        }
        buf->last_buf = 1;
        rc = next(r, out);
    } else if (in == nullptr) {
        rc = next(r, in);
    }
    note_all_sent(tokens, nullptr, nullptr);
    return rc;
}

/** Reads a buffer; `cut` is where the stream is to end in it. */
void watch(ngx_http_request_t* r, TokenContext* tokens, ngx_buf_t* buf, KnownRun* run,
           StreamCut* cut) {
    if (tokens->basis != UsageBasis::kUnknown) {
        return;
    }
    if (is_in_memory(buf) && buf->last != buf->pos) {
        *cut = read(r, tokens,
                    {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)},
                    run);
    }
    if (buf->last_buf && !cut->found) {
        settle_answer(r, tokens);
    }
}

/** Reads the buffers of a part of the body that passes, with nothing hidden. Returns the chain that
 * goes on: `in`, or another one if the stream ends. */
ngx_int_t read_chain(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                     ngx_chain_t** out) {
    *out = in;
    for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
        StreamCut cut;
        watch(r, tokens, link->buf, nullptr, &cut);
        if (!cut.found) {
            continue;
        }
        ngx_chain_t* begin = nullptr;
        ngx_chain_t** end = &begin;
        for (ngx_chain_t* before = in; before != link && end != nullptr; before = before->next) {
            end = add_link(r, before->buf, end);
        }
        if (end == nullptr || end_stream(r, tokens, link, cut, end) == nullptr) {
            return NGX_ERROR;
        }
        *out = begin;
        break;
    }
    return NGX_OK;
}

/** The same with what is hidden taken out. */
ngx_int_t read_and_hide(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                        ngx_chain_t** out) {
    ngx_chain_t** end = out;
    *out = nullptr;
    for (ngx_chain_t* link = in; link != nullptr && end != nullptr; link = link->next) {
        KnownRun run{known_events(tokens->hiding)};
        StreamCut cut;
        watch(r, tokens, link->buf, &run, &cut);
        if (cut.found) {
            end = end_stream(r, tokens, link, cut, end);
            break;
        }
        end = hide_chunk(tokens->hiding, link->buf, run, end);
    }
    return end != nullptr ? NGX_OK : NGX_ERROR;
}

}  // namespace

ngx_int_t begin_cutting(ngx_http_request_t* r, TokenContext* tokens) {
    void* memory = ngx_palloc(r->pool, sizeof(StreamCutting));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    StreamCutting* cutting = new (memory) StreamCutting();
    cutting->decoded.pool = r->pool;
    cutting->decodes = tokens->decoder != nullptr;
    if (cutting->decodes) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = nullptr;
    }
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_etag(r);
    tokens->cutting = cutting;
    return NGX_OK;
}

ngx_int_t pass_cuttable(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                        ngx_http_output_body_filter_pt next) {
    StreamCutting* cutting = tokens->cutting;
    if (cutting->is_cut) {
        return pass_end(r, tokens, in, next);
    }
    ngx_chain_t* decoded = nullptr;
    if (cutting->decodes && in != nullptr) {
        if (decode(tokens, in, &decoded) == nullptr) {
            return NGX_ERROR;
        }
    }
    ngx_chain_t* plain = cutting->decodes ? decoded : in;
    ngx_chain_t* out = nullptr;
    const bool hides = tokens->hiding != nullptr;
    if ((hides ? read_and_hide(r, tokens, plain, &out) : read_chain(r, tokens, plain, &out)) !=
        NGX_OK) {
        return NGX_ERROR;
    }
    // nginx takes it for a mistake if there is nothing to send.
    ngx_int_t rc = in != nullptr && out == nullptr ? NGX_OK : next(r, out);
    note_all_sent(tokens, hides ? out : nullptr, decoded);
    return rc;
}

}  // namespace ai_limit
