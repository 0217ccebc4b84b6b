#include "core/json/bounded_text.h"

namespace ai_limit {

namespace {

constexpr size_t kHashDigits = 16;

// FNV-1a. A client that makes two long texts collide shares a limit between them.
constexpr uint64_t kHashBegin = 0xCBF29CE484222325;
constexpr uint64_t kHashFactor = 0x100000001B3;

constexpr char kDigits[] = "0123456789abcdef";
constexpr char kCapitalDigits[] = "0123456789ABCDEF";

bool continues_character(char c) {
    return (c & 0xC0) == 0x80;
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

void BoundedTextState::add_to_hash(char c) {
    hash_ = (hash_ ^ static_cast<uint8_t>(c)) * kHashFactor;
}

/** Half of a surrogate pair that stands alone. */
void BoundedTextState::add_half_to_hash() {
    for (const unsigned unit : {unsigned{json_.high}, unsigned{json_.unit}}) {
        add_to_hash(static_cast<char>(unit >> 8));
        add_to_hash(static_cast<char>(unit));
    }
}

void BoundedTextState::begin() {
    hash_ = kHashBegin;
    json_ = JsonTextState();
    size_ = 0;
    kept_ = 0;
    cut_ = false;
}

void BoundedTextState::put(char c, char* bytes, size_t capacity) {
    add_to_hash(c);
    char escaped[] = {c, '\0', '\0'};
    size_t size = 1;
    if (controls_ == ControlCharacters::kEscaped && is_control(c)) {
        escaped[0] = '%';
        escaped[1] = kCapitalDigits[static_cast<unsigned char>(c) >> 4];
        escaped[2] = kCapitalDigits[c & 15];
        size = sizeof(escaped);
    }
    cut_ = cut_ || size > capacity - kept_;
    for (size_t i = 0; i < size && !cut_; ++i) {
        bytes[kept_++] = escaped[i];
    }
}

void BoundedTextState::append(std::string_view text, char* bytes, size_t capacity) {
    size_t at = 0;
    if (controls_ == ControlCharacters::kKept && !cut_ && text.size() <= capacity - kept_) {
        for (; at < text.size(); ++at) {
            add_to_hash(text[at]);
            bytes[kept_ + at] = text[at];
        }
        kept_ = static_cast<uint16_t>(kept_ + at);
    }
    for (; at < text.size(); ++at) {
        put(text[at], bytes, capacity);
    }
}

void BoundedTextState::append_json(std::string_view raw, char* bytes, size_t capacity) {
    const bool idle =
        !json_.spoilt && json_.high == 0 && !json_.after_backslash && json_.digits_left == 0;
    if (idle) {
        const size_t plain = raw.find('\\');
        append(raw.substr(0, plain), bytes, capacity);
        raw.remove_prefix(plain < raw.size() ? plain : raw.size());
    }
    for (const char& c : raw) {
        if (json_.spoilt) {
            add_to_hash(c);
            continue;
        }
        // Each character is put where it belongs at once: nothing is left in the decoder's memory
        // but half an escape.
        char decoded[4];
        json_.size = 0;
        decode_json_text({&c, 1}, decoded, sizeof(decoded), &json_);
        append({decoded, json_.size}, bytes, capacity);
        if (json_.spoilt) {
            add_to_hash(c);
            add_half_to_hash();
        }
    }
}

void BoundedTextState::end(char* bytes, size_t capacity) {
    if (!json_.spoilt && json_.high != 0) {
        add_half_to_hash();
    }
    if (cut_ || json_.spoilt || json_.high != 0) {
        cut(bytes, capacity);
    }
    size_ = kept_;
}

/** Puts the hash behind as many of the bytes as leave room for it. */
void BoundedTextState::cut(char* bytes, size_t capacity) {
    size_t at = kept_ < capacity - kHashDigits - 1 ? kept_ : capacity - kHashDigits - 1;
    while (at > 0 && at < kept_ && continues_character(bytes[at])) {
        --at;
    }
    bytes[at++] = '~';
    for (unsigned shift = 4 * kHashDigits; shift > 0; shift -= 4) {
        bytes[at++] = kDigits[hash_ >> (shift - 4) & 15];
    }
    kept_ = static_cast<uint16_t>(at);
}

}  // namespace ai_limit
