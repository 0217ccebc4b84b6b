#pragma once

// Finds the node of a tree of paths to which a key of a document leads.

#include <cstdint>
#include <string_view>

#include "core/json/json_paths.h"

namespace ai_limit {

/** No node of a tree. */
constexpr uint16_t kNoJsonNode = UINT16_MAX;

/**
 * Returns the child of `parent` that has the name `key`, or kNoJsonNode. `paths` is the root of the
 * tree. `key` has no escapes.
 */
uint16_t find_json_child(const JsonPathNode* paths, const JsonPathNode& parent,
                         std::string_view key);

/**
 * True if find_json_child_in_other_case() can look for the key: it has capitals or bytes beyond
 * ASCII, and is not longer than a name. A key without them is taken for the usual spelling. Inline,
 * because most keys of a document have none.
 */
inline bool has_other_case(std::string_view key) {
    if (key.size() > kMaxJsonKey) {
        return false;
    }
    for (const char c : key) {
        if (static_cast<unsigned char>(c - 'A') < 26 || static_cast<unsigned char>(c) >= 0x80) {
            return true;
        }
    }
    return false;
}

/**
 * Returns the child whose name differs from `key` in case alone (JsonRules::any_case), or
 * kNoJsonNode. The key has_other_case(). If there is a child, `spelling` becomes a hash of the key,
 * which is never 0.
 */
uint16_t find_json_child_in_other_case(const JsonPathNode* paths, const JsonPathNode& parent,
                                       std::string_view key, uint32_t* spelling);

}  // namespace ai_limit
