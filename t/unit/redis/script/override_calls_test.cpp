// Tests how a change of a key's limit is asked of Redis, and what a node reads from its answers.

#include "redis/script/override_calls.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace ai_limit {
namespace {

const std::string kHash(22, 'h');

/** A reply of Redis that has come. */
const Reply& reply_of(const std::string& bytes) {
    static const auto reader = std::make_unique<ReplyReader>();  // it is large
    EXPECT_TRUE(reader->restart());
    EXPECT_TRUE(reader->feed(bytes));
    const Reply* reply = reader->next();
    static const Reply nothing{};
    return reply != nullptr ? *reply : nothing;
}

const Reply& text_reply(const std::string& text) {
    return reply_of("$" + std::to_string(text.size()) + "\r\n" + text + "\r\n");
}

std::string bytes_of(const Command& command) {
    size_t size = 0;
    char* bytes = command.format(&size);
    std::string text(bytes, size);
    std::free(bytes);
    return text;
}

/** What is read from an answer with these lines behind its head. */
std::vector<std::string> changes_of(const std::string& lines) {
    OverrideChanges changes;
    std::vector<std::string> found;
    if (!changes.begin(text_reply("1000 70 60 0\n" + lines))) {
        return {"none"};
    }
    OverrideChange change;
    while (changes.next(&change)) {
        std::string text = std::to_string(change.lasts);
        for (std::string_view part :
             {change.hash, change.unit, change.policy, change.rate, change.shown}) {
            text += '|';
            text += part;
        }
        found.push_back(text);
    }
    return found;
}

TEST(OverrideCalls, NameTheKeyOfAPolicyByItsHash) {
    KeyHash hash;
    ASSERT_TRUE(hash_key_for_redis("sk-secret", 1, &hash));
    char field[kMaxOverrideField];
    const std::string policy(kMaxPolicyName, 'p');
    const std::string name(field, write_override_field(hash, ":t", policy, field));
    EXPECT_EQ(name, std::string(hash.text, kKeyHashLength) + ":t:" + policy);
    EXPECT_EQ(name.size(), kMaxOverrideField);
}

TEST(OverrideCalls, SendWhatIsToChange) {
    static Command command;
    write_override("p", {"field", 3000, "5r/h", "sk-1"}, &command);
    const std::string set = bytes_of(command);
    for (const char* word :
         {"EVAL\r\n", "\r\n2\r\n", "p:overrides:{all}\r\n", "p:overrides:{all}:log\r\n", "set\r\n",
          "field\r\n", "3000\r\n", "5r/h sk-1\r\n", "16384\r\n"}) {
        EXPECT_NE(set.find(word), std::string::npos) << word;
    }
    write_override_removal("p", "field", 77, &command);
    EXPECT_NE(bytes_of(command).find("remove\r\n$5\r\nfield\r\n$2\r\n77\r\n"), std::string::npos);
    write_override_question("p", 1234, &command);
    EXPECT_NE(bytes_of(command).find("list\r\n$4\r\n1234\r\n$3\r\n128\r\n"), std::string::npos);
}

TEST(OverrideCalls, ReadTheAnswerToAChange) {
    OverrideAnswer answer{};
    ASSERT_TRUE(read_override_answer(text_reply("1796000000000 1"), &answer));
    EXPECT_EQ(answer.version, 1796000000000);
    EXPECT_TRUE(answer.was_set);
    EXPECT_FALSE(answer.is_full);
    ASSERT_TRUE(read_override_answer(text_reply("0 0"), &answer));
    EXPECT_FALSE(answer.was_set);
    ASSERT_TRUE(read_override_answer(text_reply("full"), &answer));
    EXPECT_TRUE(answer.is_full);
    for (const char* text : {"", "1", "1 2", "-1 0", "x 0", "1 1 ", "99999999999999999999 0"}) {
        EXPECT_FALSE(read_override_answer(text_reply(text), &answer)) << text;
    }
    for (const char* bytes :
         {"+OK\r\n", ":1\r\n", "-ERR no\r\n", "$-1\r\n", "*1\r\n$3\r\n1 1\r\n"}) {
        EXPECT_FALSE(read_override_answer(reply_of(bytes), &answer)) << bytes;
    }
}

TEST(OverrideCalls, ReadChanges) {
    OverrideChanges changes;
    ASSERT_TRUE(changes.begin(text_reply("1000 70 60 1\n")));
    EXPECT_EQ(changes.newest(), 70);
    EXPECT_EQ(changes.last(), 60);
    EXPECT_TRUE(changes.has_more());
    const std::vector<std::string> found = {"500|" + kHash +
                                                "|:r|bucket|5r/h|sk-1\xE2\x80\xA6"
                                                "78",
                                            "-1000|" + kHash + "|:t|of:colons||",
                                            "1|" + kHash + "|:c|s|0|"};
    EXPECT_EQ(changes_of("1500 " + kHash +
                         ":r:bucket 5r/h sk-1\xE2\x80\xA6"
                         "78\n"
                         "0 " +
                         kHash +
                         ":t:of:colons \n"
                         "1001 " +
                         kHash + ":c:s 0 \n"),
              found);
}

TEST(OverrideCalls, SkipLinesThatMakeNoSense) {
    const std::string good = "1500 " + kHash + ":r:bucket 5r/h x\n";
    const std::vector<std::string> one = {"500|" + kHash + "|:r|bucket|5r/h|x"};
    for (const std::string& bad :
         {std::string("\n"), std::string("x\n"), std::string("1500 \n"),
          std::string("1500  5r/h x\n"), "1500 " + kHash + " 5r/h x\n",
          "1500 " + kHash + ":r: 5r/h x\n", "1500 " + kHash + ":rbucket 5r/h x\n",
          "1500 " + kHash + ":r:bucket\n", "1500 " + kHash + ":r:bucket 5r/h\n",
          "1500 " + kHash + ":r:bucket  x\n", "1500 " + kHash + ":r:bucket 5r/h \x01\n",
          "1500 " + kHash + ":r:bucket 5r/h \xFF\n", "-1 " + kHash + ":r:bucket 5r/h x\n",
          "1500 " + kHash + ":r:" + std::string(kMaxPolicyName + 1, 'p') + " 5r/h x\n",
          "1500 " + kHash + ":r:bucket " + std::string(kMaxRateText + 1, '5') + " x\n",
          "1500 " + kHash + ":r:bucket 5r/h " + std::string(kMaxTopKeyText + 1, 'x') + "\n"}) {
        EXPECT_EQ(changes_of(bad + good), one) << bad;
    }
    EXPECT_EQ(changes_of(good + good.substr(0, good.size() - 1)), one) << "a line that is cut";
}

TEST(OverrideCalls, TakeNoOtherReplyForChanges) {
    OverrideChanges changes;
    for (const char* text : {"", "\n", "1\n", "1 2 3\n", "1 2 3 4", "-1 2 3 0\n", "1 2 3 x\n"}) {
        EXPECT_FALSE(changes.begin(text_reply(text))) << text;
    }
    for (const char* bytes : {"+1 2 3 0\r\n", ":1\r\n", "-NOPERM no\r\n", "$-1\r\n", "*0\r\n"}) {
        EXPECT_FALSE(changes.begin(reply_of(bytes))) << bytes;
    }
}

TEST(OverrideCalls, SurviveAnyText) {
    std::mt19937 random(1);
    const std::string good =
        "1000 70 60 0\n1500 " + kHash + ":r:bucket 5r/h x\n0 " + kHash + ":r:b \n";
    for (int i = 0; i < 20'000; ++i) {
        std::string text = good;
        for (unsigned changes = random() % 4 + 1; changes > 0; --changes) {
            const size_t at = random() % text.size();
            switch (random() % 3) {
                case 0:
                    text[at] = static_cast<char>(random());
                    break;
                case 1:
                    text.erase(at, random() % 20 + 1);
                    break;
                default:
                    text.insert(at, 1, "0 :\n-9"[random() % 6]);
            }
            text += text.empty() ? "\n" : "";
        }
        OverrideChanges changes;
        OverrideChange change;
        for (bool more = changes.begin(text_reply(text)); more;) {
            more = changes.next(&change);
            EXPECT_TRUE(!more || change.hash.size() == kKeyHashLength) << text;
            EXPECT_TRUE(!more || change.policy.size() <= kMaxPolicyName) << text;
        }
    }
}

}  // namespace
}  // namespace ai_limit
