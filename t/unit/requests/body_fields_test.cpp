#include "core/requests/body_fields.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ai_limit {
namespace {

using Values = std::vector<std::string>;

Values values(const std::vector<std::string_view>& pointers, std::string_view body, size_t most) {
    BodyFieldPaths paths;
    std::vector<size_t> places;
    for (const std::string_view pointer : pointers) {
        size_t field = 0;
        EXPECT_EQ(paths.add(pointer, &field), nullptr) << pointer;
        places.push_back(field);
    }
    const std::unique_ptr<BodyField[]> fields(new BodyField[paths.count()]);
    BodyFields reader(paths, fields.get());
    for (; !body.empty(); body.remove_prefix(std::min(most, body.size()))) {
        reader.feed(std::string(body.substr(0, most)));
    }
    Values result;
    for (const size_t place : places) {
        result.emplace_back(fields[place].text.view());
    }
    return result;
}

/** Whole, and in pieces of every size. */
Values values(const std::vector<std::string_view>& pointers, std::string_view body) {
    const Values whole = values(pointers, body, body.size() + 1);
    for (size_t most = 1; most < body.size() && most < 200; ++most) {
        EXPECT_EQ(values(pointers, body, most), whole) << body << " in pieces of " << most;
    }
    return whole;
}

std::string user(std::string_view body) {
    return values({"/user"}, body)[0];
}

TEST(BodyFields, TakesStringsNumbersAndBooleansAsText) {
    EXPECT_EQ(user(R"({"user":"ann"})"), "ann");
    EXPECT_EQ(user(R"({"model":"m","user":"a\u00e9\ud83d\ude00\/b"})"),
              "a\xC3\xA9\xF0\x9F\x98\x80/b");
    EXPECT_EQ(user(R"({"user":17})"), "17");
    EXPECT_EQ(user(R"({"user":-1.5e3 })"), "-1.5e3");
    EXPECT_EQ(user(R"({"user":true})"), "true");
    EXPECT_EQ(user(R"({"user":false})"), "false");
}

TEST(BodyFields, IsEmptyIfThereIsNoText) {
    for (const std::string_view body :
         {"", " ", "{}", R"({"user":""})", R"({"user":null})", R"({"user":{}})",
          R"({"user":["a"]})", R"({"x":{"user":"a"}})", R"([[{"user":"a"}]])", R"("user")",
          R"({"user":"a)", R"({"user":)"}) {
        EXPECT_EQ(user(body), "") << body;
    }
}

TEST(BodyFields, TakesTheLastOfTwoEqualKeys) {
    EXPECT_EQ(user(R"({"user":"a","user":"b"})"), "b");
    EXPECT_EQ(user(R"({"user":"a","user":1})"), "1");
    EXPECT_EQ(user(R"({"user":"a","user":{"x":1}})"), "");
    EXPECT_EQ(user(R"({"user":"a","user":null})"), "a") << "as in Go";
}

BodyFields read_fields(std::string_view pointer, std::string_view body, bool form) {
    static BodyFieldPaths paths;
    static BodyField value;
    paths = BodyFieldPaths();
    size_t field = 0;
    EXPECT_EQ(paths.add(pointer, &field), nullptr);
    BodyFields reader(paths, &value);
    if (form) {
        reader.set_form();
    }
    reader.feed(body);
    return reader;
}

bool disagree(std::string_view pointer, std::string_view body, bool form = false) {
    return read_fields(pointer, body, form).disagree();
}

bool is_batch(std::string_view pointer, std::string_view body) {
    return read_fields(pointer, body, false).is_batch_of_several();
}

TEST(BodyFields, MatchesKeysInAnyCase) {
    EXPECT_EQ(user(R"({"USER":"a"})"), "a");
    EXPECT_EQ(values({"/metadata/user_id"}, R"({"MetaData":{"User_Id":7}})")[0], "7");
}

TEST(BodyFields, RefusesSpellingsOfAKeyThatDisagree) {
    EXPECT_TRUE(disagree("/user", R"({"user":"a","USER":"b"})"));
    EXPECT_TRUE(disagree("/user", R"({"USER":"b","user":"a"})"));
    EXPECT_TRUE(disagree("/user", R"({"user":"a","User":{}})"));
    EXPECT_FALSE(disagree("/user", R"({"user":"a","USER":"\u0061"})"));
    EXPECT_FALSE(disagree("/user", R"({"user":"a","user":"b"})")) << "the last counts everywhere";
    EXPECT_FALSE(disagree("/user", R"({"user":"a","USER":null})"));
    EXPECT_TRUE(disagree("/params/name", R"({"params":{"name":"a"},"PARAMS":{"name":"b"}})"));
    EXPECT_TRUE(disagree("/params/name", R"({"params":{"name":"a"},"Params":{"Name":"b"}})"));
    EXPECT_FALSE(disagree("/params/name", R"({"params":{"name":"a"},"params":{"name":"b"}})"));
    EXPECT_TRUE(disagree("/a/1/b", R"({"a":[0,{"b":1}],"A":[0,{"b":2}]})"));
    EXPECT_FALSE(disagree("/a/1/b", R"({"a":[{"b":1},{"b":2},{"B":3}]})"));
}

TEST(BodyFields, TakesTheFieldOfTheOnlyElementOfABatchThatHasOne) {
    EXPECT_EQ(user(R"([{"user":"a"}])"), "a");
    EXPECT_EQ(user(R"( [ {"x":"],[{\"user\":1}"} , {"y":[1,{"user":2}],"user":"a"} ] )"), "a");
    EXPECT_EQ(user(R"([{"user":"a"},{"user":null},[{"user":"b"}],"user",{}])"), "a");
    EXPECT_EQ(user(R"([{"user":"a"}]{"user":"b"})"), "a");
    EXPECT_EQ(user("[]"), "");
    const std::string calls = R"([{"method":"tools/call","params":{"name":"draw"}},{"id":1}])";
    EXPECT_EQ(values({"/method", "/params/name"}, calls), (Values{"tools/call", "draw"}));
    EXPECT_FALSE(is_batch("/params/name", calls));
    EXPECT_EQ(values({"/1/user"}, R"([{"user":"a"},{"user":"b"}])"), Values{"b"});
}

/** A batch of several calls would count as one request. */
TEST(BodyFields, AcceptsSeveralValuesInABatch) {
    EXPECT_TRUE(is_batch("/user", R"([{"user":"a"},{"user":"b"}])"));
    EXPECT_TRUE(is_batch("/user", R"([{"user":"a"},{},{"user":"a"}])"));
    EXPECT_TRUE(is_batch("/params/name", R"([{"params":{"name":"a"}},{"params":{"name":"a"}}])"));
    EXPECT_FALSE(is_batch("/user", R"([{"user":"a","user":"b"},{"a":{"user":"b"}}])"));
    EXPECT_FALSE(is_batch("/user", R"({"a":[{"user":"a"},{"user":"b"}]})"));
    EXPECT_FALSE(is_batch("/1/user", R"([{"user":"a"},{"user":"b"}])"));
    EXPECT_TRUE(disagree("/user", R"([{"user":"a","USER":"b"}])"));
}

TEST(BodyFields, RefusesDifferentTextsWithTheSameHash) {
    // FNV-1a has the same hash for both.
    EXPECT_TRUE(
        disagree("/user", R"({"user":"8yn0iYCKYHlIj4-BwPqk","USER":"GReLUrM4wMqfg9yzV3KQ"})"));
    EXPECT_TRUE(disagree("/user", R"({"user":"a","user":"b","USER":"a"})"));
    EXPECT_FALSE(disagree("/user", R"({"user":"a","user":"b","USER":"b"})"));
    EXPECT_FALSE(disagree("/user", R"({"user":7,"USER":"7"})"));
}

TEST(BodyFields, RefusesFieldsOfAFormThatDisagree) {
    EXPECT_TRUE(disagree("/user", R"({"user":"a","user":"b"})", true));
    EXPECT_FALSE(disagree("/user", R"({"user":"a","user":"a"})", true));
}

TEST(BodyFields, FindsFieldsAtAnyDepth) {
    const std::string_view body =
        R"({"user":"a","metadata":{"user_id":"b","x":{"user_id":"no"}},"messages":[{"role":"c"},
            {"role":"d"}],"a/b":{"~":"e"},"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":"f"}}}}}}}}})";
    EXPECT_EQ(values({"/user", "/metadata/user_id", "/messages/1/role", "/a~1b/~0",
                      "/1/2/3/4/5/6/7/8/9", "/messages/2/role", "/metadata"},
                     body),
              (Values{"a", "b", "d", "e", "f", "", ""}));
}

