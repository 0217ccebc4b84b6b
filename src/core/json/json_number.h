#pragma once

// The grammar of a JSON number (RFC 8259, 6), byte by byte.

#include <cstdint>

#include "core/words/json_bytes.h"

namespace ai_limit {

/** How far a number has been read, behind its sign. Trivially copyable. */
class JsonNumber {
public:
    /** Takes the next byte. Returns false, and changes nothing, if it does not go on the number. */
    bool take(char c);

    /** True if no byte has been taken. */
    bool is_empty() const { return state_ == State::kBegin; }

    /** True if the bytes so far are a number. */
    bool is_complete() const { return state_ >= State::kZero; }

private:
    enum class State : uint8_t {
        kBegin,
        kPoint,
        kExponent,
        kExponentSign,
        kZero,  // from here on, the number can end
        kWhole,
        kFraction,
        kExponentDigits
    };

    State state_ = State::kBegin;
};

// The scanner calls it for each byte of a number: a call would cost more than what it does.
inline __attribute__((always_inline)) bool JsonNumber::take(char c) {
    if (is_digit(c)) {
        switch (state_) {
            case State::kBegin:
                state_ = c == '0' ? State::kZero : State::kWhole;
                return true;
            case State::kPoint:
                state_ = State::kFraction;
                return true;
            case State::kExponent:
            case State::kExponentSign:
                state_ = State::kExponentDigits;
                return true;
            case State::kZero:
                return false;
            case State::kWhole:
            case State::kFraction:
            case State::kExponentDigits:
                return true;
        }
    }
    if (c == '.' && (state_ == State::kZero || state_ == State::kWhole)) {
        state_ = State::kPoint;
        return true;
    }
    if ((c | 0x20) == 'e' && state_ >= State::kZero && state_ <= State::kFraction) {
        state_ = State::kExponent;
        return true;
    }
    if ((c == '+' || c == '-') && state_ == State::kExponent) {
        state_ = State::kExponentSign;
        return true;
    }
    return false;
}

}  // namespace ai_limit
