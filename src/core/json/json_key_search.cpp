#include "core/json/json_key_search.h"

namespace ai_limit {

namespace {

constexpr char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/** True if a reference token (RFC 6901, 4), or its lower-case form, names this key. */
template <bool kInLowerCase>
bool names_key(std::string_view token, std::string_view key) {
    if (!kInLowerCase && token == key) {  // mostly, and quicker
        return true;
    }
    size_t at = 0;
    for (size_t i = 0; i < token.size(); ++i, ++at) {
        char c = token[i];
        if (c == '~') {
            c = token[++i] == '1' ? '/' : '~';
        }
        c = kInLowerCase ? lower_case(c) : c;
        if (at == key.size() || key[at] != c) {
            return false;
        }
    }
    return at == key.size();
}

/**
 * Writes a key in lower case into `buffer`, which has room for it. The characters beyond ASCII
 * that are another case of an ASCII letter become that letter.
 */
std::string_view fold_case(std::string_view key, char* buffer) {
    constexpr std::string_view kLongS = "\xC5\xBF";
    constexpr std::string_view kKelvin = "\xE2\x84\xAA";
    size_t size = 0;
    while (!key.empty()) {
        size_t used = 1;
        char c = lower_case(key.front());
        if (key.substr(0, kLongS.size()) == kLongS) {
            c = 's';
            used = kLongS.size();
        } else if (key.substr(0, kKelvin.size()) == kKelvin) {
            c = 'k';
            used = kKelvin.size();
        }
        buffer[size++] = c;
        key.remove_prefix(used);
    }
    return {buffer, size};
}

/** Returns a hash of how a key is spelled; never 0. */
uint32_t spelling_of(std::string_view key) {
    uint32_t hash = 0x811C9DC5;  // FNV-1a
    for (const char c : key) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193;
    }
    return hash != 0 ? hash : 1;
}

/** Returns the child whose name is `key`, or, if kInLowerCase, whose name in lower case is. */
template <bool kInLowerCase>
inline uint16_t find_child(const JsonPathNode* paths, const JsonPathNode& parent,
                           std::string_view key) {
    const unsigned hash = json_key_hash(key);
    if ((parent.child_keys >> hash & 1) == 0) {
        return kNoJsonNode;
    }
    for (uint16_t i = parent.children[json_path_list(hash)]; i != 0; i = paths[i].next_sibling) {
        if (names_key<kInLowerCase>(paths[i].name, key)) {
            return i;
        }
    }
    return kNoJsonNode;
}

}  // namespace

uint16_t find_json_child(const JsonPathNode* paths, const JsonPathNode& parent,
                         std::string_view key) {
    return find_child<false>(paths, parent, key);
}

uint16_t find_json_child_in_other_case(const JsonPathNode* paths, const JsonPathNode& parent,
                                       std::string_view key, uint32_t* spelling) {
    char folded[kMaxJsonKey];
    const uint16_t child = find_child<true>(paths, parent, fold_case(key, folded));
    *spelling = child != kNoJsonNode ? spelling_of(key) : *spelling;
    return child;
}

}  // namespace ai_limit
