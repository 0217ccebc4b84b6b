#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** Encodings of Unicode that servers decode JSON from. */
enum class TextEncoding : uint8_t { kUtf8, kUtf16Le, kUtf16Be, kUtf32Le, kUtf32Be };

/**
 * Turns a JSON text in any encoding of Unicode into UTF-8, in pieces cut anywhere. A byte order
 * mark is skipped. Without one, the zero bytes among the first four show the encoding, by the rules
 * of Python's json.detect_encoding(), since a JSON text begins with two ASCII characters (RFC 4627,
 * 3). UTF-8 is passed on as it is, also where it is malformed. Half a surrogate pair is written as
 * three bytes, as Python's "surrogatepass" reads it. Trivially copyable.
 */
class TextDecoder {
public:
    /** Bytes of room that next() and finish() need at least. */
    static constexpr size_t kMinRoom = 16;

    /**
     * Decodes from the front of `rest` and removes what it has read, which is all of it where the
     * room has twice its size and kMinRoom more. Returns the text, which lies in `room` or in what
     * was `rest`; empty if nothing more comes from `rest`, which is empty then.
     */
    std::string_view next(std::string_view* rest, char* room, size_t size);

    /** The text has ended: returns what was kept of it, as next() does. Once, after next(). */
    std::string_view finish(char* room, size_t size);

    /**
     * True if the input is no text in its encoding. After finish(), it is also true if a character
     * was cut.
     */
    bool is_broken() const { return broken_; }

    /** kUtf8 until four bytes have come. */
    TextEncoding encoding() const { return encoding_; }

    /** Bytes of the byte order mark that was skipped. */
    uint8_t mark_size() const { return mark_size_; }

private:
    void begin(std::string_view head);
    size_t begin_with_head(char* room, size_t size);
    size_t decode(std::string_view* rest, char* room, size_t size);
    char* take_unit(uint32_t unit, char* out);

    TextEncoding encoding_ = TextEncoding::kUtf8;
    bool begun_ = false;  // the encoding is known
    bool broken_ = false;
    uint8_t mark_size_ = 0;
    uint8_t head_size_ = 0;
    uint8_t unit_bytes_ = 0;  // of a unit that was cut
    uint16_t high_ = 0;       // the first half of a surrogate pair
    uint32_t unit_ = 0;
    char head_[4];  // the first bytes, until the encoding is known
};

}  // namespace ai_limit
