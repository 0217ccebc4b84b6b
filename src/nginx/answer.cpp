#include "nginx/answer.h"

#include <new>

#include "core/policies.h"
#include "nginx/answer_decoder.h"
#include "nginx/chunk_hiding.h"
#include "nginx/count_requests.h"
#include "nginx/policy_values.h"
#include "nginx/request_body.h"
#include "nginx/shared_decision.h"
#include "nginx/shared_flights.h"
#include "nginx/shared_ledgers.h"
#include "nginx/shared_zone.h"

namespace ai_limit {

namespace {

constexpr uint64_t kBytesPerToken = 4;

/** What is charged in place of what nobody told: the prompt, and what has been written so far. */
TokenCounts estimate_use(ngx_http_request_t* r, const TokenContext& tokens) {
    TokenCounts counts;
    const RequestInfo* info = read_request_info(r);
    counts.input = info != nullptr ? info->prompt_estimate() : 0;
    uint64_t bytes = tokens.reader->text_bytes() + tokens.unreadable_bytes;
    uint64_t output = bytes / kBytesPerToken;
    counts.output = ngx_min(output, kMaxAmount);
    return counts;
}

bool is_to_be_settled(const Evaluation& one, const Charge& charge) {
    return charge.settled_later && charge.verdict == Verdict::kPassed && !one.refused &&
           charge.access->journal.is_open();
}

/** Charges each policy in tokens that took part. */
void charge_policies(ngx_http_request_t* r, RequestContext* context, const TokenCounts& used) {
    Now now = now_by_nginx();
    RedisConf* redis = main_conf(r)->redis;
    for (Evaluation* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (!is_to_be_settled(*one, one->charges[i])) {
                continue;
            }
            Amount tokens = weigh(used, *read_weights(r, one->parts[i].policy));
            State after{};
            settle_charge(&one->charges[i], tokens, now, &after);
            count_used(one->charges[i], one->parts[i], used, tokens, now);
            if (one->flights != nullptr && one->flights[i] != nullptr) {
                // What is still to be told of it would count twice.
                bool is_told = !may_have_been_alone(r, one->charges[i].access->journal.zone());
                settle_flight(one->flights[i], tokens, is_told ? after : State{});
                one->flights[i] = nullptr;
            }
        }
        if (redis != nullptr) {
            see_to_news(redis, one);
        }
    }
}

void settle(ngx_http_request_t* r, TokenContext* tokens, UsageBasis basis,
            const TokenCounts& used) {
    tokens->basis = basis;
    tokens->used = used;
    RequestContext* context = find_context(r);
    if (context != nullptr) {
        charge_policies(r, context, used);
    }
}

/** Counts an answer without usage in each policy; returns how many the first of them had. */
uint64_t count_missing(RequestContext* context) {
    uint64_t first = 0;
    for (Evaluation* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            const Charge& charge = one->charges[i];
            if (is_to_be_settled(*one, charge)) {
                first = count_missing_usage(charge.access->journal.zone(), charge.policy);
            }
        }
    }
    return first;
}

void log_estimate(ngx_http_request_t* r, const TokenContext& tokens, const TokenCounts& used,
                  bool whole, uint64_t missing) {
    // A client that goes away is no mistake of anybody's.
    ngx_uint_t level = whole ? NGX_LOG_WARN : NGX_LOG_INFO;
    const char* why = !whole                       ? "the answer was cut short"
                      : tokens.reader->malformed() ? "the answer is malformed"
                                                   : "no usage in the answer";
    ngx_log_error(level, r->connection->log, 0,
                  "%s: %uL tokens of input and %uL of output are charged by estimate; "
                  "answers without usage so far: %uL",
                  why, static_cast<uint64_t>(used.input), static_cast<uint64_t>(used.output),
                  missing);
}

void settle_by_estimate(ngx_http_request_t* r, TokenContext* tokens, bool whole) {
    TokenCounts used = estimate_use(r, *tokens);
    // Where there is neither prompt nor text nothing is missing: a list of models, for example.
    bool expected = used.input != 0 || used.output != 0;
    RequestContext* context = find_context(r);
    uint64_t missing = context != nullptr && expected ? count_missing(context) : 0;
    if (missing != 0) {
        log_estimate(r, *tokens, used, whole, missing);
    }
    settle(r, tokens, UsageBasis::kEstimate, used);
}

/** `whole`: all of the answer has been seen. */
__attribute__((noinline)) void end_answer(ngx_http_request_t* r, TokenContext* tokens, bool whole) {
    if (tokens->basis != UsageBasis::kUnknown) {
        return;
    }
    UsageReader* reader = tokens->reader;
    if (reader == nullptr) {
        settle(r, tokens, UsageBasis::kNone, {});
        return;
    }
    if (whole) {
        reader->finish();
    } else {
        reader->stop();
    }
    if (whole ? reader->has_usage() : reader->has_final_usage()) {
        settle(r, tokens, UsageBasis::kResponse, reader->usage());
    } else if (r->upstream == nullptr) {
        settle(r, tokens, UsageBasis::kNone, {});  // nginx's own answer
    } else {
        settle_by_estimate(r, tokens, whole);
    }
}

bool is_success(ngx_uint_t status) {
    return status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE;
}

/**
 * Whether a model has done what it was asked for. error_page may have made a success of a failure;
 * and a client that need not see the answer (RFC 9110, 13) has had it made all the same.
 */
