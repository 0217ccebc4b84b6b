#include "core/usage/usage_chunk.h"

#include <cstring>
#include <type_traits>

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<UsageChunkFilter> && sizeof(UsageChunkFilter) <= 10752);

/** Reads the bytes that were kept as the front of a known event and are none. */
void UsageChunkFilter::read_front() {
    std::string_view front = known_.give_front();
    const char* begin = front.data();
    for (;;) {
        const SseToken token = events_.next(&front);
        if (token.kind == SseToken::kNothing) {
            break;
        }
        const auto at = static_cast<uint64_t>(front.data() - begin);
        usage_.read(token.text, at - token.text.size(), &draft_);
    }
    keep(begin, front.data());
}

EventBytes UsageChunkFilter::bytes_until(const char* end, const Piece& piece) const {
    return {kept_at_, {kept_, kept_size_}, {piece.event, static_cast<size_t>(end - piece.event)}};
}

/** Finds what is to be left out of the event, and notes it for events that are like this one. */
bool UsageChunkFilter::find_cut(const EventBytes& bytes, const Piece& piece, EventRange* cut) {
    const bool may_edit = !edited_ && (long_ || usage_.is_complete());
    if (!may_edit || !usage_.find_member(bytes, cut)) {
        return false;
    }
    if (!usage_.is_null() || long_ || kept_size_ > 0) {
        draft_.give_up();
    } else {
        draft_.note_cut({piece.event + cut->begin, static_cast<size_t>(cut->end - cut->begin)});
    }
    return true;
}

/** False, and nothing is changed, where it is too long. */
bool UsageChunkFilter::keep(const char* from, const char* to) {
    const size_t size = static_cast<size_t>(to - from);
    if (size > kMaxKept - kept_size_) {
        return false;
    }
    if (size > 0) {
        std::memcpy(kept_ + kept_size_, from, size);
    }
    kept_size_ = static_cast<uint16_t>(kept_size_ + size);
    return true;
}

void UsageChunkFilter::begin_event() {
    usage_.reset();
    long_ = false;
    edited_ = false;
    kept_size_ = 0;
    kept_at_ = 0;
}

}  // namespace ai_limit
