#include "nginx/request/request_body.h"

#include <new>

#include "core/requests/form_text.h"
#include "nginx/body/body_text.h"
#include "nginx/request/body_fields.h"
#include "nginx/request/max_output.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

namespace {

/** Returns the Content-Type if it is one of a form, otherwise empty. Servers take either of several
 * ones: then there is no boundary that they agree on. */
std::string_view form_type(ngx_http_request_t* r) {
    const ngx_table_elt_t* header = r->headers_in.content_type;
    if (header == nullptr || !FormText::is_form_type(view(header->value))) {
        return {};
    }
    const HeaderName name = {{header->key.len, header->lowcase_key}, header->hash};
    const std::string_view type = view(header->value);
    return find_single_header(r, name) != nullptr ? type : type.substr(0, type.find(';'));
}

void set_form(RequestInfo* info, BodyFields* fields) {
    info->set_form();
    if (fields != nullptr) {
        fields->set_form();
    }
}

/** How far the body has been read. Trivially copyable. */
struct BodyReading {
    BodyReading(ngx_http_request_t* r, BodyFields* wanted, OutputLimits* limited)
        : text(r), form(form_type(r)), fields(wanted), limits(limited) {}

    BodyText text;
    FormText form;
    BodyFields* fields;    // nullptr: none are wanted
    OutputLimits* limits;  // the same
};

void feed(std::string_view text, RequestInfo* info, BodyReading* reading) {
    info->feed(text);
    if (reading->fields != nullptr) {
        reading->fields->feed(text);
    }
    if (reading->limits != nullptr) {
        reading->limits->feed(text);
    }
}

/** About how many bytes of the text, and of a coded body, are read at a time. */
struct Portion {
    uint64_t text;
    uint64_t coded;
};

/** Reads on, a portion at most. True if the body has ended. */
bool read_on(BodyReading* reading, RequestInfo* info, const Portion& most) {
    BodyText& text = reading->text;
    const uint64_t text_begin = text.size();
    const uint64_t coded_begin = text.coded_size();
    do {
        std::string_view piece = text.next();
        while (!piece.empty()) {
            const std::string_view json = reading->form.next(&piece);
            if (reading->form.is_form()) {
                set_form(info, reading->fields);
            }
            feed(json, info, reading);
        }
        if (text.has_ended()) {
            return true;
        }
    } while (text.size() - text_begin < most.text && text.coded_size() - coded_begin < most.coded);
    return false;
}

/** Completes what is known of the request once its body has ended. */
void finish_reading(ngx_http_request_t* r, BodyReading* reading, TokenContext* tokens) {
    RequestInfo* info = &tokens->info;
    const BodyText& text = reading->text;
    feed(reading->form.end(), info, reading);
    if (reading->fields != nullptr && reading->fields->disagree()) {
        info->set_disagreeing();
    }
    if (reading->fields != nullptr && reading->fields->is_batch_of_several()) {
        info->set_batch();
    }
    if (text.is_plain() && !reading->form.is_form()) {
        info->set_offset_in_body(text.mark_size());
        if (reading->limits != nullptr) {
            reading->limits->set_offset_in_body(text.mark_size());
        }
    }
    if (!text.is_readable()) {
        info->fail();
    }
    // The decompressed size of a coded body counts if it is larger than the body.
    info->finish(text.is_coded() ? ngx_max(body_size(r), text.size()) : body_size(r));
    tokens->info_is_whole = true;
    tokens->info_is_cut = false;
    if (reading->limits != nullptr) {
        end_output_limits(tokens);
    }
}

/** Starts with what the path says; the body comes next. */
void begin_info(ngx_http_request_t* r, TokenContext* tokens) {
    tokens->info = RequestInfo();
    tokens->info_is_whole = false;
    tokens->info.read_path(view(r->uri));
}

/** Reads a portion at most, until all is known. Returns NGX_AGAIN if that is not the end: `reading`
 * then is how far it has come. NGX_ERROR without memory. */
ngx_int_t begin_reading(ngx_http_request_t* r, TokenContext* tokens, const Portion& most,
                        BodyReading** reading) {
    BodyFields* fields = nullptr;
    OutputLimits* limits = nullptr;
    if (begin_body_fields(r, tokens, &fields) != NGX_OK ||
        begin_output_limits(r, tokens, &limits) != NGX_OK) {
        return NGX_ERROR;
    }
    BodyReading begun(r, fields, limits);
    if (read_on(&begun, &tokens->info, most)) {
        finish_reading(r, &begun, tokens);
        return NGX_OK;
    }
    void* memory = ngx_palloc(r->pool, sizeof(BodyReading));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    *reading = new (memory) BodyReading(begun);
    return NGX_AGAIN;
}

/**
 * Reads the body for variables, if no policy counts by it. Nothing can wait here for other requests
 * to be served, so a worker reads about 1 MB only: a coded body may become 100 times as large, and
 * small keys are read slowly.
 */
ngx_int_t read_in_one_go(ngx_http_request_t* r, TokenContext* tokens) {
    BodyReading* reading = nullptr;
    ngx_int_t rc = begin_reading(r, tokens, {BodyText::kAnyText, BodyText::kAnyText}, &reading);
    if (rc != NGX_AGAIN) {
        return rc;
    }
    reading->text.give_up();
    finish_reading(r, reading, tokens);
    tokens->info_is_cut = true;
    return NGX_OK;
}

}  // namespace

