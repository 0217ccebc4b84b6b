#pragma once

// The text of a JSON string, its escapes decoded, in memory of fixed size.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The progress in decoding one string. */
struct JsonTextState {
    uint16_t size = 0;
    uint16_t unit = 0;        // of a \u escape, as far as it has been read
    uint16_t high = 0;        // the first half of a surrogate pair, which waits for the second
    uint8_t digits_left = 0;  // of a \u escape
    bool after_backslash = false;
    bool spoilt = false;  // too long, or holds what is no character
};

/** Decodes `raw` behind what `buffer` holds; `state` carries on from piece to piece. */
void decode_json_text(std::string_view raw, char* buffer, size_t capacity, JsonTextState* state);

/**
 * Takes the bytes between a string's quotes, in pieces cut anywhere, and keeps them as UTF-8 with
 * escapes decoded (RFC 8259, 7). Bytes that are not escaped are taken as they are.
 * Trivially copyable.
 */
template <size_t kCapacity>
class JsonText {
public:
    void clear() { state_ = JsonTextState(); }

    void append(std::string_view raw) { decode_json_text(raw, bytes_, kCapacity, &state_); }

    /**
     * The text so far, in this object's own memory. False, and `text` untouched, where it did not
     * fit, an escape is not finished, or half a surrogate pair stands alone.
     */
    bool get(std::string_view* text) const {
        if (state_.spoilt || state_.high != 0 || state_.after_backslash || state_.digits_left > 0) {
            return false;
        }
        *text = {bytes_, state_.size};
        return true;
    }

    /** The text so far; of one that is too long, its front: kCapacity bytes at most. */
    std::string_view front() const { return {bytes_, state_.size}; }

    /** Bytes of the text so far. */
    size_t size() const { return state_.size; }

    /** Nothing has been taken. */
    bool is_empty() const {
        return state_.size == 0 && state_.high == 0 && !state_.after_backslash &&
               state_.digits_left == 0 && !state_.spoilt;
    }

private:
    static_assert(kCapacity <= UINT16_MAX);

    JsonTextState state_;
    char bytes_[kCapacity];
};

}  // namespace ai_limit