TEST(BodyFields, FillsEveryFieldWithTheSamePointer) {
    EXPECT_EQ(values({"/a", "/b", "/a"}, R"({"a":1,"b":2})"), (Values{"1", "2", "1"}));
}

TEST(BodyFields, ShortensALongValueToItsBeginningAndAHash) {
    const std::string longest(1024, 'u');
    EXPECT_EQ(user(R"({"user":")" + longest + R"("})"), longest);
    const std::string longer = user(R"({"user":")" + longest + R"(a"})");
    EXPECT_EQ(longer.size(), 1024U);
    EXPECT_EQ(longer.substr(0, 1008), longest.substr(0, 1007) + "~");
    EXPECT_NE(longer, user(R"({"user":")" + longest + R"(b"})"));
    EXPECT_EQ(user(R"({"user":)" + std::string(65, '1') + "}"), "~");
}

TEST(BodyFields, EscapesControlCharacters) {
    EXPECT_EQ(user(R"({"user":"a\r\nX-Admin: 1\u0000\u007f"})"), "a%0D%0AX-Admin: 1%00%7F");
}

TEST(BodyFields, NamesTheMistakeInAPointer) {
    BodyFieldPaths paths;
    size_t field = 0;
    EXPECT_NE(paths.add("", &field), nullptr);
    EXPECT_NE(paths.add("user", &field), nullptr);
    EXPECT_NE(paths.add("/a~2", &field), nullptr);
    EXPECT_NE(paths.add("/1/2/3/4/5/6/7/8/9/10/11/12/13", &field), nullptr);
    EXPECT_NE(paths.add("/" + std::string(65, 'x'), &field), nullptr);
    std::vector<std::string> names;
    for (size_t i = 0; i < BodyFieldPaths::kMostFields; ++i) {
        names.push_back("/field" + std::to_string(i));
    }
    for (const std::string& name : names) {
        EXPECT_EQ(paths.add(name, &field), nullptr);
    }
    EXPECT_NE(paths.add("/one-more", &field), nullptr);
    EXPECT_EQ(paths.add("/field3", &field), nullptr);
    EXPECT_EQ(field, 3U);
}

}  // namespace
}  // namespace ai_limit
