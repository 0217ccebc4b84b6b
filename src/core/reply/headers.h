#pragma once

// Writes the state of policies as response headers, in the styles that AI clients know. A new style
// is a bit of HeaderStyle, a function that writes it and one row of the table in headers.cpp; the
// configuration knows it by that row.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/words/amount_text.h"
#include "core/words/text_writer.h"
#include "core/words/types.h"

namespace ai_limit {

enum class HeaderStyle : uint8_t {
    kXRateLimit = 1 << 0,
    kIetf = 1 << 1,
    kOpenAi = 1 << 2,
    kAnthropic = 1 << 3,
};

/** A set of HeaderStyle bits; empty is `ai_limit_headers off`. */
using HeaderStyles = uint8_t;

constexpr HeaderStyles kNoHeaders = 0;

constexpr HeaderStyles header_styles(HeaderStyle style) {
    return static_cast<HeaderStyles>(style);
}

/** The style that the configuration calls by this name; kNoHeaders where there is none. */
HeaderStyles find_header_style(std::string_view name);

/** Writes the names of all styles: `x-ratelimit, ietf, …`. */
void list_header_styles(TextWriter& out);

/** Receives headers and puts them into the server's response. */
struct HeaderSink {
    /** n bytes that live as long as the response, or nullptr. */
    virtual char* space(size_t n) = 0;

    /**
     * Adds one header. Both names are static and NUL-terminated; the value is static, or lies in
     * memory from space(). False if it cannot be added.
     */
    virtual bool put(std::string_view name, std::string_view lowercase_name,
                     std::string_view value) = 0;

protected:
    ~HeaderSink() = default;
};

/** The name of a header, as it is sent and in lower case; both static and NUL-terminated. */
struct ResponseHeaderName {
    std::string_view name;
    std::string_view lowercase;
};

/**
 * Puts the headers of all styles of the set into the sink. On a refusal, it adds the wait of
 * `reported` and a header that keeps the answer out of caches. `all` are the n policies that may be
 * shown, without those on a dry run. `reported` is the one that speaks if a style has room for one
 * only. Returns false if the sink had no room: then some of the headers may be there.
 */
bool write_headers(HeaderStyles styles, const Description* all, size_t n,
                   const Description& reported, bool refused, Now now, HeaderSink& sink);

/** The headers of the x-ratelimit style. */
inline constexpr ResponseHeaderName kXRateLimitNames[] = {
    {"X-RateLimit-Limit", "x-ratelimit-limit"},
    {"X-RateLimit-Remaining", "x-ratelimit-remaining"},
    {"X-RateLimit-Reset", "x-ratelimit-reset"},
};

/** The most bytes that their values take. */
constexpr size_t kXRateLimitSize = 64;

/**
 * Writes the values of these headers into `space`, of kXRateLimitSize bytes, and gives each with
 * its name to put(const ResponseHeaderName&, std::string_view value). These are the values that
 * write_headers() puts for a policy of this standing.
 */
template <typename Put>
inline void format_x_ratelimit(const Standing& reported, char* space, const Put& put) {
    static_assert(kXRateLimitSize >= 3 * kMaxDigits && kXRateLimitSize >= 3 * kMaxAmountText);
    const uint64_t numbers[] = {reported.limit, reported.remaining,
                                seconds_rounded_up(reported.reset)};
    const bool is_money = facts_of(reported.measure).in_millionths;
    for (size_t i = 0; i < 3; ++i) {
        char* end =
            is_money && i < 2 ? put_millionths(space, numbers[i]) : put_digits(space, numbers[i]);
        put(kXRateLimitNames[i], std::string_view(space, static_cast<size_t>(end - space)));
        space = end;
    }
}

/**
 * True if write_headers() with these arguments may write a header of this name, in any case. A
 * header of this name from upstream must then go.
 */
bool is_rate_limit_header(std::string_view name, HeaderStyles styles, bool refused);

/** True for the headers by which a refusal names its wait, in any case. */
bool is_wait_header(std::string_view name);

/** True if less is left in `a` than in `b`, each in proportion to its limit. Exact. */
bool is_more_restrictive(const Standing& a, const Standing& b);

/** The wait that a refusal names: never 0, which clients take for "at once". kNever stays kNever.
 */
constexpr Millis stated_wait(const Description& refused) {
    return refused.wait > 0 ? refused.wait : 1;
}

}  // namespace ai_limit
