#include "core/usage/unknown_text.h"

#include <type_traits>

namespace ai_limit {

namespace {

constexpr JsonPathId kFrame = 0;
constexpr JsonPathId kText = 1;

struct Path {
    std::string_view path;
    JsonPathId wanted = kFrame;
};

/** The paths of values around the text. A path to an object or an array covers everything in it. */
constexpr Path kPaths[] = {
    {"/id"},
    {"/object"},
    {"/type"},
    {"/event"},
    {"/event_type"},
    {"/role"},
    {"/model"},
    {"/status"},
    {"/provider"},
    {"/system_fingerprint"},
    {"/service_tier"},
    {"/created"},
    {"/created_at"},
    {"/request_id"},
    {"/error"},
    {"/usage"},
    {"/obfuscation"},
    {"/p"},  // Bedrock and Workers AI fill events up with it

    // OpenAI: chat and completions, Azure's filters
    {"/choices/*/finish_reason"},
    {"/choices/*/native_finish_reason"},
    {"/choices/*/stop_reason"},
    {"/choices/*/content_filter_results"},
    {"/choices/*/delta/role"},
    {"/choices/*/delta/tool_calls/*/id"},
    {"/choices/*/delta/tool_calls/*/type"},
    {"/choices/*/delta/tool_calls/*/function/name"},
    {"/choices/*/delta/function_call/name"},
    {"/prompt_filter_results"},

    // OpenAI Responses, Gemini's Interactions
    {"/response"},
    {"/interaction"},
    {"/item_id"},
    {"/item/id"},
    {"/item/type"},
    {"/item/role"},
    {"/item/status"},
    {"/item/name"},
    {"/item/call_id"},
    {"/part/type"},
    {"/interaction_id"},
    {"/event_id"},

    // Anthropic
    {"/message/id"},
    {"/message/type"},
    {"/message/role"},
    {"/message/model"},
    {"/message/usage"},
    {"/content_block/id"},
    {"/content_block/type"},
    {"/content_block/name"},
    {"/delta/type"},
    {"/delta/role"},
    {"/delta/stop_reason"},

    // Gemini
    {"/candidates/*/content/role"},
    {"/candidates/*/finishReason"},
    {"/candidates/*/safetyRatings"},
    {"/promptFeedback"},
    {"/usageMetadata"},
    {"/modelVersion"},
    {"/responseId"},
    {"/createTime"},

    // images and sound in base64: OpenAI, then Gemini
    {"/b64_json"},
    {"/audio"},
    {"/partial_image_b64"},
    {"/item/result"},
    {"/choices/*/delta/audio"},
    {"/choices/*/delta/images"},
    {"/candidates/*/content/parts/*/inlineData"},
    {"/delta/data"},

    // Cohere, Bedrock, Ollama
    {"/generation_id"},
    {"/delta/message/role"},
    {"/delta/message/content/type"},
    {"/delta/finish_reason"},
    {"/messageStart/role"},
    {"/messageStop/stopReason"},
    {"/stopReason"},
    {"/stop_reason"},
    {"/done_reason"},
    {"/finish_reason"},
};

constexpr JsonPathTable<120> kTree = make_json_path_table<120>(kPaths);
static_assert(kTree.error == nullptr);

}  // namespace

static_assert(std::is_trivially_copyable_v<UnknownText>);

UnknownText::UnknownText() : scanner_(kTree.paths.root(), {false, true, kText, true}) {}

void UnknownText::feed(std::string_view piece) {
    while (!piece.empty()) {
        const JsonToken token = scanner_.next(&piece);
        if (token.kind != JsonToken::kNothing) {
            take(token);
        }
    }
}

void UnknownText::take(const JsonToken& token) {
    if (token.kind == JsonToken::kBegin) {
        ++left_out_;
    } else if (token.kind == JsonToken::kEnd) {
        --left_out_;
    } else if (token.id == kText && left_out_ == 0) {
        here_ += characters_.add_piece(token.text, token.first);
    }
}

void UnknownText::end_document(bool counts) {
    ended_ += counts ? here_ : 0;
    here_ = 0;
    left_out_ = 0;
    scanner_.reset();
}

}  // namespace ai_limit
