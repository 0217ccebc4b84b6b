#include "core/streams/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "random.h"

namespace ai_limit {
namespace {

using Events = std::vector<std::string>;

/** Puts the events together, as a copy. */
struct Collector {
    void data(std::string_view text) {
        EXPECT_FALSE(text.empty());
        event += text;
    }
    void end_of_event() {
        events.push_back(event);
        event.clear();
    }

    std::string event;
    Events events;
};

/** The events of a stream that comes in pieces of at most `most` bytes, each in memory of its own.
 */
Events events_of(std::string_view stream, size_t most) {
    SseReader reader;
    Collector collector;
    while (!stream.empty()) {
        const std::vector<char> piece(
            stream.begin(), stream.begin() + static_cast<long>(std::min(most, stream.size())));
        reader.feed({piece.data(), piece.size()}, collector);
        stream.remove_prefix(piece.size());
    }
    reader.finish(collector);
    EXPECT_EQ(collector.event, "");
    return collector.events;
}

/** The events of a stream, whole and cut at each place. */
Events events_of(std::string_view stream) {
    const Events whole = events_of(stream, stream.size() + 1);
    for (size_t most = 1; most < stream.size() && most < 50; ++most) {
        EXPECT_EQ(events_of(stream, most), whole) << stream << " in pieces of " << most;
    }
    for (size_t cut = 0; cut < stream.size(); ++cut) {
        SseReader reader;
        Collector collector;
        reader.feed(stream.substr(0, cut), collector);
        reader.feed(stream.substr(cut), collector);
        reader.finish(collector);
        EXPECT_EQ(collector.events, whole) << stream << " cut at " << cut;
    }
    return whole;
}

TEST(Sse, ReportsTheDataOfEachEvent) {
    EXPECT_EQ(events_of("data: {\"a\":1}\n\ndata: [DONE]\n\n"), (Events{"{\"a\":1}", "[DONE]"}));
}

TEST(Sse, SkipsOneSpaceAfterTheColon) {
    EXPECT_EQ(events_of("data:a\n\ndata: b\n\ndata:  c\n\ndata: \n\n"),
              (Events{"a", "b", " c", ""}));
}

TEST(Sse, AcceptsAllThreeLineEnds) {
    EXPECT_EQ(events_of("data: a\r\n\r\ndata: b\r\rdata: c\n\n"), (Events{"a", "b", "c"}));
    EXPECT_EQ(events_of("data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r"), (Events{"a\nb\nc", "d"}));
    EXPECT_EQ(events_of("data: a\n\rdata: b\r\n\n"), (Events{"a", "b"}));
}

TEST(Sse, TakesNoBlankLineFromACutLineEnd) {
    SseReader reader;
    Collector collector;
    reader.feed("data: a\r", collector);
    reader.feed("\ndata: b\r", collector);
    EXPECT_EQ(collector.events, Events{});
    reader.feed("\n\r", collector);
    EXPECT_EQ(collector.events, Events{"a\nb"});
    reader.feed("\n", collector);
    reader.finish(collector);
    EXPECT_EQ(collector.events, Events{"a\nb"});
}

TEST(Sse, JoinsTheDataLinesOfAnEventWithANewline) {
    EXPECT_EQ(events_of("data: a\ndata\ndata:\nid: 3\ndata:b\n\n"), Events{"a\n\n\nb"});
}

TEST(Sse, SkipsCommentsAndOtherFields) {
    EXPECT_EQ(events_of(": ping\n\nevent: message_start\nid: 1\nretry: 10\n:\ndata: a\n\n"),
              Events{"a"});
    EXPECT_EQ(events_of("dat: a\ndatax: b\nda\nDATA: c\n data: d\nxdata: e\ndata : f\ndata\n\n"),
              Events{""});
    EXPECT_EQ(events_of("event: data: a\n\n: data: b\n\nevent: ping\n\n\n\n"), Events{});
}

TEST(Sse, SkipsAByteOrderMarkAtTheStart) {
    EXPECT_EQ(events_of("\xEF\xBB\xBF"
                        "data: a\n\n"),
              Events{"a"});
    EXPECT_EQ(events_of("\xEF\xBB\xBF\n\n\xEF\xBB\xBF"
                        "data: a\n\n"),
              Events{});
    EXPECT_EQ(events_of("\xEF\xBB"
                        "data: a\ndata: b\n\n"),
              Events{"b"});
    EXPECT_EQ(events_of("\xEF"
                        "ata: a\n\ndata: b\n\n"),
              Events{"b"});
    EXPECT_EQ(events_of("\xEF\n\ndata: a\n\n"), Events{"a"});
}

TEST(Sse, ReportsTheLastEventWithoutABlankLine) {
    EXPECT_EQ(events_of("data: a\n\ndata: b\n"), (Events{"a", "b"}));
    EXPECT_EQ(events_of("data: a\n\ndata: b"), (Events{"a", "b"}));
    EXPECT_EQ(events_of("data: a\n\ndata: b\r"), (Events{"a", "b"}));
    EXPECT_EQ(events_of("data: a\n\ndata"), Events{"a"});
    EXPECT_EQ(events_of("data: a\n\n"), Events{"a"});
    EXPECT_EQ(events_of(""), Events{});
}

TEST(Sse, CanBeUsedAgainAfterItsEnd) {
    SseReader reader;
    Collector collector;
    reader.feed("event: x", collector);
    reader.finish(collector);
    reader.feed(
        "\xEF\xBB\xBF"
        "data: a\n",
        collector);
    reader.finish(collector);
    EXPECT_EQ(collector.events, Events{"a"});
}

TEST(Sse, HandsOverDataWithoutCopying) {
    const std::string stream = "data: " + std::string(5000, 'x') + "\n\n";
    SseReader reader;
    std::string_view rest = stream;
    const SseToken token = reader.next(&rest);
    EXPECT_EQ(token.kind, SseToken::kData);
    EXPECT_EQ(token.text.data(), stream.data() + 6);
    EXPECT_EQ(token.text.size(), 5000U);
    EXPECT_EQ(rest, "\n\n");
}

TEST(Sse, ReportsWhereAnEventBegins) {
    SseReader reader;
    std::string_view rest = "\n: ping\r\n\r\nid: 1\ndata: a\r\rx";
    EXPECT_FALSE(reader.is_between_events());
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kNoEvent);
    EXPECT_TRUE(reader.is_between_events());
    EXPECT_EQ(rest, "\nid: 1\ndata: a\r\rx");
    EXPECT_TRUE(reader.skip_line_feed(&rest));
    EXPECT_FALSE(reader.skip_line_feed(&rest));
    EXPECT_TRUE(reader.is_between_events());
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kData);
    EXPECT_FALSE(reader.is_between_events());
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kEndOfEvent);
    EXPECT_TRUE(reader.is_between_events());
    EXPECT_FALSE(reader.skip_line_feed(&rest));
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kNothing);
    EXPECT_FALSE(reader.is_between_events());
}

