#include "core/usage/usage_chunk.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/usage/usage.h"
#include "random.h"

namespace ai_limit {
namespace {

struct Collector {
    void pass(std::string_view text) {
        EXPECT_FALSE(text.empty());
        passed += text;
    }
    std::string passed;
};

/** A filter that learns what a reader of the same stream finds. */
class Beside {
public:
    void feed(std::string_view piece) {
        KnownRun run(&filter_.known());
        reader_.feed(piece, &run);
        noted_ += run.size;
        filter_.feed(piece, collector_, &run);
        alone_.feed(piece);
    }

    /** Ends the stream and returns what has passed. */
    std::string finish() {
        filter_.finish(collector_);
        EXPECT_EQ(reader_.text_characters(), alone_.text_characters());
        return collector_.passed;
    }

    /** Bytes that the filter has not looked at. */
    size_t noted() const { return noted_; }

private:
    UsageReader reader_{AnswerKind::kSse, nullptr};
    UsageReader alone_{AnswerKind::kSse, nullptr};
    UsageChunkFilter filter_;
    Collector collector_;
    size_t noted_ = 0;
};

/** The same with and without a reader beside the filter. */
std::string filtered(std::string_view stream, size_t most) {
    UsageChunkFilter filter;
    Collector collector;
    Beside beside;
    while (!stream.empty()) {
        const std::vector<char> piece(
            stream.begin(), stream.begin() + static_cast<long>(std::min(most, stream.size())));
        filter.feed({piece.data(), piece.size()}, collector);
        beside.feed({piece.data(), piece.size()});
        stream.remove_prefix(piece.size());
    }
    filter.finish(collector);
    EXPECT_EQ(beside.finish(), collector.passed);
    return collector.passed;
}

/** Whole, in pieces of every size, and in two of them. */
std::string filtered(std::string_view stream) {
    const std::string whole = filtered(stream, stream.size() + 1);
    for (size_t most = 1; most < stream.size() && most < 100; ++most) {
        EXPECT_EQ(filtered(stream, most), whole) << stream << " in pieces of " << most;
    }
    for (size_t cut = 0; cut < stream.size(); ++cut) {
        UsageChunkFilter filter;
        Collector collector;
        filter.feed(stream.substr(0, cut), collector);
        filter.feed(stream.substr(cut), collector);
        filter.finish(collector);
        EXPECT_EQ(collector.passed, whole) << stream << " cut at " << cut;
    }
    return whole;
}

const std::string kText =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n";
const std::string kTextAlone = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const std::string kUsage =
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

/** One event with this document, as the client sees it. */
std::string seen(const std::string& document) {
    const std::string stream = filtered("data: " + document + "\n\n" + kDone);
    const size_t end = stream.find("\n\n");
    EXPECT_EQ(stream.substr(stream.size() - kDone.size()), kDone);
    return stream.size() == kDone.size() ? "" : stream.substr(6, end - 6);
}

TEST(UsageChunk, RemovesAnEventWithOnlyUsage) {
    EXPECT_EQ(filtered(kTextAlone + kUsage + kDone), kTextAlone + kDone);
    EXPECT_EQ(filtered(kUsage), "");
    EXPECT_EQ(filtered(kTextAlone + kUsage + kUsage + kTextAlone), kTextAlone + kTextAlone);
    EXPECT_EQ(filtered("data:{\"usage\" : { } ,\ndata:\"choices\": [ ]}\n\n" + kDone), kDone);
    EXPECT_EQ(filtered(kTextAlone + "data: {\"choices\":[],\"usage\":{}}"), kTextAlone);
    EXPECT_EQ(filtered(kTextAlone + "data: {\"choices\":[],\"usage\":{}}\n"), kTextAlone);
    for (const std::string document : {
             R"({"id":"c","object":"chat.completion.chunk","created":1,"model":"m","provider":"p",)"
             R"("service_tier":"default","system_fingerprint":"fp","choices":[],)"
             R"("usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":0}},)"
             R"("obfuscation":"xyz"})",
             R"({"choices":[],"usage":{},"error":null,"timings":{},"citations":[],"x":"",)"
             R"("\u0069d":null,"y":[null]})",
             R"({"choices":[],"usage":{"x":{"cost":1},"cost":null}})",
         }) {
        EXPECT_EQ(seen(document), "") << document;
    }
}

TEST(UsageChunk, RemovesOnlyTheUsageOfAnEventThatSaysMore) {
    const std::string usage = R"("usage":{"prompt_tokens":5,"details":{"x":"}\"{"}})";
    for (const std::string rest : {
             R"("choices":[],"timings":{"prompt_ms":1.5})",                // llama.cpp
             R"("choices":[],"error":{"code":502,"message":"Provider"})",  // OpenRouter
             R"("choices":[],"citations":["https://example.com"])",        // Perplexity
             R"("choices":[],"cost":0.0001)",
             R"("choices":[],"x":false)",
             R"("choices":[],"x":0)",
             R"("choices":[],"x":[[]])",
             R"("choices":[],"prompt_filter_results":[{"prompt_index":0}])",
             R"("choices":[],"ids":"c1")",
             R"("choices":[null])",
             R"("choices":[{"delta":{"content":"x"},"finish_reason":"stop"}])",
             R"("choices":{})",
             R"("choices":null)",
             R"("id":"c1")",
         }) {
        EXPECT_EQ(seen("{" + rest + "," + usage + "}"), "{" + rest + "}");
        EXPECT_EQ(seen("{" + usage + "," + rest + "}"), "{" + rest + "}");
        EXPECT_EQ(seen("{\"id\":\"c1\"," + usage + "," + rest + "}"),
                  "{\"id\":\"c1\"," + rest + "}");
        EXPECT_EQ(seen("{ \"id\" : \"c1\" , \"usage\" : {} , " + rest + " }"),
                  "{ \"id\" : \"c1\"  , " + rest + " }");
    }
    EXPECT_EQ(seen(R"({"usage":{"a":1}})"), "{}");
    EXPECT_EQ(seen(R"({ "usage":{"a":1} })"), "{ }");
}

