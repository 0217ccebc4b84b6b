#pragma once

// Locks and changes that survive the death of the process that made them.
//
// A process notes in its journal, which lies in the zone, each lock before it takes it and each
// word before it changes it. Finishing clears the journal in one store. A process that waits for a
// lock whose holder is dead undoes what the holder's journal lists, opens the holder's locks, and
// goes on: at any instruction that a kill may hit, either all changes of a decision stay or none
// does. A kill is a precise interrupt, so it is the order of instructions that matters, and only
// the compiler must be kept from changing it.

#include "core/zone/zone.h"

namespace ai_limit {

/** The services of the operating system. The tests have their own. */
struct Host {
    /** True if the process `pid` that was born at `birth` (0: not known) still lives. */
    bool (*is_alive)(uint32_t pid, uint64_t birth);
    /** Lets other processes run for a moment. */
    void (*yield)();
};

/** One process's right to change a zone. Not copyable; one per process and zone. */
class Journal {
public:
    Journal() = default;
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /** Takes a process slot of the zone. False if all are taken by living processes. */
    bool open(const Zone& zone, const Host* host, uint32_t pid, uint64_t birth);

    /** Forgets the slot, which was retired. */
    void close() { number_ = 0; }

    bool is_open() const { return number_ != 0; }
    const Zone& zone() const { return zone_; }
    uint32_t number() const { return number_; }

    /** Waits for a bucket's lock that is noted already, and taken by another process. */
    void wait_for(Bucket* bucket);

    /** Waits for the bucket's lock. Several must be taken in the order of their addresses. */
    void lock(Bucket* bucket) {
        JournalData* data = data_;
        uint32_t number = number_;
        uint32_t n = data->locks;
        data->lock_offsets[n] = zone_.offset_of(&bucket->lock);
        keep_order();
        data->locks = n + 1;
        keep_order();
        uint32_t free = 0;
        if (!bucket->lock.compare_exchange_strong(free, number, std::memory_order_acquire,
                                                  std::memory_order_relaxed)) {
            wait_for(bucket);
        }
    }

    /** Takes the bucket's lock if nobody has it; must not be this process's already. */
    bool try_lock(Bucket* bucket);

    /** Opens the lock that was taken last, under which nothing was changed. */
    void release_last();

    /** True if this process has locked the bucket. */
    bool holds(const Bucket* bucket) const {
        return bucket->lock.load(std::memory_order_relaxed) == number_;
    }

    /** Changes `count` words of a locked bucket or of this process's own records. */
    void write(uint64_t* words, const uint64_t* values, uint32_t count) {
        JournalData* data = data_;
        uint32_t n = data->undos;
        uint64_t offset = zone_.offset_of(words);
        for (uint32_t i = 0; i < count; ++i) {
            data->undo[n + i] = {offset + i * sizeof(uint64_t), words[i]};
        }
        keep_order();
        data->undos = n + count;
        keep_order();
        for (uint32_t i = 0; i < count; ++i) {
            words[i] = values[i];
        }
    }

    void write(uint64_t* word, uint64_t value) { write(word, &value, 1); }

    /** Makes all changes final and opens all locks. */
    void finish() {
        JournalData* data = data_;
        uint32_t n = data->locks;
        keep_order();
        data->undos = 0;
        keep_order();
        for (uint32_t i = 0; i < n; ++i) {
            zone_.at<std::atomic<uint32_t>>(data->lock_offsets[i])
                ->store(0, std::memory_order_release);
        }
        keep_order();
        data->locks = 0;
    }

    /**
     * Begins to repair what a dead process left: true for one process at a time. After it the
     * caller asks is_dead() once more, since another may just have finished, and ends with
     * end_repair().
     */
    bool begin_repair(uint32_t dead, uint32_t depth = 0);
    void end_repair(uint32_t dead);

    /** Takes back what a dead process had changed but not finished, and opens its locks. */
    void undo(uint32_t dead);

    /** Frees the slot of a dead process that was repaired, or this process's own at its end. */
    void retire(uint32_t dead);

    /** True if the process in this slot has died. */
    bool is_dead(uint32_t number) const;

private:
    friend class StraightJournal;

    static void keep_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

    Zone zone_;
    const Host* host_ = nullptr;
    JournalData* data_ = nullptr;
    uint32_t number_ = 0;
};

}  // namespace ai_limit
