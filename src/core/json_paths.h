#pragma once

// Which values of a JSON document are wanted, as a small tree of keys. Made at compile time from a
// constant list, or once from what a configuration says.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** What the client calls a wanted value. */
using JsonPathId = uint8_t;

constexpr JsonPathId kNoJsonPath = UINT8_MAX;

/** Keys and array elements that a path can name. */
constexpr size_t kMaxJsonPathDepth = 12;

/** Bytes that a key of a path can have, when decoded. */
constexpr size_t kMaxJsonKey = 64;

/** One key of a tree; its children are those that can follow it. */
struct JsonPathNode {
    std::string_view name;  // a JSON Pointer's reference token, as it is written
    JsonPathId id = kNoJsonPath;
    uint8_t first_child = 0;  // 0: none
    uint8_t next_sibling = 0;
    bool every_element = false;
    uint64_t child_keys = 0;  // json_key_bit() of the keys that children name
};

/** Most keys of a document are not wanted, and most of those have a bit that no wanted one has. */
constexpr uint64_t json_key_bit(std::string_view key) {
    if (key.empty()) {
        return 1;
    }
    const auto front = static_cast<unsigned char>(key.front());
    const auto middle = static_cast<unsigned char>(key[key.size() / 2]);
    return uint64_t{1} << ((key.size() * 13 + front + middle) & 63);
}

/** What `*` means in a path. */
enum class JsonPathStar : uint8_t { kEveryElement, kKey };

/**
 * A set of paths, with room for so many keys. A path is a JSON Pointer (RFC 6901); where asked for,
 * `*` stands for every element of an array (never for the values of an object). The document
 * itself is the path "". One array is asked either for every element or for some by number.
 */
template <size_t kCapacity>
class JsonPaths {
public:
    /**
     * Adds one path; its text must outlive this. Returns nullptr, or a static text that says what
     * is wrong; some of its keys may have been added then, which does no harm.
     */
    constexpr const char* add(std::string_view path, JsonPathId id, JsonPathStar star) {
        uint8_t node = 0;
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

private:
    static_assert(kCapacity <= UINT8_MAX);

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

    /** The child of that name, added if it is missing; 0 where there is no room. */
    constexpr uint8_t child(uint8_t parent, std::string_view name, bool every_element) {
        uint8_t* link = &nodes_[parent].first_child;
        while (*link != 0) {
            const JsonPathNode& node = nodes_[*link];
            if (node.every_element == every_element && node.name == name) {
                return *link;
            }
            link = &nodes_[*link].next_sibling;
        }
        if (size_ == kCapacity) {
            return 0;
        }
        *link = size_;
        nodes_[size_].name = name;
        nodes_[size_].every_element = every_element;
        const bool has_escape = name.find('~') != name.npos;
        nodes_[parent].child_keys |= has_escape ? UINT64_MAX : json_key_bit(name);
        return size_++;
    }

    JsonPathNode nodes_[kCapacity] = {};
    uint8_t size_ = 1;
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
