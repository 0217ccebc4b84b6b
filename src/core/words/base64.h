#pragma once

// Base64, decoded as it comes (RFC 4648, 4).

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The position within one text. */
class Base64Decoder {
public:
    /**
     * Decodes from the front of `text` as much as has room in `buffer` (size > 0) and removes what
     * it has read; call it again for what is left. Returns how many bytes it wrote: 0 if `text`
     * was empty, or held too little for a byte, or is malformed; `text` is empty then. The
     * alphabets with + and / and with - and _ (RFC 4648, 5) are both read, line ends are skipped,
     * and the padding may be missing.
     */
    size_t decode(std::string_view* text, char* buffer, size_t size);

    /**
     * True if a byte is none of base64's, or stands behind the padding. The bytes behind it are
     * skipped.
     */
    bool malformed() const { return malformed_; }

private:
    uint16_t bits_ = 0;      // those read and not yet written, at the low end
    uint8_t bit_count_ = 0;  // below 8
    bool padded_ = false;
    bool malformed_ = false;
};

}  // namespace ai_limit
