// Tests the edits of a request's body that limit its output.

#include "core/edits/output_limits.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/requests/request_info.h"
#include "random.h"

namespace ai_limit {
namespace {

namespace json = boost::json;

constexpr Amount kEndless = UINT64_MAX;
constexpr std::string_view kChat = "/v1/chat/completions";

struct Limited {
    std::string body;  // after the edits
    std::string why;   // none can be made
    bool edits = false;
    Amount most = kEndless;    // after them
    Amount before = kEndless;  // without them
    Amount prompts = 0;

    bool operator==(const Limited& other) const {
        return body == other.body && why == other.why && edits == other.edits &&
               most == other.most && before == other.before && prompts == other.prompts;
    }
};

Limited limit_in_pieces(std::string_view path, std::string_view body, Amount limit,
                        const OwnOutputField* own, size_t most, bool plain) {
    OutputLimits limits(path, own);
    for (std::string_view rest = body; !rest.empty();) {
        const std::string piece(rest.substr(0, most));
        rest.remove_prefix(piece.size());
        limits.feed(piece);
    }
    if (plain) {
        limits.set_offset_in_body(0);
    }
    limits.finish();
    Limited result;
    result.body = body;
    result.prompts = limits.prompts();
    limits.most_output(kEndless, &result.before);
    limits.most_output(limit, &result.most);
    result.edits = limits.must_edit(limit);
    if (!result.edits) {
        return result;
    }
    OutputEdits edits;
    if (!limits.edit(limit, &edits)) {
        result.why = limits.why_fixed();
        EXPECT_NE(result.why, "");
        return result;
    }
    std::string edited;
    uint64_t at = 0;
    for (const BodyEdit& edit : edits.edits) {
        EXPECT_LE(at, edit.offset);
        edited += body.substr(at, edit.offset - at);
        edited += edit.insert;
        at = edit.offset + edit.remove;
    }
    result.body = edited + std::string(body.substr(at));
    return result;
}

/** Whole, and in pieces of every size; what is edited needs no further edit. */
Limited limit(std::string_view path, std::string_view body, Amount limit,
              const OwnOutputField* own = nullptr, bool plain = true) {
    const Limited whole = limit_in_pieces(path, body, limit, own, body.size() + 1, plain);
    for (size_t most = 1; most < body.size() && most < 100; ++most) {
        EXPECT_EQ(limit_in_pieces(path, body, limit, own, most, plain), whole)
            << body << " in pieces of " << most;
    }
    if (whole.why.empty()) {
        const Limited again =
            limit_in_pieces(path, whole.body, limit, own, whole.body.size() + 1, true);
        EXPECT_FALSE(again.edits) << body << " -> " << whole.body;
        EXPECT_EQ(again.before, whole.most) << whole.body;
    }
    return whole;
}

struct Row {
    std::string_view path;
    std::string_view before;
    std::string_view after;  // limited to 500; empty: as before
};

constexpr Row kLowered[] = {
    {kChat, R"({"max_tokens":32000,"messages":[]})", R"({"max_tokens":500,"messages":[]})"},
    {kChat, R"({ "max_completion_tokens" : 501 , "messages":[]})",
     R"({ "max_completion_tokens" : 500 , "messages":[]})"},
    {kChat, R"({"max_tokens":500})", {}},
    {kChat, R"({"max_tokens":1})", {}},
    {kChat, R"({"max_tokens":0})", {}},
    {kChat, R"({"max_tokens":499.5})", {}},
    {kChat, R"({"max_tokens":5e2})", {}},
    {kChat, R"({"max_tokens":5e3})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":500.5})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":-1})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":123456789012345678901234567890})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":"400"})", {}},
    {kChat, R"({"max_tokens":" 501 "})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":"\u0039999"})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":"-1"})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":"many"})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":"1_000"})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":""})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":true,"n":1})", R"({"max_tokens":500,"n":1})"},
    {kChat, R"({"max_tokens":[{"max_tokens":[1]}]})", R"({"max_tokens":500})"},
    {kChat, R"({"max_tokens":{"a":9999},"b":9999})", R"({"max_tokens":500,"b":9999})"},
    {kChat, R"({"max_tokens":9999,"max_completion_tokens":8888})",
     R"({"max_tokens":500,"max_completion_tokens":500})"},
    {kChat, R"({"max_tokens":9,"max_completion_tokens":8888})",
     R"({"max_tokens":9,"max_completion_tokens":500})"},
    {kChat, R"({"max_tokens":9999,"max_tokens":9})", R"({"max_tokens":500,"max_tokens":9})"},
    {kChat, R"({"max\u005ftokens":9999})", R"({"max\u005ftokens":500})"},
    {kChat, R"({"metadata":{"max_tokens":9999},"max_tokens":5})", {}},
    {kChat,
     R"({"messages":[{"max_tokens":9999,"content":"\"max_tokens\":9999"}],"max_tokens":5})",
     {}},
    {"/v1/responses", R"({"max_output_tokens":9999})", R"({"max_output_tokens":500})"},
    {"/v1/messages", R"({"max_tokens":32000})", R"({"max_tokens":500})"},
    {"/v1beta/models/g:generateContent", R"({"generationConfig":{"maxOutputTokens":9999}})",
     R"({"generationConfig":{"maxOutputTokens":500}})"},
    {"/v1beta/models/g:generateContent", R"({"generation_config":{"max_output_tokens":9999}})",
     R"({"generation_config":{"max_output_tokens":500}})"},
    {"/v1beta/models/g:generateContent", R"({"generation_config":{"max_output_tokens":9}})", {}},
    {"/api/chat", R"({"options":{"num_predict":9999}})", R"({"options":{"num_predict":500}})"},
    {"/api/chat", R"({"options":{"num_predict":-1}})", R"({"options":{"num_predict":500}})"},
    {"/api/chat", R"({"options":{"num_predict":0}})", R"({"options":{"num_predict":500}})"},
    {"/model/m/converse", R"({"inferenceConfig":{"maxTokens":9999}})",
     R"({"inferenceConfig":{"maxTokens":500}})"},
    {"/completion", R"({"n_predict":-1})", R"({"n_predict":500})"},
    {"/generate", R"({"inputs":"","parameters":{"max_new_tokens":9999}})",
     R"({"inputs":"","parameters":{"max_new_tokens":500}})"},
    {"/generate", R"({"text":"","sampling_params":{"max_new_tokens":9999}})",
     R"({"text":"","sampling_params":{"max_new_tokens":500}})"},
    {"/x", R"({"sampling_params":[{"max_new_tokens":9999},{"max_new_tokens":1}]})",
     R"({"sampling_params":[{"max_new_tokens":500},{"max_new_tokens":1}]})"},
    {"/x", R"({"instances":[{"max_tokens":9999},{"max_tokens":5}]})",
     R"({"instances":[{"max_tokens":500},{"max_tokens":5}]})"},
    {"/x", R"({"input":{"max_length":9999}})", R"({"input":{"max_length":500}})"},
    {"/x", R"({"input":["max_length"],"max_tokens":null})",
     R"({"input":["max_length"],"max_tokens":500})"},
    {"/v1/embeddings", R"({"input":"x"})", {}},
    {"/v1/models", "", {}},
    {kChat, " \n", {}},
    {"/v1/threads/t/messages", R"({"role":"user","content":"x"})", {}},
};

