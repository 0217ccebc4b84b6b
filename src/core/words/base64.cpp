#include "core/words/base64.h"

#include <array>

namespace ai_limit {

namespace {

constexpr uint8_t kNone = 0xFF;
constexpr uint8_t kPadding = 0xFE;
constexpr uint8_t kSkipped = 0xFD;

constexpr std::array<uint8_t, 256> make_values() {
    std::array<uint8_t, 256> values{};
    for (uint8_t& value : values) {
        value = kNone;
    }
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < kAlphabet.size(); ++i) {
        values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
    }
    values['-'] = 62;
    values['_'] = 63;
    values['='] = kPadding;
    values['\r'] = kSkipped;
    values['\n'] = kSkipped;
    return values;
}

constexpr std::array<uint8_t, 256> kValues = make_values();

}  // namespace

size_t Base64Decoder::decode(std::string_view* text, char* buffer, size_t size) {
    size_t written = 0;
    size_t read = 0;
    while (read < text->size() && written < size && !malformed_) {
        const uint8_t value = kValues[static_cast<uint8_t>((*text)[read])];
        ++read;
        if (value == kPadding || value == kSkipped) {
            padded_ = padded_ || value == kPadding;
            continue;
        }
        if (value == kNone || padded_) {
            malformed_ = true;
            break;
        }
        bits_ = static_cast<uint16_t>(bits_ << 6 | value);
        bit_count_ = static_cast<uint8_t>(bit_count_ + 6);
        if (bit_count_ >= 8) {
            bit_count_ = static_cast<uint8_t>(bit_count_ - 8);
            buffer[written++] = static_cast<char>(bits_ >> bit_count_);
        }
    }
    text->remove_prefix(malformed_ ? text->size() : read);
    return written;
}

}  // namespace ai_limit
