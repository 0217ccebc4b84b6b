// Replies of Redis, and what no Redis sends: in any pieces the same, in bounded memory.

#include "redis/protocol/reply.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "random.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AI_LIMIT_ADDRESS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define AI_LIMIT_ADDRESS_SANITIZER 1
#endif

#ifdef AI_LIMIT_ADDRESS_SANITIZER
/** AddressSanitizer's; gcc has no header for it. */
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#else
#include <malloc.h>
#endif

namespace ai_limit {
namespace {

/** Returns the bytes that are allocated now. */
size_t allocated_bytes() {
#ifdef AI_LIMIT_ADDRESS_SANITIZER
    return __sanitizer_get_current_allocated_bytes();
#else
    // The cross-built tests have no sanitizer. glibc counts large blocks, which it maps, apart.
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

std::string shown(const Reply& reply) {
    static const char* const kNames[] = {"none", "status", "error", "number",
                                         "text", "null",   "array"};
    std::string text = kNames[static_cast<size_t>(reply.kind())];
    for (size_t i = 0; i < reply.number_count(); ++i) {
        text += ' ' + std::to_string(reply.numbers()[i]);
    }
    return text + '(' + std::string(reply.text()) + ')';
}

/**
 * Returns the replies read from bytes that come in pieces of that size, with "failed" at the end if
 * reading fails.
 */
std::vector<std::string> read_in(std::string_view bytes, size_t piece) {
    static const auto reader = std::make_unique<ReplyReader>();  // it is large
    EXPECT_TRUE(reader->restart());
    std::vector<std::string> replies;
    while (!bytes.empty() && !reader->failed()) {
        const std::string part(bytes.substr(0, piece));
        bytes.remove_prefix(part.size());
        if (!reader->feed(part)) {
            break;
        }
        while (const Reply* reply = reader->next()) {
            replies.push_back(shown(*reply));
        }
    }
    if (reader->failed()) {
        replies.push_back("failed");
    }
    return replies;
}

using Replies = std::vector<std::string>;

TEST(Reply, ReadsEveryKind) {
    EXPECT_EQ(
        read_in("+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n", 1000),
        (Replies{"status(OK)", "error(ERR no)", "number -7()", "text(a\r\nbc)", "text()", "null()",
                 "null()", "array()"}));
}

TEST(Reply, ReadsNumbersAndTextsOfAnArray) {
    EXPECT_EQ(read_in("*3\r\n:1\r\n*2\r\n:2\r\n$1\r\na\r\n+b\r\n", 1000),
              (Replies{"array 1 2(a\nb\n)"}));
    EXPECT_EQ(read_in("*3\r\n:9223372036854775807\r\n$-1\r\n:-9223372036854775808\r\n", 1000),
              (Replies{"array 9223372036854775807 -9223372036854775808()"}));
}

TEST(Reply, ReadsTheSameInAnyPieces) {
    const std::string bytes =
        "*4\r\n:1\r\n:1755777600000\r\n*2\r\n:3\r\n$2\r\nab\r\n+c\r\n-NOSCRIPT No matching "
        "script\r\n"
        "$40\r\n0123456789012345678901234567890123456789\r\n*0\r\n:5\r\n";
    const Replies whole = read_in(bytes, bytes.size());
    EXPECT_EQ(whole.size(), 5U);
    for (size_t piece = 1; piece < bytes.size(); ++piece) {
        EXPECT_EQ(read_in(bytes, piece), whole) << "in pieces of " << piece;
    }
}

TEST(Reply, NamesTheKindOfErrorByItsFirstWord) {
    auto reader = std::make_unique<ReplyReader>();
    ASSERT_TRUE(reader->restart());
    ASSERT_TRUE(
        reader->feed("-NOSCRIPT No matching script.\r\n-NOSCRIPT\r\n-NOSCRIPTS\r\n+NOSCRIPT\r\n"));
    const bool expected[] = {true, true, false, false};
    for (const bool is_error : expected) {
        const Reply* reply = reader->next();
        ASSERT_NE(reply, nullptr);
        EXPECT_EQ(reply->is_error("NOSCRIPT"), is_error);
        EXPECT_FALSE(reply->is_error("NO"));
    }
}

TEST(Reply, FailsAtInvalidReplies) {
    for (const char* bad :
         {"HTTP/1.1 400 Bad Request\r\n", "\x16\x03\x01\r\n", ":12x4\r\n", "$-7\r\n", "*-7\r\n",
          "$x\r\n", "*1000000000\r\n", "*257\r\n", "*99999999999999999999\r\n", "\r\n"}) {
        for (const size_t piece : {1000, 1}) {
            const Replies replies = read_in(bad, piece);
            ASSERT_EQ(replies.size(), 1U) << bad;
            EXPECT_EQ(replies[0], "failed") << bad;
        }
    }
}

TEST(Reply, FailsIfAnythingFollowsAGoodReply) {
    EXPECT_EQ(read_in("+OK\r\n?\r\n+OK\r\n", 1000), (Replies{"status(OK)", "failed"}));
}

TEST(Reply, RefusesDeepNesting) {
    std::string bytes;
    for (int i = 0; i < 50'000; ++i) {
        bytes += "*1\r\n";
    }
    EXPECT_EQ(read_in(bytes, bytes.size()), (Replies{"failed"}));
    EXPECT_EQ(read_in(bytes, 1), (Replies{"failed"}));
}

TEST(Reply, RefusesMoreNumbersThanThereIsRoomFor) {
    std::string most = "*256\r\n";
    for (int i = 0; i < 256; ++i) {
        most += ":1\r\n";
    }
    EXPECT_EQ(read_in(most + "+OK\r\n", 1000).size(), 2U);
    EXPECT_EQ(read_in("*2\r\n" + most + most, 1000), (Replies{"failed"}));
}

TEST(Reply, RefusesMoreTextThanThereIsRoomFor) {
    const size_t most = Reply::kMaxText;
    const std::string fits = "$" + std::to_string(most) + "\r\n" + std::string(most, 'x') + "\r\n";
    EXPECT_EQ(read_in(fits, fits.size())[0].size(), most + 6);
    const std::string large =
        "$" + std::to_string(most + 1) + "\r\n" + std::string(most + 1, 'x') + "\r\n";
    for (const size_t piece : {large.size(), size_t{16'384}, size_t{7}}) {
        EXPECT_EQ(read_in(large, piece), (Replies{"failed"}));
    }
    std::string many = "*200\r\n";
    for (int i = 0; i < 200; ++i) {
        many += "$1000\r\n" + std::string(1000, 'x') + "\r\n";
    }
    EXPECT_EQ(read_in(many, 16'384), (Replies{"failed"}));
}

/**
 * Returns the most memory that reading takes that, over and over, until it fails or so many bytes
 * came.
 */
size_t memory_for(const std::string& start, const std::string& then, size_t bytes, size_t* came) {
    auto reader = std::make_unique<ReplyReader>();
    EXPECT_TRUE(reader->restart());
    const size_t before = allocated_bytes();
    size_t most = before;
    std::string piece = start;
    for (*came = 0; *came < bytes && reader->feed(piece); *came += piece.size()) {
        while (reader->next() != nullptr) {
        }
        most = std::max(most, allocated_bytes());
        piece = then;
    }
    return most - before;
}

TEST(Reply, TakesBoundedMemoryForAnEndlessReply) {
    constexpr size_t kMuch = 64 * 1024 * 1024;
    const std::string piece(16'384, 'x');
    for (const char* start : {"$1000000000\r\n", "+", "-", ":", "*", "$"}) {
        size_t came = 0;
        EXPECT_LT(memory_for(start, piece, kMuch, &came), 2'000'000U) << start;
        EXPECT_LT(came, 1'000'000U) << start;
    }
    // An array of endless emptiness says nothing and costs nothing; its command times out.
    std::string empty;
    while (empty.size() < 16'384) {
        empty += "*256\r\n*256\r\n*0\r\n";
    }
    size_t came = 0;
    EXPECT_LT(memory_for("*256\r\n", empty, kMuch, &came), 1'000'000U);
}

TEST(Reply, ReadsRandomBytesTheSameInAnyPieces) {
    Random random(7);
    const std::string_view parts[] = {
        "*2\r\n",  "*1\r\n",   "*0\r\n", "*-1\r\n", ":17\r\n", ":", "$3\r\nabc\r\n", "$2\r\nabc",
        "+OK\r\n", "-ERR\r\n", "\r\n",   "\n",      "$-1\r\n", "x", "*256\r\n"};
    for (int round = 0; round < 1000; ++round) {
        std::string bytes;
        for (uint64_t i = random.below(24); i != 0; --i) {
            bytes += parts[random.below(std::size(parts))];
        }
        const Replies whole = read_in(bytes, bytes.size());
        EXPECT_EQ(read_in(bytes, 1), whole) << bytes;
        EXPECT_EQ(read_in(bytes, 1 + random.below(9)), whole) << bytes;
    }
}

TEST(Reader, ContinuesAfterARestart) {
    auto reader = std::make_unique<ReplyReader>();
    ASSERT_TRUE(reader->restart());
    ASSERT_TRUE(reader->feed("*3\r\n:1\r\n$100\r\nab"));
    EXPECT_EQ(reader->next(), nullptr);
    ASSERT_TRUE(reader->restart());
    ASSERT_TRUE(reader->feed("?\r\n+OK"));
    EXPECT_EQ(reader->next(), nullptr);
    EXPECT_TRUE(reader->failed());
    EXPECT_FALSE(reader->feed("+OK\r\n"));
    ASSERT_TRUE(reader->restart());
    ASSERT_TRUE(reader->feed(":3\r\n"));
    const Reply* reply = reader->next();
    ASSERT_NE(reply, nullptr);
    EXPECT_EQ(shown(*reply), "number 3()");
    EXPECT_EQ(reader->next(), nullptr);
    EXPECT_FALSE(reader->failed());
}

}  // namespace
}  // namespace ai_limit