constexpr Row kInserted[] = {
    {kChat, R"({"messages":[]})", R"({"max_completion_tokens":500,"messages":[]})"},
    {kChat, R"( { "messages":[] } )", R"( {"max_completion_tokens":500, "messages":[] } )"},
    {kChat, "{}", R"({"max_completion_tokens":500})"},
    {kChat, "{ \n}", "{\"max_completion_tokens\":500 \n}"},
    {kChat, R"({"messages":[],"max_tokens":null})", R"({"messages":[],"max_tokens":500})"},
    {kChat, R"({"max_tokens":null,"max_completion_tokens":null})",
     R"({"max_tokens":null,"max_completion_tokens":500})"},
    {kChat, R"({"max_tokens":7,"max_completion_tokens":null})", {}},
    {kChat, R"({"max_tokens":7,"max_tokens":null})", R"({"max_tokens":7,"max_tokens":500})"},
    {kChat, R"({"max_output_tokens":7})", R"({"max_completion_tokens":500,"max_output_tokens":7})"},
    {kChat, R"({"MAX_TOKENS":7})", R"({"max_completion_tokens":500,"MAX_TOKENS":7})"},
    {kChat, R"({"max_completion_tokens":7,"MAX_completion_TOKENS":null})",
     R"({"max_completion_tokens":7,"MAX_completion_TOKENS":500})"},
    {"/v1/completions", R"({"prompt":"x","Max_Tokens":null})",
     R"({"max_tokens":500,"prompt":"x","Max_Tokens":500})"},
    {"/api/chat", R"({"Options":{"num_predict":null}})",
     R"({"options":{"num_predict":500},"Options":{"num_predict":500}})"},
    {kChat, R"({"MAX_TOKENS":700})", R"({"max_completion_tokens":500,"MAX_TOKENS":500})"},
    {"/openai/deployments/d/chat/completions", R"({"n":1})",
     R"({"max_completion_tokens":500,"n":1})"},
    {"/v1/completions", R"({"prompt":""})", R"({"max_tokens":500,"prompt":""})"},
    {"/V1/Chat/Completions", R"({"messages":[]})",
     R"({"max_completion_tokens":500,"messages":[]})"},
    {"/v1/responses/", R"({"input":""})", R"({"max_output_tokens":500,"input":""})"},
    {"/v1/messages", R"({"messages":[]})", R"({"max_tokens":500,"messages":[]})"},
    {"/v1beta/models/g:generateContent", R"({"contents":[]})",
     R"({"generationConfig":{"maxOutputTokens":500},"contents":[]})"},
    {"/v1beta/models/g:streamGenerateContent", R"({"generationConfig":{"topK":1}})",
     R"({"generationConfig":{"maxOutputTokens":500,"topK":1}})"},
    {"/v1beta/models/g:generateContent", R"({"generationConfig": { }})",
     R"({"generationConfig": {"maxOutputTokens":500 }})"},
    {"/v1beta/models/g:generateContent", R"({"generationConfig":null})",
     R"({"generationConfig":{"maxOutputTokens":500}})"},
    {"/v1beta/models/g:generateContent", R"({"generationConfig":{"maxOutputTokens":null}})",
     R"({"generationConfig":{"maxOutputTokens":500}})"},
    {"/v1beta/models/g:generateContent",
     R"({"generation_config":{},"generationConfig":{"max_output_tokens":3}})",
     R"({"generation_config":{"maxOutputTokens":500},"generationConfig":{"max_output_tokens":3}})"},
    {"/v1beta/models/g:generateContent", R"({"generationconfig":{"maxoutputtokens":900}})",
     R"({"generationConfig":{"maxOutputTokens":500},"generationconfig":{"maxoutputtokens":500}})"},
    {"/v1beta/interactions", R"({"input":""})",
     R"({"generation_config":{"max_output_tokens":500},"input":""})"},
    {"/api/chat", R"({"messages":[]})", R"({"options":{"num_predict":500},"messages":[]})"},
    {"/api/generate", R"({"options":{"seed":1},"options":{"num_predict":5}})",
     R"({"options":{"num_predict":500,"seed":1},"options":{"num_predict":5}})"},
    {"/api/generate", R"({"options":{"num_predict":5},"options":null})",
     R"({"options":{"num_predict":5},"options":{"num_predict":500}})"},
    {"/model/anthropic.claude-v3/converse-stream", R"({"messages":[]})",
     R"({"inferenceConfig":{"maxTokens":500},"messages":[]})"},
    {"/model/us.anthropic.claude-sonnet/invoke", R"({"messages":[]})",
     R"({"max_tokens":500,"messages":[]})"},
    {"/model/anthropic.claude-v2/invoke", R"({"prompt":""})",
     R"({"max_tokens_to_sample":500,"prompt":""})"},
    {"/model/meta.llama3/invoke-with-response-stream", R"({"prompt":""})",
     R"({"max_gen_len":500,"prompt":""})"},
    {"/model/amazon.titan-text-lite/invoke", R"({"inputText":""})",
     R"({"textGenerationConfig":{"maxTokenCount":500},"inputText":""})"},
    {"/model/amazon.titan-embed-text/invoke", R"({"inputText":""})", {}},
    {"/v2/chat", R"({"messages":[]})", R"({"max_tokens":500,"messages":[]})"},
    {"/v1/conversations", R"({"inputs":""})",
     R"({"completion_args":{"max_tokens":500},"inputs":""})"},
    {"/api/v1/chat", R"({"input":""})", R"({"max_output_tokens":500,"input":""})"},
    {"/api/v1/services/aigc/text-generation/generation", R"({"input":{"messages":[]}})",
     R"({"parameters":{"max_tokens":500},"input":{"messages":[]}})"},
    {"/foundationModels/v1/completion", R"({"completionOptions":{"maxTokens":"2000"}})",
     R"({"completionOptions":{"maxTokens":500}})"},
    {"/completion", R"({"prompt":""})", R"({"n_predict":500,"prompt":""})"},
    {"/generate", R"({"inputs":""})", R"({"parameters":{"max_new_tokens":500},"inputs":""})"},
    {"/generate", R"({"text":""})", R"({"sampling_params":{"max_new_tokens":500},"text":""})"},
    {"/v2/models/m/generate_stream", R"({"text_input":""})",
     R"({"max_tokens":500,"text_input":""})"},
    {"/client/v4/accounts/a/ai/run/@cf/meta/llama", R"({"messages":[]})",
     R"({"max_tokens":500,"messages":[]})"},
    {"/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", R"({"messages":[]})",
     R"({"max_tokens":500,"messages":[]})"},
    {"/x", R"({"messages":[]})", {}},
};

