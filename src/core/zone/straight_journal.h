#pragma once

#include "core/zone/journal.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ai_limit {

/**
 * A process's journal for a decision that is made in one go: first all words are noted, then all
 * are changed. A copy of what the journal says, so that it stays in registers; the journal itself
 * must have nothing unfinished.
 */
class StraightJournal {
public:
    explicit StraightJournal(const Journal& journal)
        : base_(journal.zone_.at<char>(0)), data_(journal.data_), number_(journal.number_) {}

    /** Notes the lock that is to be tried next, the i-th. */
    void note_lock(size_t i, const Bucket* bucket) {
        data_->lock_offsets[i] = offset_of(&bucket->lock);
        Journal::keep_order();
        data_->locks = static_cast<uint32_t>(i + 1);
        Journal::keep_order();
    }

    /** False if it is taken, also by this process. */
    bool try_lock(Bucket* bucket) {
        uint32_t free = 0;
        return bucket->lock.compare_exchange_strong(free, number_, std::memory_order_acquire,
                                                    std::memory_order_relaxed);
    }

    /** Notes two words that are to be changed, as the i-th pair, and what they hold. */
    void note_pair(size_t i, const uint64_t* words, const StatePair& before) {
        Undo* undo = &data_->undo[2 * i];
        uint64_t offset = offset_of(words);
        undo[0] = {offset, before.first};
        undo[1] = {offset + sizeof(uint64_t), before.second};
    }

    /** The first n pairs that were noted may now be changed. */
    void begin_changing(size_t n) {
        Journal::keep_order();
        data_->undos = static_cast<uint32_t>(2 * n);
        Journal::keep_order();
    }

    /** Changes the words of the i-th pair. */
    void change_pair(size_t i, const StatePair& pair) {
        uint64_t* words = reinterpret_cast<uint64_t*>(base_ + data_->undo[2 * i].offset);
        words[0] = pair.first;
        words[1] = pair.second;
    }

    /** Changes the only two words that a decision changes. */
    void change_lone_pair(uint64_t* words, const StatePair& pair) {
        Journal::keep_order();
#if defined(__SSE2__)
        // A kill finds one instruction done or not begun: nothing need be noted.
        _mm_store_si128(
            reinterpret_cast<__m128i*>(words),
            _mm_set_epi64x(static_cast<int64_t>(pair.second), static_cast<int64_t>(pair.first)));
#else
        note_pair(0, words, {words[0], words[1]});
        begin_changing(1);
        change_pair(0, pair);
        end_changing();
#endif
        Journal::keep_order();
    }

    /** Makes what was changed final; then the locks may be opened. */
    void end_changing() {
        Journal::keep_order();
        data_->undos = 0;
        Journal::keep_order();
    }

    static void unlock(Bucket* bucket) {
        bucket->lock.store(0, std::memory_order_release);
    }

    /** All locks are open. */
    void end_locking() {
        Journal::keep_order();
        data_->locks = 0;
    }

    /** Opens the first n locks that were noted, of which there are no others. */
    void unlock_all(size_t n) {
        for (size_t i = 0; i < n; ++i) {
            reinterpret_cast<std::atomic<uint32_t>*>(base_ + data_->lock_offsets[i])
                ->store(0, std::memory_order_release);
        }
        end_locking();
    }

private:
    uint64_t offset_of(const void* place) const {
        return static_cast<uint64_t>(static_cast<const char*>(place) - base_);
    }

    char* base_;
    JournalData* data_;
    uint32_t number_;
};

}  // namespace ai_limit
