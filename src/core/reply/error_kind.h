#pragma once

// Why a request is refused, and what the APIs call that. SDKs and agents decide by these words
// whether they wait, try again or inform their user.

#include <cstdint>
#include <string_view>

#include "core/words/types.h"

namespace ai_limit {

enum class ErrorKind : uint8_t {
    kWait,             // fits later
    kExhausted,        // fits so much later that nobody should wait for it
    kTooLarge,         // never fits
    kBlocked,          // the limit is 0, or there is no price
    kInvalid,          // cannot be read, or asks for what is not allowed
    kUpgradeRequired,  // asks for a protocol that is not spoken here
    kUnavailable,      // nobody can decide at the moment
};

/** Agents wait up to this long, and hang if the wait is longer. */
constexpr Millis kLongestWait = 300'000;

/** Why `refused` refuses; kInvalid and kUpgradeRequired never. */
ErrorKind kind_of(const Description& refused);

/** The kind of an error that no policy has decided, by its status. */
ErrorKind kind_of_status(unsigned status);

/** The formats' names for a kind. The texts are static and need no escapes in JSON. */
struct ErrorNames {
    std::string_view plain;
    std::string_view openai_type;  // empty: what the policy counts
    std::string_view openai_code;
    std::string_view anthropic_type;
    std::string_view google_status;
    std::string_view amazon_type;
};

const ErrorNames& names_of(ErrorKind kind);

}  // namespace ai_limit