template <size_t n>
void expect_rows(const Row (&rows)[n]) {
    for (const Row& row : rows) {
        const Limited limited = limit(row.path, row.before, 500);
        EXPECT_EQ(limited.why, "") << row.before;
        EXPECT_EQ(limited.body, row.after.empty() ? row.before : row.after) << row.path;
        EXPECT_EQ(limited.edits, !row.after.empty()) << row.before;
        EXPECT_TRUE(limited.most <= 500 || row.after.empty()) << row.before;
    }
}

TEST(OutputLimits, LowersTheLimitOfEachApiAndNothingElse) {
    expect_rows(kLowered);
}

TEST(OutputLimits, SetsALimitIfTheClientSetsNone) {
    expect_rows(kInserted);
}

TEST(OutputLimits, KnowsTheMostOutputBeforeAndAfter) {
    EXPECT_EQ(limit(kChat, R"({"max_tokens":7,"max_completion_tokens":9})", 500).before, 9);
    EXPECT_EQ(limit(kChat, R"({"max_tokens":700})", 500).before, 700);
    EXPECT_EQ(limit(kChat, R"({"max_tokens":700})", 500).most, 500);
    EXPECT_EQ(limit(kChat, R"({"messages":[]})", 500).before, kEndless);
    EXPECT_EQ(limit(kChat, R"({"messages":[]})", 500).most, 500);
    EXPECT_EQ(limit(kChat, R"({"max_output_tokens":7})", 500).before, kEndless);
    EXPECT_EQ(limit("/x", R"({"messages":[]})", 500).most, kEndless);
    EXPECT_EQ(limit("/api/chat", R"({"options":{"num_predict":0}})", 500).before, kEndless);
}

