#pragma once

// Classifies single bytes of JSON (RFC 8259).

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ai_limit {

/** True for white space, which separates tokens. */
constexpr bool is_json_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/** The value of a hexadecimal digit, or -1. */
constexpr int hex_digit(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/**
 * True for a byte that can follow a backslash in a string. Four hexadecimal digits follow a `u`.
 */
constexpr bool is_json_escape(char c) {
    return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
           c == 't' || c == 'u';
}

/**
 * The first byte from `p` on at which a string's plain text stops: a quote, a backslash or a
 * control character. `end` where there is none.
 */
inline const char* find_string_stop(const char* p, const char* end) {
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        const int found = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control));
        if (found != 0) {
            return p + __builtin_ctz(static_cast<unsigned>(found));
        }
    }
#endif
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kHighs = 0x8080808080808080;
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        std::memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        // The high bit of a byte says that the byte is searched for. A borrow can set it by
        // mistake, but only behind a byte where it is right; and the first one is what counts.
        const uint64_t quote = word ^ kOnes * '"';
        const uint64_t backslash = word ^ kOnes * '\\';
        const uint64_t found = (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) |
                                ((word - kOnes * 0x20) & ~word)) &
                               kHighs;
        if (found != 0) {
            return p + __builtin_ctzll(found) / 8;
        }
    }
    for (; p < end; ++p) {
        if (*p == '"' || *p == '\\' || static_cast<unsigned char>(*p) < 0x20) {
            break;
        }
    }
    return p;
}

}  // namespace ai_limit
