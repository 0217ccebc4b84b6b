#include "core/endings/stream_end.h"

#include <algorithm>

#include "core/json/json_members.h"
#include "core/json/json_writer.h"

namespace ai_limit {

namespace {

/** Writes events, each in the form of the stream. */
class Events {
public:
    Events(const StreamEnding& end, TextWriter* out)
        : form_(end.form), out_(*out), is_first_(!end.follows_an_element) {}

    /** `name` is empty where the API has no names of events. */
    template <typename Write>
    void event(std::string_view name, const Write& write) {
        begin(name);
        JsonWriter json(out_);
        json.open('{');
        write(json);
        json.close('}');
        out_.text(form_ == StreamForm::kSse ? "\n\n" : form_ == StreamForm::kArray ? "" : "\n");
    }

    void data(std::string_view text) {
        begin({});
        out_.text(text);
        out_.text("\n\n");
    }

    void finish() {
        if (form_ == StreamForm::kArray) {
            out_.text("\n]\n");
        }
    }

private:
    void begin(std::string_view name) {
        if (form_ == StreamForm::kArray) {
            out_.text(is_first_ ? "" : "\n,\r\n");
            is_first_ = false;
        } else if (form_ == StreamForm::kDocuments) {
            out_.text("\n");
        }
        if (form_ != StreamForm::kSse) {
            return;
        }
        if (!name.empty()) {
            out_.text("event: ");
            out_.text(name);
            out_.text("\n");
        }
        out_.text("data: ");
    }

