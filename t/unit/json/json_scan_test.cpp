#include "core/json/json_scan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/words/number.h"

namespace ai_limit {
namespace {

constexpr std::string_view kPaths[] = {
    "/usage", "/usage/input", "/choices/*/delta/text", "/n", "/flag", "/a~1b/m~0n", "/list",
};

JsonPaths<32> tree_of(const std::vector<std::string_view>& paths,
                      JsonPathStar star = JsonPathStar::kEveryElement) {
    JsonPaths<32> tree;
    for (size_t i = 0; i < paths.size(); ++i) {
        EXPECT_EQ(tree.add(paths[i], static_cast<JsonPathId>(i), star), nullptr) << paths[i];
    }
    return tree;
}

const JsonPaths<32>& usual_tree() {
    static const JsonPaths<32> tree = tree_of({std::begin(kPaths), std::end(kPaths)});
    return tree;
}

/** Returns a token as it reads in an expectation. */
std::string shown(const JsonToken& token) {
    switch (token.kind) {
        case JsonToken::kTrue:
            return "true";
        case JsonToken::kFalse:
            return "false";
        case JsonToken::kNull:
            return "null";
        default:
            return std::string(token.text);
    }
}

/** Tokens as `id=text`, strings quoted and in one, separated by spaces; then how it ended. */
class Reader {
public:
    explicit Reader(const JsonPathNode* paths) : scanner_(paths) {}

    void feed(std::string_view piece) {
        for (;;) {
            const JsonToken token = scanner_.next(&piece);
            if (token.kind == JsonToken::kNothing) {
                EXPECT_TRUE(piece.empty());
                return;
            }
            const bool string = token.kind == JsonToken::kString;
            EXPECT_EQ(string && !token.first, open_);
            open_ = string && !token.last;
            if (!string || token.first) {
                result_ += std::to_string(token.id) + "=" + (string ? "\"" : "");
            }
            result_ += shown(token);
            result_ += open_ ? "" : string ? "\" " : " ";
        }
    }