TEST(Sse, SkipsAKnownEvent) {
    SseReader reader;
    std::string_view rest = "\n\n";
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kNoEvent);
    reader.skip_event("data: a\r\n\r");
    EXPECT_TRUE(reader.is_between_events());
    rest = "\ndata: b";
    EXPECT_TRUE(reader.skip_line_feed(&rest));
    reader.skip_event("data: a\r\r");
    reader.skip_event("data: a\n\n");
    rest = "\ndata: b";
    EXPECT_FALSE(reader.skip_line_feed(&rest));
    EXPECT_EQ(reader.next(&rest).kind, SseToken::kNoEvent);
    EXPECT_EQ(reader.next(&rest).text, "b");
}

TEST(Sse, KeepsOnlyItsPosition) {
    static_assert(sizeof(SseReader) <= 8);
}

/** The standard's words, line by line. */
Events reference(std::string_view stream) {
    if (stream.substr(0, 3) == "\xEF\xBB\xBF") {
        stream.remove_prefix(3);
    }
    Events events;
    std::string data;
    while (!stream.empty()) {
        const size_t end = stream.find_first_of("\r\n");
        const std::string_view line = stream.substr(0, end);
        const bool complete = end != stream.npos;
        const size_t width = complete && stream.substr(end, 2) == "\r\n" ? 2 : 1;
        stream.remove_prefix(complete ? end + width : stream.size());
        const std::string_view name = line.substr(0, line.find(':'));
        if (line.empty()) {
            if (!data.empty()) {
                events.push_back(data.substr(0, data.size() - 1));
            }
            data.clear();
        } else if (name == "data" && (complete || line.size() > name.size())) {
            std::string_view value = line.substr(std::min(line.size(), name.size() + 1));
            value.remove_prefix(value.substr(0, 1) == " " ? 1 : 0);
            data.append(value).append("\n");
        }
    }
    if (!data.empty()) {
        events.push_back(data.substr(0, data.size() - 1));
    }
    return events;
}

TEST(Sse, MatchesTheStandardHoweverItIsCut) {
    constexpr std::string_view kParts[] = {
        "data",    ":",  " ", "\n",     "\r",           "\r\n", "\n\n", "data: ", "data:",
        "event: ", "{}", "x", ": ping", "\xEF\xBB\xBF", "\xEF", "dat",  "a:b",    "id",
    };
    Random random(1);
    for (int i = 0; i < 5'000; ++i) {
        std::string stream;
        for (uint64_t parts = random.below(30); parts > 0; --parts) {
            stream += random.one_of(kParts);
            if (random.one_in(40)) {
                stream.append(random.below(2000), 'y');
            }
        }
        const Events expected = reference(stream);
        ASSERT_EQ(events_of(stream, stream.size() + 1), expected) << stream;
        ASSERT_EQ(events_of(stream, 1), expected) << stream;
        ASSERT_EQ(events_of(stream, 1 + random.below(20)), expected) << stream;
    }
}

}  // namespace
}  // namespace ai_limit
