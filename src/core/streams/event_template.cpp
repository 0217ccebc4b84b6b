#include "core/streams/event_template.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

#include "core/json/json_characters.h"
#include "core/words/json_bytes.h"

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<KnownEvents> &&
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

/**
 * Returns the position behind the escape that begins at `at`; `end` if it is cut off, nullptr if it
 * is no escape.
 */
const char* skip_escape(const char* at, const char* end) {
    if (end - at < 2) {
        return end;
    }
    if (!is_json_escape(at[1])) {
        return nullptr;
    }
    const bool is_unit = at[1] == 'u';
    at += 2;
    for (int digits = is_unit ? 4 : 0; digits > 0 && at < end; --digits, ++at) {
        if (hex_digit(*at) < 0) {
            return nullptr;
        }
    }
    return at;
}

/** The end of a string. */
struct StringEnd {
    const char* quote;    // `end` where it is cut off, nullptr if it is no string
    uint64_t characters;  // of a whole one
};

/** Counts the characters of a string without escapes. */
inline uint64_t characters_of(std::string_view raw) {
    return is_ascii(raw) ? raw.size() : count_characters(raw);
}

/** Escapes of UTF-16 units may be half a character. */
uint64_t count_with_units(std::string_view raw) {
    JsonCharacters characters;
    characters.add(raw);
    return characters.count();
}

/** See find_quote(): at `at` stands what is not plain text. */
__attribute__((noinline)) StringEnd find_quote_behind_escapes(const char* begin, const char* at,
                                                              const char* end) {
    bool has_units = false;
    uint64_t letters = 0;  // escapes of two bytes, each a character
    while (at < end && *at != '"') {
        if (*at != '\\') {
            return {nullptr, 0};
        }
        const bool is_unit = end - at > 1 && at[1] == 'u';
        has_units = has_units || is_unit;
        letters += is_unit ? 0 : 1;
        at = skip_escape(at, end);
        if (at == nullptr) {
            return {nullptr, 0};
        }
        at = find_string_stop(at, end);
    }
    const std::string_view raw(begin, static_cast<size_t>(at - begin));
    return {at, has_units ? count_with_units(raw) : characters_of(raw) - letters};
}

inline StringEnd find_quote(const char* begin, const char* end) {
    const char* at = find_string_stop(begin, end);
    if (at != end && *at != '"') {
        return find_quote_behind_escapes(begin, at, end);
    }
    return {at, characters_of({begin, static_cast<size_t>(at - begin)})};
}

}  // namespace

