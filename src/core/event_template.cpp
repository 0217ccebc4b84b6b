#include "core/event_template.h"

#include <cstring>
#include <functional>
#include <type_traits>

#include "core/json_bytes.h"
#include "core/json_text_size.h"

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<EventTemplate> &&
              std::is_trivially_copyable_v<EventDraft>);

namespace {

const char* find_digits_end(const char* at, const char* end) {
    while (at < end && is_digit(*at)) {
        ++at;
    }
    return at;
}

/** Digits that JSON takes for a number (RFC 8259, 6). */
bool is_number(const char* at, const char* end) {
    return at < end && (*at != '0' || end - at == 1);
}

/** Behind the escape that begins at `at`; nullptr where it is none, or is cut off. */
const char* skip_escape(const char* at, const char* end) {
    if (end - at < 2 || !is_json_escape(at[1])) {
        return nullptr;
    }
    const bool is_unit = at[1] == 'u';
    at += 2;
    for (int digits = is_unit ? 4 : 0; digits > 0; --digits, ++at) {
        if (at == end || hex_digit(*at) < 0) {
            return nullptr;
        }
    }
    return at;
}

/** Where the quote stands that ends a string; nullptr where there is none. */
const char* find_quote(const char* at, const char* end, bool* has_escapes) {
    for (;;) {
        at = find_string_stop(at, end);
        if (at == end || (*at != '"' && *at != '\\')) {
            return nullptr;
        }
        if (*at == '"') {
            return at;
        }
        *has_escapes = true;
        at = skip_escape(at, end);
        if (at == nullptr) {
            return nullptr;
        }
    }
}

uint64_t text_size(const char* at, const char* end, bool has_escapes) {
    const std::string_view raw(at, static_cast<size_t>(end - at));
    return has_escapes ? JsonTextSize().add(raw) : raw.size();
}

}  // namespace

void EventDraft::begin(std::string_view rest) {
    begin_ = rest.data();
    end_ = rest.data() + rest.size();
    count_ = 0;
    open_ = true;
    has_text_ = false;
}

void EventDraft::note(EventHole kind, std::string_view text) {
    const bool is_text = kind == EventHole::kText;
    // A number that came in pieces has been put together elsewhere.
    const bool lies_here = !std::less<>()(text.data(), begin_) && std::less<>()(text.data(), end_);
    const char* end = text.data() + text.size();
    const bool is_hole =
        lies_here && (kind != EventHole::kDigits ||
                      (is_number(text.data(), end) && find_digits_end(text.data(), end) == end));
    if (!open_ || count_ == kMaxHoles || !is_hole || (is_text && has_text_)) {
        open_ = open_ && !is_text;
        return;
    }
    has_text_ = has_text_ || is_text;
    places_[count_++] = {text.data(), text.size(), kind};
}

bool EventTemplate::learn(const EventDraft& draft, std::string_view rest) {
    if (!draft.open_ || !draft.has_text_) {
        return false;
    }
    size_t size = static_cast<size_t>(rest.data() - draft.begin_);
    for (size_t i = 0; i < draft.count_; ++i) {
        size -= draft.places_[i].size;
    }
    if (size > kCapacity) {
        return false;
    }
    const char* from = draft.begin_;
    char* to = bytes_;
    for (size_t i = 0; i <= draft.count_; ++i) {
        const bool last = i == draft.count_;
        const char* end = last ? rest.data() : draft.places_[i].at;
        const size_t part = static_cast<size_t>(end - from);
        std::memcpy(to, from, part);
        to += part;
        sizes_[i] = static_cast<uint16_t>(part);
        if (!last) {
            kinds_[i] = draft.places_[i].kind;
            from = end + draft.places_[i].size;
        }
    }
    holes_ = draft.count_;
    return true;
}

size_t EventTemplate::match(std::string_view rest, uint64_t* text) const {
    const char* at = rest.data();
    const char* end = at + rest.size();
    const char* part = bytes_;
    uint64_t found = 0;
    for (size_t i = 0; holes_ > 0; ++i) {
        const size_t size = sizes_[i];
        if (static_cast<size_t>(end - at) < size || std::memcmp(at, part, size) != 0) {
            return 0;
        }
        at += size;
        part += size;
        if (i == holes_) {
            *text += found;
            return static_cast<size_t>(at - rest.data());
        }
        const char* hole = at;
        if (kinds_[i] == EventHole::kDigits) {
            at = find_digits_end(at, end);
            if (!is_number(hole, at)) {
                return 0;
            }
            continue;
        }
        bool has_escapes = false;
        at = find_quote(at, end, &has_escapes);
        if (at == nullptr) {
            return 0;
        }
        found += kinds_[i] == EventHole::kText ? text_size(hole, at, has_escapes) : 0;
    }
    return 0;
}

bool skip_known_events(const EventTemplate& known, SseReader* events, std::string_view* rest,
                       uint64_t* text) {
    bool some = false;
    while (const size_t size = known.match(*rest, text)) {
        events->skip_event(rest->substr(0, size));
        rest->remove_prefix(size);
        events->skip_line_feed(rest);
        some = true;
    }
    return some;
}

}  // namespace ai_limit
