#pragma once

// Finds the part of a Redis Cluster that a key belongs to (Redis Cluster specification, "Key
// distribution model" and "Hash tags").

#include <cstdint>
#include <string_view>

namespace ai_limit {

constexpr uint32_t kSlots = 16384;

/** CRC-16/XMODEM of the part between the key's first braces, or of the key, modulo kSlots. */
uint16_t slot_of(std::string_view key);

}  // namespace ai_limit
