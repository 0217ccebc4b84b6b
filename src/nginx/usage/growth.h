#pragma once

// Reserves more for an answer while it runs and has used its reservation (core/decide/growth.h).

#include "core/counts/text_allowance.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** What becomes of an answer that has used a reservation. */
enum class GrowthResult : uint8_t {
    kGrown,   // it goes on: each policy has reserved more, or will say later whether it has room
    kNoRoom,  // it goes on, and some policy has no room: what it uses may become a debt
    kCut      // it must end: a policy with overrun=cut has no room
};

/** Begins to follow an answer whose reader has been made, if it is a model's. */
void begin_growth(ngx_http_request_t* r, TokenContext* tokens, bool is_from_model);

/**
 * Returns how many more characters of text the reader may find before a policy with overrun=cut has
 * used its reservation. kUnlimitedText if no such policy limits the request, 0 if the reservation
 * is used up. Before the answer has a reader, kUnlimitedText as well.
 */
inline uint64_t text_allowed(const TokenContext& tokens) {
    if (tokens.reader == nullptr || tokens.bounds.cut == kUnlimitedText) {
        return kUnlimitedText;
    }
    const uint64_t text = tokens.reader->text_characters();
    return text < tokens.bounds.cut ? tokens.bounds.cut - text : 0;
}

/** True if the reader has found enough text for grow() to be called. The answer has a reader. */
inline bool wants_growth(const TokenContext& tokens) {
    // One event in a hundred.
    return __builtin_expect(tokens.reader->text_characters() > tokens.bounds.next, 0) != 0;
}

/**
 * Reserves more in each policy whose reservation is used up. After kCut it may be called again, and
 * then tries again: an answer that is not streamed goes on.
 */
GrowthResult grow(ngx_http_request_t* r, TokenContext* tokens);

}  // namespace ai_limit
