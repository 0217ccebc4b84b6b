#include "redis/protocol/topology.h"

#include <charconv>

#include "redis/protocol/slot.h"

namespace ai_limit {

namespace {

/** Cuts the text up to the delimiter, or all of it, off the front. */
std::string_view take(std::string_view* text, char delimiter) {
    size_t end = text->find(delimiter);
    std::string_view front = text->substr(0, end);
    *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
    return front;
}

bool has_flag(std::string_view flags, std::string_view wanted) {
    while (!flags.empty()) {
        if (take(&flags, ',') == wanted) {
            return true;
        }
    }
    return false;
}

bool read_slot(std::string_view text, uint16_t* slot) {
    std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), *slot);
    return result.ec == std::errc() && result.ptr == text.data() + text.size() && *slot < kSlots;
}

}  // namespace

// <id> <ip:port@cport[,hostname[,name=value...]]> <flags> <master> <ping> <pong> <epoch> <link>
// <slot> <slot> ...
bool SlotRanges::next_line() {
    while (!rest_.empty()) {
        std::string_view line = take(&rest_, '\n');
        take(&line, ' ');
        std::string_view address = take(&line, ' ');
        std::string_view flags = take(&line, ' ');
        for (int i = 0; i < 5; ++i) {
            take(&line, ' ');
        }
        if (has_flag(flags, "master") && !has_flag(flags, "fail") && !has_flag(flags, "noaddr")) {
            address_ = take(&address, '@');
            take(&address, ',');
            host_ = take(&address, ',');
            slots_ = line;
            return true;
        }
    }
    return false;
}

bool SlotRanges::next(SlotRange* range) {
    for (;;) {
        while (slots_.empty()) {
            if (!next_line()) {
                return false;
            }
        }
        // A slot on its way to another node stands in brackets.
        std::string_view text = take(&slots_, ' ');
        std::string_view first = take(&text, '-');
        if (read_slot(first, &range->first) &&
            read_slot(text.empty() ? first : text, &range->last) && range->first <= range->last) {
            range->address = address_;
            range->host = host_;
            return true;
        }
    }
}

}  // namespace ai_limit
