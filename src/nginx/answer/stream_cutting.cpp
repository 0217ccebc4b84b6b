#include "nginx/answer/stream_cutting.h"

#include <new>

#include "core/usage/stored_answer.h"
#include "nginx/answer/answer.h"
#include "nginx/answer/chunk_hiding.h"
#include "nginx/answer/stream_closing.h"
#include "nginx/body/answer_decoder.h"
#include "nginx/request/request_body.h"
#include "nginx/usage/growth.h"

namespace ai_limit {

namespace {

/** A piece that is read event by event costs more than a copy of the reader if it is longer. */
constexpr size_t kWorthACopy = 1024;

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
        tokens_->reader->feed(bytes.substr(skipped));
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

/** True if the text that has come since is no more than was allowed, or than is by now. */
bool is_allowed(ngx_http_request_t* r, TokenContext* tokens, uint64_t before, uint64_t allowed) {
    return tokens->reader->text_characters() - before <= allowed ||
           grow(r, tokens) != GrowthResult::kCut;
}

/** Copies the reader, so that a piece can be read a second time; false without memory. */
bool remember_reader(ngx_http_request_t* r, TokenContext* tokens) {
    StreamCutting* cutting = tokens->cutting;
    if (cutting->before == nullptr) {
        void* memory = ngx_palloc(r->pool, sizeof(UsageReader));
        cutting->before = memory != nullptr ? new (memory) UsageReader(*tokens->reader) : nullptr;
        return cutting->before != nullptr;
    }
    *cutting->before = *tokens->reader;
    return true;
}

/**
 * Reads what follows so many bytes of a piece, if it needs no parsing but has more text than was
 * allowed. If that is not all allowed by now, changes nothing and returns false.
 */
__attribute__((noinline)) bool read_known(ngx_http_request_t* r, TokenContext* tokens,
                                          std::string_view piece, size_t known, KnownTexts* texts) {
    const std::string_view rest = piece.substr(known);
    UsageReader* reader = tokens->reader;
    UsageReader::Mark before;
    reader->mark(&before);
    const TextBounds bounds = tokens->bounds;
    const uint64_t allowed = text_allowed(*tokens);
    const uint64_t text = reader->text_characters();
    if (reader->feed_known(rest, UINT64_MAX, texts) == rest.size() &&
        is_allowed(r, tokens, text, allowed)) {
        return true;
    }
    reader->go_back(before);
    tokens->bounds = bounds;
    return false;
}

/** Reads a piece that has too much text, or may have, and is no known event. */
StreamCut read_closely(ngx_http_request_t* r, TokenContext* tokens, std::string_view piece,
                       size_t has_read) {
    StreamCutting* cutting = tokens->cutting;
    const uint64_t allowed = text_allowed(*tokens);
    if (!cutting->must_end && has_read == 0 && piece.size() > kWorthACopy &&
        remember_reader(r, tokens)) {
        const TextBounds bounds = tokens->bounds;
        tokens->reader->feed(piece);
        if (is_allowed(r, tokens, cutting->before->text_characters(), allowed)) {
            cutting->copy.ends().take_all(piece);
            return {};
        }
        *tokens->reader = *cutting->before;
        tokens->bounds = bounds;
    }
    AnswerReader reader(r, tokens, has_read);
    return read_piece(piece, &cutting->copy.ends(), &cutting->must_end, &reader);
}

/** Passes a piece to those who keep something of what the client gets. */
void note_passed(StreamCutting* cutting, std::string_view piece) {
    cutting->copy.pass(piece);
    if (cutting->events != nullptr) {
        cutting->events->pass(piece);
    }
}

/** Reads a piece that may have too much text, and of which so many bytes have been read as known
 * events. */
__attribute__((noinline)) StreamCut read_behind(ngx_http_request_t* r, TokenContext* tokens,
                                                std::string_view piece, size_t known,
                                                size_t has_read) {
    const StreamCut cut = read_behind_known(piece, known, &tokens->cutting->copy.ends(),
                                            [r, tokens, has_read](std::string_view rest) {
                                                return read_closely(r, tokens, rest, has_read);
                                            });
    if (tokens->answer_id != nullptr) {
        tokens->answer_id->feed(piece.substr(has_read));
    }
    if (!cut.found) {
        note_passed(tokens->cutting, piece);
    }
    return cut;
}

/**
 * Reads a piece of the body, of which so many bytes have been read as known events. `run` is for a
 * piece that is read at once: the other reader looks for itself otherwise.
 */
__attribute__((noinline)) StreamCut read(ngx_http_request_t* r, TokenContext* tokens,
                                         std::string_view piece, size_t known, KnownRun* run) {
    StreamCutting* cutting = tokens->cutting;
    StreamCopy* copy = &cutting->copy;
    if (known > 0) {
        return read_behind(r, tokens, piece, known, 0);
    }
    const size_t has_read = read_kind(tokens, piece);
    const uint64_t allowed = text_allowed(*tokens);
    const bool may_end = piece.size() > allowed || cutting->must_end;
    if (may_end && copy->has_begun() && copy->ends().form() != StreamForm::kNone) {
        const bool looks = has_read == 0 && !cutting->must_end;
        known = looks ? tokens->reader->feed_known(piece, allowed, nullptr) : 0;
        return read_behind(r, tokens, piece, known, has_read);
    }
    read_answer(tokens, piece.substr(has_read), has_read == 0 ? run : nullptr);
    if (copy->has_begun()) {
        copy->ends().take_all(piece);
    }
    note_passed(cutting, piece);
    return {};
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

/** Reads a buffer as read() does; `cut` is where the stream is to end in it. */
__attribute__((noinline)) void watch(ngx_http_request_t* r, TokenContext* tokens, ngx_buf_t* buf,
                                     size_t known, KnownRun* run, StreamCut* cut) {
    if (tokens->basis != UsageBasis::kUnknown) {
        return;
    }
    if (is_in_memory(buf) && buf->last != buf->pos) {
        std::string_view piece = bytes_of(buf);
        *cut = read(r, tokens, piece, known, run);
        if (!cut->found && wants_growth(*tokens)) {
            grow(r, tokens);
        }
    }
    if (buf->last_buf && !cut->found) {
        settle_answer(r, tokens);
    }
}

/** The place up to which a part of the body has been read. */
struct ReadPlace {
    ngx_chain_t* link;
    size_t known;  // bytes of its buffer, read as known events
};

/** Reads the buffers of a part of the body that passes, with nothing hidden. Returns the chain that
 * goes on: `in`, or another one if the stream ends. */
ngx_int_t read_chain(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in, ReadPlace place,
                     ngx_chain_t** out) {
    *out = in;
    for (ngx_chain_t* link = place.link; link != nullptr; link = link->next) {
        StreamCut cut;
        watch(r, tokens, link->buf, link == place.link ? place.known : 0, nullptr, &cut);
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
        watch(r, tokens, link->buf, 0, &run, &cut);
        if (cut.found) {
            end = end_stream(r, tokens, link, cut, end);
            break;
        }
        end = hide_chunk(tokens->hiding, link->buf, run, end);
    }
    return end != nullptr ? NGX_OK : NGX_ERROR;
}

/** Finds out whether the next part of the body may be one that pass_plain() passes. */
void note_shape(TokenContext* tokens) {
    StreamCutting* cutting = tokens->cutting;
    const bool has_id = tokens->answer_id == nullptr || tokens->answer_id->has_found();
    cutting->is_plain = has_id && cutting->copy.has_begun() && cutting->copy.ends().is_plain() &&
                        !cutting->must_end && !cutting->is_cut &&
                        tokens->basis == UsageBasis::kUnknown;
}

/** Passes a part of the body as it came, as far as the stream goes. */
__attribute__((noinline)) ngx_int_t pass_unchanged(ngx_http_request_t* r, TokenContext* tokens,
                                                   ngx_chain_t* in, ReadPlace place,
                                                   ngx_http_output_body_filter_pt next) {
    ngx_chain_t* out = nullptr;
    if (read_chain(r, tokens, in, place, &out) != NGX_OK) {
        return NGX_ERROR;
    }
    note_shape(tokens);
    // nginx takes it for a mistake if there is nothing to send.
    return in != nullptr && out == nullptr ? NGX_OK : next(r, out);
}

/** Passes a part of the body that does not go on as it came. */
ngx_int_t pass_changed(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                       ngx_http_output_body_filter_pt next) {
    StreamCutting* cutting = tokens->cutting;
    ngx_chain_t* decoded = nullptr;
    if (cutting->decodes && in != nullptr && decode(tokens, in, &decoded) == nullptr) {
        return NGX_ERROR;
    }
    ngx_chain_t* plain = cutting->decodes ? decoded : in;
    ngx_chain_t* out = nullptr;
    const bool hides = tokens->hiding != nullptr;
    if ((hides ? read_and_hide(r, tokens, plain, &out)
               : read_chain(r, tokens, plain, {plain, 0}, &out)) != NGX_OK) {
        return NGX_ERROR;
    }
    // nginx takes it for a mistake if there is nothing to send.
    ngx_int_t rc = in != nullptr && out == nullptr ? NGX_OK : next(r, out);
    note_all_sent(tokens, hides ? out : nullptr, decoded);
    return rc;
}

__attribute__((noinline)) ngx_int_t pass_any(ngx_http_request_t* r, TokenContext* tokens,
                                             ngx_chain_t* in, ngx_http_output_body_filter_pt next) {
    StreamCutting* cutting = tokens->cutting;
    if (cutting->is_cut) {
        return pass_end(r, tokens, in, next);
    }
    return cutting->decodes || tokens->hiding != nullptr
               ? pass_changed(r, tokens, in, next)
               : pass_unchanged(r, tokens, in, {in, 0}, next);
}

/** Passes a part of the body that mostly has nothing but known events, and then costs little. */
inline ngx_int_t pass_plain(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                            ngx_http_output_body_filter_pt next) {
    StreamCutting* cutting = tokens->cutting;
    PassedEvents* events = cutting->events;
    UsageReader* reader = tokens->reader;
    for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
        if (!is_in_memory(link->buf) || link->buf->last_buf || link->buf->last == link->buf->pos) {
            return pass_unchanged(r, tokens, in, {link, 0}, next);
        }
        const std::string_view piece = bytes_of(link->buf);
        KnownTexts* texts = events != nullptr ? events->texts(reader->known_events()) : nullptr;
        const size_t known = reader->feed_known(piece, text_allowed(*tokens), texts);
        if (known != piece.size() && !read_known(r, tokens, piece, known, texts)) {
            return pass_unchanged(r, tokens, in, {link, known}, next);
        }
        cutting->copy.pass_known(piece, reader->known_events().front().size());
        if (events != nullptr) {
            events->pass_known(piece, reader->known_events());
        }
        if (wants_growth(*tokens)) {
            grow(r, tokens);
        }
    }
    return next(r, in);
}

/** True for a stream of Responses, which ends with its output, and for one of several choices, of
 * which each must be ended once. */
bool needs_events(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return stored_answer(view(r->uri)) != StoredAnswer::kNone ||
           (info != nullptr && info->answers() > 1);
}

/** See PassedEvents::Grow; `pool` is nginx's. */
char* grow_memory(void* pool, char* memory, size_t kept, size_t size) {
    ngx_pool_t* owner = static_cast<ngx_pool_t*>(pool);
    char* grown = static_cast<char*>(ngx_palloc(owner, size));
    if (grown != nullptr && memory != nullptr) {
        ngx_memcpy(grown, memory, kept);
        ngx_pfree(owner, memory);
    }
    return grown;
}

}  // namespace

ngx_int_t begin_cutting(ngx_http_request_t* r, TokenContext* tokens) {
    void* memory = ngx_palloc(r->pool, sizeof(StreamCutting));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    StreamCutting* cutting = new (memory) StreamCutting();
    cutting->decoded.pool = r->pool;
    if (needs_events(r)) {
        void* events = ngx_palloc(r->pool, sizeof(PassedEvents));
        if (events == nullptr) {
            return NGX_ERROR;
        }
        cutting->events = new (events) PassedEvents(r->pool, grow_memory);
    }
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
    return tokens->cutting->is_plain && in != nullptr ? pass_plain(r, tokens, in, next)
                                                      : pass_any(r, tokens, in, next);
}

}  // namespace ai_limit
