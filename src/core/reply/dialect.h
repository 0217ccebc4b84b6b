#pragma once

// Which API a client speaks, as far as the path of its request says. A refusal answers in the same
// dialect, since each SDK reads only its own API's errors and headers.
// A new dialect is one row of the table of answers in dialect.cpp, and the rows of its paths.

#include <cstdint>
#include <string_view>

#include "core/reply/error_body.h"
#include "core/reply/headers.h"

namespace ai_limit {

/** kPlain is every path that none of the APIs has. Mistral's API has the paths of OpenAI's. */
enum class Dialect : uint8_t { kPlain, kOpenAi, kAnthropic, kGemini, kOllama, kBedrock, kCohere };

/**
 * The dialect of a path without its arguments. Slashes at the end, and a prefix before the API's
 * own path, make no difference: `/gateway/v1/messages/` is Anthropic's. The path may be
 * percent-encoded as long as the parts that the API itself names are not; then only kPlain may be
 * wrong.
 */
Dialect find_dialect(std::string_view path);

/** Returns the format that `ai_limit_error_format auto` stands for; never kAuto or kOff. */
ErrorFormat format_of(Dialect dialect);

/**
 * Returns the styles that `ai_limit_headers auto` stands for. APIs without headers of their own get
 * x-ratelimit.
 */
HeaderStyles styles_of(Dialect dialect);

}  // namespace ai_limit