TEST(UsageChunk, RemovesANullUsage) {
    EXPECT_EQ(filtered(kText + kUsage + kText + kDone), kTextAlone + kTextAlone + kDone);
    EXPECT_EQ(seen(R"({"choices":[],"usage":null})"), R"({"choices":[]})");
    EXPECT_EQ(seen(R"({"usage":null,"choices":[]})"), R"({"choices":[]})");
    EXPECT_EQ(seen(R"({"usage" :	null , "choices":[]})"), R"({"choices":[]})");
    EXPECT_EQ(seen(R"({"a":1, "usage" : null ,"b":2})"), R"({"a":1 ,"b":2})");
    EXPECT_EQ(seen(R"({"usage":null})"), "{}");
    EXPECT_EQ(filtered("data: {\"a\":1,\ndata: \"usage\":null}\n\n"),
              "data: {\"a\":1,\ndata: \"usage\":null}\n\n");
}

TEST(UsageChunk, KeepsAUsageWithACost) {
    for (const std::string document : {
             R"({"choices":[],"usage":{"prompt_tokens":5,"cost":0.0001}})",
             R"({"choices":[],"usage":{"cost":{"total_cost":1},"prompt_tokens":5}})",
             R"({"choices":[],"usage":{"cost":0}})",
             R"({"choices":[{"delta":{}}],"usage":{"cost_in_usd_ticks":37756000},"x":1})",
         }) {
        EXPECT_EQ(seen(document), document);
    }
}

