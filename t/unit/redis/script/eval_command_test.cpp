// Tests the command that sends the script along with a call of it.

#include "redis/script/eval_command.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "redis/protocol/command.h"
#include "redis/script/script.h"

namespace ai_limit {
namespace {

std::string bytes_of(const std::vector<std::string_view>& words) {
    static Command command;
    command.clear();
    for (const std::string_view word : words) {
        command.word(word);
    }
    size_t size = 0;
    char* bytes = command.format(&size);
    std::string text(bytes, size);
    std::free(bytes);
    return text;
}

void becomes_eval(std::vector<std::string_view> words, std::string_view script) {
    const bool is_fair = script == fair_script();
    words.insert(words.begin(), {"EVALSHA", is_fair ? fair_script_sha1() : limit_script_sha1()});
    const std::string evalsha = bytes_of(words);
    EXPECT_EQ(script_called_by(evalsha), script);
    words[0] = "EVAL";
    words[1] = script;
    size_t size = 0;
    char* bytes = make_eval_command(evalsha, &size);
    ASSERT_NE(bytes, nullptr);
    EXPECT_EQ(std::string(bytes, size), bytes_of(words));
    std::free(bytes);
}

TEST(EvalCommand, HasTheScriptInPlaceOfItsSha1) {
    for (const std::string_view script : {limit_script(), fair_script()}) {
        becomes_eval({"1", "key", "probe"}, script);
        becomes_eval({"0"}, script);
    }
}

TEST(EvalCommand, IsNotMadeOfCallsOfAnotherScript) {
    for (const std::string& other :
         {bytes_of({"EVALSHA", std::string(40, 'a'), "0"}), bytes_of({"PING"}),
          bytes_of({"EVAL", limit_script_sha1(), "0"}), std::string(limit_script_sha1()),
          bytes_of({"EVALSHA", limit_script_sha1()}).substr(0, 30), std::string()}) {
        size_t size = 7;
        EXPECT_EQ(make_eval_command(other, &size), nullptr);
        EXPECT_EQ(size, 7U);
    }
}

}  // namespace
}  // namespace ai_limit
