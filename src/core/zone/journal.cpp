#include "core/zone/journal.h"

namespace ai_limit {

namespace {

// About a millisecond of pauses; then the holder is asked after.
constexpr unsigned kSpinsBeforeAsking = 8192;
constexpr unsigned kSpinsBeforeYield = 256;

// Repairers that died while they repaired one another; dead ones in a circle would have no end.
constexpr uint32_t kMaxRepairDepth = 16;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

bool Journal::open(const Zone& zone, const Host* host, uint32_t pid, uint64_t birth) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        ProcessSlot* slot = zone.process(number);
        uint32_t free = 0;
        if (slot->pid.load(std::memory_order_relaxed) != 0 ||
            !slot->pid.compare_exchange_strong(free, pid)) {
            continue;
        }
        slot->birth.store(birth);
        // A process that was killed just after it had freed the slot may have left its number here.
        slot->repairer.store(0);
        zone_ = zone;
        host_ = host;
        data_ = zone.journal(number);
        number_ = number;
        return true;
    }
    return false;
}

bool Journal::try_lock(Bucket* bucket) {
    uint32_t n = data_->locks;
    data_->lock_offsets[n] = zone_.offset_of(&bucket->lock);
    keep_order();
    data_->locks = n + 1;
    keep_order();
    uint32_t free = 0;
    if (bucket->lock.compare_exchange_strong(free, number_, std::memory_order_acquire)) {
        return true;
    }
    keep_order();
    data_->locks = n;
    return false;
}

void Journal::release_last() {
    uint32_t n = data_->locks - 1;
    zone_.at<std::atomic<uint32_t>>(data_->lock_offsets[n])->store(0, std::memory_order_release);
    keep_order();
    data_->locks = n;
}

void Journal::wait_for(Bucket* bucket) {
    for (unsigned spins = 1;; ++spins) {
        uint32_t holder = bucket->lock.load(std::memory_order_relaxed);
        if (holder == 0) {
            if (bucket->lock.compare_exchange_weak(holder, number_, std::memory_order_acquire,
                                                   std::memory_order_relaxed)) {
                return;
            }
            continue;
        }
        pause();
        if (spins % kSpinsBeforeYield == 0) {
            host_->yield();
        }
        if (spins % kSpinsBeforeAsking == 0 && is_dead(holder) && begin_repair(holder)) {
            if (is_dead(holder)) {
                undo(holder);
            }
            end_repair(holder);
        }
    }
}

bool Journal::is_dead(uint32_t number) const {
    ProcessSlot* slot = zone_.process(number);
    uint32_t pid = slot->pid.load();
    uint64_t birth = slot->birth.load();
    // Should another process have taken the slot meanwhile, the answer was not about it.
    return pid != 0 && !host_->is_alive(pid, birth) && slot->pid.load() == pid &&
           slot->birth.load() == birth;
}

bool Journal::begin_repair(uint32_t dead, uint32_t depth) {
    std::atomic<uint32_t>* repairer = &zone_.process(dead)->repairer;
    uint32_t present = 0;
    if (repairer->compare_exchange_strong(present, number_)) {
        return true;
    }
    // A repairer may die as well. Its partial work is then undone first, so that it can be done
    // again from the start. While this process repairs the slot, no other process gets its number.
    uint32_t former = present;
    if (depth == kMaxRepairDepth || !is_dead(former) || !begin_repair(former, depth + 1)) {
        return false;
    }
    bool taken_over = false;
    if (is_dead(former)) {
        undo(former);
        taken_over = repairer->compare_exchange_strong(present, number_);
    }
    end_repair(former);
    return taken_over;
}

void Journal::end_repair(uint32_t dead) {
    uint32_t self = number_;
    zone_.process(dead)->repairer.compare_exchange_strong(self, 0);
}

void Journal::undo(uint32_t dead) {
    JournalData* left = zone_.journal(dead);
    for (uint32_t i = left->undos; i-- > 0;) {
        *zone_.at<uint64_t>(left->undo[i].offset) = left->undo[i].before;
    }
    keep_order();
    left->undos = 0;
    keep_order();
    // The last lock that is listed may not have been taken.
    for (uint32_t i = left->locks; i-- > 0;) {
        uint32_t holder = dead;
        zone_.at<std::atomic<uint32_t>>(left->lock_offsets[i])->compare_exchange_strong(holder, 0);
    }
    keep_order();
    left->locks = 0;
}

void Journal::retire(uint32_t dead) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        uint32_t present = dead;
        zone_.process(number)->repairer.compare_exchange_strong(present, 0);
    }
    zone_.process(dead)->birth.store(0);
    zone_.process(dead)->pid.store(0);
}

}  // namespace ai_limit
