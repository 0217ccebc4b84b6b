#include "core/json/text_decoder.h"

#include <cstring>
#include <type_traits>

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<TextDecoder>);

namespace {

constexpr size_t kHead = 4;
constexpr ptrdiff_t kMostOfUnit =
    6;  // bytes of UTF-8: half a pair that stood alone, and a character

struct Mark {
    std::string_view bytes;
    TextEncoding encoding;
};

// UTF-32's little-endian mark begins like that of UTF-16.
constexpr Mark kMarks[] = {
    {{"\0\0\xFE\xFF", 4}, TextEncoding::kUtf32Be}, {{"\xFF\xFE\0\0", 4}, TextEncoding::kUtf32Le},
    {{"\xFE\xFF", 2}, TextEncoding::kUtf16Be},     {{"\xFF\xFE", 2}, TextEncoding::kUtf16Le},
    {{"\xEF\xBB\xBF", 3}, TextEncoding::kUtf8},
};

TextEncoding encoding_by_zeros(std::string_view head) {
    if (head.size() < kHead) {
        return head.size() != 2 || (head[0] != 0 && head[1] != 0) ? TextEncoding::kUtf8
               : head[0] == 0                                     ? TextEncoding::kUtf16Be
                                                                  : TextEncoding::kUtf16Le;
    }
    if (head[0] == 0) {
        return head[1] != 0 ? TextEncoding::kUtf16Be : TextEncoding::kUtf32Be;
    }
    if (head[1] == 0) {
        return head[2] != 0 || head[3] != 0 ? TextEncoding::kUtf16Le : TextEncoding::kUtf32Le;
    }
    return TextEncoding::kUtf8;
}

bool is_big_endian(TextEncoding encoding) {
    return encoding == TextEncoding::kUtf16Be || encoding == TextEncoding::kUtf32Be;
}

uint8_t unit_size(TextEncoding encoding) {
    return encoding == TextEncoding::kUtf16Le || encoding == TextEncoding::kUtf16Be ? 2 : 4;
}

char* write_utf8(uint32_t code, char* out) {
    const auto tail = [code](unsigned shift) {
        return static_cast<char>(0x80 | (code >> shift & 0x3F));
    };
    if (code < 0x80) {
        *out++ = static_cast<char>(code);
        return out;
    }
    if (code < 0x800) {
        *out++ = static_cast<char>(0xC0 | code >> 6);
    } else if (code < 0x10000) {
        *out++ = static_cast<char>(0xE0 | code >> 12);
        *out++ = tail(6);
    } else {
        *out++ = static_cast<char>(0xF0 | code >> 18);
        *out++ = tail(12);
        *out++ = tail(6);
    }
    *out++ = tail(0);
    return out;
}

}  // namespace

/** `head` is the first four bytes, or all where there are fewer. */
void TextDecoder::begin(std::string_view head) {
    begun_ = true;
    encoding_ = encoding_by_zeros(head);
    for (const Mark& mark : kMarks) {
        if (head.substr(0, mark.bytes.size()) == mark.bytes) {
            encoding_ = mark.encoding;
            mark_size_ = static_cast<uint8_t>(mark.bytes.size());
            return;
        }
    }
}

std::string_view TextDecoder::next(std::string_view* rest, char* room, size_t size) {
    if (!begun_ && head_size_ == 0 && rest->size() >= kHead) {
        begin(rest->substr(0, kHead));
        rest->remove_prefix(mark_size_);
    }
    size_t used = 0;
    while (!begun_ && !rest->empty()) {
        head_[head_size_++] = rest->front();
        rest->remove_prefix(1);
        if (head_size_ == kHead) {
            used = begin_with_head(room, size);
        }
    }
    if (!begun_) {
        return {};
    }
    if (used == 0 && encoding_ == TextEncoding::kUtf8) {
        const std::string_view text = *rest;
        *rest = {};
        return text;
    }
    used += decode(rest, room + used, size - used);
    return {room, used};
}

/** Decodes the first bytes, which were kept; returns how many bytes of `room` that took. */
size_t TextDecoder::begin_with_head(char* room, size_t size) {
    begin({head_, head_size_});
    std::string_view head(head_ + mark_size_, static_cast<size_t>(head_size_ - mark_size_));
    return decode(&head, room, size);
}

/** Returns how many bytes of `room` were used. */
size_t TextDecoder::decode(std::string_view* rest, char* room, size_t size) {
    if (encoding_ == TextEncoding::kUtf8) {
        size = rest->size() < size ? rest->size() : size;
        std::memcpy(room, rest->data(), size);
        rest->remove_prefix(size);
        return size;
    }
    const bool big = is_big_endian(encoding_);
    const uint8_t bytes = unit_size(encoding_);
    char* out = room;
    const char* end = room + size;
    while (!rest->empty() && end - out >= kMostOfUnit && !broken_) {
        const uint32_t byte = static_cast<unsigned char>(rest->front());
        rest->remove_prefix(1);
        unit_ = big ? unit_ << 8 | byte : unit_ | byte << 8 * unit_bytes_;
        if (++unit_bytes_ == bytes) {
            out = take_unit(unit_, out);
            unit_bytes_ = 0;
            unit_ = 0;
        }
    }
    if (broken_) {
        *rest = {};
    }
    return static_cast<size_t>(out - room);
}

char* TextDecoder::take_unit(uint32_t unit, char* out) {
    if (unit > 0x10FFFF) {
        broken_ = true;
        return out;
    }
    const bool is_pair = unit_size(encoding_) == 2 && high_ != 0 && unit >> 10 == 0xDC00 >> 10;
    if (is_pair) {
        unit = 0x10000 + ((high_ & 0x3FFU) << 10) + (unit & 0x3FFU);
    } else if (high_ != 0) {
        out = write_utf8(high_, out);
    }
    high_ = 0;
    if (unit_size(encoding_) == 2 && unit >> 10 == 0xD800 >> 10) {
        high_ = static_cast<uint16_t>(unit);
        return out;
    }
    return write_utf8(unit, out);
}

std::string_view TextDecoder::finish(char* room, size_t size) {
    char* out = begun_ ? room : room + begin_with_head(room, size);
    if (high_ != 0) {
        out = write_utf8(high_, out);
        high_ = 0;
    }
    broken_ = broken_ || unit_bytes_ != 0;
    return {room, static_cast<size_t>(out - room)};
}

}  // namespace ai_limit
