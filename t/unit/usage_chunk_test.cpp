#include "core/usage_chunk.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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

std::string filtered(std::string_view stream, size_t most) {
    UsageChunkFilter filter;
    Collector collector;
    while (!stream.empty()) {
        const std::vector<char> piece(
            stream.begin(), stream.begin() + static_cast<long>(std::min(most, stream.size())));
        filter.feed({piece.data(), piece.size()}, collector);
        stream.remove_prefix(piece.size());
    }
    filter.finish(collector);
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
const std::string kUsage =
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

TEST(UsageChunk, IsTakenOut) {
    EXPECT_EQ(filtered(kText + kUsage + kDone), kText + kDone);
    EXPECT_EQ(filtered(kUsage), "");
    EXPECT_EQ(filtered(kText + kUsage + kUsage + kText), kText + kText);
    EXPECT_EQ(filtered("data:{\"usage\" : { } ,\ndata:\"choices\": [ ]}\n\n" + kDone), kDone);
    EXPECT_EQ(filtered(kText + "data: {\"choices\":[],\"usage\":{}}"), kText);
    EXPECT_EQ(filtered(kText + "data: {\"choices\":[],\"usage\":{}}\n"), kText);
}

TEST(UsageChunk, AllElsePasses) {
    for (const std::string document : {
             R"({"choices":[],"prompt_filter_results":[{}]})",  // Azure's first one
             R"({"choices":[],"usage":null})",
             R"({"choices":[],"usage":[]})",
             R"({"choices":[],"usage":"{}"})",
             R"({"choices":[null],"usage":{}})",
             R"({"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":5}})",
             R"({"choices":{},"usage":{}})",
             R"({"choices":null,"usage":{}})",
             R"({"usage":{}})",
             R"({"x":{"choices":[],"usage":{}}})",
             R"([{"choices":[],"usage":{}}])",
             R"({"choices":[],"usage":{}}})",
             R"({"choices":[],"usage":{})",
             R"({"choices":[],"usage":{},"usage":null})",
             R"({"choices":[],"choices":[1],"usage":{}})",
             R"({"choices":[],"choices":{},"usage":{}})",
         }) {
        const std::string stream = "data: " + document + "\n\n" + kDone;
        EXPECT_EQ(filtered(stream), stream);
    }
    EXPECT_EQ(filtered(R"(data: {"choices":[1],"choices":[],"usage":null,"usage":{}})"), "");
}

TEST(UsageChunk, WhatStandsAroundItStays) {
    EXPECT_EQ(filtered(": ping\n\n" + kUsage + ": pong\n\n" + kDone),
              ": ping\n\n: pong\n\n" + kDone);
    EXPECT_EQ(filtered("event: x\n\nretry: 1\n" + kUsage + "id: 1"), "event: x\n\nid: 1");
    EXPECT_EQ(filtered("\n\n\n" + kUsage + "\n\n" + kDone), "\n\n\n\n\n" + kDone);
}

TEST(UsageChunk, ALineEndGoesWithItsLine) {
    const std::string text = "data: {\"choices\":[1]}\r\n\r\n";
    const std::string usage = "data: {\"choices\":[],\"usage\":{}}\r\n\r\n";
    EXPECT_EQ(filtered(text + usage + usage + text), text + text);
    EXPECT_EQ(filtered(usage + "\n" + text), "\n" + text);
    EXPECT_EQ(filtered("data: 1\r\rdata: {\"choices\":[],\"usage\":{}}\r\rdata: 2\r\r"),
              "data: 1\r\rdata: 2\r\r");
}

TEST(UsageChunk, WholeEventsGoOnAtOnce) {
    UsageChunkFilter filter;
    Collector collector;
    filter.feed(kText + ": ping\n\n" + kText.substr(0, 10), collector);
    EXPECT_EQ(collector.passed, kText + ": ping\n\n");
    filter.feed(kText.substr(10), collector);
    EXPECT_EQ(collector.passed, kText + ": ping\n\n" + kText);
    filter.feed(": pi", collector);
    filter.feed("ng\n\n", collector);
    EXPECT_EQ(collector.passed, kText + ": ping\n\n" + kText + ": ping\n\n");
}

TEST(UsageChunk, TextIsHandedOverWhereItLies) {
    struct Sink {
        void pass(std::string_view text) {
            EXPECT_EQ(text.data(), expected);
            ++calls;
        }
        const char* expected;
        int calls = 0;
    };
    const std::string piece = kText + kText + kText;
    Sink sink{piece.data()};
    UsageChunkFilter filter;
    filter.feed(piece, sink);
    EXPECT_EQ(sink.calls, 1);
}

TEST(UsageChunk, AnEventThatIsTooLongToHoldPasses) {
    const std::string padding(UsageChunkFilter::kMaxHeld, ' ');
    const std::string usage = "data: {\"choices\":[]," + padding + "\"usage\":{}}\n\n";
    for (const size_t most : {size_t{1}, size_t{1000}, usage.size()}) {
        EXPECT_TRUE(filtered(usage, most) == usage);
    }
    const size_t excess = usage.size() - UsageChunkFilter::kMaxHeld;
    const std::string longest = usage.substr(0, 20) + usage.substr(20 + excess);
    for (const size_t most : {size_t{1}, size_t{1000}, longest.size()}) {
        EXPECT_EQ(filtered(longest, most), "");
    }
    EXPECT_EQ(filtered(usage + kUsage + kText, 100), usage + kText);

    UsageChunkFilter filter;
    Collector collector;
    const std::string begun = kText + "data: {\"x\":\"" + padding;
    filter.feed(begun, collector);
    EXPECT_EQ(collector.passed, begun);
}

TEST(UsageChunk, IsFoundAmongEventsThatAreAlike) {
    const auto event = [](const std::string& text, const std::string& usage) {
        return "data: {\"choices\":[{\"text\":\"" + text + "\"}]," + usage + "\"obfuscation\":\"" +
               std::string(text.size() % 3, 'x') + "\"}\r\n\r\n";
    };
    const std::string chunk = "\"choices\":[],\"usage\":{},";
    const std::string some = event("b\\n", "") + event("a", "") + event("", "");
    EXPECT_EQ(filtered(some + event("c", chunk) + some + event("d", chunk) + event("e", chunk)),
              some + some);
    // one that is too long to be taken out says nothing of the others
    const std::string longest = event(std::string(UsageChunkFilter::kMaxHeld, 'x'), chunk);
    EXPECT_TRUE(filtered(some + longest + event("c", chunk), SIZE_MAX) == some + longest);
}

TEST(UsageChunk, OnlyItIsTakenOutHoweverTheStreamIsCut) {
    const std::string parts[] = {
        kText,
        kText,
        "data: {\"choices\":[{\"delta\":{\"content\":\"you\\n\"}}],\"usage\":null}\n\n",
        kDone,
        "\r\n",
        "\n",
        "\r",
        ": x\n\n",
        "event: y\n",
        "data: {}\r\n\r\n",
    };
    Random random(3);
    for (int i = 0; i < 300; ++i) {
        std::string expected;
        std::string stream;
        for (uint64_t n = random.below(8); n > 0; --n) {
            const std::string& part = random.one_of(parts);
            expected += part;
            stream += part;
            const bool between =
                expected.size() >= 2 && expected.substr(expected.size() - 2) == "\n\n";
            stream += between && random.one_in(2) ? kUsage : "";
        }
        EXPECT_EQ(filtered(stream), expected);
    }
}

}  // namespace
}  // namespace ai_limit