    std::string result() const {
        return result_ + (scanner_.is_complete()    ? "complete"
                          : scanner_.is_malformed() ? "malformed"
                                                    : "unfinished");
    }

private:
    JsonScanner scanner_;
    std::string result_;
    bool open_ = false;
};

std::string scan(std::string_view text, const JsonPathNode* paths = usual_tree().root()) {
    Reader whole(paths);
    whole.feed(text);
    Reader bytes(paths);
    for (const char& c : text) {
        bytes.feed({&c, 1});
    }
    EXPECT_EQ(bytes.result(), whole.result()) << text;
    for (size_t cut = 0; text.size() < 1000 && cut < text.size(); ++cut) {
        Reader two(paths);
        two.feed(text.substr(0, cut));
        two.feed(text.substr(cut));
        EXPECT_EQ(two.result(), whole.result()) << text << ", cut at " << cut;
    }
    return whole.result();
}

TEST(JsonScan, ReportsWantedValuesOfAllKinds) {
    EXPECT_EQ(scan(R"({"n": 12, "flag": true})"), "3=12 4=true complete");
    EXPECT_EQ(scan(R"({"n":-1.5e+3,"flag":false,"list":null})"),
              "3=-1.5e+3 4=false 6=null complete");
    EXPECT_EQ(scan(R"({"n":"a \"word\" \\","flag":""})"), R"(3="a \"word\" \\" 4="" complete)");
    EXPECT_EQ(scan(R"({"list":[1,{"n":2}],"usage":{"input":3,"x":4}})"),
              "6=[ 6=] 0={ 1=3 0=} complete");
}

TEST(JsonScan, MatchesPathsByExactDepth) {
    EXPECT_EQ(
        scan(R"({"x":{"usage":{"input":1}},"input":2,"choices":{"0":{"delta":{"text":"t"}}}})"),
        "complete");
    EXPECT_EQ(scan(R"([{"usage":{"input":1}}])"), "complete");
    EXPECT_EQ(scan(R"({"usage":[{"input":1}],"n":[5]})"), "0=[ 0=] 3=[ 3=] complete");
    EXPECT_EQ(
        scan(R"({"choices":[{"delta":{"text":"a"}},[],{"delta":{"text":"b","x":{"text":"c"}}}]})"),
        R"(2="a" 2="b" complete)");
    EXPECT_EQ(scan(R"({"choices":[[{"delta":{"text":"a"}}]]})"), "complete");
    EXPECT_EQ(scan(R"({"text":"\"usage\":{\"input\":9}","t":{"a":{"usage":{"input":8}}}})"),
              "complete");
}

TEST(JsonScan, ComparesKeysAsDecoded) {
    EXPECT_EQ(scan(R"({"us\u0061ge":{"\u0069nput":7}})"), "0={ 1=7 0=} complete");
    EXPECT_EQ(scan(R"({"a/b":{"m~n":1},"a\/b":{"m~n":2},"a~1b":{"m~0n":3}})"), "5=1 5=2 complete");
    EXPECT_EQ(scan(R"({"usagE":{},"usag":{},"usages":{},"":{},"*":{},"n\u0000":1})"), "complete");
    EXPECT_EQ(scan("{\"" + std::string(500, 'n') + "\":1,\"n\":2}"), "3=2 complete");
    const JsonPaths<32> face = tree_of({"/\xF0\x9F\x98\x80", "/\xC3\xA9"});
    EXPECT_EQ(
        scan(R"({"\ud83d\ude00":1,"\u00e9":2,"\ud83d":3,"\ude00":4,"\ud83dx":5})", face.root()),
        "0=1 1=2 complete");
}

TEST(JsonScan, ReportsADuplicateKeyEachTime) {
    EXPECT_EQ(scan(R"({"n":1,"n":2})"), "3=1 3=2 complete");
}

TEST(JsonScan, CountsElementsForJsonPointers) {
    const JsonPaths<32> tree =
        tree_of({"/a/0", "/a/2/b", "/a/10", "/a/01", "/a/*", "/a/-"}, JsonPathStar::kKey);
    EXPECT_EQ(scan(R"({"a":[0,1,{"b":2},3,4,5,6,7,8,9,10,11]})", tree.root()),
              "0=0 1=2 2=10 complete");
    EXPECT_EQ(scan(R"({"a":{"0":1,"*":2,"-":3}})", tree.root()), "0=1 4=2 5=3 complete");
}

TEST(JsonScan, ReportsTheRoot) {
    const JsonPaths<32> tree = tree_of({""});
    EXPECT_EQ(scan(R"( {"a":1} )", tree.root()), "0={ 0=} complete");
    EXPECT_EQ(scan(R"("text")", tree.root()), "0=\"text\" complete");
    EXPECT_EQ(scan("null", tree.root()), "0=null complete");
    EXPECT_EQ(scan("12", tree.root()), "complete");
    EXPECT_EQ(scan("12 ", tree.root()), "complete");
}

TEST(JsonScan, RejectsInvalidDocuments) {
    for (const std::string_view text : {"}",
                                        "]",
                                        ",",
                                        ":",
                                        "x",
                                        "{]",
                                        "[}",
                                        "{,",
                                        "[,",
                                        "[1,]",
                                        "{\"a\":1,}",
                                        "{\"a\",",
                                        "{\"a\":}",
                                        "{1",
                                        "{\"a\":1 2",
                                        "[1 2",
                                        "1 2",
                                        "{}{",
                                        "[]]",
                                        "nul1",
                                        "truf",
                                        "+1",
                                        "01",
                                        ".5",
                                        "1.e",
                                        "1.x",
                                        "-x",
                                        "1e+x",
                                        "--1",
                                        "1..",
                                        "1e5.",
                                        "\"\n",
                                        "\"\\x",
                                        "\"\\u00g",
                                        "NaN",
                                        "'a'",
                                        "/**/",
                                        "\xEF\xBB\xBF{}",
                                        "{\"n\":2,\"n\":x,\"n\":3}"}) {
        EXPECT_NE(scan(text).find("malformed"), std::string::npos) << text;
    }
    for (const std::string_view text :
         {"",   " ",   "{",    "[",       "[1",  "[1,", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1",
          "\"", "\"a", "\"\\", "\"\\u12", "tru", "-",   "1.",   "1e",     "1e-",     "[[[]"}) {
        EXPECT_EQ(scan(text), "unfinished") << text;
    }
    for (const std::string_view text :
         {"0", "-0", "1e400", "1E-9", "1.5e+07", "\"\\ud83d\"", "\"\xFF\xC0\"", " [ ] ",
          "\t{\r\n}\n", "[{},[],\"\",0,null]", "false"}) {
        EXPECT_EQ(scan(text), "complete") << text;
    }
}

TEST(JsonScan, IgnoresEverythingAfterAnErrorUntilReset) {
    JsonScanner scanner(usual_tree().root());
    std::string_view bad = R"({"n":x)";
    EXPECT_EQ(scanner.next(&bad).kind, JsonToken::kNothing);
    std::string_view good = R"({"n":1})";
    EXPECT_EQ(scanner.next(&good).kind, JsonToken::kNothing);
    EXPECT_TRUE(good.empty() && scanner.is_malformed());
    scanner.reset();
    EXPECT_TRUE(scanner.is_blank());
    good = R"({"n":1})";
    EXPECT_EQ(scanner.next(&good).text, "1");
    EXPECT_EQ(scanner.next(&good).kind, JsonToken::kNothing);
    EXPECT_TRUE(scanner.is_complete());
}

TEST(JsonScan, ReturnsFromAnyDepth) {
    for (const size_t depth : {10U, 511U, 512U, 513U, 514U, 100'000U}) {
        std::string deep;
        std::string closing;
        for (size_t i = 0; i < depth; ++i) {
            deep += i % 3 == 0 ? "{\"usage\":" : "[";
            closing.insert(closing.begin(), i % 3 == 0 ? '}' : ']');
        }
        const std::string inner = R"({"]}":"]]","usage":{"input":1}})";
        EXPECT_EQ(scan("{\"x\":" + deep + inner + closing + ",\"n\":2}"), "3=2 complete") << depth;
        EXPECT_EQ(scan("{\"x\":" + deep + inner + closing + "],\"n\":2}"), "malformed") << depth;
        EXPECT_EQ(scan("{\"x\":" + deep + inner + closing + "},\"n\":2"), "malformed") << depth;
    }
}

