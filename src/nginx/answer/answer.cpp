#include "nginx/answer/answer.h"

#include <new>

#include "clock.h"
#include "core/counts/answer_cost.h"
#include "core/policies/policies.h"
#include "core/turns/queue.h"
#include "core/usage/stored_answer.h"
#include "nginx/answer/chunk_hiding.h"
#include "nginx/answer/stream_cutting.h"
#include "nginx/body/answer_decoder.h"
#include "nginx/decision/count_requests.h"
#include "nginx/decision/warning.h"
#include "nginx/request/request_body.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_flights.h"
#include "nginx/sharing/redis_ledgers.h"
#include "nginx/usage/abandoned.h"
#include "nginx/usage/charged_once.h"
#include "nginx/usage/growth.h"
#include "nginx/usage/learning.h"
#include "nginx/usage/model_usage.h"
#include "nginx/usage/stored_price.h"
#include "nginx/values/policy_values.h"
#include "nginx/values/request_price.h"

namespace ai_limit {

namespace {

/** The answer is an upstream's, and not a file of nginx's that an upstream has named. */
bool is_from_upstream(ngx_http_request_t* r) {
    ngx_http_upstream_t* upstream = r->upstream;
    if (upstream == nullptr) {
        return false;
    }
    bool follows = (upstream->conf->ignore_headers & NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT) == 0;
    return upstream->headers_in.x_accel_redirect == nullptr || !follows;
}

/** Returns the bytes that may be text. Sound and pictures have none, and no model works for a
 * request without a body, such as one for a page or a file. */
uint64_t unreadable_bytes(ngx_http_request_t* r, const TokenContext& tokens) {
    bool may_be_text = has_request_body(r) && !is_media_type(view(r->headers_out.content_type));
    // The decoder may have passed on some of the undecoded bytes as text that is none.
    return may_be_text ? ngx_max(tokens.reader->unreadable_bytes(), tokens.undecoded_bytes) : 0;
}

AnswerFacts facts_of_answer(ngx_http_request_t* r, const TokenContext& tokens) {
    AnswerFacts facts;
    facts.reported = tokens.reader->reported();
    facts.finished = tokens.reader->is_finished();
    facts.reports_all_output = tokens.reader->reports_all_output();
    facts.text = tokens.reader->text_characters();
    facts.unreadable = unreadable_bytes(r, tokens);
    facts.prompt = estimated_prompt(r);
    return facts;
}

/** Leaves in `tokens` what the answer teaches. */
AnswerCost cost_of_answer(ngx_http_request_t* r, TokenContext* tokens, const AnswerFacts& facts) {
    AnswerCost cost = answer_cost(facts);
    note_sample(r, tokens, facts, cost);
    return cost;
}

/** Charges each policy in tokens that took part, and leaves in `tokens` the most that one of them
 * was charged for: an answer that is fetched again may have been charged before. */
void charge_policies(ngx_http_request_t* r, RequestContext* context, TokenContext* tokens) {
    Now now = now_by_nginx();
    ChargedOnce earlier(*tokens);
    Learning learning(tokens, now);
    ModelUsage models;
    bool charged = false;
    bool charged_before = false;
    ChargedPart least = {kMaxAmount, kMaxAmount};
    LiveRedis* redis = live_redis(r);
    for (Decision* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (!is_to_be_settled(*one, one->charges[i])) {
                continue;
            }
            const Part& part = one->parts[i];
            ChargedOnce::Before before = earlier.charge(*part.policy->zone, view(part.key));
            (before.all ? charged_before : charged) = true;
            if (!before.all) {
                least = {ngx_min(least.input, before.part.input),
                         ngx_min(least.output, before.part.output)};
            }
            TokenCounts used = before.all ? TokenCounts() : remaining(tokens->used, before.part);
            Amount amount =
                before.all ? 0
                           : weigh(used, *read_weights(r, part.policy, *one->charges[i].use.limit));
            const Amount reserved = reserved_until_now(*one, i);
            State after{};
            settle_charge(&one->charges[i], amount, now, &after);
            note_room(one->charges[i].use.access->journal.zone(), one->charges[i].use.tag);
            learning.teach(*part.policy, one->charges[i].use);
            note_if_served(*r, one->charges[i].use);
            count_used(one->charges[i].use, part, used, {amount, reserved}, now);
            warn_of_settled(r, one->charges[i].use, part, amount, after);
            models.note_charge(one->charges[i].use, amount);
            if (flight_of(*one, i) != nullptr) {
                // A delta that Redis has yet to receive would count twice if the state included it.
                const Zone& zone = one->charges[i].use.access->journal.zone();
                bool is_reported = !may_have_been_alone(r, zone);
                settle_flight(flight_of(*one, i), amount, is_reported ? after : State{});
                one->in_redis[i].flight = nullptr;
            }
        }
        if (redis != nullptr) {
            schedule_deltas(redis, one);
        }
    }
    if (charged) {
        tokens->used = remaining(tokens->used, least);
        models.count(r, *tokens, now.wall);
    } else if (charged_before) {
        tokens->basis = UsageBasis::kNone;
        tokens->used = {};
    }
}

void settle(ngx_http_request_t* r, TokenContext* tokens, UsageBasis basis,
            const TokenCounts& used) {
    tokens->basis = basis;
    tokens->used = used;
    if (main_conf(r)->prices != nullptr) {
        note_stored_price(r, *tokens);
        price_answer(r, tokens, find_stored_price(r, *tokens));
    }
    RequestContext* context = find_context(r);
    if (context != nullptr) {
        charge_policies(r, context, tokens);
    }
}

/** Counts an answer without usage in each policy; returns how many the first of them had. */
uint64_t count_missing(RequestContext* context) {
    uint64_t first = 0;
    for (Decision* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            const PolicyCharge& charge = one->charges[i];
            if (is_to_be_settled(*one, charge)) {
                first = count_missing_usage(charge.use.access->journal.zone(), charge.use.policy);
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
                      : tokens.reader->has_usage() ? "the answer reports only a part of its usage"
                                                   : "no usage in the answer";
    ngx_log_error(level, r->connection->log, 0,
                  "%s: %uL tokens of input and %uL of output are charged by estimate; "
                  "answers without usage so far: %uL",
                  why, static_cast<uint64_t>(used.input), static_cast<uint64_t>(used.output),
                  missing);
}

void settle_by_estimate(ngx_http_request_t* r, TokenContext* tokens, const TokenCounts& used,
                        bool whole) {
    // A request without a body that used nothing is no model's: a list of models, for example.
    bool expected = used.input != 0 || used.output != 0 || has_request_body(r);
    RequestContext* context = find_context(r);
    uint64_t missing = context != nullptr && expected ? count_missing(context) : 0;
    if (missing != 0) {
        log_estimate(r, *tokens, used, whole, missing);
    }
    settle(r, tokens, UsageBasis::kEstimate, used);
}

void settle_abandoned(ngx_http_request_t* r, TokenContext* tokens) {
    AnswerCost cost = cost_of_abandoned(r, *tokens);
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "the request was abandoned before the answer began: %uL tokens of input and %uL "
                  "of output are charged by estimate",
                  static_cast<uint64_t>(cost.counts.input),
                  static_cast<uint64_t>(cost.counts.output));
    settle(r, tokens, UsageBasis::kEstimate, cost.counts);
}

/** Charges a cut stream for what nginx has read of it, which is at least what the client got. */
void settle_dropped(ngx_http_request_t* r, TokenContext* tokens) {
    const Amount least = tokens->used.output;
    tokens->reader->stop();
    TokenCounts used = cost_of_answer(r, tokens, facts_of_answer(r, *tokens)).counts;
    used.output = ngx_max(used.output, least);
    settle(r, tokens, UsageBasis::kEstimate, used);
}

/** `whole`: all of the answer has been seen. */
__attribute__((noinline)) void end_answer(ngx_http_request_t* r, TokenContext* tokens, bool whole) {
    if (tokens->basis != UsageBasis::kUnknown) {
        return;
    }
    UsageReader* reader = tokens->reader;
    if (reader == nullptr) {
        if (is_abandoned(r, whole)) {
            settle_abandoned(r, tokens);
        } else {
            settle(r, tokens, UsageBasis::kNone, {});
        }
        return;
    }
    if (tokens->is_cut) {
        settle_dropped(r, tokens);
        return;
    }
    if (whole) {
        reader->finish();
    } else {
        reader->stop();
    }
    bool reports = reader->has_usage() && (whole || reader->is_finished());
    if (!is_from_upstream(r) && !reports) {
        settle(r, tokens, UsageBasis::kNone, {});  // nginx's own answer
        return;
    }
    AnswerCost cost = cost_of_answer(r, tokens, facts_of_answer(r, *tokens));
    if (cost.estimated) {
        settle_by_estimate(r, tokens, cost.counts, whole);
    } else {
        settle(r, tokens, UsageBasis::kResponse, cost.counts);
    }
}

/**
 * True if a model has done what it was asked for. error_page may have made a success of a failure;
 * and a client that need not see the answer (RFC 9110, 13) has had it made all the same.
 */
bool has_succeeded(ngx_http_request_t* r) {
    ngx_uint_t status = r->headers_out.status;
    if (r->upstream == nullptr) {
        return is_success(status);
    }
    return is_success(r->upstream->headers_in.status_n) &&
           (is_success(status) || status == NGX_HTTP_NOT_MODIFIED ||
            status == NGX_HTTP_PRECONDITION_FAILED);
}

bool is_from_cache(ngx_http_request_t* r) {
#if (NGX_HTTP_CACHE)
    return r->cached;
#else
    (void)r;
    return false;
#endif
}

/** The body of the model's answer follows. */
bool has_body(ngx_http_request_t* r) {
    ngx_uint_t status = r->headers_out.status;
    return !r->header_only && r->method != NGX_HTTP_HEAD && is_success(status) &&
           status != NGX_HTTP_NO_CONTENT;
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

/** The form of an answer's body, according to its header. */
struct Form {
    AnswerKind kind;
    ContentCoding coding;
    bool may_be_events;
};

/** Servers and proxies also label event streams as plain text or as anything else. An answer that
 * is not plain text and has a length is no stream. */
Form form_of_answer(ngx_http_request_t* r) {
    static constexpr std::string_view kPlain = "text/plain";
    std::string_view type = view(r->headers_out.content_type);
    AnswerKind kind = answer_kind(type);
    bool may_be_events = kind == AnswerKind::kSse || type.substr(0, kPlain.size()) == kPlain ||
                         (r->headers_out.content_length_n < 0 && !is_media_type(type));
    return {kind, content_coding(content_encoding(r)), may_be_events};
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

/** True if the answer is a stream, and a policy with overrun=cut limits it. */
bool may_be_cut(ngx_http_request_t* r, const TokenContext& tokens, const Form& form) {
    if (text_allowed(tokens) == kUnlimitedText || tokens.coding_unknown || !has_body(r)) {
        return false;
    }
    switch (form.kind) {
        case AnswerKind::kSse:
        case AnswerKind::kLines:
        case AnswerKind::kEventStream:
            return true;
        case AnswerKind::kJson:
        case AnswerKind::kOther:
            break;
    }
    const RequestInfo* info = read_request_info(r);
    return info != nullptr && info->streams() && !is_media_type(view(r->headers_out.content_type));
}

ngx_int_t make_reader(ngx_http_request_t* r, TokenContext* tokens, const Form& form) {
    if (is_from_upstream(r)) {
        r->filter_need_in_memory = 1;
        r->allow_ranges = 0;  // nginx would cut the body before it comes here
    }
    r->filter_need_in_memory |= form.kind != AnswerKind::kOther;
    tokens->coding_unknown = form.coding == ContentCoding::kUnknown;
    if (form.coding != ContentCoding::kNone && !tokens->coding_unknown) {
        tokens->decoder = make_answer_decoder(r, form.coding);
        if (tokens->decoder == nullptr) {
            return NGX_ERROR;
        }
    }
    void* memory = ngx_palloc(r->pool, sizeof(UsageReader));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    tokens->reader = new (memory) UsageReader(form.kind, loc_conf(r)->usage);
    read_headers(r, tokens->reader);
    begin_growth(r, tokens, is_from_upstream(r));
    if (may_be_cut(r, *tokens, form) && begin_cutting(r, tokens) != NGX_OK) {
        return NGX_ERROR;
    }
    return watch_answer_id(r, tokens);
}

/** The client gets the text that the reader gets, without a coding. */
bool is_read_as_sent(const TokenContext* tokens, const Form& form) {
    return form.coding == ContentCoding::kNone ||
           (tokens->cutting != nullptr && tokens->decoder != nullptr);
}

inline void feed_text(TokenContext* tokens, std::string_view text, KnownRun* run) {
    tokens->reader->feed(text, run);
    if (tokens->answer_id != nullptr) {
        tokens->answer_id->feed(text);
    }
}

/** Not part of feed(), which does little for an event that is like the one before. */
__attribute__((noinline)) void feed_decoded(TokenContext* tokens, std::string_view piece) {
    decode_answer(tokens, piece,
                  [tokens](std::string_view text) { feed_text(tokens, text, nullptr); });
}

inline void feed(TokenContext* tokens, std::string_view piece, KnownRun* run) {
    if (tokens->decoder != nullptr) {
        feed_decoded(tokens, piece);
    } else if (tokens->coding_unknown) {
        tokens->undecoded_bytes += piece.size();
    } else {
        feed_text(tokens, piece, run);
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
        bool reads = !is_from_cache(r);
        if (reads && make_reader(r, tokens, form) != NGX_OK) {
            return NGX_ERROR;
        }
        // Also hides in an answer of a cache, which keeps answers as they came.
        bool hides = tokens->asked_for_usage && form.may_be_events && is_read_as_sent(tokens, form);
        if (hides && begin_hiding(r, tokens) != NGX_OK) {
            return NGX_ERROR;
        }
        if (reads && has_body(r)) {
            return NGX_OK;
        }
    }
    end_answer(r, tokens, true);
    return NGX_OK;
}

void watch_answer(ngx_http_request_t* r, TokenContext* tokens, ngx_buf_t* buf, KnownRun* run) {
    if (tokens->basis != UsageBasis::kUnknown || tokens->reader == nullptr) {
        return;
    }
    if (is_in_memory(buf) && buf->last != buf->pos) {
        feed(tokens, {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)},
             run);
        if (wants_growth(*tokens)) {
            grow(r, tokens);
        }
    }
    if (buf->last_buf) {
        end_answer(r, tokens, true);
    }
}

void read_answer(TokenContext* tokens, std::string_view text, KnownRun* run) {
    feed_text(tokens, text, run);
}

void settle_answer(ngx_http_request_t* r, TokenContext* tokens) {
    end_answer(r, tokens, true);
}

void note_cut_answer(ngx_http_request_t* r, TokenContext* tokens, uint64_t text) {
    AnswerFacts facts = facts_of_answer(r, *tokens);
    facts.finished = false;
    facts.reports_all_output = false;
    facts.text = ngx_min(facts.text, text);
    tokens->used = cost_of_answer(r, tokens, facts).counts;
    tokens->is_cut = true;
}

void settle_cut_answer(ngx_http_request_t* r, TokenContext* tokens) {
    settle(r, tokens, UsageBasis::kEstimate, tokens->used);
}

void want_whole_answer(ngx_http_request_t* r) {
    if (!has_request_body(r)) {
        return;  // no model's work
    }
    r->headers_in.if_modified_since = nullptr;
    r->headers_in.if_unmodified_since = nullptr;
    r->headers_in.if_match = nullptr;
    r->headers_in.if_none_match = nullptr;
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