TEST(OutputLimits, CountsEachPromptOfAList) {
    const auto prompts = [](std::string_view body) {
        return limit("/v1/completions", body, 5).prompts;
    };
    EXPECT_EQ(prompts(R"({"prompt":"x"})"), 1);
    EXPECT_EQ(prompts(R"({"prompt":["x","","z"]})"), 3);
    EXPECT_EQ(prompts(R"({"prompt":[1,2,3]})"), 1);
    EXPECT_EQ(prompts(R"({"prompt":[[1,2],[3]]})"), 2);
    EXPECT_EQ(prompts(R"({"instances":[{"prompt":"x"},{"prompt":"y"}]})"), 2);
    EXPECT_EQ(prompts(R"({"messages":[{},{}]})"), 1);
}

TEST(OutputLimits, TakesAFieldOfTheConfiguration) {
    OwnOutputField flat;
    ASSERT_EQ(flat.set("/max_tokens"), nullptr);
    EXPECT_EQ(limit(kChat, R"({"messages":[]})", 500, &flat).body,
              R"({"max_tokens":500,"messages":[]})");
    EXPECT_EQ(limit(kChat, R"({"max_completion_tokens":900})", 500, &flat).body,
              R"({"max_tokens":500,"max_completion_tokens":500})");
    EXPECT_EQ(limit("/x", R"({"max_tokens":9})", 500, &flat).edits, false);

    OwnOutputField deep;
    ASSERT_EQ(deep.set("/a/b~1c/d/Limit"), nullptr);
    EXPECT_EQ(limit("/x", R"({"z":1})", 500, &deep).body,
              R"({"a":{"b/c":{"d":{"Limit":500}}},"z":1})");
    EXPECT_EQ(limit("/x", R"({"a":{"z":1}})", 500, &deep).body,
              R"({"a":{"b/c":{"d":{"Limit":500}},"z":1}})");
    EXPECT_EQ(limit("/x", R"({"a":{"b/c":null}})", 500, &deep).body,
              R"({"a":{"b/c":{"d":{"Limit":500}}}})");
    EXPECT_EQ(limit("/x", R"({"a":{"b/c":{"d":{"Limit":501,"x":[]}}}})", 500, &deep).body,
              R"({"a":{"b/c":{"d":{"Limit":500,"x":[]}}}})");
    EXPECT_EQ(limit("/x", R"({"a":{"b/c":{"d":{"Limit":5}}}})", 500, &deep).edits, false);

    OwnOutputField around;  // a field in which fields of APIs are
    ASSERT_EQ(around.set("/options"), nullptr);
    EXPECT_EQ(limit("/x", R"({"options":{"num_predict":9999}})", 500, &around).body,
              R"({"options":500})");
}

