#include "core/endings/stream_facts.h"

#include <algorithm>

#include "core/json/json_scan.h"
#include "core/words/number.h"

namespace ai_limit {

namespace {

enum Fact : JsonPathId {
    kType,
    kObject,
    kId,
    kModel,
    kModelVersion,
    kCreated,
    kFingerprint,
    kTier,
    kResponseId,
    kChoices,
    kChoice,
    kChoiceIndex,
    kChoiceReason,
    kChoiceText,
    kChoiceDelta,
    kIndex,
    kSequence,
    kItemId,
    kOutputIndex,
    kItem,
    kItemType,
    kResponse,
    kMessage,
    kDone,
    kCandidates
};

struct FactRow {
    std::string_view path;
    JsonPathId wanted;
};

constexpr FactRow kFacts[] = {
    {"/type", kType},
    {"/object", kObject},
    {"/id", kId},
    {"/model", kModel},
    {"/modelVersion", kModelVersion},
    {"/created", kCreated},
    {"/created_at", kCreated},
    {"/system_fingerprint", kFingerprint},
    {"/service_tier", kTier},
    {"/responseId", kResponseId},
    {"/choices", kChoices},
    {"/choices/*", kChoice},
    {"/choices/*/index", kChoiceIndex},
    {"/choices/*/finish_reason", kChoiceReason},
    {"/choices/*/text", kChoiceText},
    {"/choices/*/delta", kChoiceDelta},
    {"/index", kIndex},
    {"/sequence_number", kSequence},
    {"/item_id", kItemId},
    {"/output_index", kOutputIndex},
    {"/item/id", kItem},
    {"/item/type", kItemType},
    {"/response", kResponse},
    {"/message", kMessage},
    {"/done", kDone},
    {"/candidates", kCandidates},
    // Responses tells these in its first event.
    {"/response/id", kId},
    {"/response/model", kModel},
    {"/response/created_at", kCreated},
    {"/response/service_tier", kTier},
};

constexpr auto kTree = make_json_path_table<40>(kFacts);
static_assert(kTree.error == nullptr);

bool begins_with(std::string_view text, std::string_view front) {
    return text.substr(0, front.size()) == front;
}

bool ends_with(std::string_view text, std::string_view back) {
    return text.size() >= back.size() && text.substr(text.size() - back.size()) == back;
}

/** The values of one event. */
struct Event {
    std::string_view type;
    std::string_view object;
    JsonBytes id, model, created, fingerprint, service_tier, response_id;
    JsonBytes response;
    JsonBytes item_id, item;
    std::string_view item_type;
    Amount index = 0;
    Amount sequence = 0;
    Amount output_index = 0;
    bool has_index = false;
    bool has_sequence = false;
    bool has_choices = false;
    bool has_choice_text = false;
    bool has_choice_delta = false;
    bool has_message = false;
    bool has_response_text = false;
    bool has_done = false;
    bool has_candidates = false;
    uint64_t choices = 0;
    uint64_t ended = 0;

    // of the choice that is being read
    Amount choice = 0;
    bool choice_has_reason = false;

