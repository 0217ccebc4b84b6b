#pragma once

// What policies say of themselves as response headers, in the styles that AI clients know.
// A new style is one row of the table in headers.cpp.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/types.h"

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

/** Where headers go: the response, as the server has it. */
struct HeaderSink {
    /** n bytes that live as long as the response, or nullptr. */
    virtual char* space(size_t n) = 0;

    /**
     * Adds one header. Both names are static and NUL-terminated; the value is static, or lies in
     * memory from space(). False where it cannot be added.
     */
    virtual bool put(std::string_view name, std::string_view lowercase_name,
                     std::string_view value) = 0;

protected:
    ~HeaderSink() = default;
};

/**
 * Puts the headers of all styles of the set into the sink, and on a refusal the wait of `reported`
 * and what keeps the answer out of caches. `all` are the n policies that may be shown, which leaves
 * out those on a dry run; `reported` is the one that speaks where a style has room for one only.
 * False where the sink had no room: then some of the headers may be there.
 */
bool write_headers(HeaderStyles styles, const Description* all, size_t n,
                   const Description& reported, bool refused, Now now, HeaderSink& sink);

/**
 * Whether write_headers() with these arguments may write a header of this name, in any case: then
 * one that came from upstream has to go.
 */
bool is_rate_limit_header(std::string_view name, HeaderStyles styles, bool refused);

/** Whether less is left in `a` than in `b`, each in proportion to its limit. Exact. */
bool is_more_restrictive(const Description& a, const Description& b);

/** The wait that a refusal tells: never 0, which clients take for "at once". kNever stays kNever.
 */
constexpr Millis told_wait(const Description& refused) {
    return refused.wait > 0 ? refused.wait : 1;
}

}  // namespace ai_limit
