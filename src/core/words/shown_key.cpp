#include "core/words/shown_key.h"

namespace ai_limit {

namespace {

constexpr size_t kShownEnds = 4;
constexpr size_t kShortKey = 12;  // less than this, two ends of four would show nearly all of it
constexpr size_t kLongestShown = 128;
constexpr size_t kLongestAddress = 45;
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_ipv4(std::string_view text) {
    unsigned parts = 0;
    while (parts < 4) {
        size_t digits = 0;
        while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
            ++digits;
        }
        if (digits == 0 || digits > 3) {
            return false;
        }
        text.remove_prefix(digits);
        if (++parts < 4) {
            if (text.empty() || text.front() != '.') {
                return false;
            }
            text.remove_prefix(1);
        }
    }
    return text.empty();
}

/** The letters and colons of an IPv6 address, in groups of at most four digits. */
bool is_ipv6(std::string_view text) {
    size_t colons = 0;
    size_t group = 0;
    for (char c : text) {
        if (c == ':') {
            ++colons;
            group = 0;
        } else if (!is_hex(c) || ++group > 4) {
            return false;
        }
    }
    return colons >= 2 && colons <= 8;
}

bool begins_with(std::string_view text, std::string_view beginning) {
    return text.substr(0, beginning.size()) == beginning;
}

bool may_be_shown(std::string_view key) {
    return begins_with(key, "ip:") || begins_with(key, "key:") || key == "unix:" ||
           (key.size() <= kLongestAddress && (is_ipv4(key) || is_ipv6(key)));
}

/** Writes a text by `write`, and cuts what does not fit, which an ellipsis shows. */
size_t copy_cut(std::string_view text, void (*write)(std::string_view, TextWriter&), char* to,
                size_t size) {
    char buffer[kMaxShownKey];
    TextWriter out(buffer, sizeof(buffer));
    write(text, out);
    std::string_view shown = out.view();
    if (shown.size() <= size) {
        return shown.copy(to, size);
    }
    // A text that is so long has plain ASCII at the place of the cut.
    size_t kept = shown.copy(to, size - kEllipsis.size());
    return kept + kEllipsis.copy(to + kept, kEllipsis.size());
}

}  // namespace

void write_escaped(std::string_view text, TextWriter& out) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    for (char c : text.substr(0, kLongestShown)) {
        auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7F || c == '"' || c == '\\') {
            const char escaped[] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
            out.text({escaped, sizeof escaped});
        } else {
            out.text({&c, 1});
        }
    }
    out.text(text.size() > kLongestShown ? kEllipsis : std::string_view());
}

void write_shown_key(std::string_view key, TextWriter& out) {
    if (may_be_shown(key)) {
        write_escaped(key, out);
        return;
    }
    if (key.size() < kShortKey) {
        write_escaped(key.substr(0, key.size() / 4), out);
        out.text(kEllipsis);
        return;
    }
    write_escaped(key.substr(0, kShownEnds), out);
    out.text(kEllipsis);
    write_escaped(key.substr(key.size() - kShownEnds), out);
}

size_t copy_shown_key(std::string_view key, char* to, size_t size) {
    return copy_cut(key, write_shown_key, to, size);
}

size_t copy_escaped(std::string_view text, char* to, size_t size) {
    return copy_cut(text, write_escaped, to, size);
}

}  // namespace ai_limit
