#pragma once

// Which values of a JSON document are wanted, as a small tree of keys. Made at compile time from a
// constant list, or once from what a configuration says.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The caller's number for a wanted value. */
using JsonPathId = uint8_t;

constexpr JsonPathId kNoJsonPath = UINT8_MAX;

/** Keys and array elements that a path can name. */
constexpr size_t kMaxJsonPathDepth = 12;

/** Bytes that a key of a path can have, when decoded. */
constexpr size_t kMaxJsonKey = 64;

constexpr size_t kJsonPathLists = 32;

/** One key of a tree; its children are those that can follow it. */
struct JsonPathNode {
    std::string_view name;  // a JSON Pointer's reference token, as it is written
    JsonPathId id = kNoJsonPath;
    bool has_children = false;
    bool has_numbers = false;  // children that are elements by number, added before `every_element`
    uint16_t every_element = 0;  // the child for all elements of an array; 0: none
    uint16_t next_sibling = 0;   // in the same list; 0: none
    uint64_t child_keys = 0;     // the bits json_key_hash() of the keys that children name
    uint16_t children[kJsonPathLists] = {};  // by their key's hash: the first of a list; 0: none
};

/**
 * A number below 64 for a key. Most keys of a document are not wanted, and most of those have one
 * that no wanted key has. It is the same for a key in capitals.
 */
constexpr unsigned json_key_hash(std::string_view key) {
    if (key.empty()) {
        return 0;
    }
    constexpr unsigned kCase = 0x20;
    const unsigned front = static_cast<unsigned char>(key.front()) | kCase;
    const unsigned middle = static_cast<unsigned char>(key[key.size() / 2]) | kCase;
    return (static_cast<unsigned>(key.size()) * 13 + front + middle * 5) & 63;
}

constexpr size_t json_path_list(unsigned hash) {
    return hash % kJsonPathLists;
}

/** The meaning of `*` in a path. */
enum class JsonPathStar : uint8_t { kEveryElement, kKey };

/**
 * A set of paths, with room for so many keys. A path is a JSON Pointer (RFC 6901). If asked for,
 * `*` stands for every element of an array (never for the values of an object). The document itself
 * is the path "". If every element of an array is asked for, and some by number as well, the path
 * that was added first counts.
 */
template <size_t kCapacity>
class JsonPaths {
public:
    /**
     * Adds one path; its text must outlive this. Returns nullptr, or a static text that says what
     * is wrong; some of its keys may have been added then, which does no harm.
     */
    constexpr const char* add(std::string_view path, JsonPathId id, JsonPathStar star) {
        uint16_t node = 0;
        for (size_t depth = 0; !path.empty(); ++depth) {
            if (path.front() != '/') {
                return "a JSON Pointer begins with a slash";
            }
            path.remove_prefix(1);
            const size_t slash = path.find('/');
            const std::string_view name = path.substr(0, slash);
            path.remove_prefix(name.size());
            if (const char* error = check(name, depth)) {
                return error;
            }
            node = child(node, name, star == JsonPathStar::kEveryElement && name == "*");
            if (node == 0) {
                return "the JSON Pointers have too many keys";
            }
        }
        nodes_[node].id = id;
        return nullptr;
    }

    /** The root of the tree; the others are found by their numbers from there. */
    constexpr const JsonPathNode* root() const { return nodes_; }

    /** Returns the number of nodes in the tree, its root included. */
    constexpr size_t size() const { return size_; }

private:
    static_assert(kCapacity <= UINT16_MAX);

    static constexpr const char* check(std::string_view name, size_t depth) {
        if (depth == kMaxJsonPathDepth) {
            return "a JSON Pointer has at most 12 keys";
        }
        if (name.size() > kMaxJsonKey) {
            return "a key of a JSON Pointer has at most 64 bytes";
        }
        for (size_t i = 0; i < name.size(); ++i) {
            if (name[i] == '~' && (i + 1 == name.size() || (name[i + 1] | 1) != '1')) {
                return "in a JSON Pointer, 0 or 1 follows a ~";
            }
        }
        return nullptr;
    }

    /** json_key_hash() of the key that a reference token names (RFC 6901, 4). */
    static constexpr unsigned hash_of(std::string_view name) {
        char key[kMaxJsonKey] = {};
        size_t size = 0;
        for (size_t i = 0; i < name.size(); ++i) {
            const bool escaped = name[i] == '~';
            key[size++] = !escaped ? name[i] : name[++i] == '1' ? '/' : '~';
        }
        return json_key_hash({key, size});
    }

    /** The child of that name, added if it is missing; 0 if there is no room. */
    constexpr uint16_t child(uint16_t parent, std::string_view name, bool every_element) {
        JsonPathNode& node = nodes_[parent];
        const unsigned hash = every_element ? 0 : hash_of(name);
        uint16_t* link = every_element ? &node.every_element : &node.children[json_path_list(hash)];
        while (*link != 0) {
            if (every_element || nodes_[*link].name == name) {
                return *link;
            }
            link = &nodes_[*link].next_sibling;
        }
        if (size_ == kCapacity) {
            return 0;
        }
        *link = size_;
        nodes_[size_].name = name;
        node.has_children = true;
        if (!every_element) {
            node.child_keys |= uint64_t{1} << hash;
            const char front = name.empty() ? '\0' : name.front();
            node.has_numbers =
                node.has_numbers || (front >= '0' && front <= '9' && node.every_element == 0);
        }
        return size_++;
    }

    JsonPathNode nodes_[kCapacity] = {};
    uint16_t size_ = 1;
};

/** A set of paths that is made at compile time; `error` must be nullptr. */
template <size_t kCapacity>
struct JsonPathTable {
    JsonPaths<kCapacity> paths;
    const char* error = nullptr;
};

/** Makes one of rows that have a `path` and, as `wanted`, its id; `*` is every element. */
template <size_t kCapacity, typename Row, size_t kRows>
constexpr JsonPathTable<kCapacity> make_json_path_table(const Row (&rows)[kRows]) {
    JsonPathTable<kCapacity> table;
    for (const Row& row : rows) {
        if (const char* error =
                table.paths.add(row.path, row.wanted, JsonPathStar::kEveryElement)) {
            table.error = error;
        }
    }
    return table;
}

}  // namespace ai_limit
