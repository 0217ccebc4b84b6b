#pragma once

// Changes to a request's body that leave every other byte as it is.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** A change to a body: replaces `remove` bytes at `offset` by `insert`, which outlives this. */
struct BodyEdit {
    uint64_t offset;
    uint64_t remove;
    std::string_view insert;
};

/** Changes to one body, in the order of their places. They never overlap. */
class BodyEdits {
public:
    static constexpr size_t kMost = 192;

    /**
     * Adds a change behind those at the same offset or before it. A change within bytes that
     * another one removes is left out. Returns false if there is no room.
     */
    bool add(const BodyEdit& edit);

    const BodyEdit* begin() const { return edits_; }
    const BodyEdit* end() const { return edits_ + count_; }
    bool is_empty() const { return count_ == 0; }

private:
    BodyEdit edits_[kMost];
    size_t count_ = 0;
};

}  // namespace ai_limit
