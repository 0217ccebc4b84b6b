#include "redis/protocol/slot.h"

#include <array>

namespace ai_limit {

namespace {

constexpr std::array<uint16_t, 256> make_table() {
    std::array<uint16_t, 256> table{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t crc = byte << 8;
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        }
        table[byte] = static_cast<uint16_t>(crc);
    }
    return table;
}

constexpr std::array<uint16_t, 256> kTable = make_table();

}  // namespace

uint16_t slot_of(std::string_view key) {
    size_t open = key.find('{');
    size_t close = open == std::string_view::npos ? open : key.find('}', open + 1);
    if (close != std::string_view::npos && close != open + 1) {
        key = key.substr(open + 1, close - open - 1);
    }
    uint32_t crc = 0;
    for (char c : key) {
        crc = (crc << 8 & 0xffff) ^ kTable[(crc >> 8 ^ static_cast<unsigned char>(c)) & 0xff];
    }
    return static_cast<uint16_t>(crc % kSlots);
}

}  // namespace ai_limit
