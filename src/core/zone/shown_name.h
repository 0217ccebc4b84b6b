#pragma once

// The name of a key or of a sharer in shared memory, as a log shows it. It is written without a
// lock; the word that says whose name it is tells readers whether they have read it whole.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

constexpr size_t kMaxShownName = 118;

struct ShownName {
    uint8_t size;
    uint8_t is_whole;  // the text is the name itself
    char text[kMaxShownName];

    std::string_view view() const { return {text, size}; }
};
static_assert(sizeof(ShownName) == 120);

constexpr size_t kMaxShownLabel = 63;

/** What `label=` names beside a key. */
struct ShownLabel {
    uint8_t size;  // 0: nothing
    char text[kMaxShownLabel];

    std::string_view view() const { return {text, size}; }
};
static_assert(sizeof(ShownLabel) == 64);

/** Writes a label, whole but for its end if it is too long. Anything but plain ASCII is escaped. */
void write_shown_label(std::string_view label, ShownLabel* to);

/** Copies a label that another process may be writing. */
ShownLabel copy_of(const ShownLabel& label);

/** Writes a name as a log may show it (shown_key.h), cut to the room here. */
void write_shown_name(std::string_view name, ShownName* to);

/** Copies a name that another process may be writing. */
ShownName copy_of(const ShownName& name);

}  // namespace ai_limit
