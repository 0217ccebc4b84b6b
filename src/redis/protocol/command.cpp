#include "redis/protocol/command.h"

#include <charconv>
#include <cstdlib>

namespace ai_limit {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr size_t kMaxSizeDigits = 5;
constexpr size_t kMaxAround = 1 + kMaxSizeDigits + 2 * kLineEnd.size();  // a word

char* put(std::string_view text, char* at) {
    return at + text.copy(at, text.size());
}

/** A line of the protocol that says how much is to come. */
char* put_size(char type, size_t size, char* at) {
    *at++ = type;
    if (size < 10) {
        *at++ = static_cast<char>('0' + size);
    } else {
        at = std::to_chars(at, at + kMaxSizeDigits, size).ptr;
    }
    return put(kLineEnd, at);
}

}  // namespace

void Command::clear() {
    used_ = 0;
    count_ = 0;
    overflowed_ = false;
}

char* Command::begin_word(size_t size) {
    if (overflowed_ || count_ == kMaxWords || size + kMaxAround > kMaxBytes - used_) {
        overflowed_ = true;
        return nullptr;
    }
    ++count_;
    return put_size('$', size, words_ + used_);
}

void Command::end_word(char* end) {
    used_ = static_cast<size_t>(put(kLineEnd, end) - words_);
}

void Command::word(std::string_view text) {
    if (char* at = begin_word(text.size())) {
        end_word(put(text, at));
    }
}

void Command::joined_word(std::initializer_list<std::string_view> parts) {
    size_t size = 0;
    for (std::string_view part : parts) {
        size += part.size();
    }
    if (char* at = begin_word(size)) {
        for (std::string_view part : parts) {
            at = put(part, at);
        }
        end_word(at);
    }
}

void Command::number(int64_t value) {
    if (value >= 0 && value < 10) {
        if (char* at = begin_word(1)) {
            *at = static_cast<char>('0' + value);
            end_word(at + 1);
        }
        return;
    }
    char digits[24];
    std::to_chars_result result = std::to_chars(digits, digits + sizeof(digits), value);
    word({digits, static_cast<size_t>(result.ptr - digits)});
}

void Command::packed_word(const MessagePack& values) {
    overflowed_ |= values.overflowed();
    word(values.view());
}

char* Command::format(size_t* size) const {
    char head[kMaxAround];
    size_t head_size = static_cast<size_t>(put_size('*', count_, head) - head);
    char* bytes = overflowed_ ? nullptr : static_cast<char*>(std::malloc(head_size + used_));
    if (bytes != nullptr) {
        *size = static_cast<size_t>(put({words_, used_}, put({head, head_size}, bytes)) - bytes);
    }
    return bytes;
}

}  // namespace ai_limit