TEST(JsonScan, DistinguishesBracketsDownToItsStrictDepth) {
    const std::string open(kMaxJsonStrictDepth - 1, '[');
    EXPECT_EQ(scan(open + "[}"), "malformed");
    EXPECT_EQ(scan(open + "{]"), "malformed");
}

TEST(JsonScan, SkipsLongStringsAndReportsLongNumbersAsEmpty) {
    const std::string text(10'000'000, 'x');
    EXPECT_EQ(scan("{\"x\":\"" + text + "\",\"n\":1}"), "3=1 complete");
    EXPECT_EQ(scan("{\"n\":" + std::string(64, '1') + "}"),
              "3=" + std::string(64, '1') + " complete");
    EXPECT_EQ(scan("{\"n\":" + std::string(65, '1') + "}"), "3= complete");
    EXPECT_EQ(scan("{\"n\":-" + std::string(64, '1') + "}"), "3= complete");
}

TEST(JsonScan, StopsAStringAtTheFirstByteThatEndsIt) {
    // whatever stands before it, in whichever place of a word of eight bytes
    for (size_t before = 0; before < 20; ++before) {
        for (const std::string_view filler :
             {"x", "!", "#", "[", "]", " ", "\x7F", "\x80", "\xFF", "\xA2", "\xDC"}) {
            std::string text;
            while (text.size() < before) {
                text += filler;
            }
            EXPECT_EQ(scan("{\"n\":\"" + text + "\"}"), "3=\"" + text + "\" complete");
            EXPECT_EQ(scan("{\"n\":\"" + text + "\\\"\"}"), "3=\"" + text + "\\\"\" complete");
            EXPECT_NE(scan("{\"n\":\"" + text + "\x1F\"}").find("malformed"), std::string::npos);
        }
    }
}

TEST(JsonPaths, NameTheMistakeInAPointer) {
    JsonPaths<8> tree;
    const auto add = [&tree](std::string_view path) {
        return tree.add(path, 1, JsonPathStar::kKey);
    };
    EXPECT_STREQ(add("usage"), "a JSON Pointer begins with a slash");
    EXPECT_STREQ(add("/a~"), "in a JSON Pointer, 0 or 1 follows a ~");
    EXPECT_STREQ(add("/a~2b"), "in a JSON Pointer, 0 or 1 follows a ~");
    EXPECT_STREQ(add("/" + std::string(65, 'k')), "a key of a JSON Pointer has at most 64 bytes");
    EXPECT_STREQ(add("/1/2/3/4/5/6/7/8/9"), "the JSON Pointers have too many keys");
    JsonPaths<32> large;
    EXPECT_EQ(large.add("/1/2/3/4/5/6/7/8/9/10/11/12", 1, JsonPathStar::kKey), nullptr);
    EXPECT_STREQ(large.add("/1/2/3/4/5/6/7/8/9/10/11/12/13", 1, JsonPathStar::kKey),
                 "a JSON Pointer has at most 12 keys");
    EXPECT_EQ(
        scan(R"({"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":{"10":{"11":{"12":5}}}}}}}}}}}})",
             large.root()),
        "1=5 complete");
}

