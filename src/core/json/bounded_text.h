#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json/json_text.h"

namespace ai_limit {

/**
 * The treatment of control characters: kept as they are, or written as `%0A`, so that none ends the
 * line of a header that is made of the text.
 */
enum class ControlCharacters : uint8_t { kKept, kEscaped };

/** The work of BoundedText, without its memory. Between begin() and end() there is no text. */
class BoundedTextState {
public:
    explicit BoundedTextState(ControlCharacters controls) : controls_(controls) {}

    void begin();
    void append(std::string_view text, char* bytes, size_t capacity);
    void append_json(std::string_view raw, char* bytes, size_t capacity);
    void end(char* bytes, size_t capacity);

    /** Bytes of the text that has ended; 0 before. */
    size_t size() const { return size_; }

private:
    void put(char c, char* bytes, size_t capacity);
    void add_to_hash(char c);
    void add_half_to_hash();
    void cut(char* bytes, size_t capacity);

    uint64_t hash_ = 0;
    JsonTextState json_;
    uint16_t size_ = 0;
    uint16_t kept_ = 0;  // bytes so far of a text that has not ended
    bool cut_ = false;   // not all of it is kept
    ControlCharacters controls_;
};

/**
 * A text from a client, in bounded memory. A text longer than kCapacity keeps its beginning, `~`
 * and a hash of the whole text in 16 hex digits, so that two long texts stay different. A text that
 * is not valid (half a surrogate pair) gets such a hash as well. Otherwise it may have any byte.
 * Trivially copyable.
 */
template <size_t kCapacity, ControlCharacters kControls = ControlCharacters::kKept>
class BoundedText {
public:
    static constexpr size_t kMaxSize = kCapacity;

    /** Takes plain text. */
    void assign(std::string_view text) {
        begin();
        append(text);
        end();
    }

    /** Begins another text, which comes in pieces cut anywhere. There is none until end(). */
    void begin() { state_.begin(); }

    /** Bytes as they are. */
    void append(std::string_view text) { state_.append(text, bytes_, kCapacity); }

    /** Bytes between a JSON string's quotes; escapes are decoded. */
    void append_json(std::string_view raw) { state_.append_json(raw, bytes_, kCapacity); }

    void end() { state_.end(bytes_, kCapacity); }

    /** Empty if there is none. In this object's own memory. */
    std::string_view view() const { return {bytes_, state_.size()}; }

private:
    static_assert(kCapacity <= UINT16_MAX && kCapacity > 32);

    BoundedTextState state_{kControls};
    char bytes_[kCapacity];
};

}  // namespace ai_limit
