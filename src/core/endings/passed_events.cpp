#include "core/endings/passed_events.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/words/number.h"

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<PassedEvents>);

namespace {

enum Value : JsonPathId {
    kType,
    kDelta,
    kSequence,
    kObfuscation,
    kContentIndex,
    kPart,
    kItem,
    kChoice,
    kChoiceIndex,
    kChoiceReason
};

struct ValueRow {
    std::string_view path;
    JsonPathId wanted;
};

constexpr ValueRow kValues[] = {
    {"/type", kType},
    {"/delta", kDelta},
    {"/sequence_number", kSequence},
    {"/obfuscation", kObfuscation},
    {"/content_index", kContentIndex},
    {"/part", kPart},
    {"/item", kItem},
    {"/choices/*", kChoice},
    {"/choices/*/index", kChoiceIndex},
    {"/choices/*/finish_reason", kChoiceReason},
};

constexpr auto kTree = make_json_path_table<16>(kValues);
static_assert(kTree.error == nullptr);

constexpr std::string_view kTextDelta = "response.output_text.delta";
constexpr std::string_view kRefusalDelta = "response.refusal.delta";

constexpr size_t kLeastMemory = 2048;

bool read_count(const JsonToken& token, uint64_t* count) {
    Amount value = 0;
    if (token.kind != JsonToken::kNumber || !read_whole(token.text, kMaxAmount, &value)) {
        return false;
    }
    *count = static_cast<uint64_t>(value);
    return true;
}

bool ends_with(std::string_view text, std::string_view back) {
    return text.size() >= back.size() && text.substr(text.size() - back.size()) == back;
}

bool is_of_response(std::string_view type) {
    constexpr std::string_view kFront = "response.";
    return type.substr(0, kFront.size()) == kFront;
}

/** True for an event that adds to the text, or to something else that the end does not repeat. */
bool is_delta(std::string_view type) {
    return is_of_response(type) && ends_with(type, ".delta");
}

/** True for an event that begins or ends an item or a part. */
bool has_object(std::string_view type) {
    return ends_with(type, "_item.added") || ends_with(type, "_item.done") ||
           ends_with(type, "_part.added") || ends_with(type, "_part.done");
}

bool is_whole_string(const JsonToken& token) {
    return token.kind == JsonToken::kString && token.first && token.last;
}

}  // namespace

PassedEvents::PassedEvents(void* owner, Grow grow)
    : scanner_(kTree.paths.root()), owner_(owner), grow_(grow) {}

void PassedEvents::pass(std::string_view piece) {
    const std::string_view front(front_, front_size_);
    front_size_ = 0;
    agrees_ = false;
    if (!front.empty()) {
        read_events(front);
    }
    read_events(piece);
    is_between_ = events_.is_between_events();
}

/**
 * Reads a piece in which `reader` has found nothing but known events, and the front of one. If that
 * event is known here as well, its front is not read: the next piece then needs no reading either.
 */
void PassedEvents::pass_first_known(std::string_view piece, const KnownEvents& reader) {
    const std::string_view front = reader.front();
    const bool keeps = agrees_ && front.size() < piece.size();
    pass(piece.substr(0, piece.size() - (keeps ? front.size() : 0)));
    if (keeps && is_between_) {
        keep_front(front);
    } else if (keeps) {
        pass(front);
    }
}

void PassedEvents::read_events(std::string_view piece) {
    draft_.give_up();
    while (!piece.empty() && !gave_up_) {
        if (events_.is_between_events()) {
            take_known(&piece);
            draft_.begin(piece);
        }
        const SseToken token = events_.next(&piece);
        if (token.kind == SseToken::kData) {
            read(token.text);
        } else if (token.kind == SseToken::kEndOfEvent) {
            end_event(piece);
        }
    }
}

/** Takes events that are like the last one with a delta, as far as there is room. */
void PassedEvents::take_known(std::string_view* rest) {
    events_.skip_line_feed(rest);
    KnownTexts texts = room_for_texts();
    uint64_t characters = 0;
    const size_t size =
        known_.match_some(*rest, &characters, UINT64_MAX, adds_ ? &texts : nullptr).size;
    if (size > 0) {
        text_ += texts.size();
        events_.skip_event(rest->substr(0, size));
        rest->remove_prefix(size);
        events_.skip_line_feed(rest);
    }
    stop_if_long();
}

void PassedEvents::read(std::string_view data) {
    if (event_.is_skipped) {
        return;
    }
    object_at_ = data.data();
    std::string_view rest = data;
    for (;;) {
        const JsonToken token = scanner_.next(&rest);
        if (token.kind == JsonToken::kNothing) {
            break;
        }
        take(token);
    }
    if (in_object_) {
        add({object_at_, static_cast<size_t>(data.data() + data.size() - object_at_)});
    }
}