void EventDraft::begin(std::string_view rest) {
    begin_ = rest.data();
    end_ = rest.data() + rest.size();
    count_ = 0;
    open_ = true;
    has_text_ = false;
    cut_ = {};
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

void EventDraft::note_cut(std::string_view bytes) {
    cut_ = bytes;
}

/** Finds the part in which the cut stands. False, and nothing is changed, where a hole is in it. */
bool EventTemplate::set_cut(const EventDraft& draft) {
    const std::string_view cut = draft.cut_;
    if (cut.empty()) {
        cut_size_ = 0;
        return true;
    }
    uint8_t part = 0;
    while (part < draft.count_ && draft.places_[part].at < cut.data()) {
        ++part;
    }
    const char* begin =
        part > 0 ? draft.places_[part - 1].at + draft.places_[part - 1].size : draft.begin_;
    const bool lies_in_part =
        begin <= cut.data() &&
        (part == draft.count_ || cut.data() + cut.size() <= draft.places_[part].at);
    if (part == 0 || !lies_in_part) {
        return false;
    }
    cut_part_ = part;
    cut_offset_ = static_cast<uint16_t>(cut.data() - begin);
    cut_size_ = static_cast<uint16_t>(cut.size());
    return true;
}

bool EventTemplate::learn(const EventDraft& draft, std::string_view rest) {
    if (!draft.open_ || !draft.has_text_) {
        return false;
    }
    size_t size = static_cast<size_t>(rest.data() - draft.begin_);
    for (size_t i = 0; i < draft.count_; ++i) {
        size -= draft.places_[i].size;
    }
    if (size > kCapacity || !set_cut(draft)) {
        return false;
    }
    agreed_ = false;
    const char* from = draft.begin_;
    size_t at = 0;
    for (size_t i = 0; i <= draft.count_; ++i) {
        const bool last = i == draft.count_;
        const char* end = last ? rest.data() : draft.places_[i].at;
        const size_t part = static_cast<size_t>(end - from);
        sizes_[i] = static_cast<uint16_t>(part);
        back_ = static_cast<uint16_t>(at);
        std::memcpy(i == 0 ? bytes_ + (size - part) : bytes_ + at, from, part);
        at += i == 0 ? 0 : part;
        if (!last) {
            kinds_[i] = draft.places_[i].kind;
            from = end + draft.places_[i].size;
        }
    }
    holes_ = draft.count_;
    return true;
}

bool EventTemplate::is_same(const EventTemplate& other) const {
    if (holes_ == 0 || holes_ != other.holes_ || back_ != other.back_ ||
        !std::equal(kinds_, kinds_ + holes_, other.kinds_) ||
        !std::equal(sizes_, sizes_ + holes_ + 1, other.sizes_)) {
        return false;
    }
    const size_t size = size_t{back_} + sizes_[holes_] + sizes_[0];
    return std::memcmp(bytes_, other.bytes_, size) == 0;
}

bool EventTemplate::agree(const EventTemplate& other) {
    if (!agreed_ && is_same(other)) {
        cut_part_ = other.cut_part_;
        cut_offset_ = other.cut_offset_;
        cut_size_ = other.cut_size_;
        agreed_ = true;
    }
    return agreed_;
}

/** A piece as it is compared. */
struct EventTemplate::Input {
    explicit Input(std::string_view piece) : at(piece.data()), end(piece.data() + piece.size()) {}

    /** Removes a part of the event from the front; false if another one stands there. */
    bool take(const char* part, size_t size) {
        const size_t left = static_cast<size_t>(end - at);
        if (left < size) {
            cut = std::memcmp(at, part, left) == 0;
            return false;
        }
        if (std::memcmp(at, part, size) != 0) {
            return false;
        }
        at += size;
        return true;
    }

    bool take_digits() {
        const char* begin = at;
        at = find_digits_end(begin, end);
        cut = at == end;
        return !cut && is_number(begin, at);
    }

    /** Takes the bytes between quotes and leaves the second quote. */
    __attribute__((always_inline)) bool take_string(bool is_text, uint64_t* text) {
        const StringEnd found = find_quote(at, end);
        at = found.quote;
        cut = at == end;
        if (at == nullptr || cut) {
            return false;
        }
        *text += is_text ? found.characters : 0;
        return true;
    }

    /** Keeps the text that begins at `begin` and ends here. */
    void keep_text(const char* begin) { text = {begin, static_cast<size_t>(at - begin)}; }

    const char* at;
    const char* end;
    const char* part = nullptr;  // where the part begins that has the cut
    std::string_view text;       // between its quotes
    bool cut = false;            // all of it is used up, and nothing in it differed
};

__attribute__((always_inline)) inline bool EventTemplate::take_front(Input* in) const {
    return in->take(bytes_ + back_ + sizes_[holes_], sizes_[0]);
}

/** All that stands between the front and the back. */
template <bool has_cut, bool has_texts>
__attribute__((always_inline)) inline bool EventTemplate::take_holes(Input* in,
                                                                     uint64_t* text) const {
    const char* part = bytes_;
    for (size_t i = 0;;) {
        const EventHole kind = kinds_[i];
        const char* begin = in->at;
        const bool fits = kind == EventHole::kDigits
                              ? in->take_digits()
                              : in->take_string(kind == EventHole::kText, text);
        if (has_texts && kind == EventHole::kText) {
            in->keep_text(begin);
        }
        if (!fits || ++i == holes_) {
            return fits;
        }
        if (has_cut && i == cut_part_) {
            in->part = in->at;
        }
        if (!in->take(part, sizes_[i])) {
            return false;
        }
        part += sizes_[i];
    }
}

__attribute__((always_inline)) inline bool EventTemplate::take_back(Input* in) const {
    return in->take(bytes_ + back_, sizes_[holes_]);
}

KnownFront EventTemplate::match(std::string_view rest, uint64_t* text, EventCuts* cuts) const {
    return cuts != nullptr && cut_size_ != 0
               ? match_each<true, false, false>(rest, text, cuts, 0, nullptr)
               : match_each<false, false, false>(rest, text, nullptr, 0, nullptr);
}

KnownFront EventTemplate::match_some(std::string_view rest, uint64_t* text, uint64_t most,
                                     KnownTexts* texts) const {
    if (texts != nullptr) {
        return match_each<false, true, true>(rest, text, nullptr, most, texts);
    }
    return rest.size() > most ? match_each<false, true, false>(rest, text, nullptr, most, nullptr)
                              : match(rest, text);
}

/** Apart, so that an event costs nothing for cuts, a limit or texts that nobody asks for. */
template <bool has_cut, bool has_limit, bool has_texts>
KnownFront EventTemplate::match_each(std::string_view rest, uint64_t* text, EventCuts* cuts,
                                     uint64_t most, KnownTexts* texts) const {
    Input in(rest);
    const char* whole = in.at;  // the end of the last one
    uint64_t characters = 0;
    // A copy, which the compiler knows that no write into memory changes.
    KnownTexts found_texts = has_texts ? *texts : KnownTexts(nullptr, 0);
    const size_t front = sizes_[0];
    const size_t back = sizes_[holes_];
    bool goes_on = holes_ != 0 && take_front(&in);
    while (goes_on) {
        uint64_t found = 0;
        if (!take_holes<has_cut, has_texts>(&in, &found)) {
            break;
        }
        if (has_cut && cut_part_ == holes_) {
            in.part = in.at;
        }
        if (has_limit && characters + found > most) {
            break;
        }
        // Mostly nothing stands behind an event that comes alone, and it need not be looked at.
        const bool is_last = static_cast<size_t>(in.end - in.at) == back;
        goes_on = !is_last && in.take(bytes_ + back_, back + front);
        if (!goes_on) {
            in.cut = false;
            if (!take_back(&in)) {
                break;
            }
        }
        const char* end = goes_on ? in.at - front : in.at;
        if (has_texts && !found_texts.add(in.text, in.end)) {
            in.cut = false;
            break;
        }
        whole = end;
        characters += found;
        if (is_last) {
            in.cut = true;
        } else if (!goes_on) {
            take_front(&in);
        }
        if (has_cut) {
            cuts->size = cut_size_;
            cuts->at[cuts->count++] = in.part + cut_offset_;
            if (cuts->is_full()) {
                in.cut = false;
                break;
            }
        }
    }
    if (has_texts) {
        *texts = found_texts;
    }
    *text += characters;
    return {static_cast<size_t>(whole - rest.data()), in.cut};
}

bool EventTemplate::match_one(std::string_view piece, uint64_t* text, uint64_t most,
                              KnownTexts* texts) const {
    Input in(piece);
    uint64_t found = 0;
    const size_t back = sizes_[holes_];
    if (holes_ == 0 || !take_front(&in) || !take_holes<false, true>(&in, &found) || found > most ||
        static_cast<size_t>(in.end - in.at) != back ||
        std::memcmp(in.at, bytes_ + back_, back) != 0 ||
        (texts != nullptr && !texts->add(in.text, in.end))) {
        return false;
    }
    *text += found;
    return true;
}

/** Ends where `is_full` says so. */
template <typename Match, typename Full>
__attribute__((always_inline)) inline void KnownEvents::skip_each(SseReader* events,
                                                                  std::string_view* rest,
                                                                  const Match& match,
                                                                  const Full& is_full) {
    KnownFront found;
    do {
        events->skip_line_feed(rest);
        found = match(*rest);
        if (found.size > 0) {
            events->skip_event(rest->substr(0, found.size));
            rest->remove_prefix(found.size);
        }
        if (is_full()) {
            return;
        }
    } while (found.size > 0 && !rest->empty() && rest->front() == '\n');
    if (found.cut && !rest->empty() && rest->size() <= kMaxFront) {
        front_size_ = static_cast<uint16_t>(rest->copy(front_, kMaxFront));
        rest->remove_prefix(front_size_);
    }
}

void KnownEvents::skip(SseReader* events, std::string_view* rest, uint64_t* text, EventCuts* cuts) {
    skip_each(
        events, rest,
        [this, text, cuts](std::string_view part) { return template_.match(part, text, cuts); },
        [cuts] { return cuts != nullptr && cuts->is_full(); });
}

void KnownEvents::skip_some(SseReader* events, std::string_view* rest, uint64_t* text,
                            uint64_t most, KnownTexts* texts) {
    const auto match = [this, text, most, texts](std::string_view part) {
        return template_.match_some(part, text, most - *text, texts);
    };
    if ((front_size_ == 0 || go_on_each(events, rest, match)) && events->is_between_events()) {
        skip_each(events, rest, match, [] { return false; });
    }
}

void KnownEvents::skip_noting(SseReader* events, std::string_view* rest, uint64_t* text,
                              KnownRun* run) {
    if (run->size == 0 && template_.agree(run->other->template_)) {
        events->skip_line_feed(rest);
        run->begin = rest->data();
        skip(events, rest, text, &run->cuts);
        run->size = static_cast<size_t>(rest->data() - run->begin) - front_size_;
        if (!run->cuts.is_full()) {
            return;
        }
    }
    skip(events, rest, text);
}

template <typename Match>
__attribute__((always_inline)) inline bool KnownEvents::go_on_each(SseReader* events,
                                                                   std::string_view* rest,
                                                                   const Match& match) {
    // This many bytes are copied at once: most events are then whole, and little is copied in vain.
    constexpr size_t kStep = 256;
    const size_t kept = front_size_;
    for (size_t size = kept;;) {
        const size_t room = kMaxFront - size;
        const std::string_view more = rest->substr(size - kept, room < kStep ? room : kStep);
        size += more.copy(front_ + size, room);
        const KnownFront found = match({front_, size});
        if (found.size > 0) {
            events->skip_event({front_, found.size});
            rest->remove_prefix(found.size - kept);
            front_size_ = 0;
            return true;
        }
        const bool used_up = size - kept == rest->size();
        if (found.cut && used_up) {
            front_size_ = static_cast<uint16_t>(size);
            rest->remove_prefix(rest->size());
            return true;
        }
        if (!found.cut || size == kMaxFront) {
            return false;
        }
    }
}

bool KnownEvents::go_on(SseReader* events, std::string_view* rest, uint64_t* text,
                        EventCuts* cuts) {
    return go_on_each(events, rest, [this, text, cuts](std::string_view part) {
        return template_.match(part, text, cuts);
    });
}

std::string_view KnownEvents::give_front() {
    const std::string_view front(front_, front_size_);
    front_size_ = 0;
    return front;
}

}  // namespace ai_limit