TEST(UsageChunk, PassesEverythingElse) {
    for (const std::string document : {
             R"({"choices":[],"prompt_filter_results":[{}]})",  // Azure's first one
             R"({"choices":[],"usage":[]})",
             R"({"choices":[],"usage":[null]})",
             R"({"choices":[],"usage":"{}"})",
             R"({"choices":[],"usage":"null"})",
             R"({"choices":[],"usage":0})",
             R"({"choices":[{"usage":null}],"x":{"usage":{}}})",
             R"({"x":{"choices":[],"usage":{}}})",
             R"([{"choices":[],"usage":{}}])",
             R"([{"usage":null}])",
             R"({"choices":[],"usage":{}}})",
             R"({"choices":[],"usage":{})",
             R"({"choices":[],"usage":null)",
             R"({"choices":[],"usage":{},"usage":null})",
             R"({"choices":[],"usage":null,"usage":{}})",
             R"({"choices":[],"us\u0061ge":null})",
             R"("usage":null)",
             R"({"text":"\"usage\":null"})",
         }) {
        EXPECT_EQ(seen(document), document);
    }
    EXPECT_EQ(seen(R"({"choices":[],"choices":[1],"usage":{}})"),
              R"({"choices":[],"choices":[1]})");
    EXPECT_EQ(seen(R"({"choices":[1],"choices":[],"usage":{}})"), "");
}

TEST(UsageChunk, KeepsWhatSurroundsTheUsage) {
    EXPECT_EQ(filtered(": ping\n\n" + kUsage + ": pong\n\n" + kDone),
              ": ping\n\n: pong\n\n" + kDone);
    EXPECT_EQ(filtered("event: x\n\nretry: 1\n" + kUsage + "id: 1"), "event: x\n\nid: 1");
    EXPECT_EQ(filtered("\n\n\n" + kUsage + "\n\n" + kDone), "\n\n\n\n\n" + kDone);
    EXPECT_EQ(filtered("event: x\nid: 1\n" + kText + ": ping\n" + kText),
              "event: x\nid: 1\n" + kTextAlone + ": ping\n" + kTextAlone);
}

TEST(UsageChunk, RemovesALineTogetherWithItsEnd) {
    const std::string text = "data: {\"choices\":[1]}\r\n\r\n";
    const std::string usage = "data: {\"choices\":[],\"usage\":{}}\r\n\r\n";
    EXPECT_EQ(filtered(text + usage + usage + text), text + text);
    EXPECT_EQ(filtered(usage + "\n" + text), "\n" + text);
    EXPECT_EQ(filtered("data: 1\r\rdata: {\"choices\":[],\"usage\":{}}\r\rdata: 2\r\r"),
              "data: 1\r\rdata: 2\r\r");
}

TEST(UsageChunk, PassesWholeEventsAtOnce) {
    UsageChunkFilter filter;
    Collector collector;
    filter.feed(kText + ": ping\n\n" + kText.substr(0, 10), collector);
    EXPECT_EQ(collector.passed, kTextAlone + ": ping\n\n");
    filter.feed(kText.substr(10), collector);
    EXPECT_EQ(collector.passed, kTextAlone + ": ping\n\n" + kTextAlone);
    filter.feed(": pi", collector);
    filter.feed("ng\n\n", collector);
    EXPECT_EQ(collector.passed, kTextAlone + ": ping\n\n" + kTextAlone + ": ping\n\n");
}

TEST(UsageChunk, HandsOverTextWithoutCopying) {
    struct Sink {
        void pass(std::string_view text) {
            EXPECT_EQ(text.data(), expected);
            ++calls;
        }
        const char* expected;
        int calls = 0;
    };
    const std::string piece = kTextAlone + kTextAlone + kTextAlone;
    Sink sink{piece.data()};
    UsageChunkFilter filter;
    filter.feed(piece, sink);
    EXPECT_EQ(sink.calls, 1);
}