    StreamForm form_;
    TextWriter& out_;
    bool is_first_;
};

/** A value of another event, if there is one. */
void copy(JsonWriter& json, std::string_view name, JsonBytes value) {
    if (!value.empty()) {
        json.name(name);
        json.literal(value);
    }
}

/** Writes a value in which white space between two values may be a line end. */
void copy_on_one_line(TextWriter& out, JsonBytes value) {
    while (!value.empty()) {
        const size_t size = value.find_first_of("\r\n");
        out.text(value.substr(0, size));
        if (size == value.npos) {
            return;
        }
        out.text(" ");
        value.remove_prefix(size + 1);
    }
}

uint64_t total(const TokenCounts& used) {
    return static_cast<uint64_t>(used.input) + static_cast<uint64_t>(used.output);
}

void count(JsonWriter& json, std::string_view name, Amount value) {
    json.number(name, static_cast<uint64_t>(value));
}

struct UsageNames {
    std::string_view input, input_details, output, output_details;
};

void write_usage(JsonWriter& json, const TokenCounts& used, const UsageNames& names) {
    json.open("usage", '{');
    count(json, names.input, used.input);
    json.open(names.input_details, '{');
    count(json, "cached_tokens", used.cached_input);
    json.close('}');
    count(json, names.output, used.output);
    json.open(names.output_details, '{');
    count(json, "reasoning_tokens", used.reasoning);
    json.close('}');
    json.number("total_tokens", total(used));
    json.close('}');
}

// OpenAI's chat and completions

void begin_chunk(JsonWriter& json, const StreamFacts& facts, bool is_chat) {
    copy(json, "id", facts.id);
    json.text("object", is_chat ? "chat.completion.chunk" : "text_completion");
    copy(json, "created", facts.created);
    copy(json, "model", facts.model);
    copy(json, "service_tier", facts.service_tier);
    copy(json, "system_fingerprint", facts.fingerprint);
}

void end_choice(JsonWriter& json, const StreamFacts& facts, uint64_t choice, bool is_chat) {
    json.open('{');
    json.number("index", choice);
    if (!is_chat) {
        json.text("text", "");
    } else {
        json.open("delta", '{');
        if ((facts.begun >> choice & 1) == 0) {
            json.text("role", "assistant");
            json.text("content", "");
        }
        json.close('}');
    }
    json.name("logprobs");
    json.literal("null");
    json.text("finish_reason", "length");
    json.close('}');
}

/** Writes an event that ends the choices of these bits. */
void end_choices(Events* events, const StreamFacts& facts, uint64_t choices, bool is_chat) {
    events->event({}, [&](JsonWriter& json) {
        begin_chunk(json, facts, is_chat);
        json.open("choices", '[');
        for (uint64_t choice = 0; choice < StreamFacts::kChoices; ++choice) {
            if (choices >> choice & 1) {
                end_choice(json, facts, choice, is_chat);
            }
        }
        json.close(']');
    });
}

void end_chunks(const StreamEnding& end, Events* events, bool is_chat) {
    const StreamFacts& facts = *end.facts;
    uint64_t open = (facts.choices != 0 ? facts.choices : 1) & ~facts.ended;
    while (open != 0) {
        // OpenAI ends each choice in an event of its own, which repeats all facts.
        const uint64_t ends = end.is_short ? open : open & (~open + 1);
        end_choices(events, facts, ends, is_chat);
        open &= ~ends;
    }
    if (end.reports_usage) {
        events->event({}, [&](JsonWriter& json) {
            begin_chunk(json, facts, is_chat);
            json.open("choices", '[');
            json.close(']');
            write_usage(json, end.used,
                        {"prompt_tokens", "prompt_tokens_details", "completion_tokens",
                         "completion_tokens_details"});
        });
    }
    events->data("[DONE]");
}

void end_chat(const StreamEnding& end, Events* events, TextWriter*) {
    end_chunks(end, events, true);
}

void end_completions(const StreamEnding& end, Events* events, TextWriter*) {
    end_chunks(end, events, false);
}

// OpenAI's Responses

void write_sequence(JsonWriter& json, const StreamFacts& facts, uint64_t events) {
    if (facts.has_sequence) {
        json.number("sequence_number", facts.sequence + events);
    }
}

bool has_open_message(const StreamFacts& facts) {
    return !facts.item.empty() && facts.item_is_message;
}

/** The text of the part that is open, as the part's kind names it. */
void write_text(JsonWriter& json, TextWriter* out, const PassedOutput& output) {
    json.name(output.is_refusal ? "refusal" : "text");
    out->text("\"");
    out->text(output.text);
    out->text("\"");
    json.literal({});
}

void write_part(JsonWriter& json, TextWriter* out, const PassedOutput& output) {
    json.open('{');
    json.text("type", output.is_refusal ? "refusal" : "output_text");
    write_text(json, out, output);
    if (!output.is_refusal) {
        json.open("annotations", '[');
        json.close(']');
        json.open("logprobs", '[');
        json.close(']');
    }
    json.close('}');
}

/** Writes values of an array that stand in other events. */
void copy_elements(JsonWriter& json, TextWriter* out, JsonBytes elements) {
    if (!elements.empty()) {
        json.literal({});
        copy_on_one_line(*out, elements);
    }
}

/** The message that is open. */
void write_message(JsonWriter& json, TextWriter* out, const StreamEnding& end) {
    const PassedOutput* output = end.output;
    json.open('{');
    json.name("id");
    json.literal(end.facts->item);
    json.text("type", "message");
    json.text("status", "incomplete");
    json.text("role", "assistant");
    json.open("content", '[');
    if (output != nullptr) {
        copy_elements(json, out, output->parts);
        if (output->part_is_open || !output->text.empty()) {
            write_part(json, out, *output);
        }
    }
    json.close(']');
    json.close('}');
}

void write_output(JsonWriter& json, TextWriter* out, const StreamEnding& end) {
    json.open("output", '[');
    if (end.output != nullptr) {
        copy_elements(json, out, end.output->items);
        if (has_open_message(*end.facts)) {
            write_message(json, out, end);
        }
    }
    json.close(']');
}

/** Ends the part of the open message that the client has had the beginning of. Returns the number
 * of events. */
uint64_t end_part(const StreamEnding& end, Events* events, TextWriter* out) {
    const StreamFacts& facts = *end.facts;
    const PassedOutput* output = end.output;
    if (output == nullptr || !output->part_is_open) {
        return 0;
    }
    uint64_t written = 0;
    const auto write = [&](std::string_view type, const auto& write_rest) {
        events->event(type, [&](JsonWriter& json) {
            json.text("type", type);
            copy(json, "item_id", facts.item);
            json.number("output_index", facts.output_index);
            json.number("content_index", output->content_index);
            write_rest(json);
            write_sequence(json, facts, written++);
        });
    };
    write(output->is_refusal ? "response.refusal.done" : "response.output_text.done",
          [&](JsonWriter& json) {
              write_text(json, out, *output);
              if (!output->is_refusal) {
                  json.open("logprobs", '[');
                  json.close(']');
              }
          });
    write("response.content_part.done", [&](JsonWriter& json) {
        json.name("part");
        write_part(json, out, *output);
    });
    return written;
}

/** Copies the members of the response that `response.created` showed, but for those that its end
 * changes. A short end has only those that clients know a response by. */
void write_response(JsonWriter& json, TextWriter* out, const StreamEnding& end) {
    constexpr std::string_view kChanged[] = {"status", "incomplete_details", "output", "usage"};
    const StreamFacts& facts = *end.facts;
    json.open("response", '{');
    bool copied = false;
    for_each_json_member(end.is_short ? JsonBytes() : facts.response,
                         [&](std::string_view key, JsonBytes value) {
                             for (const std::string_view changed : kChanged) {
                                 if (key == changed) {
                                     return;
                                 }
                             }
                             json.name(key);
                             copy_on_one_line(*out, value);
                             json.literal({});
                             copied = true;
                         });
    if (!copied) {
        copy(json, "id", facts.id);
        json.text("object", "response");
        copy(json, "created_at", facts.created);
        copy(json, "model", facts.model);
        copy(json, "service_tier", facts.service_tier);
    }
    json.text("status", "incomplete");
    json.open("incomplete_details", '{');
    json.text("reason", "max_output_tokens");
    json.close('}');
    write_output(json, out, end);
    write_usage(json, end.used,
                {"input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"});
    json.close('}');
}

void end_responses(const StreamEnding& end, Events* events, TextWriter* out) {
    const StreamFacts& facts = *end.facts;
    uint64_t written = 0;
    if (has_open_message(facts)) {
        written += end_part(end, events, out);
        events->event("response.output_item.done", [&](JsonWriter& json) {
            json.text("type", "response.output_item.done");
            json.number("output_index", facts.output_index);
            json.name("item");
            write_message(json, out, end);
            write_sequence(json, facts, written);
        });
        ++written;
    }
    events->event("response.incomplete", [&](JsonWriter& json) {
        json.text("type", "response.incomplete");
        write_response(json, out, end);
        write_sequence(json, facts, written);
    });
}

// Anthropic

void end_anthropic(const StreamEnding& end, Events* events, TextWriter*) {
    const StreamFacts& facts = *end.facts;
    if (facts.part_is_open) {
        events->event("content_block_stop", [&](JsonWriter& json) {
            json.text("type", "content_block_stop");
            json.number("index", facts.part);
        });
    }
    events->event("message_delta", [&](JsonWriter& json) {
        json.text("type", "message_delta");
        json.open("delta", '{');
        json.text("stop_reason", "max_tokens");
        json.name("stop_sequence");
        json.literal("null");
        json.close('}');
        json.open("usage", '{');
        count(json, "output_tokens", end.used.output);
        json.close('}');
    });
    events->event("message_stop", [](JsonWriter& json) { json.text("type", "message_stop"); });
}

// Gemini

void end_gemini(const StreamEnding& end, Events* events, TextWriter*) {
    const StreamFacts& facts = *end.facts;
    const TokenCounts& used = end.used;
    events->event({}, [&](JsonWriter& json) {
        json.open("candidates", '[');
        json.open('{');
        json.open("content", '{');
        json.open("parts", '[');
        json.open('{');
        json.text("text", "");
        json.close('}');
        json.close(']');
        json.text("role", "model");
        json.close('}');
        json.text("finishReason", "MAX_TOKENS");
        json.number("index", 0);
        json.close('}');
        json.close(']');
        json.open("usageMetadata", '{');
        count(json, "promptTokenCount", used.input);
        count(json, "candidatesTokenCount", used.output - std::min(used.output, used.reasoning));
        if (used.reasoning > 0) {
            count(json, "thoughtsTokenCount", std::min(used.output, used.reasoning));
        }
        if (used.cached_input > 0) {
            count(json, "cachedContentTokenCount", used.cached_input);
        }
        json.number("totalTokenCount", total(used));
        json.close('}');
        copy(json, "modelVersion", facts.model);
        copy(json, "responseId", facts.response_id);
    });
}

// Ollama

void end_ollama(const StreamEnding& end, Events* events, bool is_chat) {
    events->event({}, [&](JsonWriter& json) {
        copy(json, "model", end.facts->model);
        copy(json, "created_at", end.facts->created);
        if (is_chat) {
            json.open("message", '{');
            json.text("role", "assistant");
            json.text("content", "");
            json.close('}');
        } else {
            json.text("response", "");
        }
        json.truth("done", true);
        json.text("done_reason", "length");
        count(json, "prompt_eval_count", end.used.input);
        count(json, "eval_count", end.used.output);
    });
}

void end_ollama_chat(const StreamEnding& end, Events* events, TextWriter*) {
    end_ollama(end, events, true);
}

void end_ollama_generate(const StreamEnding& end, Events* events, TextWriter*) {
    end_ollama(end, events, false);
}

// Cohere

void end_cohere(const StreamEnding& end, Events* events, TextWriter*) {
    const StreamFacts& facts = *end.facts;
    if (facts.part_is_open) {
        const std::string_view type = facts.part_is_call ? "tool-call-end" : "content-end";
        events->event(type, [&](JsonWriter& json) {
            json.text("type", type);
            json.number("index", facts.part);
        });
    }
    events->event("message-end", [&](JsonWriter& json) {
        json.text("type", "message-end");
        copy(json, "id", facts.id);
        json.open("delta", '{');
        json.text("finish_reason", "MAX_TOKENS");
        json.open("usage", '{');
        for (const std::string_view kind : {"billed_units", "tokens"}) {
            json.open(kind, '{');
            count(json, "input_tokens", end.used.input);
            count(json, "output_tokens", end.used.output);
            json.close('}');
        }
        json.close('}');
        json.close('}');
    });
}

struct EndRow {
    void (*write)(const StreamEnding&, Events*, TextWriter*);
    StreamApi api;
    bool in_events;  // server-sent events; otherwise lines, documents or an array
    bool in_lines;
};

constexpr EndRow kEnds[] = {
    {end_chat, StreamApi::kChat, true, false},
    {end_completions, StreamApi::kCompletions, true, false},
    {end_responses, StreamApi::kResponses, true, false},
    {end_anthropic, StreamApi::kAnthropic, true, false},
    {end_gemini, StreamApi::kGemini, true, true},
    {end_ollama_chat, StreamApi::kOllamaChat, false, true},
    {end_ollama_generate, StreamApi::kOllamaGenerate, false, true},
    {end_cohere, StreamApi::kCohere, true, false},
};

}  // namespace

bool write_stream_end(const StreamEnding& end, TextWriter* out) {
    Events events(end, out);
    for (const EndRow& row : kEnds) {
        const bool fits = end.form == StreamForm::kSse ? row.in_events : row.in_lines;
        if (row.api == end.facts->api && fits && end.form != StreamForm::kMessages) {
            row.write(end, &events, out);
        }
    }
    events.finish();
    return !out->overflowed();
}

}  // namespace ai_limit
