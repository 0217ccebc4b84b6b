#pragma once

// Names of models, each with a number, in a hash table that grows.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ai_limit {

class NameIndex {
public:
    struct Entry {
        uint32_t name;  // in names()
        uint32_t size;
        uint32_t model;
    };

    /**
     * Returns the number of the model that has this name. If none has it, `model` gets it. The name
     * is not empty and has at most kMaxPricedName bytes.
     */
    uint32_t find_or_add(std::string_view name, uint32_t model);

    /** All entries, in the order in which they were added. */
    const std::vector<Entry>& entries() const { return entries_; }

    /** The bytes of all names. */
    std::string_view names() const { return names_; }

    std::string_view name_of(const Entry& entry) const {
        return names().substr(entry.name, entry.size);
    }

private:
    uint32_t* place_of(std::string_view name);
    void grow();

    std::string names_;
    std::vector<Entry> entries_;
    std::vector<uint32_t> slots_;  // one more than an entry's index; 0: empty
};

}  // namespace ai_limit
