#include "core/zone/shown_name.h"

#include "core/words/shown_key.h"

namespace ai_limit {

void write_shown_name(std::string_view name, ShownName* to) {
    const size_t size = name.empty() ? 0 : copy_shown_key(name, to->text, kMaxShownName);
    to->size = static_cast<uint8_t>(size);
    to->is_whole = std::string_view(to->text, size) == name;
}

ShownName copy_of(const ShownName& name) {
    ShownName copy = name;
    copy.size = copy.size < kMaxShownName ? copy.size : kMaxShownName;
    return copy;
}

void write_shown_label(std::string_view label, ShownLabel* to) {
    to->size = static_cast<uint8_t>(copy_escaped(label, to->text, kMaxShownLabel));
}

ShownLabel copy_of(const ShownLabel& label) {
    ShownLabel copy = label;
    copy.size = copy.size < kMaxShownLabel ? copy.size : kMaxShownLabel;
    return copy;
}

}  // namespace ai_limit
