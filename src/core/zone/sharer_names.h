#pragma once

// The memory of the names of who shares the keys of a policy (observe/sharer_names.h).

#include <atomic>

#include "core/zone/shown_name.h"

namespace ai_limit {

constexpr uint32_t kNamedSharers = 32;  // of each policy

struct SharerLabel {
    std::atomic<uint64_t> key_tag;   // of the entry of the key that it shares
    std::atomic<uint64_t> asked_at;  // about: in milliseconds of the monotonic clock
    ShownName sharer;
    ShownName key;
};
static_assert(sizeof(SharerLabel) == 256);

struct alignas(64) SharerNames {
    std::atomic<uint64_t> tags[kNamedSharers];  // of the sharers' entries; 0: a free place
    SharerLabel labels[kNamedSharers];
};

}  // namespace ai_limit
