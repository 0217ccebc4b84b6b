#pragma once

// The module's knowledge of a request, from its body and from its answer.

#include "core/learn/habits.h"
#include "core/requests/body_fields.h"
#include "core/requests/request_info.h"
#include "core/usage/usage.h"
#include "nginx/request/request_context.h"

namespace ai_limit {

class AnswerIdReader;  // core/usage/stored_answer.h
struct AnswerDecoder;  // answer_decoder.h
struct ChunkHiding;    // chunk_hiding.h
struct RedisDecision;  // redis_question.h
struct RequestOutput;  // max_output.h
struct StreamCutting;  // stream_cutting.h

/** The source of the figures on what a request used. */
enum class UsageBasis : uint8_t {
    kUnknown,  // the request has not ended
    kNone,     // it used nothing
    kEstimate,
    kResponse
};

/** How far an answer's text may go; in characters since its beginning. */
struct TextBounds {
    uint64_t next;  // beyond this, policies look whether they must reserve more
    uint64_t cut;   // beyond this, a policy with overrun=cut has used its reservation
};

struct TokenContext {
    RequestInfo info;
    bool info_is_whole;            // the body has been read into `info`, or there is none
    bool info_is_cut;              // of a long body only the front is in `info`
    bool reads_body;               // into `info`, in turns of the event loop
    BodyField* fields;             // those that the configuration names, once the body is read
    RequestOutput* output;         // limits of its output; nullptr where nobody lowers them
    Decision* pending;             // a decision that waits for the body,
    const PolicySet* pending_set;  // of these policies,
    uint32_t later;                // and those that it has not asked yet, by bit
    RedisDecision* asked;          // of Redis, while it decides
    Amount reserved;               // the most that a policy reserved, of money what it buys
    // The same in tokens without weights, of the policies that reserve by what the body asks for.
    Amount reserved_output;
    Amount reserved_input;       // the prompt's estimate, corrected by what was learned
    bool reserves_by_body;       // there are such policies
    uint64_t model_hash;         // of the model (model_hash.h),
    const void* model_zone;      // in the zone that lies here; nullptr: not known yet
    HabitPlace habit;            // of the key and the model, in the policy that asked for it last
    uint32_t count_mistakes;     // by number of policy: its malformed count= has been logged
    const TokenWeights* prices;  // nullptr: not looked up (request_price.h)
    // The name that these prices were found by, once the answer has ended; empty if there are none.
    std::string_view priced_model;

    // the answer; `reader` is nullptr where its body is not read
    UsageReader* reader;
    AnswerDecoder* decoder;     // where it is compressed
    ChunkHiding* hiding;        // where a chunk is hidden that the client did not ask for
    AnswerIdReader* answer_id;  // where the server may keep the answer
    bool fetches_answer;        // which the request fetches again
    bool asked_for_usage;       // on the client's behalf: that chunk will come
    bool ends_noted;            // the request's end will be noticed
    bool coding_unknown;        // upstream sent what nobody accepted
    uint64_t undecoded_bytes;   // of the answer: then all, else those behind a mistake
    TextBounds bounds;          // growth.h
    const PolicyConf* used_up;  // the last policy for which the answer must end
    StreamCutting* cutting;     // where the stream may be ended
    bool is_cut;                // for its client, the stream has ended before its time
    TokenCounts used;           // of a cut stream at first what the client got
    UsageBasis basis;
    HabitSample sample;  // what the answer teaches about such requests
};

/** Returns the request's; makes it if there is none yet, without a decision if need be. nullptr
 * without memory. */
TokenContext* token_context(ngx_http_request_t* r);

/** The request's, or nullptr if nobody asked for one. */
inline TokenContext* find_token_context(ngx_http_request_t* r) {
    RequestContext* context = find_context(r);
    return context != nullptr ? context->tokens : nullptr;
}

}  // namespace ai_limit
