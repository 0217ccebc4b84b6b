#include "core/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

uint64_t hash_key(const Zone& zone, std::string_view key) {
    return XXH3_64bits_withSecret(key.data(), key.size(), zone.header()->secret, kSecretBytes);
}

}  // namespace ai_limit
