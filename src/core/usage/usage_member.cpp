#include "core/usage/usage_member.h"

#include <type_traits>

#include "core/json/json_text.h"
#include "core/streams/sse.h"

namespace ai_limit {

namespace {

enum Wanted : JsonPathId { kChoices, kChoice, kUsage, kCost, kText, kObfuscation };

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
    {"/usage/cost", kCost},               // OpenRouter, Perplexity
    {"/usage/cost_in_usd_ticks", kCost},  // xAI
    {"/obfuscation", kObfuscation},
};

constexpr JsonPathTable<22> kTree = make_json_path_table<22>(kPaths);
static_assert(kTree.error == nullptr);

/** The names and numbers that each event of a stream repeats, and what is looked at elsewhere. */
constexpr std::string_view kEnvelope[] = {"id",           "object",      "created",
                                          "model",        "choices",     "usage",
                                          "service_tier", "obfuscation", "system_fingerprint",
                                          "provider"};

constexpr std::string_view kKey = "\"usage\"";

bool is_envelope(std::string_view key) {
    for (const std::string_view name : kEnvelope) {
        if (key == name) {
            return true;
        }
    }
    return false;
}

bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/** Walks over a sound JSON object, and looks for a member that says something. */
class MemberWalk {
public:
    void take(std::string_view data) {
        for (const char c : data) {
            if (in_string_) {
                take_in_string(c);
            } else {
                take_outside(c);
            }
        }
    }

    /** A member that is no part of the envelope has a value other than null, "", [] and {}. */
    bool syncs() const { return reports_; }

private:
    void take_in_string(char c) {
        const bool ends = c == '"' && !escaped_;
        escaped_ = c == '\\' && !escaped_;
        in_string_ = !ends;
        if (ends) {
            return;
        }
        if (is_key_) {
            key_.append({&c, 1});
        } else {
            report();
        }
    }

    void take_outside(char c) {
        switch (c) {
            case '"':
                in_string_ = true;
                is_key_ = depth_ == 1 && before_colon_;
                break;
            case ':':
                if (depth_ == 1) {
                    before_colon_ = false;
                    std::string_view key;
                    ignores_ = key_.get(&key) && is_envelope(key);
                }
                break;
            case ',':
                if (depth_ == 1) {
                    before_colon_ = true;
                    key_.clear();
                }
                break;
            case '{':
            case '[':
                if (++depth_ > 2) {
                    report();
                }
                break;
            case '}':
            case ']':
                --depth_;
                break;
            case ' ':
            case '\t':
            case '\n':
            case '\r':
            case 'n':  // of null
            case 'u':
            case 'l':
                break;
            default:
                report();
                break;
        }
    }

    void report() { reports_ = reports_ || !ignores_; }

