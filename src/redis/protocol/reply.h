#pragma once

// Replies of Redis, taken apart by hiredis's reader into memory that is bounded, whatever comes.

#include <cstddef>
#include <cstdint>
#include <string_view>

struct redisReader;

namespace ai_limit {

enum class ReplyKind : uint8_t { kNone, kStatus, kError, kNumber, kText, kNull, kArray };

/** One reply; of an array, the numbers and the texts in it, without their nesting. */
class Reply {
public:
    static constexpr size_t kMaxNumbers = 256;
    static constexpr size_t kMaxText = 128 * 1024;
    static constexpr size_t kMaxParts = 1024;  // arrays and nulls, which are not kept

    ReplyKind kind() const { return kind_; }
    const int64_t* numbers() const { return numbers_; }
    size_t number_count() const { return number_count_; }

    /** Returns the text of a status, an error or a text. The texts in an array stand one behind the
     * other, each with a line end. */
    std::string_view text() const { return {text_, text_size_}; }

    /** True if this is an error of that kind, which is its first word. */
    bool is_error(std::string_view kind) const;

private:
    friend struct ReplyBuilder;

    ReplyKind kind_ = ReplyKind::kNone;
    size_t number_count_ = 0;
    size_t text_size_ = 0;
    size_t parts_ = 0;
    int64_t numbers_[kMaxNumbers];
    char text_[kMaxText];
};

/** Takes replies out of what comes. Not copyable. Large. */
class ReplyReader {
public:
    ReplyReader() = default;
    ~ReplyReader();
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    /** Forgets all that came. False without memory. */
    bool restart();

    /** Adds bytes. False if they, or what is still incomplete, are none of Redis's, or more than
     * any reply of interest has: nothing more can be read then. */
    bool feed(std::string_view bytes);

    /** The next whole reply, valid until the next call, or nullptr; see failed(). */
    const Reply* next();

    /** True if the bytes that came are no reply of Redis. */
    bool failed() const { return failed_; }

private:
    redisReader* reader_ = nullptr;
    bool failed_ = false;
    Reply reply_;
};

}  // namespace ai_limit
