#pragma once

// Makes an OpenAI-style stream say what it used: `"stream_options":{"include_usage":true}`.

#include <cstdint>
#include <string_view>

#include "core/edits/body_edit.h"

namespace ai_limit {

/**
 * The position of `stream_options` in a body, in bytes from its start. If the key comes twice, the
 * last one counts.
 */
struct StreamOptionsPlace {
    enum Kind : uint8_t { kMissing, kNull, kObject, kTrue, kOther };

    Kind options = kMissing;          // kTrue is kOther here
    Kind include_usage = kMissing;    // all but kTrue is kOther here
    bool empty = true;                // the object has no keys
    uint64_t root_at = 0;             // behind the body's own {
    uint64_t options_at = 0;          // of `null`, or behind the object's {
    uint64_t include_usage_at = 0;    // of a value other than `true`,
    uint64_t include_usage_size = 0;  // its bytes; 0 where they are not known
};

/**
 * Finds the edit that makes `stream_options.include_usage` true and leaves every other byte as it
 * is. The body is an object with some key. Returns false, and leaves `edit` untouched, in three
 * cases: it is true already; most servers would refuse the value of `stream_options`; or the end of
 * the value that `true` replaces is not known. Some servers take other values for true (1, "yes")
 * and others do not, so `true` replaces them all.
 */
bool edit_to_include_usage(const StreamOptionsPlace& place, BodyEdit* edit);

}  // namespace ai_limit