    JsonText<32> key_;
    uint64_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
    bool is_key_ = false;
    bool before_colon_ = true;
    bool ignores_ = false;
    bool reports_ = false;
};

/** Steps back over spaces that stand before `at`. */
void skip_spaces_before(const EventBytes& bytes, uint64_t* at) {
    while (*at > bytes.begin && is_space(bytes[*at - 1])) {
        --*at;
    }
}

void skip_spaces(const EventBytes& bytes, uint64_t* at) {
    while (*at < bytes.end() && is_space(bytes[*at])) {
        ++*at;
    }
}

/** Finds where the key stands whose value begins at `at`, which then is before the key. */
bool find_key_before(const EventBytes& bytes, uint64_t* at) {
    if (*at > bytes.end()) {
        return false;
    }
    skip_spaces_before(bytes, at);
    if (*at <= bytes.begin || bytes[*at - 1] != ':') {
        return false;
    }
    --*at;
    skip_spaces_before(bytes, at);
    for (size_t i = kKey.size(); i > 0; --i) {
        if (*at <= bytes.begin || bytes[*at - 1] != kKey[i - 1]) {
            return false;
        }
        --*at;
    }
    return true;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<EventUsage>);

EventUsage::EventUsage() : scanner_(kTree.paths.root()) {
    reset();
}

void EventUsage::reset() {
    scanner_.reset();
    value_begin_ = 0;
    value_end_ = 0;
    usage_ = Usage::kNone;
    has_cost_ = false;
    is_array_ = false;
    has_choices_ = false;
}

void EventUsage::read(std::string_view data, uint64_t at, EventDraft* draft) {
    const char* begin = data.data();
    const auto position = [&](const char* p) { return at + static_cast<uint64_t>(p - begin); };
    while (!data.empty()) {
        const JsonToken token = scanner_.next(&data);
        if (token.kind != JsonToken::kNothing) {
            take(token, position(data.data()), draft);
        }
    }
}

/** `end`: where the token ends; of a number, where it ends at the earliest. */
void EventUsage::take(const JsonToken& token, uint64_t end, EventDraft* draft) {
    const bool is_whole = token.kind == JsonToken::kString && token.first && token.last;
    switch (token.id) {
        case kChoices:
            // A value takes the place of an earlier one with the same key.
            if (token.kind != JsonToken::kEnd) {
                is_array_ = token.kind == JsonToken::kBegin && token.text == "[";
                has_choices_ = false;
            }
            break;
        case kChoice:
            has_choices_ = true;
            break;
        case kUsage:
            take_usage(token, end);
            break;
        case kCost:
            has_cost_ = has_cost_ || token.kind != JsonToken::kNull;
            break;
        case kText:
            // Among several texts, the one that is not empty is what will differ.
            if (is_whole && !token.text.empty()) {
                draft->note(EventHole::kText, token.text);
            }
            break;
        default:
            if (is_whole) {
                draft->note(EventHole::kString, token.text);
            }
            break;
    }
}

void EventUsage::take_usage(const JsonToken& token, uint64_t end) {
    constexpr uint64_t kNullSize = 4;
    if (token.kind == JsonToken::kEnd) {
        usage_ = usage_ == Usage::kOpen ? Usage::kObject : Usage::kOther;
        value_end_ = end;
    } else if (usage_ != Usage::kNone) {
        usage_ = Usage::kOther;
    } else if (token.kind == JsonToken::kNull) {
        usage_ = Usage::kNull;
        value_begin_ = end - kNullSize;
        value_end_ = end;
    } else if (token.kind == JsonToken::kBegin && token.text == "{") {
        usage_ = Usage::kOpen;
        value_begin_ = end - 1;
    } else {
        usage_ = Usage::kOther;
    }
}

bool EventUsage::find_begin(const EventBytes& bytes, uint64_t* begin) const {
    *begin = value_begin_;
    if (!find_key_before(bytes, begin)) {
        return false;
    }
    uint64_t at = *begin;
    skip_spaces_before(bytes, &at);
    if (at > bytes.begin && bytes[at - 1] == ',') {
        *begin = at - 1;
    }
    return true;
}

bool EventUsage::find_member(const EventBytes& bytes, EventRange* member) const {
    if (usage_ != Usage::kNull && (usage_ != Usage::kObject || has_cost_)) {
        return false;
    }
    EventRange found{0, value_end_};
    if (value_end_ > bytes.end() || !find_begin(bytes, &found.begin)) {
        return false;
    }
    if (bytes[found.begin] == ',') {
        *member = found;
        return true;
    }
    // It is the first member, so the comma behind it goes.
    uint64_t before = found.begin;
    skip_spaces_before(bytes, &before);
    skip_spaces(bytes, &found.end);
    if (before == bytes.begin || bytes[before - 1] != '{' || found.end == bytes.end()) {
        return false;
    }
    if (bytes[found.end] == ',') {
        ++found.end;
        skip_spaces(bytes, &found.end);
    } else if (bytes[found.end] != '}') {
        return false;
    }
    *member = found;
    return true;
}

bool EventUsage::is_alone(const EventBytes& bytes) const {
    if (!is_complete() || !is_array_ || has_choices_ || usage_ != Usage::kObject || has_cost_) {
        return false;
    }
    MemberWalk walk;
    SseReader events;
    struct Sink {
        void data(std::string_view text) { walk->take(text); }
        void end_of_event() {}
        MemberWalk* walk;
    } sink{&walk};
    events.feed(bytes.kept, sink);
    events.feed(bytes.more, sink);
    return !walk.syncs();
}

}  // namespace ai_limit