bool has_succeeded(ngx_http_request_t* r) {
    ngx_uint_t status = r->headers_out.status;
    if (r->upstream == nullptr) {
        return is_success(status);
    }
    return is_success(r->upstream->headers_in.status_n) &&
           (is_success(status) || status == NGX_HTTP_NOT_MODIFIED);
}

bool is_from_cache(ngx_http_request_t* r) {
#if (NGX_HTTP_CACHE)
    return r->cached;
#else
    (void)r;
    return false;
#endif
}

bool has_body(ngx_http_request_t* r) {
    return !r->header_only && r->method != NGX_HTTP_HEAD &&
           r->headers_out.status != NGX_HTTP_NO_CONTENT;
}

std::string_view content_encoding(ngx_http_request_t* r) {
    ngx_table_elt_t* header = r->headers_out.content_encoding;
    return header != nullptr && header->hash != 0 ? view(header->value) : std::string_view();
}

void read_headers(ngx_http_request_t* r, UsageReader* reader) {
    for (ngx_list_part_t* part = &r->headers_out.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            if (headers[i].hash != 0) {
                reader->header(view(headers[i].key), view(headers[i].value));
            }
        }
    }
}

/** What an answer's body is made of. */
struct Form {
    AnswerKind kind;  // kOther where it cannot be read
    ContentCoding coding;
};

Form form_of_answer(ngx_http_request_t* r) {
    ContentCoding coding = content_coding(content_encoding(r));
    bool readable = coding != ContentCoding::kUnknown;
    return {readable ? answer_kind(view(r->headers_out.content_type)) : AnswerKind::kOther, coding};
}

/** The client did not ask for the chunk with the usage. */
ngx_int_t begin_hiding(ngx_http_request_t* r, TokenContext* tokens) {
    tokens->hiding = make_chunk_hiding(r);
    if (tokens->hiding == nullptr) {
        return NGX_ERROR;
    }
    r->filter_need_in_memory = 1;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_etag(r);
    return NGX_OK;
}

ngx_int_t make_reader(ngx_http_request_t* r, TokenContext* tokens, const Form& form) {
    if (form.kind != AnswerKind::kOther) {
        r->filter_need_in_memory = 1;
        if (form.coding != ContentCoding::kNone) {
            tokens->decoder = make_answer_decoder(r, form.coding);
            if (tokens->decoder == nullptr) {
                return NGX_ERROR;
            }
        }
    }
    tokens->coding_unknown = form.coding == ContentCoding::kUnknown;
    r->filter_need_in_memory |= tokens->coding_unknown;
    void* memory = ngx_palloc(r->pool, sizeof(UsageReader));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    tokens->reader = new (memory) UsageReader(form.kind, loc_conf(r)->usage);
    read_headers(r, tokens->reader);
    return NGX_OK;
}

/** Apart from feed(), which does little for an event that is like the one before. */
__attribute__((noinline)) void feed_decoded(TokenContext* tokens, std::string_view piece) {
    std::string_view text;
    do {
        text = decode(tokens->decoder, &piece);
        if (!text.empty()) {
            tokens->reader->feed(text);
        }
    } while (!text.empty());
}

inline void feed(TokenContext* tokens, std::string_view piece) {
    if (tokens->coding_unknown) {
        tokens->unreadable_bytes += piece.size();
    }
    if (tokens->decoder != nullptr) {
        feed_decoded(tokens, piece);
    } else {
        tokens->reader->feed(piece);
    }
}

void settle_what_ended(void* data) noexcept {
    ngx_http_request_t* r = static_cast<ngx_http_request_t*>(data);
    TokenContext* tokens = find_token_context(r);
    if (tokens != nullptr) {
        end_answer(r, tokens, false);
    }
}

}  // namespace

ngx_int_t begin_answer(ngx_http_request_t* r, TokenContext* tokens) {
    if (tokens->reader != nullptr || tokens->basis != UsageBasis::kUnknown) {
        return NGX_OK;
    }
    if (settle_at_end(r, tokens) != NGX_OK) {
        return NGX_ERROR;
    }
    if (has_succeeded(r)) {
        Form form = form_of_answer(r);
        // Also out of a cache, which keeps answers as they came.
        bool hides = tokens->asked_for_usage && form.kind == AnswerKind::kSse &&
                     form.coding == ContentCoding::kNone;
        if (hides && begin_hiding(r, tokens) != NGX_OK) {
            return NGX_ERROR;
        }
        if (!is_from_cache(r)) {
            if (make_reader(r, tokens, form) != NGX_OK) {
                return NGX_ERROR;
            }
            if (has_body(r)) {
                return NGX_OK;
            }
        }
    }
    end_answer(r, tokens, true);
    return NGX_OK;
}

void watch_answer(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in) {
    if (tokens->basis != UsageBasis::kUnknown || tokens->reader == nullptr) {
        return;
    }
    for (; in != nullptr; in = in->next) {
        ngx_buf_t* buf = in->buf;
        if (is_in_memory(buf) && buf->last != buf->pos) {
            feed(tokens,
                 {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)});
        }
        if (buf->last_buf) {
            end_answer(r, tokens, true);
            return;
        }
    }
}

ngx_int_t settle_at_end(ngx_http_request_t* r, TokenContext* tokens) {
    if (tokens->ends_noted) {
        return NGX_OK;
    }
    // Before the access log, which shows what was used.
    ngx_http_cleanup_t* cleanup = ngx_http_cleanup_add(r, 0);
    if (cleanup == nullptr) {
        return NGX_ERROR;
    }
    cleanup->handler = settle_what_ended;
    cleanup->data = r;
    tokens->ends_noted = true;
    return NGX_OK;
}

}  // namespace ai_limit