TEST(OutputLimits, RefusesAFieldThatIsNoPointer) {
    for (const std::string_view pointer :
         {"", "max_tokens", "/", "/a//b", "/a/b/c/d/e", "/a\"b", "/a\\b", "/a\nb", "/a~2"}) {
        OwnOutputField field;
        EXPECT_NE(field.set(pointer), nullptr) << pointer;
    }
}

TEST(OutputLimits, SaysWhyABodyCannotBeEdited) {
    const std::string_view body = R"({"max_tokens":501})";
    EXPECT_NE(limit(kChat, body, 500, nullptr, false).why, "");
    EXPECT_FALSE(limit(kChat, body, 501, nullptr, false).edits);
    for (const std::string_view fixed : {R"([])", R"("x")", "null ", "true ",
                                         R"({"max_tokens":NaN})", R"({"max_tokens":-Infinity})"}) {
        EXPECT_NE(limit(kChat, fixed, 500).why, "") << fixed;
    }
    EXPECT_NE(limit("/api/chat", R"({"options":[]})", 500).why, "");
    EXPECT_NE(limit("/api/chat", R"({"options":"x"})", 500).why, "");
    EXPECT_EQ(limit(kChat, R"({"options":[]})", 500).why, "");
    // Servers that match keys in any case take these in place of the options with the limit.
    for (const std::string_view other :
         {R"({"messages":[],"Options":null})", R"({"options":{"num_predict":5},"OPTIONS":null})",
          R"({"options":{"num_predict":5},"Options":{"seed":1}})"}) {
        EXPECT_NE(limit("/api/chat", other, 500).why, "") << other;
    }
    const std::string long_number = R"({"max_tokens":1)" + std::string(100, '0') + "}";
    EXPECT_NE(limit(kChat, long_number, 500).why, "");
    std::string many = "{";
    for (int i = 0; i < 30; ++i) {
        many += R"("max_tokens":1,)";
    }
    EXPECT_NE(limit(kChat, many + R"("a":1})", 500).why, "");
    std::string objects = "{";
    for (int i = 0; i < 30; ++i) {
        objects += R"("options":{},)";
    }
    EXPECT_NE(limit("/api/chat", objects + R"("a":1})", 500).why, "");
}

/** Each field of the table is one that the request's own reader takes for a limit. */
TEST(OutputLimits, AgreesWithTheReaderOfRequests) {
    for (const Row& row : kLowered) {
        const Limited limited = limit(row.path, row.before, 500);
        if (!limited.edits || limited.most != 500 ||
            row.before.find("\\u0039") != row.before.npos) {
            continue;
        }
        RequestInfo info;
        info.read_path(row.path);
        info.feed(limited.body);
        info.finish(limited.body.size());
        Amount most = 0;
        EXPECT_TRUE(info.most_output(&most) || info.unreadable()) << limited.body;
        EXPECT_LE(most, 500) << limited.body;
    }
}

