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

}  // namespace ai_limit