TEST(JsonPaths, FindKeysInATreeOfMoreThan255Nodes) {
    constexpr size_t kPairs = 149;
    std::vector<std::string> paths;
    for (size_t i = 0; i < kPairs; ++i) {
        paths.push_back("/key" + std::to_string(i) + "/value");
    }
    JsonPaths<302> tree;
    for (size_t i = 0; i < kPairs; ++i) {
        EXPECT_EQ(tree.add(paths[i], static_cast<JsonPathId>(i), JsonPathStar::kEveryElement),
                  nullptr);
    }
    EXPECT_EQ(tree.add("/list/*/value", 200, JsonPathStar::kEveryElement), nullptr);
    EXPECT_EQ(tree.size(), 302U);
    EXPECT_STREQ(tree.add("/more", 201, JsonPathStar::kEveryElement),
                 "the JSON Pointers have too many keys");
    for (size_t i = 0; i < kPairs; ++i) {
        const std::string number = std::to_string(i);
        EXPECT_EQ(scan("{\"key" + number + "\":{\"other\":0,\"value\":7}}", tree.root()),
                  number + "=7 complete");
    }
    EXPECT_EQ(scan(R"({"list":[{"value":1},{"value":2}],"more":3})", tree.root()),
              "200=1 200=2 complete");
}

template <size_t kCapacity>
std::string decoded(std::string_view raw) {
    std::string result;
    for (size_t cut = 0; cut <= raw.size(); ++cut) {
        JsonText<kCapacity> text;
        text.append(raw.substr(0, cut));
        text.append(raw.substr(cut));
        std::string_view all = "none";
        text.get(&all);
        EXPECT_TRUE(cut == 0 || result == all) << raw;
        result = all;
    }
    return result;
}

TEST(JsonText, DecodesEscapes) {
    EXPECT_EQ(decoded<64>(R"(a\"\\\/\b\f\n\r\tz)"), "a\"\\/\b\f\n\r\tz");
    EXPECT_EQ(decoded<64>(R"(\u0041\u00e9\u20AC\uD83D\uDE00)"),
              "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    EXPECT_EQ(decoded<64>("\xC3\xA9\xFF"), "\xC3\xA9\xFF");
}

TEST(JsonText, FailsAtInvalidText) {
    for (const std::string_view raw :
         {"\\", "\\u12", "\\ud83d", "\\ude00", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\u0041",
          "\\ud83d\\ud83d\\ude00", "\\x", "\\u00g0"}) {
        EXPECT_EQ(decoded<64>(raw), "none") << raw;
    }
    EXPECT_EQ(decoded<4>("abcd"), "abcd");
    EXPECT_EQ(decoded<4>("abcde"), "none");
    EXPECT_EQ(decoded<3>("\\ud83d\\ude00"), "none");
}

TEST(JsonCount, ReadsWholeNumbers) {
    const auto count = [](std::string_view text) {
        Amount value = 0;
        EXPECT_TRUE(read_json_count(text, &value)) << text;
        return value;
    };
    EXPECT_EQ(count("0"), 0U);
    EXPECT_EQ(count("12"), 12U);
    EXPECT_EQ(count("12.0"), 12U);
    EXPECT_EQ(count("1.2345E4"), 12345U);
    EXPECT_EQ(count("12e+1"), 120U);
    EXPECT_EQ(count("1200e-2"), 12U);
    EXPECT_EQ(count("0e99999"), 0U);
    EXPECT_EQ(count("0.000"), 0U);
    EXPECT_EQ(count("1000000000000"), kMaxAmount);
    EXPECT_EQ(count("1e12"), kMaxAmount);
}

TEST(JsonCount, RefusesOtherValues) {
    for (const std::string_view text :
         {"", "-5", "-0", "12.5", "1e400", "1e-1", "1e999999999999", "1000000000001", "1.5e0",
          "0.1", "99999999999999999999", "18446744073709551617", "1e", "1e+", "1e1.0", "12x", ".5",
          "."}) {
        Amount value = 77;
        EXPECT_FALSE(read_json_count(text, &value)) << text;
        EXPECT_EQ(value, 77U);
    }
}

}  // namespace
}  // namespace ai_limit