void PassedEvents::take(const JsonToken& token) {
    switch (token.id) {
        case kType:
            take_type(token);
            break;
        case kDelta:
            take_delta(token);
            break;
        case kSequence:
            draft_.note(EventHole::kDigits, token.text);
            break;
        case kObfuscation:
            if (is_whole_string(token)) {
                draft_.note(EventHole::kString, token.text);
            }
            break;
        case kContentIndex:
            read_count(token, &event_.content_index);
            break;
        case kPart:
        case kItem:
            take_object(token);
            break;
        case kChoice:
            if (token.kind == JsonToken::kBegin) {
                event_.choice = 0;
                event_.choice_has_reason = false;
            } else if (token.kind == JsonToken::kEnd && event_.choice_has_reason &&
                       event_.choice < StreamFacts::kChoices) {
                event_.ended |= uint64_t{1} << event_.choice;
            }
            break;
        case kChoiceIndex:
            read_count(token, &event_.choice);
            break;
        case kChoiceReason:
            event_.choice_has_reason = token.kind == JsonToken::kString;
            break;
        default:
            break;
    }
}

void PassedEvents::take_type(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    event_.type.append(token.text);
    std::string_view type;
    if (token.last && event_.type.get(&type) && is_of_response(type)) {
        is_response_ = true;
        event_.is_skipped = !is_delta(type) && !has_object(type);
    }
}

void PassedEvents::take_delta(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        begin_value({});
    }
    if (is_whole_string(token)) {
        draft_.note(EventHole::kText, token.text);
    } else {
        draft_.give_up();
    }
    add(token.text);
}

void PassedEvents::take_object(const JsonToken& token) {
    if (token.kind == JsonToken::kBegin && token.text == "{") {
        begin_value(",");
        in_object_ = true;
        object_at_ = token.text.data();
    } else if (token.kind == JsonToken::kEnd && in_object_) {
        in_object_ = false;
        add({object_at_, static_cast<size_t>(token.text.data() + 1 - object_at_)});
    }
}

/** The last of several values of one event counts, as for most readers of JSON. */
void PassedEvents::begin_value(std::string_view front) {
    value_ = 0;
    in_object_ = false;
    add(front);
}

void PassedEvents::add(std::string_view bytes) {
    const size_t before = used();
    // An item that ends stands beside its text for a moment.
    if (gave_up_ || bytes.empty() || bytes.size() > 2 * kMost - before) {
        if (!bytes.empty()) {
            give_up();
        }
        return;
    }
    if (before + bytes.size() > size_) {
        size_ = std::max({2 * size_, kLeastMemory, before + bytes.size()});
        memory_ = grow_(owner_, memory_, before, size_);
        if (memory_ == nullptr) {
            give_up();
            return;
        }
    }
    std::memcpy(memory_ + before, bytes.data(), bytes.size());
    value_ += bytes.size();
}

void PassedEvents::give_up() {
    gave_up_ = true;
    adds_ = false;
}

void PassedEvents::stop_if_long() {
    if (used() > kMost) {
        give_up();
    }
}

void PassedEvents::end_event(std::string_view rest) {
    std::string_view type;
    if (!event_.is_skipped && scanner_.is_complete() && event_.type.get(&type)) {
        ended_ |= event_.ended;
        const bool adds = end_text(type);
        if (!adds) {
            end_object(type);
        }
        if (!gave_up_ && is_delta(type) && known_.learn(draft_, rest)) {
            adds_ = adds;
        }
    }
    value_ = 0;
    in_object_ = false;
    stop_if_long();
    event_ = Event();
    scanner_.reset();
}

/** False if the event adds nothing to the text. */
bool PassedEvents::end_text(std::string_view type) {
    if (type != kTextDelta && type != kRefusalDelta) {
        return false;
    }
    is_refusal_ = type == kRefusalDelta;
    text_ += value_;
    value_ = 0;
    return true;
}

void PassedEvents::end_object(std::string_view type) {
    if (type == "response.output_item.added") {
        part_is_open_ = false;
        parts_ = text_ = 0;
    } else if (type == "response.content_part.added") {
        part_is_open_ = true;
        content_index_ = event_.content_index;
        text_ = 0;
    } else if (type == "response.content_part.done") {
        part_is_open_ = false;
        keep_value(items_ + parts_, &parts_);
        text_ = 0;
    } else if (type == "response.output_item.done") {
        part_is_open_ = false;
        keep_value(items_, &items_);
        parts_ = text_ = 0;
    }
}

/** Moves the event's value to the end of a section. The bytes between are not needed any more. */
void PassedEvents::keep_value(size_t before, size_t* section) {
    if (value_ > 0) {
        std::memmove(memory_ + before, memory_ + used() - value_, value_);
        *section += value_;
    }
}

bool PassedEvents::output(PassedOutput* output) const {
    if (gave_up_ || !is_response_) {
        return false;
    }
    const std::string_view all(memory_, items_ + parts_ + text_);
    const auto without_comma = [](std::string_view list) {
        return list.empty() ? list : list.substr(1);
    };
    output->items = without_comma(all.substr(0, items_));
    output->parts = without_comma(all.substr(items_, parts_));
    output->text = all.substr(items_ + parts_);
    output->content_index = content_index_;
    output->part_is_open = part_is_open_;
    output->is_refusal = is_refusal_;
    return true;
}

}  // namespace ai_limit
