#pragma once

// A price map of the size and the shape of LiteLLM's public one: 2,500 models with 8 to 30 fields
// each, 1.6 MB. The names and prices are made up, the same ones each time.

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace ai_limit {

class LargePriceMap {
public:
    static constexpr size_t kModels = 2500;

    /** The map as a file has it. */
    const std::string& text() const { return text_; }

    /** The names of all models with a price. */
    const std::vector<std::string>& names() const { return names_; }

    LargePriceMap() {
        text_ =
            "{\n    \"sample_spec\": {\n        \"input_cost_per_token\": 0.0,\n"
            "        \"max_tokens\": \"LEGACY parameter\"\n    }";
        for (size_t i = 0; i < kModels; ++i) {
            add_model(i);
        }
        text_ += "\n}\n";
    }

private:
    static const char* pick(const std::vector<const char*>& words, uint64_t number) {
        return words[number % words.size()];
    }

    uint64_t below(uint64_t n) { return random_() % n; }

    std::string name_of(size_t number) {
        static const std::vector<const char*> kPlaces = {"",
                                                         "azure/",
                                                         "azure/eu/",
                                                         "azure/us/",
                                                         "us.anthropic.",
                                                         "bedrock/us-east-1/",
                                                         "vertex_ai/",
                                                         "openrouter/vendor/",
                                                         "gemini/",
                                                         "fireworks_ai/accounts/fireworks/models/",
                                                         "eu.",
                                                         "groq/",
                                                         ""};
        static const std::vector<const char*> kFamilies = {
            "gpt-", "claude-sonnet-", "gemini-pro-", "llama-",     "mistral-large-",
            "o",    "qwen",           "command-r-",  "nova-lite-v"};
        static const std::vector<const char*> kEnds = {"",         "-2026-03-01", "-20260301",
                                                       "-mini",    "-latest",     "-v1:0",
                                                       "-preview", "@20260301",   "-instruct"};
        return pick(kPlaces, below(100)) + std::string(pick(kFamilies, below(100))) +
               std::to_string(number) + pick(kEnds, below(100));
    }

    void add_model(size_t number) {
        const std::string name = name_of(number);
        text_ += ",\n    \"" + name + "\": {\n        \"litellm_provider\": \"provider\"";
        // Some models of the map have no price.
        if (below(12) != 0) {
            names_.push_back(name);
            add_prices();
        }
        add_rest();
        text_ += "\n    }";
    }

    void add_prices() {
        const uint64_t input = 1 + below(3000);
        price("input_cost_per_token", input);
        price("output_cost_per_token", input * 4);
        if (below(3) == 0) {
            price("cache_read_input_token_cost", input / 10 + 1);
        }
        if (below(6) == 0) {
            price("cache_creation_input_token_cost", input * 5 / 4);
            price("cache_creation_input_token_cost_above_1hr", input * 2);
        }
        if (below(12) == 0) {
            const char* threshold = below(2) == 0 ? "_above_200k_tokens" : "_above_272k_tokens";
            for (const char* kind :
                 {"input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"}) {
                price(std::string(kind) + threshold, input * 2);
                price(std::string(kind) + threshold + "_priority", input * 4);
            }
        }
        if (below(10) == 0) {
            for (const char* tier : {"_priority", "_flex", "_batches"}) {
                price(std::string("input_cost_per_token") + tier, input + 1);
                price(std::string("output_cost_per_token") + tier, input * 4 + 1);
            }
        }
        if (below(10) == 0) {
            text_ +=
                ",\n        \"search_context_cost_per_query\": {\n"
                "            \"search_context_size_high\": 0.05,\n"
                "            \"search_context_size_low\": 0.03,\n"
                "            \"search_context_size_medium\": 0.035\n        }";
        }
    }

    void price(const std::string& field, uint64_t hundredths_of_a_millionth) {
        char number[32];
        snprintf(number, sizeof number, "%.15g",
                 static_cast<double>(hundredths_of_a_millionth) / 1e8);
        text_ += ",\n        \"" + field + "\": " + number;
    }

    void add_rest() {
        static const std::vector<const char*> kFlags = {
            "function_calling", "vision",      "prompt_caching",
            "response_schema",  "tool_choice", "system_messages",
            "reasoning",        "pdf_input",   "parallel_function_calling",
            "native_streaming", "web_search",  "audio_input"};
        text_ +=
            ",\n        \"max_input_tokens\": 200000,\n        \"max_output_tokens\": 8192"
            ",\n        \"max_tokens\": 8192,\n        \"mode\": \"chat\"";
        if (below(3) == 0) {
            text_ +=
                ",\n        \"source\": \"https://docs.example.com/models/and/their/prices\","
                "\n        \"supported_endpoints\": [\n            \"/v1/chat/completions\","
                "\n            \"/v1/responses\"\n        ]";
        }
        if (below(20) == 0) {
            text_ +=
                ",\n        \"tiered_pricing\": [\n            {\n                "
                "\"input_cost_per_token\": 1e-06,\n                \"range\": [\n"
                "                    0,\n                    256000.0\n                ]\n"
                "            }\n        ]";
        }
        const size_t flags = 1 + below(8);
        for (size_t i = 0; i < flags; ++i) {
            text_ += std::string(",\n        \"supports_") + kFlags[i] + "\": true";
        }
    }

    std::mt19937_64 random_{16};
    std::string text_;
    std::vector<std::string> names_;
};

}  // namespace ai_limit
