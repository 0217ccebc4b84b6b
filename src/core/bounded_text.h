#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json_text.h"

namespace ai_limit {

/** Whether a control character is kept as it is, or written as `%0A`, so that it ends no line of a
 * header that is made of the text. */
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
 * A text that a client gives, in bounded memory. One that is longer than kCapacity keeps its
 * beginning, and what follows `~` in 16 hex digits is a hash of all of it, so that two long texts
 * stay two. So does what is no text (half a surrogate pair). Otherwise it may hold any byte.
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

    /** Empty where there is none. In this object's own memory. */
    std::string_view view() const { return {bytes_, state_.size()}; }

private:
    static_assert(kCapacity <= UINT16_MAX && kCapacity > 32);

    BoundedTextState state_{kControls};
    char bytes_[kCapacity];
};

}  // namespace ai_limit
