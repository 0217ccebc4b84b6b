#include "core/json/json_text.h"

#include <cstring>

#include "core/words/json_bytes.h"

namespace ai_limit {

namespace {

/** Receives the decoded bytes. */
struct Output {
    char* buffer;
    size_t capacity;
    JsonTextState* state;

    void put(std::string_view bytes) {
        if (bytes.empty()) {
            return;
        }
        // A second half that does not come leaves the first one alone.
        if (state->high != 0) {
            state->spoilt = true;
            return;
        }
        if (bytes.size() > capacity - state->size) {
            state->spoilt = true;
            bytes = bytes.substr(0, capacity - state->size);  // for JsonText::front()
        }
        std::memcpy(buffer + state->size, bytes.data(), bytes.size());
        state->size = static_cast<uint16_t>(state->size + bytes.size());
    }

    void put_character(uint32_t code) {
        const auto low = [code](unsigned shift, uint32_t mark) {
            return static_cast<char>(mark | (code >> shift & (mark == 0x80 ? 0x3F : 0xFF)));
        };
        const char one[] = {static_cast<char>(code)};
        const char two[] = {low(6, 0xC0), low(0, 0x80)};
        const char three[] = {low(12, 0xE0), low(6, 0x80), low(0, 0x80)};
        const char four[] = {low(18, 0xF0), low(12, 0x80), low(6, 0x80), low(0, 0x80)};
        if (code < 0x80) {
            put({one, sizeof one});
        } else if (code < 0x800) {
            put({two, sizeof two});
        } else if (code < 0x10000) {
            put({three, sizeof three});
        } else {
            put({four, sizeof four});
        }
    }

    /** Puts the value of a \u escape: a character, or half of a surrogate pair (RFC 8259, 7). */
    void put_unit(uint16_t unit) {
        if (unit >= 0xD800 && unit < 0xDC00) {
            state->spoilt = state->spoilt || state->high != 0;
            state->high = unit;
        } else if (unit >= 0xDC00 && unit < 0xE000) {
            if (state->high == 0) {
                state->spoilt = true;
                return;
            }
            const uint32_t code = 0x10000 + ((state->high & 0x3FFU) << 10) + (unit & 0x3FFU);
            state->high = 0;
            put_character(code);
        } else {
            put_character(unit);
        }
    }

    /** A byte that belongs to an escape. */
    void put_escape(char c) {
        if (state->digits_left > 0) {
            const int digit = hex_digit(c);
            state->spoilt = state->spoilt || digit < 0;
            state->unit = static_cast<uint16_t>(state->unit << 4 | (digit & 15));
            if (--state->digits_left == 0) {
                put_unit(state->unit);
            }
            return;
        }
        state->after_backslash = false;
        if (c == 'u') {
            state->digits_left = 4;
            state->unit = 0;
            return;
        }
        static constexpr std::string_view kLetters = "\"\\/bfnrt";
        static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
        const size_t at = kLetters.find(c);
        if (at == kLetters.npos) {
            state->spoilt = true;
            return;
        }
        put(kMeanings.substr(at, 1));
    }
};

}  // namespace

void decode_json_text(std::string_view raw, char* buffer, size_t capacity, JsonTextState* state) {
    Output out{buffer, capacity, state};
    while (!raw.empty() && !state->spoilt) {
        if (state->after_backslash || state->digits_left > 0) {
            out.put_escape(raw.front());
            raw.remove_prefix(1);
            continue;
        }
        const size_t plain = raw.find('\\');
        out.put(raw.substr(0, plain));
        if (plain == raw.npos) {
            return;
        }
        state->after_backslash = true;
        raw.remove_prefix(plain + 1);
    }
}

}  // namespace ai_limit
