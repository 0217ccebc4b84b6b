#pragma once

// Writes messages of Amazon's binary event streams, for the tests of what reads them.

#include <cstdint>
#include <string>
#include <string_view>

namespace ai_limit {

/** Big-endian. */
inline std::string number(uint64_t value, int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) {
        text += static_cast<char>(value >> (8 * i));
    }
    return text;
}

/** The table-driven CRC-32, for the reader's own is bit by bit. */
inline uint32_t checksum(std::string_view text) {
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit) {
            table[i] = (table[i] & 1) != 0 ? 0xEDB88320 ^ (table[i] >> 1) : table[i] >> 1;
        }
    }
    uint32_t crc = 0xFFFFFFFF;
    for (const char c : text) {
        crc = table[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
    }
    return crc ^ 0xFFFFFFFF;
}

inline std::string header(std::string_view name, int type, std::string_view value) {
    const bool sized = type == 6 || type == 7;
    return number(name.size(), 1) + std::string(name) + number(static_cast<uint64_t>(type), 1) +
           (sized ? number(value.size(), 2) : "") + std::string(value);
}

inline std::string prelude(uint64_t total, uint64_t headers) {
    const std::string lengths = number(total, 4) + number(headers, 4);
    return lengths + number(checksum(lengths), 4);
}

inline std::string message(std::string_view headers, std::string_view payload) {
    std::string text = prelude(16 + headers.size() + payload.size(), headers.size());
    text.append(headers).append(payload);
    return text + number(checksum(text), 4);
}

/** A message as Bedrock sends it. */
inline std::string event(std::string_view type, std::string_view payload) {
    return message(header(":event-type", 7, type) + header(":content-type", 7, "application/json") +
                       header(":message-type", 7, "event"),
                   payload);
}

inline std::string base64(std::string_view bytes) {
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : bytes) {
        bits = bits << 8 | static_cast<uint8_t>(c);
        for (count += 8; count >= 6; count -= 6) {
            text += kAlphabet[bits >> (count - 6) & 63];
        }
    }
    if (count > 0) {
        text += kAlphabet[bits << (6 - count) & 63];
    }
    return text + std::string((4 - text.size() % 4) % 4, '=');
}

/** The event in which Bedrock sends a document of a model's own. */
inline std::string chunk(std::string_view document) {
    return event("chunk", "{\"bytes\":\"" + base64(document) + "\",\"p\":\"abcd\"}");
}

}  // namespace ai_limit
