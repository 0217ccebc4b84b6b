#include "prices/name_index.h"

#include "core/prices/price_table.h"

namespace ai_limit {

uint32_t* NameIndex::place_of(std::string_view name) {
    for (size_t i = hash_model_name(name);; ++i) {
        uint32_t* slot = &slots_[i & (slots_.size() - 1)];
        if (*slot == 0 || name_of(entries_[*slot - 1]) == name) {
            return slot;
        }
    }
}

void NameIndex::grow() {
    slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, 0);
    for (size_t i = 0; i < entries_.size(); ++i) {
        *place_of(name_of(entries_[i])) = static_cast<uint32_t>(i + 1);
    }
}

uint32_t NameIndex::find_or_add(std::string_view name, uint32_t model) {
    if (slots_.size() <= entries_.size() * 2) {
        grow();
    }
    uint32_t* slot = place_of(name);
    if (*slot != 0) {
        return entries_[*slot - 1].model;
    }
    entries_.push_back(
        {static_cast<uint32_t>(names_.size()), static_cast<uint32_t>(name.size()), model});
    names_ += name;
    *slot = static_cast<uint32_t>(entries_.size());
    return model;
}

}  // namespace ai_limit
