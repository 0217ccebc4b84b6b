#pragma once

#include <string_view>

namespace ai_limit {

/** The facts that the path of a request states. */
struct RequestPath {
    /** The way to see if the answer is a stream. */
    enum Stream : unsigned char {
        kByBody,         // the body's `stream` decides, and without it there is none
        kUnlessRefused,  // Ollama: there is one unless the body's `stream` is false
        kAlways
    };

    std::string_view model;  // within the path; empty if it names none
    Stream stream = kByBody;
    bool completions = false;  // OpenAI's `chat/completions` or `completions`

    /** Google: the field of the answer that reports its usage, `*` where no single one does; empty
     * where the answer has none that a mask of fields could leave out. */
    std::string_view usage_field;  // static
};

/**
 * Reads a path as nginx's r->uri holds it: decoded, without arguments. A prefix before the API's
 * own path does no harm. Known are
 *
 *     …/{model}:generateContent, :streamGenerateContent and others    Gemini, Vertex
 *     /openai/deployments/{model}/…                                   Azure
 *     /model/{model}/converse, /converse-stream, /invoke, …           Bedrock
 *     /api/chat, /api/generate                                        Ollama
 *     /models/{owner}/{name}/predictions, /deployments/…              Replicate
 *     /ai/run/{model}                                                 Workers AI
 *     /generate_stream                                                Text Generation Inference
 *     /v1beta/interactions                                            Gemini
 *
 * A model can hold slashes (`owner/name`, `@cf/meta/llama`, an ARN once it is decoded).
 */
RequestPath read_request_path(std::string_view path);

/**
 * True if a path, decoded or not, is one of Gemini's or Vertex's, whose servers take a key from the
 * query.
 */
bool is_google_path(std::string_view path);

}  // namespace ai_limit