    void take(const JsonToken& token);
    void take_scalar(const JsonToken& token, JsonBytes value);
    void end_choice();
};

/** Returns the bytes of a whole scalar; empty if it is not whole, or too long. */
JsonBytes scalar(const JsonToken& token) {
    JsonBytes value;
    switch (token.kind) {
        case JsonToken::kString:
            if (token.first && token.last) {
                value = {token.text.data() - 1, token.text.size() + 2};
            }
            break;
        case JsonToken::kNumber:
            value = token.text;
            break;
        case JsonToken::kNull:
            value = "null";
            break;
        default:
            break;
    }
    return value.size() <= kMaxFact ? value : JsonBytes();
}

bool read_count(const JsonToken& token, Amount* count) {
    return token.kind == JsonToken::kNumber && read_whole(token.text, kMaxAmount, count);
}

/** A string without escapes, since those of interest have none. */
std::string_view word(const JsonToken& token) {
    return token.kind == JsonToken::kString && token.first && token.last ? token.text
                                                                         : std::string_view();
}

void set(JsonBytes* fact, JsonBytes value) {
    if (!value.empty()) {
        *fact = value;
    }
}

void Event::take(const JsonToken& token) {
    const JsonBytes value = scalar(token);
    switch (token.id) {
        case kChoices:
            has_choices = has_choices || token.kind == JsonToken::kBegin;
            break;
        case kChoice:
            if (token.kind == JsonToken::kBegin) {
                choice = 0;
                choice_has_reason = false;
            } else if (token.kind == JsonToken::kEnd) {
                end_choice();
            }
            break;
        case kChoiceIndex:
            read_count(token, &choice);
            break;
        case kChoiceReason:
            choice_has_reason = token.kind == JsonToken::kString;
            break;
        case kChoiceText:
            has_choice_text = true;
            break;
        case kChoiceDelta:
            has_choice_delta = true;
            break;
        case kResponse:
            has_response_text = has_response_text || token.kind == JsonToken::kString;
            if (token.kind == JsonToken::kBegin) {
                response = token.text;
            } else if (token.kind == JsonToken::kEnd && !response.empty()) {
                const char* begin = response.data();
                response = {begin, static_cast<size_t>(token.text.data() + 1 - begin)};
            }
            break;
        case kMessage:
            has_message = true;
            break;
        case kDone:
            has_done = true;
            break;
        case kCandidates:
            has_candidates = true;
            break;
        default:
            take_scalar(token, value);
            break;
    }
}

void Event::take_scalar(const JsonToken& token, JsonBytes value) {
    switch (token.id) {
        case kType:
            type = word(token);
            break;
        case kObject:
            object = word(token);
            break;
        case kId:
            id = value;
            break;
        case kModel:
        case kModelVersion:
            model = value;
            break;
        case kCreated:
            created = value;
            break;
        case kFingerprint:
            fingerprint = value;
            break;
        case kTier:
            service_tier = value;
            break;
        case kResponseId:
            response_id = value;
            break;
        case kIndex:
            has_index = read_count(token, &index);
            break;
        case kSequence:
            has_sequence = read_count(token, &sequence);
            break;
        case kItemId:
            item_id = value;
            break;
        case kOutputIndex:
            read_count(token, &output_index);
            break;
        case kItem:
            item = value;
            break;
        case kItemType:
            item_type = word(token);
            break;
        default:
            break;
    }
}

void Event::end_choice() {
    const uint64_t bit = choice < StreamFacts::kChoices ? uint64_t{1} << choice : 0;
    choices |= bit;
    ended |= choice_has_reason ? bit : 0;
}

StreamApi api_of(const Event& event) {
    const std::string_view type = event.type;
    if (begins_with(type, "response.")) {
        return StreamApi::kResponses;
    }
    if (begins_with(type, "message_") || begins_with(type, "content_block_")) {
        return StreamApi::kAnthropic;
    }
    if (begins_with(type, "message-") || begins_with(type, "content-") ||
        begins_with(type, "tool-")) {
        return StreamApi::kCohere;
    }
    if (event.has_choices) {
        if (event.object == "text_completion" || event.has_choice_text) {
            return StreamApi::kCompletions;
        }
        const bool is_chat = event.object == "chat.completion.chunk" || event.has_choice_delta;
        return is_chat ? StreamApi::kChat : StreamApi::kUnknown;
    }
    if (event.has_candidates) {
        return StreamApi::kGemini;
    }
    if (event.has_done && event.has_message) {
        return StreamApi::kOllamaChat;
    }
    return event.has_done && event.has_response_text ? StreamApi::kOllamaGenerate
                                                     : StreamApi::kUnknown;
}

/** Follows which item of the output of a response is open. */
void read_item(const Event& event, bool passes, StreamFacts* facts) {
    constexpr std::string_view kTextTypes[] = {"response.output_text.", "response.refusal.",
                                               "response.content_part."};
    if (event.type == "response.created" && event.response.size() > 1) {
        facts->response = event.response;
    }
    if (event.type == "response.output_item.added" && passes) {
        facts->item = event.item;
        facts->item_is_message = event.item_type == "message";
        facts->output_index = event.output_index;
    } else if (event.type == "response.output_item.done" && passes) {
        facts->item = {};
    } else if (!event.item_id.empty()) {
        facts->item = event.item_id;
        facts->output_index = event.output_index;
        facts->item_is_message =
            std::any_of(std::begin(kTextTypes), std::end(kTextTypes),
                        [&](std::string_view text) { return begins_with(event.type, text); });
    }
    if (event.has_sequence) {
        facts->sequence = event.sequence + (passes ? 1 : 0);
        facts->has_sequence = true;
    }
}

/** Follows which part of a message is open. */
void read_part(const Event& event, bool passes, StreamFacts* facts) {
    const std::string_view type = event.type;
    const bool is_part = begins_with(type, "content") || begins_with(type, "tool-call");
    const bool begins = ends_with(type, "start");
    const bool ends = ends_with(type, "stop") || ends_with(type, "end");
    if (!is_part || !event.has_index || (begins && !passes)) {
        return;
    }
    facts->part_is_open = !ends || !passes;
    facts->part_is_call = begins_with(type, "tool-call");
    facts->part = event.index;
}

}  // namespace

void StreamFacts::read(std::string_view document, bool passes) {
    JsonScanner scanner(kTree.paths.root());
    Event event;
    std::string_view rest = document;
    for (;;) {
        const JsonToken token = scanner.next(&rest);
        if (token.kind == JsonToken::kNothing) {
            break;
        }
        event.take(token);
    }
    if (event.response.size() == 1) {
        event.response = {};  // its end is missing
    }
    if (api == StreamApi::kUnknown) {
        api = api_of(event);
    }
    set(&id, event.id);
    set(&model, event.model);
    set(&created, event.created);
    set(&fingerprint, event.fingerprint);
    set(&service_tier, event.service_tier);
    set(&response_id, event.response_id);
    choices |= event.choices;
    if (passes) {
        begun |= event.choices;
        ended |= event.ended;
    }
    if (api == StreamApi::kResponses) {
        read_item(event, passes, this);
    } else {
        read_part(event, passes, this);
    }
}

}  // namespace ai_limit