bool awaits_body(ngx_http_request_t* r) {
    return r->request_body == nullptr && !r->discard_body &&
           (r->headers_in.content_length_n > 0 || r->headers_in.chunked);
}

const RequestInfo* read_request_info(ngx_http_request_t* r) {
    r = r->main;
    TokenContext* tokens = token_context(r);
    if (tokens == nullptr || tokens->info_is_whole || tokens->reads_body) {
        return tokens != nullptr ? &tokens->info : nullptr;
    }
    begin_info(r, tokens);
    if (awaits_body(r) || r->reading_body) {
        return &tokens->info;
    }
    if (r->request_body == nullptr) {
        tokens->info.finish(0);
        tokens->info_is_whole = true;
        return &tokens->info;
    }
    return read_in_one_go(r, tokens) == NGX_OK ? &tokens->info : nullptr;
}

namespace {

// This takes a few milliseconds: text is read at some hundred MB/s, and a coded body that is made
// up of empty members is decoded at 16 MB/s.
constexpr Portion kPortionOfTurn = {256 * 1024, 64 * 1024};

constexpr ngx_msec_t kTurnAtTheLatest = 60'000;

// A decoder may use 16 MB (br), so only a few go on at a time.
constexpr ngx_uint_t kMostDecoding = 4;
ngx_uint_t decoding;
WaitQueue decoders_wanted;

/** A body that is read in several turns of the event loop; the request's pool owns it. */
struct BodyTurns : Wait {
    TokenContext* tokens;
    BodyReading* reading;
    bool decodes;  // counted in `decoding`
};

/** Lets the next body have the decoder of one that is read or not wanted any more. */
void give_up_decoder(BodyTurns* turns) {
    if (!turns->decodes) {
        return;
    }
    turns->decodes = false;
    BodyTurns* next = static_cast<BodyTurns*>(take_first(&decoders_wanted));
    if (next == nullptr) {
        --decoding;
        return;
    }
    next->decodes = true;
    wake(next);
}

/** What was read so far stays: the log does not read on. */
void on_request_end(Wait* wait) {
    give_up_decoder(static_cast<BodyTurns*>(wait));
}

/** Takes the decoder that a coded body needs. False if all are in use: then the body waits until
 * one is free. */
bool has_decoder(BodyTurns* turns) {
    if (!turns->reading->text.is_coded() || turns->decodes) {
        return true;
    }
    if (decoding == kMostDecoding) {
        return false;
    }
    ++decoding;
    turns->decodes = true;
    return true;
}

void take_turn(Wait* wait, bool at_deadline) {
    BodyTurns* turns = static_cast<BodyTurns*>(wait);
    if (at_deadline) {
        set_deadline(turns, kTurnAtTheLatest);
    }
    if (is_queued(*turns)) {
        return;
    }
    if (!has_decoder(turns)) {
        put_last(&decoders_wanted, turns);
        return;
    }
    if (!read_on(turns->reading, &turns->tokens->info, kPortionOfTurn)) {
        wake_in_next_turn(turns);
        return;
    }
    finish_reading(turns->r, turns->reading, turns->tokens);
    turns->tokens->reads_body = false;
    give_up_decoder(turns);
    resume(turns);
}

constexpr WaitReason kWaitForTurn = {"a turn to read its body", take_turn, on_request_end};

ngx_int_t begin_turns(ngx_http_request_t* r, TokenContext* tokens, BodyReading* reading) {
    BodyTurns* turns = static_cast<BodyTurns*>(ngx_pcalloc(r->pool, sizeof(BodyTurns)));
    if (turns == nullptr) {
        return NGX_ERROR;
    }
    turns->tokens = tokens;
    turns->reading = reading;
    ngx_int_t rc = suspend(r, turns, kWaitForTurn);
    if (rc == NGX_AGAIN) {
        tokens->reads_body = true;
        set_deadline(turns, kTurnAtTheLatest);
        wake_in_next_turn(turns);
    }
    return rc;
}

}  // namespace

ngx_int_t read_request_info_in_turns(ngx_http_request_t* r) {
    TokenContext* tokens = token_context(r);
    if (tokens == nullptr) {
        return NGX_ERROR;
    }
    const bool known =
        tokens->info_is_whole && !tokens->info_is_cut && !must_read_output(r, *tokens);
    if (known || r->request_body == nullptr || awaits_body(r) || r->reading_body) {
        return NGX_OK;
    }
    begin_info(r, tokens);
    BodyReading* reading = nullptr;
    ngx_int_t rc = begin_reading(r, tokens, kPortionOfTurn, &reading);
    return rc == NGX_AGAIN ? begin_turns(r, tokens, reading) : rc;
}

Amount estimated_prompt(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return info != nullptr ? info->prompt_estimate() : 0;
}

}  // namespace ai_limit
