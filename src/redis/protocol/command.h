#pragma once

// One command to Redis, word by word, as the bytes that go out.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "redis/protocol/message_pack.h"

namespace ai_limit {

/** The words of a command. Large: one is kept and used again. */
class Command {
public:
    void clear();

    /** Adds a word, which is copied. */
    void word(std::string_view text);

    /** Adds a word of several parts. */
    void joined_word(std::initializer_list<std::string_view> parts);

    /** Adds a number as a word. */
    void number(int64_t value);

    /** Adds a word of packed values. */
    void packed_word(const MessagePack& values);

    /**
     * Returns the bytes to send, which the caller must free(). nullptr without memory, or if the
     * words were more than there is room for.
     */
    char* format(size_t* size) const;

private:
    /** Returns the place for a word of that size; nullptr if there is no room. */
    char* begin_word(size_t size);
    void end_word(char* end);

    static constexpr size_t kMaxWords = 256;
    static constexpr size_t kMaxBytes = 36 * 1024;

    char words_[kMaxBytes];  // each with its length and line ends
    size_t used_ = 0;
    size_t count_ = 0;
    bool overflowed_ = false;
};

}  // namespace ai_limit
