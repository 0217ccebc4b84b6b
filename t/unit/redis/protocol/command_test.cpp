// Compares what Command makes of some words with what hiredis makes of them.

#include "redis/protocol/command.h"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace ai_limit {
namespace {

/** The command's bytes; nothing where it has none. */
std::string bytes_of(const Command& command) {
    size_t size = 0;
    char* bytes = command.format(&size);
    std::string text = bytes == nullptr ? "" : std::string(bytes, size);
    std::free(bytes);
    return text;
}

std::string made_by_hiredis(const std::vector<std::string>& words) {
    std::vector<const char*> texts;
    std::vector<size_t> sizes;
    for (const std::string& word : words) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    char* bytes = nullptr;
    auto size =
        redisFormatCommandArgv(&bytes, static_cast<int>(words.size()), texts.data(), sizes.data());
    std::string text(bytes, static_cast<size_t>(size));
    redisFreeCommand(bytes);
    return text;
}

class RedisCommand : public testing::Test {
protected:
    Command command_;
};

TEST_F(RedisCommand, MatchesHiredis) {
    std::vector<std::string> words = {"SET",
                                      "",
                                      std::string("\0\r\n$", 4),
                                      "123456789",
                                      "1234567890",
                                      std::string(99, 'a'),
                                      std::string(100, 'b'),
                                      std::string(12345, 'c')};
    for (size_t more = 0; more < 120; ++more) {
        command_.clear();
        for (const std::string& word : words) {
            command_.word(word);
        }
        EXPECT_EQ(bytes_of(command_), made_by_hiredis(words));
        words.push_back(std::to_string(more));
    }
}

TEST_F(RedisCommand, AcceptsNumbersAndWordsOfSeveralParts) {
    command_.number(0);
    command_.number(-7);
    command_.number(INT64_MIN);
    command_.number(INT64_MAX);
    command_.joined_word({});
    command_.joined_word({"a", "", "bcdefghi", "jk"});
    EXPECT_EQ(bytes_of(command_), made_by_hiredis({"0", "-7", "-9223372036854775808",
                                                   "9223372036854775807", "", "abcdefghijk"}));
}

TEST_F(RedisCommand, FailsIfThereIsNoRoom) {
    std::string large(32 * 1024, 'x');
    command_.word(large);
    EXPECT_EQ(bytes_of(command_), made_by_hiredis({large}));
    command_.word(large);
    EXPECT_EQ(bytes_of(command_), "");
    command_.word("small");
    EXPECT_EQ(bytes_of(command_), "");

    command_.clear();
    for (int i = 0; i < 256; ++i) {
        command_.word("w");
    }
    EXPECT_NE(bytes_of(command_), "");
    command_.word("one too many");
    EXPECT_EQ(bytes_of(command_), "");

    command_.clear();
    command_.word("again");
    EXPECT_EQ(bytes_of(command_), made_by_hiredis({"again"}));
}

TEST_F(RedisCommand, FillsTheLastByte) {
    for (size_t size = 36 * 1024 - 20; size <= 36 * 1024; ++size) {
        command_.clear();
        std::string word(size, 'x');
        command_.word(word);
        std::string bytes = bytes_of(command_);
        EXPECT_TRUE(bytes.empty() || bytes == made_by_hiredis({word})) << size;
        EXPECT_EQ(bytes.empty(), size > 36 * 1024 - 10) << size;
    }
}

}  // namespace
}  // namespace ai_limit