TEST(UsageChunk, RemovesOnlyTheUsageOfALongEvent) {
    const std::string padding(UsageChunkFilter::kMaxKept, ' ');
    const std::string rest = "data: {\"choices\":[]," + padding + "\"x\":1";
    const std::string large = R"("usage":{"text":")" + std::string(3000, 'x') + "\"}";
    for (const std::string& usage :
         {std::string(R"("usage":{})"), std::string(R"("usage":null)"), large}) {
        const std::string last = rest + "," + usage + "}\n\n";
        const std::string first = "data: {" + usage + "," + rest.substr(7) + "}\n\n";
        const std::string middle = rest + "," + usage + "," + rest.substr(7) + "}\n\n";
        for (const size_t most : {size_t{1}, size_t{7}, size_t{1000}, last.size() * 3}) {
            EXPECT_TRUE(filtered(last, most) == rest + "}\n\n") << most << usage.substr(0, 20);
            EXPECT_TRUE(filtered(first, most) == rest + "}\n\n") << most << usage.substr(0, 20);
            EXPECT_TRUE(filtered(middle, most) == rest + "," + rest.substr(7) + "}\n\n") << most;
        }
    }
    const std::string only = "data: {\"choices\":[]," + padding + "\"usage\":{}}\n\n";
    EXPECT_TRUE(filtered(only + kUsage + kText, 100) == only + kTextAlone)
        << "the comma has gone on long before";
}

TEST(UsageChunk, PassesALongEventBeforeItEnds) {
    const std::string padding(UsageChunkFilter::kMaxKept, ' ');
    UsageChunkFilter filter;
    Collector collector;
    const std::string begun = "data: {\"x\":\"" + padding;
    filter.feed(kText + begun, collector);
    EXPECT_GE(collector.passed.size() + 64, (kTextAlone + begun).size());
    EXPECT_EQ((kTextAlone + begun).substr(0, collector.passed.size()), collector.passed);
}

TEST(UsageChunk, PassesAUsageThatIsTooLongToBuffer) {
    const std::string event = "data: {\"x\":[" + std::string(UsageChunkFilter::kMaxKept, '1') +
                              "],\"usage\":{\"y\":[" +
                              std::string(2 * UsageChunkFilter::kMaxKept, '1') + "]}}\n\n";
    for (const size_t most : {size_t{100}, size_t{5000}}) {
        EXPECT_TRUE(filtered(event + kText, most) == event + kTextAlone);
    }
}

TEST(UsageChunk, PassesEveryByteOfALongUsageHoweverItIsCut) {
    const std::string before = "data: {\"choices\":[],\"usage\":{\"x\":\"";
    for (const size_t size : {8100, 8192, 9000, 20000}) {
        const std::string stream =
            kTextAlone + before + std::string(size, 'x') + "\"}}\n\n" + kDone;
        for (const size_t most : {1, 2, 3, 5, 9}) {
            const std::string passed = filtered(stream, most);
            EXPECT_TRUE(passed == stream || passed == kTextAlone + kDone)
                << size << " bytes in pieces of " << most << ", of which " << passed.size()
                << " passed";
        }
    }
}

TEST(UsageChunk, FindsTheUsageAmongEventsThatAreAlike) {
    const auto event = [](const std::string& text, const std::string& usage) {
        return "data: {\"choices\":[{\"text\":\"" + text + "\"}]," + usage + "\"obfuscation\":\"" +
               std::string(text.size() % 3, 'x') + "\"}\r\n\r\n";
    };
    const std::string chunk = "\"choices\":[],\"usage\":{},";
    const std::string some = event("b\\n", "") + event("a", "") + event("", "");
    EXPECT_EQ(filtered(some + event("c", chunk) + some + event("d", chunk) + event("e", chunk)),
              some + some);
    // an event that is too long to be removed says nothing of the others
    const std::string text(UsageChunkFilter::kMaxKept, 'x');
    EXPECT_TRUE(filtered(some + event(text, chunk) + event("c", chunk), SIZE_MAX) ==
                some + event(text, "\"choices\":[],"));
}

