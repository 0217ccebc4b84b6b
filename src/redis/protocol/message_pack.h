#pragma once

// MessagePack as the script and the module speak it: arrays of numbers and of short texts. A
// command of one packed word costs both sides far less than one with a word for each number.

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>

namespace ai_limit {

/** Writes values one behind the other, into memory of its own. Large: one may be used again. */
class MessagePack {
public:
    void clear() {
        used_ = 0;
        overflowed_ = false;
    }

    /** The head of an array; so many values follow. At most 15. */
    void array(unsigned count) {
        if (char* at = begin(1)) {
            *at = static_cast<char>(0x90 | count);
            ++used_;
        }
    }

    void number(int64_t value) {
        uint64_t bits = static_cast<uint64_t>(value);
        if (bits < 0x80) {
            head(static_cast<unsigned>(bits));
        } else if (value < 0) {
            head_with(0xd3, bits, 8);
        } else if (bits <= UINT8_MAX) {
            head_with(0xcc, bits, 1);
        } else if (bits <= UINT16_MAX) {
            head_with(0xcd, bits, 2);
        } else if (bits <= UINT32_MAX) {
            head_with(0xce, bits, 4);
        } else {
            head_with(0xcf, bits, 8);
        }
    }

    void numbers(std::initializer_list<uint64_t> values) {
        for (uint64_t value : values) {
            number(static_cast<int64_t>(value));
        }
    }

    /** Adds a text of at most 255 bytes. */
    void text(std::string_view value) {
        if (value.size() < 32) {
            head(0xa0 | static_cast<unsigned>(value.size()));
        } else {
            head_with(0xd9, value.size(), 1);
        }
        if (char* at = begin(value.size())) {
            value.copy(at, value.size());
            used_ += value.size();
        }
    }

    void truth(bool value) { head(value ? 0xc3 : 0xc2); }

    /** Nil. */
    void nothing() { head(0xc0); }

    std::string_view view() const { return {bytes_, used_}; }

    /** There was no room for all. */
    bool overflowed() const { return overflowed_; }

private:
    static constexpr size_t kMaxBytes = 8 * 1024;
    static constexpr size_t kMaxNumber = 1 + 8;

    char* begin(size_t size) {
        if (size > kMaxBytes - used_) {
            overflowed_ = true;
            return nullptr;
        }
        return bytes_ + used_;
    }

    void head(unsigned byte) {
        if (char* at = begin(1)) {
            *at = static_cast<char>(byte);
            ++used_;
        }
    }

    /** A byte, and the lowest ones of a number, the greatest first. */
    void head_with(unsigned byte, uint64_t number, unsigned size) {
        if (char* at = begin(kMaxNumber)) {
            uint64_t ordered = __builtin_bswap64(number << (64 - 8 * size));
            *at = static_cast<char>(byte);
            std::memcpy(at + 1, &ordered, sizeof(ordered));
            used_ += 1 + size;
        }
    }

    char bytes_[kMaxBytes];
    size_t used_ = 0;
    bool overflowed_ = false;
};

/** Reads an array of whole numbers, none of them negative, of which each has its bound. */
class PackedNumbers {
public:
    explicit PackedNumbers(std::string_view packed)
        : at_(packed.data()), end_(at_ + packed.size()) {
        uint64_t first = bytes(1);
        left_ = (first & 0xf0) == 0x90 ? first & 0x0f : first == 0xdc ? bytes(2) : fail();
    }

    /** The next one; 0 if it is more than `most`, or none. */
    uint64_t next(uint64_t most) {
        if (left_ == 0) {
            return fail();
        }
        --left_;
        uint64_t value = bytes(1);
        if (value >= 0x80) {
            // 0xcc to 0xcf: of 1, 2, 4, 8 bytes
            value = value >= 0xcc && value <= 0xcf ? bytes(1U << (value - 0xcc)) : fail();
        }
        return value <= most ? value : fail();
    }

    /** True if all of them have been read, and nothing was wrong. */
    bool are_fine_and_all() const { return fits_ && left_ == 0 && at_ == end_; }

private:
    uint64_t fail() {
        fits_ = false;
        return 0;
    }

    uint64_t bytes(unsigned size) {
        if (static_cast<size_t>(end_ - at_) < size) {
            return fail();
        }
        uint64_t value = 0;
        for (const char* end = at_ + size; at_ != end; ++at_) {
            value = value << 8 | static_cast<unsigned char>(*at_);
        }
        return value;
    }

    const char* at_;
    const char* end_;
    uint64_t left_ = 0;
    bool fits_ = true;
};

}  // namespace ai_limit
