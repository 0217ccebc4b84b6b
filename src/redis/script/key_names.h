#pragma once

// The names of the keys in Redis.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/zone/zone.h"

namespace ai_limit {

/** The longest of keys, without the part of it that the configuration chooses. */
constexpr size_t kKeyHashLength = 22;
constexpr size_t kMaxRedisPrefix = 64;
constexpr size_t kMaxRedisKey = kMaxRedisPrefix + kKeyHashLength + kMaxPolicyName + 6;

/** The longest key of a sharer. */
constexpr size_t kMaxRedisSharerKey = kMaxRedisKey + 3 + kKeyHashLength;

/** Stands for a policy's key in Redis. */
struct KeyHash {
    char text[24];  // of which kKeyHashLength characters say all
};

/** `hash_in_zone` is hash_key()'s: by that a key is known again. False without memory. */
bool hash_key_for_redis(std::string_view key, uint64_t hash_in_zone, KeyHash* hash);

/** Gives back what that has kept. */
void forget_key_hashing();

/**
 * Writes the key of Redis for a policy's key: `prefix:{hash}:policy`, where the braces let a
 * cluster keep all policies of one key together. `:t` behind it stands for tokens and `:u` for
 * dollars, so that policies of one name share no count if one nginx counts tokens and another
 * requests. At most kMaxRedisKey characters; returns how many.
 */
size_t write_redis_key(std::string_view prefix, const KeyHash& hash, std::string_view policy,
                       Measure measure, char* out);

/**
 * Writes the key of Redis for a sharer of a key: the key's, `:s:` and a hash of the sharer's name.
 * At most kMaxRedisSharerKey characters; returns how many.
 */
size_t write_sharer_key(std::string_view key, const KeyHash& sharer, char* out);

}  // namespace ai_limit
