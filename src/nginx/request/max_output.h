#pragma once

// ai_limit_max_output: lowers the limit of output in a request's body, and sets one where the
// client sets none.

#include "core/edits/output_limits.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** The limits of output of one request. Its pool owns them. */
struct RequestOutput {
    explicit RequestOutput(const MaxOutputConf& conf, std::string_view path)
        : conf(&conf), limits(path, conf.field) {}

    const MaxOutputConf* conf;  // by which they were read; nullptr once the body has been changed
    OutputLimits limits;
    Amount answers = 1;  // to the request, over all of its prompts
    Amount each = 0;     // the most that each of them may have from now on; 0: as the client says
    Amount admitted_each = 0;  // the same when the request was admitted last
    uint8_t attempts = 0;      // to be admitted with what remains
};

/** True if the body must be read for ai_limit_max_output of the request's location. */
inline bool must_read_output(ngx_http_request_t* r, const TokenContext& tokens) {
    const MaxOutputConf* conf = loc_conf(r)->max_output;
    return conf != nullptr && (tokens.output == nullptr || tokens.output->conf != conf);
}

/** Begins to read the limits. Returns nullptr without memory. */
OutputLimits* read_output_limits(ngx_http_request_t* r, const MaxOutputConf& conf,
                                 TokenContext* tokens);

/**
 * The same if the location has ai_limit_max_output. `limits` is nullptr if not. NGX_ERROR without
 * memory.
 */
inline ngx_int_t begin_output_limits(ngx_http_request_t* r, TokenContext* tokens,
                                     OutputLimits** limits) {
    const MaxOutputConf* conf = loc_conf(r)->max_output;
    *limits = conf != nullptr ? read_output_limits(r, *conf, tokens) : nullptr;
    return conf == nullptr || *limits != nullptr ? NGX_OK : NGX_ERROR;
}

/** The body has been read: tells the request's info how much it asks for. */
void end_output_limits(TokenContext* tokens);

/** Returns the most output that the request asks for in all; UINT64_MAX if nothing limits it. */
Amount most_output(const TokenContext& tokens);

/**
 * Limits all answers together to `tokens`, but none to less than 1. The request's info then says
 * so; the body changes with change_body(). Returns false, and changes nothing, if the body would
 * have to be changed and cannot be: RequestOutput::limits says why.
 */
bool limit_output(TokenContext* tokens, Amount most);

/** True if the request's limit of output is lower than the client's, or the client names none. */
inline bool is_output_lowered(const TokenContext& tokens) {
    return tokens.output != nullptr && tokens.output->each != 0;
}

/** The request has been admitted: other locations do not raise its limit. */
void keep_output_limit(TokenContext* tokens);

/** The request has been refused: error_page may lead to a location that allows it more. */
void drop_output_limit(TokenContext* tokens);

/**
 * Changes the body, which nginx has read, by all that is wanted: the limit of output, and, if
 * `asks`, the usage of a stream. NGX_ERROR without memory, or if a file cannot be written.
 */
ngx_int_t change_body(ngx_http_request_t* r, TokenContext* tokens, bool asks);

}  // namespace ai_limit