// Random bodies

constexpr std::string_view kKeys[] = {"max_tokens",
                                      "max_completion_tokens",
                                      "max_output_tokens",
                                      "options",
                                      "num_predict",
                                      "generationConfig",
                                      "maxOutputTokens",
                                      "generation_config",
                                      "max_output_tokens",
                                      "MAX_TOKENS",
                                      "messages",
                                      "n",
                                      "a\\\"b",
                                      "parameters",
                                      "max_new_tokens"};

class RandomBody {
public:
    explicit RandomBody(uint64_t seed) : random_(seed) {}

    std::string object(size_t depth) {
        std::string text = "{" + space();
        for (uint64_t count = random_.below(5), i = 0; i < count; ++i) {
            text += (i != 0 ? "," : "") + space() + "\"" +
                    std::string(kKeys[random_.below(std::size(kKeys))]) + "\"" + space() + ":" +
                    space() + value(depth) + space();
        }
        return text + "}";
    }

    uint64_t below(uint64_t n) { return random_.below(n); }

private:
    std::string space() { return std::string(random_.below(4) == 0 ? " \n" : ""); }

    std::string value(size_t depth) {
        static constexpr std::string_view kScalars[] = {
            "0",     "7",    "499",  "500",      "501",       "99999", "-1",
            "1.5e3", "null", "true", "\"5000\"", "\"x\\\\\"", "\"\""};
        if (depth < 3 && random_.below(3) == 0) {
            return object(depth + 1);
        }
        if (depth < 3 && random_.below(6) == 0) {
            return "[" + value(depth + 1) + "," + object(depth + 1) + "]";
        }
        return std::string(kScalars[random_.below(std::size(kScalars))]);
    }

    Random random_;
};

bool is_limit_key(std::string_view key) {
    for (const std::string_view name :
         {"max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict",
          "maxOutputTokens", "MAX_TOKENS", "max_new_tokens"}) {
        if (key == name) {
            return true;
        }
    }
    return false;
}

/** The document without its limits, and without objects that have nothing else. */
json::value without_limits(const json::value& value) {
    if (!value.is_object()) {
        return value;
    }
    json::object rest;
    for (const auto& member : value.get_object()) {
        const std::string_view key(member.key().data(), member.key().size());
        const json::value inner = without_limits(member.value());
        const bool empty = inner.is_null() || (inner.is_object() && inner.get_object().empty());
        if (!is_limit_key(key) && !empty) {
            rest[member.key()] = inner;
        }
    }
    return rest;
}

TEST(OutputLimits, ChangesNothingButLimitsInRandomBodies) {
    constexpr std::string_view kPaths[] = {kChat, "/v1/responses", "/api/chat",
                                           "/v1/models/g:generateContent", "/x"};
    uint64_t edited = 0;
    for (uint64_t seed = 0; seed < 4000; ++seed) {
        RandomBody random(seed);
        const std::string body = random.object(0);
        const std::string_view path = kPaths[random.below(std::size(kPaths))];
        const size_t most = 1 + random.below(20);
        const Limited limited = limit_in_pieces(path, body, 500, nullptr, most, true);
        boost::system::error_code error;
        const json::value before = json::parse(body, error);
        ASSERT_FALSE(error) << body;
        const json::value after = json::parse(limited.body, error);
        ASSERT_FALSE(error) << body << " -> " << limited.body;
        ASSERT_EQ(without_limits(after), without_limits(before)) << body << " -> " << limited.body;
        if (!limited.why.empty()) {
            ASSERT_EQ(limited.body, body);
            continue;
        }
        const Limited again = limit_in_pieces(path, limited.body, 500, nullptr, 1000, true);
        ASSERT_FALSE(again.edits) << body << " -> " << limited.body;
        ASSERT_TRUE(path == "/x" || again.before <= 500) << limited.body;
        ASSERT_EQ(again.before, limited.most) << body << " -> " << limited.body;
        edited += limited.edits ? 1 : 0;
    }
    EXPECT_GT(edited, 1000);
}

}  // namespace
}  // namespace ai_limit