TEST(UsageChunk, RemovesANullUsageFromEventsThatAreAlike) {
    const auto event = [](const std::string& text, const std::string& usage) {
        return "data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"}}]" + usage +
               ",\"obfuscation\":\"" + std::string(text.size() % 5, 'x') + "\"}\n\n";
    };
    for (const std::string usage : {",\"usage\":null", ", \"usage\" : null"}) {
        std::string stream;
        std::string expected;
        for (const char* text :
             {"a", "", "be", "\\n", "c", "caf\xC3\xA9", "longer than the others"}) {
            for (int i = 0; i < 10; ++i) {
                stream += event(text, usage);
                expected += event(text, "");
            }
        }
        for (const size_t most : {size_t{1}, size_t{50}, size_t{1000}, stream.size()}) {
            EXPECT_EQ(filtered(stream, most), expected) << most;
        }
    }
    const std::string stream = event("a", ",\"usage\":null") + event("b", ",\"usage\":null") +
                               event("c", "") + event("d", "") + event("e", ",\"usage\":null");
    EXPECT_EQ(filtered(stream),
              event("a", "") + event("b", "") + event("c", "") + event("d", "") + event("e", ""));
}

TEST(UsageChunk, SkipsEventsThatAReaderHasRecognized) {
    const auto event = [](const std::string& text, const std::string& usage) {
        return "data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"}}]" + usage + "}\n\n";
    };
    for (const std::string usage : {",\"usage\":null", ""}) {
        std::string many;
        std::string expected;
        for (int i = 0; i < 100; ++i) {
            many += event(std::to_string(i), usage);
            expected += event(std::to_string(i), "");
        }
        const std::string pieces[] = {kDone, event("a", usage), many, event("b", usage), kUsage,
                                      many};
        Beside beside;
        for (const std::string& piece : pieces) {
            beside.feed(piece);
        }
        // The filter skips as many events of a long piece as there is room for their cuts.
        EXPECT_GE(beside.noted(), 2 * EventCuts::kMax * event("0", usage).size());
        EXPECT_EQ(beside.finish(), kDone + event("a", "") + expected + event("b", "") + expected);
    }
}

TEST(UsageChunk, LooksAtAnEventIfTheReaderKeepsAnother) {
    // The reader counts the text of both, and the filter knows the first alone.
    const auto event = [](const std::string& member, const std::string& usage) {
        return "data: {\"choices\":[],\"usage\":" + usage + ",\"response\":\"" + member + "\"}\n\n";
    };
    Beside beside;
    std::string expected;
    for (int i = 0; i < 5; ++i) {
        beside.feed(event("a", "{}") + event("b", "{}"));
        expected += "data: {\"choices\":[],\"response\":\"a\"}\n\n";
        expected += "data: {\"choices\":[],\"response\":\"b\"}\n\n";
    }
    EXPECT_EQ(beside.noted(), 0U);
    EXPECT_EQ(beside.finish(), expected);
}

TEST(UsageChunk, RemovesTheUsageOfEachEventHoweverTheStreamIsCut) {
    const auto with = [](const std::string& rest, const std::string& usage) {
        return "data: {\"choices\":" + rest + usage + "}\n\n";
    };
    const std::string plain[] = {
        R"([{"delta":{"content":"Hi"}}])",
        R"([{"delta":{"content":"you\n"}}])",
        R"([],"error":{"message":"x"})",
        R"([],"timings":{"n":1},"x":[{"usage":null}])",
    };
    const std::string around[] = {
        kDone, "\r\n", "\n", "\r", ": x\n\n", "event: y\n", "data: {}\r\n\r\n"};
    Random random(3);
    for (int i = 0; i < 300; ++i) {
        std::string expected;
        std::string stream;
        for (uint64_t n = random.below(8); n > 0; --n) {
            if (random.one_in(2)) {
                const std::string& part = random.one_of(around);
                expected += part;
                stream += part;
                continue;
            }
            const std::string& rest = random.one_of(plain);
            const char* const usages[] = {"", ",\"usage\":null", ",\"usage\":{\"a\":1}"};
            expected += with(rest, "");
            stream += with(rest, random.one_of(usages));
            stream += random.one_in(2) ? kUsage : "";
        }
        EXPECT_EQ(filtered(stream), expected);
    }
}

}  // namespace
}  // namespace ai_limit
