// Fuzzes what a log shows of a key, which may be a secret, and how keys of any length are hashed.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/words/shown_key.h"
#include "core/zone/table.h"

namespace {

using namespace ai_limit;

constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
constexpr size_t kMaxEscaped = 4;  // \xHH

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

using Write = void (*)(std::string_view, TextWriter&);

/** Returns what is written if there is room for `size` bytes. */
std::string written(Write write, std::string_view text, size_t size) {
    const std::unique_ptr<char[]> memory(new char[size]);  // a sanitizer sees a step past its end
    TextWriter out(memory.get(), size);
    write(text, out);
    require(out.view().size() <= size);
    require(!out.overflowed() || size < kMaxShownKey);
    return std::string(out.view());
}

/**
 * Requires that nothing can break a log line: printable ASCII without quotes, and at most one
 * ellipsis.
 */
void require_plain(std::string line) {
    const size_t ellipsis = line.find(kEllipsis);
    if (ellipsis != line.npos) {
        line.erase(ellipsis, kEllipsis.size());
    }
    for (const char c : line) {
        require(c >= 0x20 && c < 0x7F && c != '"');
    }
}

/** The text that an escaped line stands for; an ellipsis becomes a byte of its own. */
std::string unescaped(const std::string& line) {
    std::string text;
    for (size_t i = 0; i < line.size();) {
        if (line[i] == '\\') {
            require(line.size() - i >= kMaxEscaped && line[i + 1] == 'x');
            text += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
            i += kMaxEscaped;
        } else {
            text += line[i++];
        }
    }
    return text;
}

/** True if a text may be an address: digits, a to f, colons and points only, and not too many. */
bool may_be_address(std::string_view key) {
    return key.size() <= 45 && key.find_first_of(".:") != key.npos &&
           key.find_first_not_of("0123456789abcdefABCDEF.:") == key.npos;
}

bool begins_with(std::string_view key, std::string_view beginning) {
    return key.substr(0, beginning.size()) == beginning;
}

void check_escaped(std::string_view text) {
    const std::string line = written(write_escaped, text, kMaxShownKey);
    require_plain(line);
    std::string back = unescaped(line);
    if (text.size() > 128) {
        require(back.size() == 128 + kEllipsis.size() && back.substr(128) == kEllipsis);
        back.resize(128);
    }
    require(back == text.substr(0, 128));
}

void check_shown(std::string_view key) {
    const std::string line = written(write_shown_key, key, kMaxShownKey);
    require_plain(line);
    if (begins_with(key, "ip:") || begins_with(key, "key:")) {
        require(line == written(write_escaped, key, kMaxShownKey));
        return;
    }
    if (may_be_address(key) || key == "unix:") {
        return;
    }
    // A secret: no more than its ends, with what is between them replaced.
    const size_t ellipsis = line.find(kEllipsis);
    require(ellipsis != line.npos);
    const std::string head = unescaped(line.substr(0, ellipsis));
    const std::string tail = unescaped(line.substr(ellipsis + kEllipsis.size()));
    require(head.size() <= 4 && tail.size() <= 4 &&
            head.size() + tail.size() <= key.size() * 2 / 3);
    require(key.substr(0, head.size()) == head && key.substr(key.size() - tail.size()) == tail);
    // Only a key that has an ellipsis of its own can read like what is shown of it.
    require(key.size() < 12 || key.find(kEllipsis) != key.npos ||
            line.find(std::string(key)) == line.npos);
}

Zone make_zone() {
    alignas(64) static uint8_t secret[kSecretBytes];
    for (size_t i = 0; i < kSecretBytes; ++i) {
        secret[i] = static_cast<uint8_t>(i * 151 + 7);
    }
    const ZoneSizes sizes = sizes_for(1 << 16, true, true);
    const size_t bytes = (layout_of(sizes).total + 63) / 64 * 64;
    void* memory = aligned_alloc(64, bytes);
    require(memory != nullptr);
    memset(memory, 0, bytes);
    return Zone::create(memory, sizes, secret);
}

void check_hash(std::string_view key) {
    static const Zone zone = make_zone();
    // Wherever the bytes lie, they hash the same, and no byte beyond them is read.
    std::vector<char> shifted(key.size() + 1);
    memcpy(shifted.data() + 1, key.data(), key.size());
    const uint64_t hash = hash_key(zone, key);
    require(hash == hash_key(zone, {shifted.data() + 1, key.size()}));
    require(tag_of(hash, 1) != 0 && tag_of(hash, kMaxPolicies) != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view key(reinterpret_cast<const char*>(data), size);
    check_escaped(key);
    check_shown(key);
    const size_t room = size > 0 ? data[0] : 0;
    const std::string whole = written(write_shown_key, key, kMaxShownKey);
    require(begins_with(whole, written(write_shown_key, key, room)));
    check_hash(key);
    return 0;
}
