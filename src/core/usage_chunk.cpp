#include "core/usage_chunk.h"

#include <cstring>
#include <type_traits>

namespace ai_limit {

namespace {

enum Wanted : JsonPathId { kChoices, kChoice, kUsage, kText, kObfuscation };

struct Path {
    std::string_view path;
    Wanted wanted;
};

constexpr Path kPaths[] = {
    {"/choices", kChoices},
    {"/choices/*", kChoice},
    {"/choices/*/delta/content", kText},
    {"/choices/*/delta/reasoning_content", kText},
    {"/choices/*/delta/reasoning", kText},
    {"/choices/*/delta/tool_calls/*/function/arguments", kText},
    {"/choices/*/text", kText},
    {"/usage", kUsage},
    {"/obfuscation", kObfuscation},
};

constexpr JsonPathTable<20> kTree = make_json_path_table<20>(kPaths);
static_assert(kTree.error == nullptr);

/** Where the value of a key begins, it takes the place of an earlier one with the same name. */
void take_value(const JsonToken& token, std::string_view bracket, bool* is_that) {
    if (token.kind != JsonToken::kEnd) {
        *is_that = token.kind == JsonToken::kBegin && token.text == bracket;
    }
}

}  // namespace

static_assert(std::is_trivially_copyable_v<UsageChunkFilter> && sizeof(UsageChunkFilter) <= 10640);

UsageChunkFilter::UsageChunkFilter() : scanner_(kTree.paths.root()) {}

/** What has been kept as the front of an event that is known, and is none. */
void UsageChunkFilter::read_front() {
    std::string_view front = known_.give_front();
    hold(front.data(), front.data() + front.size());
    for (;;) {
        const SseToken token = events_.next(&front);
        if (token.kind == SseToken::kNothing) {
            return;
        }
        read(token.text);
    }
}

void UsageChunkFilter::read(std::string_view data) {
    while (!passing_ && !data.empty()) {
        const JsonToken token = scanner_.next(&data);
        if (token.kind != JsonToken::kNothing) {
            take(token);
        }
    }
}

void UsageChunkFilter::take(const JsonToken& token) {
    switch (token.id) {
        case kChoices:
            take_value(token, "[", &is_array_);
            has_choices_ = has_choices_ && token.kind == JsonToken::kEnd;
            break;
        case kChoice:
            has_choices_ = true;
            break;
        case kUsage:
            take_value(token, "{", &has_usage_);
            break;
        default:
            note(token);
            break;
    }
}

/** What may differ between events that both are not the one to take out. */
void UsageChunkFilter::note(const JsonToken& token) {
    const EventHole kind = token.id == kText ? EventHole::kText : EventHole::kString;
    const bool is_whole = token.kind == JsonToken::kString && token.first && token.last;
    // Of several texts, the one that is not empty is what will differ.
    if (is_whole && (kind == EventHole::kString || !token.text.empty())) {
        draft_.note(kind, token.text);
    }
}

/** Returns whether the event that ends is the one to take out; `size` is what is not held of it. */
bool UsageChunkFilter::end_event(size_t size) {
    const bool is_short = !passing_ && size <= kMaxHeld - held_size_;
    if (!is_short) {
        draft_.give_up();  // a shorter one may have to be taken out
    }
    const bool is_usage =
        is_short && scanner_.is_complete() && is_array_ && !has_choices_ && has_usage_;
    scanner_.reset();
    is_array_ = false;
    has_choices_ = false;
    has_usage_ = false;
    passing_ = false;
    return is_usage;
}

/** False, and nothing is changed, where it is too long. */
bool UsageChunkFilter::hold(const char* from, const char* to) {
    const size_t size = static_cast<size_t>(to - from);
    if (size > kMaxHeld - held_size_) {
        return false;
    }
    if (size > 0) {
        std::memcpy(held_ + held_size_, from, size);
    }
    held_size_ = static_cast<uint16_t>(held_size_ + size);
    return true;
}

}  // namespace ai_limit
