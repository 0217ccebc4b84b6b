#pragma once

// Keeps the memory that a process leaves behind if it dies, for each instruction of what it does.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "single_step.h"
#include "zone_memory.h"

namespace ai_limit {

inline bool g_is_dead[16];  // by pid

inline const Host kStepHost = {[](uint32_t pid, uint64_t) { return !g_is_dead[pid]; }, [] {}};

/**
 * A fixture in which every process lives at first. It skips its tests on a machine that cannot run
 * code in single steps.
 */
template <typename Base>
class Stepwise : public Base {
protected:
    void SetUp() override {
        for (bool& dead : g_is_dead) {
            dead = false;
        }
        if (const char* why = SingleStep::why_not()) {
            GTEST_SKIP() << why;
        }
    }
};

/** Each state of a zone that the death of a process during an action can leave behind. */
class Deaths {
public:
    Deaths(const ZoneMemory& memory, const std::function<void()>& action)
        : whole_(memory.data(), memory.data() + memory.size()), sizes_(memory.zone().sizes()) {
        ZoneLayout layout = layout_of(sizes_);
        // Decisions write to these ranges: not to the policies, nor to the journals of processes
        // that do not exist.
        ranges_ = {{layout.processes, layout.journals},
                   {layout.journals, layout.journals + 6 * sizeof(JournalData)},
                   {layout.tallies, layout.total}};
        keep(memory);
        steps_ = SingleStep::run(action, [&] { keep(memory); });
        keep(memory);
    }

    uint64_t steps() const { return steps_; }
    size_t count() const { return states_.size(); }

    /** A zone in the i-th state, in another place than the one that was recorded; until the next
     * one is asked for. */
    ZoneMemory* state(size_t i) {
        if (state_ == nullptr) {
            state_ = std::make_unique<ZoneMemory>(sizes_);
            memcpy(state_->data(), whole_.data(), whole_.size());
        }
        // A process that comes after the death may write to the policies as well.
        memcpy(state_->data(), whole_.data(), ranges_[0].begin);
        const char* from = states_[i].data();
        for (const Range& range : ranges_) {
            memcpy(state_->data() + range.begin, from, range.end - range.begin);
            from += range.end - range.begin;
        }
        return state_.get();
    }

private:
    struct Range {
        size_t begin;
        size_t end;
    };

    void keep(const ZoneMemory& memory) {
        if (!states_.empty()) {
            const char* last = states_.back().data();
            bool same = true;
            for (const Range& range : ranges_) {
                size_t size = range.end - range.begin;
                same = same && memcmp(memory.data() + range.begin, last, size) == 0;
                last += size;
            }
            if (same) {
                return;
            }
        }
        states_.emplace_back();
        for (const Range& range : ranges_) {
            states_.back().insert(states_.back().end(), memory.data() + range.begin,
                                  memory.data() + range.end);
        }
    }

    std::vector<char> whole_;
    ZoneSizes sizes_;
    std::vector<Range> ranges_;
    std::vector<std::vector<char>> states_;
    std::unique_ptr<ZoneMemory> state_;
    uint64_t steps_ = 0;
};

constexpr ZoneSizes kTiny = {8, 8, 2};

}  // namespace ai_limit
