#include "core/streams/event_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "event_stream_message.h"
#include "random.h"

namespace ai_limit {
namespace {

struct Message {
    std::string event_type;
    std::string payload;

    bool operator==(const Message& other) const {
        return event_type == other.event_type && payload == other.payload;
    }
};

using Messages = std::vector<Message>;

struct Read {
    Messages messages;
    bool malformed;
    bool open;
};

/** Reads a stream that comes in pieces of at most `most` bytes, each in memory of its own. */
Read read(std::string_view stream, size_t most) {
    EventStreamReader reader;
    Read result{};
    std::string payload;
    while (!stream.empty()) {
        const std::string piece(stream.substr(0, most));
        stream.remove_prefix(piece.size());
        std::string_view rest = piece;
        for (;;) {
            const EventStreamToken token = reader.next(&rest);
            if (token.kind == EventStreamToken::kNothing) {
                break;
            }
            payload += token.text;
            if (token.kind == EventStreamToken::kEndOfMessage) {
                EXPECT_TRUE(token.text.empty());
                result.messages.push_back({std::string(reader.event_type()), payload});
                payload.clear();
            } else {
                EXPECT_FALSE(token.text.empty());
            }
        }
        EXPECT_TRUE(rest.empty());
    }
    const std::string type(reader.event_type());
    result.malformed = reader.malformed();
    result.open = reader.finish();
    if (result.open) {
        result.messages.push_back({type, payload});
    }
    return result;
}

/** Whole, and in pieces of every size. */
Read read(std::string_view stream) {
    const Read whole = read(stream, stream.size() + 1);
    for (size_t most = 1; most < stream.size(); ++most) {
        const Read cut = read(stream, most);
        EXPECT_EQ(cut.messages, whole.messages) << "in pieces of " << most;
        EXPECT_EQ(cut.malformed, whole.malformed);
        EXPECT_EQ(cut.open, whole.open);
    }
    return whole;
}

TEST(EventStream, ReportsTypeAndPayloadOfEachMessage) {
    const Read result = read(event("messageStart", "{\"role\":\"assistant\"}") +
                             event("metadata", "{\"usage\":{\"inputTokens\":3}}"));
    EXPECT_EQ(result.messages, (Messages{{"messageStart", "{\"role\":\"assistant\"}"},
                                         {"metadata", "{\"usage\":{\"inputTokens\":3}}"}}));
    EXPECT_FALSE(result.malformed);
    EXPECT_FALSE(result.open);
}

// Its checksums are zlib's.
TEST(EventStream, ReadsAMessageOfAnotherImplementation) {
    const uint8_t prelude[] = {0x00, 0x00, 0x00, 0x2E, 0x00, 0x00,
                               0x00, 0x17, 0x98, 0x00, 0xCB, 0xCB};
    const uint8_t end[] = {0xC9, 0x35, 0xD1, 0xF2};
    std::string stream(prelude, prelude + sizeof prelude);
    stream += "\x0B:event-type\x07";
    stream += std::string("\0\x08", 2) + "metadata{\"a\":1}";
    stream.append(end, end + sizeof end);
    EXPECT_EQ(read(stream).messages, (Messages{{"metadata", "{\"a\":1}"}}));
    EXPECT_EQ(stream, message(header(":event-type", 7, "metadata"), "{\"a\":1}"));
}

TEST(EventStream, KnowsTheTypeBeforeThePayload) {
    const std::string stream = event("metadata", "{}");
    EventStreamReader reader;
    std::string_view rest = stream;
    EXPECT_EQ(reader.next(&rest).text, "{}");
    EXPECT_EQ(reader.event_type(), "metadata");
}

TEST(EventStream, HandsOverThePayloadWithoutCopying) {
    const std::string stream = event("chunk", std::string(5000, 'x'));
    EventStreamReader reader;
    std::string_view rest = stream;
    const EventStreamToken token = reader.next(&rest);
    EXPECT_EQ(token.text.size(), 5000U);
    EXPECT_EQ(token.text.data(), stream.data() + stream.size() - 5004);
}

TEST(EventStream, SkipsHeadersOfEveryType) {
    std::string headers;
    const size_t sizes[] = {0, 0, 1, 2, 4, 8, 5, 6, 8, 16};
    for (int type = 0; type < 10; ++type) {
        headers += header("h" + std::to_string(type), type, std::string(sizes[type], 'v'));
        headers += header(":event-type", type == 7 ? 6 : type, std::string(sizes[type], 'w'));
    }
    EXPECT_EQ(read(message(headers, "p")).messages, (Messages{{"", "p"}}));
    headers += header(":event-type", 7, "chunk");
    headers += header("", 7, "") + header(":event-typo", 7, "a") + header("event-type", 7, "b");
    headers += header(":event-types", 7, "c");
    EXPECT_EQ(read(message(headers, "p")).messages, (Messages{{"chunk", "p"}}));
}

TEST(EventStream, AcceptsAnEmptyMessage) {
    EXPECT_EQ(read(message("", "") + event("ping", "") + message("", "x")).messages,
              (Messages{{"", ""}, {"ping", ""}, {"", "x"}}));
}

TEST(EventStream, IgnoresAnEventTypeThatIsTooLong) {
    const std::string longest(EventStreamReader::kMaxEventType, 't');
    EXPECT_EQ(read(event(longest, "a") + event(longest + "t", "b")).messages,
              (Messages{{longest, "a"}, {"", "b"}}));
    EXPECT_EQ(read(event(std::string(60'000, 't'), "c"), 7).messages, (Messages{{"", "c"}}));
}

TEST(EventStream, EndsTheHeadersAtAnUnknownType) {
    const std::string headers = header(":event-type", 7, "chunk") + header("x", 10, "??") +
                                header(":event-type", 7, "other");
    EXPECT_EQ(read(message(headers, "p") + event("metadata", "q")).messages,
              (Messages{{"chunk", "p"}, {"metadata", "q"}}));
}

TEST(EventStream, StopsAHeaderAtThePayload) {
    const std::string headers = header("x", 7, "value");
    const std::string cut = headers.substr(0, headers.size() - 3);
    const Read result = read(message(cut, "payload") + event("metadata", "q"));
    EXPECT_EQ(result.messages, (Messages{{"", "payload"}, {"metadata", "q"}}));
    EXPECT_FALSE(result.malformed);
}

TEST(EventStream, EndsTheStreamAtABadPrelude) {
    for (const std::string& bad :
         {prelude(15, 0), prelude(0, 0), prelude(17, 2), prelude(16, 0xFFFFFFFF),
          prelude((256U << 20) + 1, 0), prelude(0xFFFFFFFF, 0), std::string("data: {\"a\":1}\n\n"),
          std::string(12, '\0')}) {
        const Read result = read(event("a", "b") + bad + event("c", "d"));
        EXPECT_TRUE(result.malformed);
        EXPECT_FALSE(result.open);
        EXPECT_EQ(result.messages, (Messages{{"a", "b"}}));
    }
    EXPECT_FALSE(read(prelude(256U << 20, 0)).malformed);
    EXPECT_FALSE(read(prelude(17, 1)).malformed);
}

TEST(EventStream, DetectsEveryWrongBitOfAPrelude) {
    const std::string good = event("a", "b");
    for (size_t bit = 0; bit < 12 * 8; ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
        EXPECT_TRUE(read(bad, bad.size()).malformed) << bit;
    }
}

TEST(EventStream, ReportsAMessageThatIsCutInItsPayload) {
    const std::string stream = event("metadata", "{\"usage\":1}");
    for (size_t size = 0; size <= stream.size(); ++size) {
        const Read result = read(stream.substr(0, size));
        const size_t payload_at = stream.size() - 4 - 11;
        EXPECT_EQ(result.open, size >= payload_at && size < stream.size()) << size;
        EXPECT_EQ(result.messages.size(), size >= payload_at ? 1U : 0U) << size;
    }
}

TEST(EventStream, CanBeUsedAgainAfterItsEnd) {
    const std::string stream = event("a", "b");
    EventStreamReader reader;
    std::string_view rest = "no such stream, by far";
    reader.next(&rest);
    EXPECT_TRUE(reader.malformed());
    EXPECT_FALSE(reader.finish());
    rest = stream;
    EXPECT_EQ(reader.next(&rest).text, "b");
    static_assert(sizeof(EventStreamReader) <= 80);
}

TEST(EventStream, ReadsWhatTheTestWrites) {
    Random random(2);
    for (int i = 0; i < 300; ++i) {
        Messages expected;
        std::string stream;
        for (uint64_t left = random.below(6); left > 0; --left) {
            Message one{std::string(random.below(33), 'e'), std::string(random.below(300), 'p')};
            for (char& c : one.payload) {
                c = static_cast<char>(random.below(256));
            }
            stream += event(one.event_type, one.payload);
            expected.push_back(one);
        }
        for (const size_t most : {size_t{1}, size_t{2}, 1 + random.below(50), size_t{10'000}}) {
            const Read result = read(stream, most);
            ASSERT_EQ(result.messages, expected);
            ASSERT_FALSE(result.malformed || result.open);
        }
    }
}

}  // namespace
}  // namespace ai_limit
