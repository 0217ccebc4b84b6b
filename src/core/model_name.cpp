#include "core/model_name.h"

#include <cstring>

namespace ai_limit {

namespace {

constexpr size_t kHashDigits = 16;

// FNV-1a. Who makes two long names collide shares a limit between them, and both are names that no
// server knows.
constexpr uint64_t kHashBegin = 0xCBF29CE484222325;
constexpr uint64_t kHashFactor = 0x100000001B3;

bool continues_character(char c) {
    return (c & 0xC0) == 0x80;
}

}  // namespace

void ModelName::add_to_hash(char c) {
    hash_ = (hash_ ^ static_cast<uint8_t>(c)) * kHashFactor;
}

void ModelName::assign(std::string_view text) {
    const std::string_view kept = text.substr(0, kMaxSize);
    begin();
    if (!kept.empty()) {
        std::memcpy(bytes_, kept.data(), kept.size());
    }
    size_ = static_cast<uint8_t>(kept.size());
    if (kept.size() < text.size()) {
        for (const char c : text) {
            add_to_hash(c);
        }
        cut(kept.size());
    }
}

void ModelName::begin() {
    hash_ = kHashBegin;
    state_ = JsonTextState();
    size_ = 0;
}

void ModelName::append_json(std::string_view raw) {
    // One at a time: a piece that does not fit would be left out as a whole, so that what is kept
    // of a long name would depend on how it comes.
    for (const char& c : raw) {
        decode_json_text({&c, 1}, bytes_, kMaxSize, &state_);
        add_to_hash(c);
    }
}

void ModelName::end() {
    if (state_.spoilt || state_.high != 0) {
        cut(state_.size);
    } else {
        size_ = static_cast<uint8_t>(state_.size);
    }
}

/** Puts the hash behind as many of the `size` bytes as leave room for it. */
void ModelName::cut(size_t size) {
    size_t at = size < kMaxSize - kHashDigits - 1 ? size : kMaxSize - kHashDigits - 1;
    while (at > 0 && at < size && continues_character(bytes_[at])) {
        --at;
    }
    bytes_[at++] = '~';
    for (unsigned shift = 4 * kHashDigits; shift > 0; shift -= 4) {
        bytes_[at++] = "0123456789abcdef"[hash_ >> (shift - 4) & 15];
    }
    size_ = static_cast<uint8_t>(at);
}

}  // namespace ai_limit
