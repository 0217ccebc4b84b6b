#include "core/streams/sse.h"

#include <cstring>

namespace ai_limit {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kNameAndColon = "data:";
constexpr size_t kNameLength = 4;

/**
 * The distance to look for one kind of line end before looking for the other. Without such a bound,
 * a stream with nothing but CR would be searched to its end at every line.
 */
constexpr size_t kLookahead = 512;

constexpr SseToken kNoToken{SseToken::kNothing, {}};

bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}

/** Returns the position of the first CR or LF, or the text's size. */
size_t find_line_end(std::string_view text) {
    size_t from = 0;
    while (from < text.size()) {
        const std::string_view window = text.substr(from, kLookahead);
        const void* lf = std::memchr(window.data(), '\n', window.size());
        const size_t before =
            lf != nullptr ? static_cast<size_t>(static_cast<const char*>(lf) - window.data())
                          : window.size();
        if (const void* cr = std::memchr(window.data(), '\r', before)) {
            return static_cast<size_t>(static_cast<const char*>(cr) - text.data());
        }
        if (lf != nullptr) {
            return from + before;
        }
        from += window.size();
    }
    return text.size();
}

}  // namespace

SseToken SseReader::next(std::string_view* rest) {
    while (!rest->empty()) {
        const SseToken token = is_line_end(rest->front()) ? take_line_end(rest) : take_text(rest);
        if (token.kind != SseToken::kNothing) {
            return token;
        }
    }
    return kNoToken;
}

bool SseReader::skip_line_feed(std::string_view* rest) {
    const bool skips = after_cr_ && !rest->empty() && rest->front() == '\n';
    if (skips) {
        rest->remove_prefix(1);
        after_cr_ = false;
    }
    return skips;
}

bool SseReader::finish() {
    const bool open = has_data_;
    *this = SseReader();
    return open;
}

/** `rest` begins with a byte that ends no line. */
SseToken SseReader::take_text(std::string_view* rest) {
    after_cr_ = false;
    between_events_ = false;
    switch (at_) {
        case At::kByteOrderMark:
            rest->remove_prefix(match_byte_order_mark(rest->front()) ? 1 : 0);
            return kNoToken;
        case At::kName:
            return take_name(rest);
        case At::kColon:
            rest->remove_prefix(rest->front() == ' ' ? 1 : 0);
            at_ = At::kValue;
            return kNoToken;
        case At::kValue:
        case At::kIgnored:
            break;
    }
    const std::string_view text = rest->substr(0, find_line_end(*rest));
    rest->remove_prefix(text.size());
    return at_ == At::kValue ? SseToken{SseToken::kData, text} : kNoToken;
}

/** False if this byte is no part of a mark and the line begins with it, or has begun. */
bool SseReader::match_byte_order_mark(char c) {
    if (c != kByteOrderMark[matched_]) {
        at_ = matched_ == 0 ? At::kName : At::kIgnored;
        return false;
    }
    if (++matched_ == kByteOrderMark.size()) {
        at_ = At::kName;
        matched_ = 0;
    }
    return true;
}

SseToken SseReader::take_name(std::string_view* rest) {
    if (matched_ == 0 && rest->substr(0, kNameAndColon.size()) == kNameAndColon) {
        rest->remove_prefix(kNameAndColon.size());
        at_ = At::kColon;
        return begin_data();
    }
    if (rest->front() != kNameAndColon[matched_]) {
        at_ = At::kIgnored;
        return kNoToken;
    }
    rest->remove_prefix(1);
    if (++matched_ < kNameAndColon.size()) {
        return kNoToken;
    }
    at_ = At::kColon;
    return begin_data();
}

SseToken SseReader::begin_data() {
    const bool follows_another = has_data_;
    has_data_ = true;
    return follows_another ? SseToken{SseToken::kData, "\n"} : kNoToken;
}

SseToken SseReader::take_line_end(std::string_view* rest) {
    if (skip_line_feed(rest)) {
        return kNoToken;
    }
    after_cr_ = rest->front() == '\r';
    rest->remove_prefix(1);
    const bool blank = at_ == At::kName && matched_ == 0;
    // A line that is only a name is a field with an empty value.
    const bool bare_name = at_ == At::kName && matched_ == kNameLength;
    at_ = At::kName;
    matched_ = 0;
    between_events_ = blank;
    if (bare_name) {
        return begin_data();
    }
    if (!blank) {
        return kNoToken;
    }
    const bool ends_event = has_data_;
    has_data_ = false;
    return {ends_event ? SseToken::kEndOfEvent : SseToken::kNoEvent, {}};
}

}  // namespace ai_limit
