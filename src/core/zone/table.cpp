#include "core/zone/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

namespace {

/** Up to here XXH3 works without an array on the stack, which costs a check at each return. */
constexpr size_t kShortKey = 128;

inline uint64_t hash(const Zone& zone, std::string_view key) {
    return tag_base(
        XXH3_64bits_withSecret(key.data(), key.size(), zone.header()->secret, kSecretBytes));
}

__attribute__((noinline)) uint64_t hash_long_key(const Zone& zone, std::string_view key) {
    return hash(zone, key);
}

}  // namespace

__attribute__((flatten, hot)) uint64_t hash_key(const Zone& zone, std::string_view key) {
    if (key.size() > kShortKey) {
        return hash_long_key(zone, key);
    }
    return hash(zone, key);
}

}  // namespace ai_limit
