#include "core/requests/form_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/requests/header_parameters.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr std::string_view kPairs = "application/x-www-form-urlencoded";
constexpr std::string_view kParts = "multipart/form-data; boundary=b";

std::string text_of(std::string_view type, std::string_view body, size_t most) {
    FormText form(type);
    std::string text;
    for (; !body.empty(); body.remove_prefix(std::min(most, body.size()))) {
        const std::string piece(body.substr(0, most));
        std::string_view rest = piece;
        while (!rest.empty()) {
            text += form.next(&rest);
        }
    }
    return text += form.end();
}

/** Whole, and in pieces of every size. */
std::string text_of(std::string_view type, std::string_view body) {
    const std::string whole = text_of(type, body, body.size() + 1);
    for (size_t most = 1; most < body.size() && most < 100; ++most) {
        EXPECT_EQ(text_of(type, body, most), whole) << body << " in pieces of " << most;
    }
    return whole;
}

/** Each line of a form ends with CR LF. */
std::string parts(std::string_view lines) {
    std::string body;
    for (const char c : lines) {
        body += c == '\n' ? "\r\n" : std::string(1, c);
    }
    return text_of(kParts, body);
}

constexpr char kModel[] = "--b\nContent-Disposition: form-data; name=\"model\"\n\nwhisper-1\n";

TEST(FormText, TurnsPairsIntoJson) {
    EXPECT_EQ(text_of(kPairs, "model=m&prompt=Hello+World%21"),
              R"({"model":"m","prompt":"Hello World!"})");
    EXPECT_EQ(text_of(kPairs, "a=%22%5C%0a%00&b=\"\\"), R"({"a":"\"\\\u000a\u0000","b":"\"\\"})");
    EXPECT_EQ(text_of(kPairs, "%6dodel=a=b"), R"({"model":"a=b"})");
    EXPECT_EQ(text_of(kPairs, "a&b=&=c&"), R"({"a":"","b":"","":"c","":""})");
    EXPECT_EQ(text_of(kPairs, "a=%&b=%4&c=%zz&d=%4z&e=%%41"),
              R"({"a":"%","b":"%4","c":"%zz","d":"%4z","e":"%A"})");
    EXPECT_EQ(text_of("APPLICATION/X-WWW-Form-Urlencoded ; charset=utf-8", "a=1%"),
              R"({"a":"1%"})");
}

TEST(FormText, TurnsPartsIntoJson) {
    EXPECT_EQ(parts(std::string(kModel) + "--b\ncontent-disposition:form-data;name=prompt\nX-Other:"
                                          " 1\n\nsay \"a\\b\"\n\n2\n--b--\n"),
              R"({"model":"whisper-1","prompt":"say \"a\\b\"\r\n\r\n2"})");
    EXPECT_EQ(parts("--b--"), "{}");
    EXPECT_EQ(parts("\n--b  \nContent-Disposition: form-data; name=\"a\"\n\n\n--b-- \nafter"),
              "\r\n{\"a\":\"\"}");
    EXPECT_EQ(parts("before\n--b\nContent-Disposition: form-data; name=\"a\"\n\nx\n--b--"),
              R"({"a":"x"})");
}

TEST(FormText, LeavesFilesOut) {
    const std::string file =
        "--b\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\nContent-Type: "
        "audio/mpeg\n\n"
        "{\"model\":\"no\"}\n-\n--\n--x\nname=no\n";
    EXPECT_EQ(parts(file + kModel + "--b--"), R"({"model":"whisper-1"})");
    EXPECT_EQ(parts(kModel + file + "--b--"), R"({"model":"whisper-1"})");
    EXPECT_EQ(parts("--b\nContent-Disposition: form-data; name=a; filename*=utf-8''x\n\nno\n--b--"),
              "{}");
    EXPECT_EQ(parts("--b\nContent-Type: text/plain\n\nno name\n--b--"), "{}");
    EXPECT_EQ(
        parts(
            "--b\nContent-Disposition: form-data; name=\"a\"; filename=\"x\\\"; y\"\n\nno\n--b--"),
        "{}");
}

TEST(FormText, KeepsTextThatLooksLikeABoundary) {
    EXPECT_EQ(
        parts("--b\nContent-Disposition: form-data; name=a\n\n-\n--\n--c\n--\n\n-b --b\n--b--"),
        R"({"a":"-\r\n--\r\n--c\r\n--\r\n\r\n-b --b"})");
    EXPECT_EQ(
        text_of(
            kParts,
            "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\r\n\n-\r-\n\r--c\r\n--b--"),
        R"({"a":"x\r\r\n\n-\r-\n\r--c"})");
}

TEST(FormText, LeavesAFormWithAMistakeUnread) {
    const auto is_json = [](const std::string& text) {
        return !text.empty() && text.back() == '}';
    };
    const std::string part = "--b\nContent-Disposition: form-data; name=a";
    EXPECT_TRUE(is_json(parts(part + "\n\nx\n--b--")));
    for (const std::string& lines :
         {std::string("x"),
          std::string("--b"),
          std::string("--c--"),
          part,
          part + "\n\nx",
          part + "\n\nx\n--b",
          part + "\n\nx\n--b-",
          part + "\n\nx\n--b-\n",
          part + "\n\nx\n--bc\n",
          part + "\n\nx\n--b -",
          part + "; name=b\n\nx\n--b--",
          part + "\nContent-Disposition: form-data; name=b\n\nx\n--b--",
          part + "\nContent-Transfer-Encoding: base64\n\nx\n--b--",
          part + "; name*=utf-8''b\n\nx\n--b--",
          part + "\n folded\n\nx\n--b--",
          part + "\nno header\n\nx\n--b--",
          part + "; x=\"\n\nx\n--b--",
          std::string("--b\nContent-Disposition: attachment; name=a\n\nx\n--b--"),
          std::string("--b\nContent-Disposition: form-data; name=\"a\\b\"\n\nx\n--b--"),
          part + "\nX: " + std::string(1100, 'x') + "\n\nx\n--b--"}) {
        EXPECT_FALSE(is_json(parts(lines))) << lines;
    }
    // Some servers take these lines for delimiters, others for text.
    const std::string whole = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    for (const char* rest : {"x\n--b\r\n--b--", "x\r--b\r\n--b--", "--b\r\n--b--", "x\n--b--"}) {
        EXPECT_FALSE(is_json(text_of(kParts, whole + rest))) << rest;
    }
    EXPECT_FALSE(
        is_json(text_of(kParts, "--b\nContent-Disposition: form-data; name=a\n\nx\n--b--")));
}

TEST(FormText, NeedsExactlyOneBoundaryInTheType) {
    const std::string body = "--b--";
    for (const std::string& type :
         {std::string("multipart/form-data; boundary=b"),
          std::string("Multipart/Form-Data;charset=utf-8;BOUNDARY=\"b\"")}) {
        EXPECT_EQ(text_of(type, body), "{}") << type;
    }
    for (const std::string& type :
         {std::string("multipart/form-data"), std::string("multipart/form-data; boundary="),
          std::string("multipart/form-data; boundary=b; boundary=c"),
          std::string("multipart/form-data; boundary=\"b"),
          "multipart/form-data; boundary=" + std::string(129, 'b'),
          std::string("multipart/form-data; boundary=\"b\\\\\"")}) {
        EXPECT_NE(text_of(type, body), "{}") << type;
    }
    const std::string longest(128, 'b');
    EXPECT_EQ(text_of("multipart/form-data; boundary=" + longest, "--" + longest + "--"), "{}");
}

TEST(FormText, LeavesOtherBodiesUnchanged) {
    const std::string json = " \n{\"model\":\"m\"}&=%41";
    for (const std::string_view type :
         {kPairs, kParts, std::string_view("application/json"), std::string_view("")}) {
        EXPECT_EQ(text_of(type, json), json);
        EXPECT_EQ(text_of(type, "[1]"), "[1]");
        EXPECT_EQ(text_of(type, ""), "");
    }
    EXPECT_EQ(text_of("text/plain", "a=b"), "a=b");
    EXPECT_EQ(text_of("multipart/mixed; boundary=b", "--b--"), "--b--");
}

TEST(FormText, RecognizesForms) {
    for (const auto& [body, is_form] : {std::pair{" a=b", true}, {" {", false}, {" ", false}}) {
        FormText form(kPairs);
        std::string_view rest = body;
        while (!rest.empty()) {
            form.next(&rest);
        }
        EXPECT_EQ(form.is_form(), is_form) << body;
    }
}

/** Bytes that matter to the syntax, and others. */
std::string random_value(Random* random) {
    static constexpr std::string_view kBytes[] = {"\r\n", "\r", "-", "--",    "b",       "\"",
                                                  "\\",   "x",  " ", "\r\n-", "\xC3\xA9"};
    std::string value;
    for (uint64_t n = random->below(12); n > 0; --n) {
        value += kBytes[random->below(std::size(kBytes))];
    }
    return value;
}

std::string json_string(std::string_view value) {
    std::string text = "\"";
    for (const char c : value) {
        text += c == '"'    ? "\\\""
                : c == '\\' ? "\\\\"
                : c == '\r' ? "\\r"
                : c == '\n' ? "\\n"
                            : std::string(1, c);
    }
    return text + "\"";
}

TEST(FormText, ConvertsRandomFormsExactly) {
    Random random(11);
    for (int i = 0; i < 3000; ++i) {
        std::string body = "--b";
        std::string expected;
        for (uint64_t n = random.below(4); n > 0; --n) {
            const std::string value = random_value(&random);
            if (("\n" + value + "\r\n").find("\r--b") != std::string::npos ||
                ("\n" + value).find("\n--b") != std::string::npos) {
                continue;  // would be a delimiter
            }
            const bool file = random.below(3) == 0;
            body += "\r\nContent-Disposition: form-data; name=\"n\"" +
                    std::string(file ? "; filename=f" : "") + "\r\n\r\n" + value + "\r\n--b";
            expected +=
                file ? ""
                     : (expected.empty() ? "" : ",") + std::string("\"n\":") + json_string(value);
        }
        const size_t most = 1 + random.below(9);
        EXPECT_EQ(text_of(kParts, body + "--", most), "{" + expected + "}") << body;
        EXPECT_EQ(text_of(kParts, body + "--", body.size() + 2), "{" + expected + "}") << body;
    }
}

TEST(HeaderParameters, AcceptsTokensAndQuotedStrings) {
    std::string_view rest = " text/plain ; a=1;b = \"x;y\\\"\" ;; c=";
    EXPECT_EQ(take_header_word(&rest), "text/plain");
    HeaderParameter one;
    ASSERT_TRUE(take_header_parameter(&rest, &one));
    EXPECT_EQ(one.name, "a");
    EXPECT_EQ(one.value, "1");
    EXPECT_TRUE(take_header_parameter(&rest, &one));
    EXPECT_EQ(one.name, "b");
}

}  // namespace
}  // namespace ai_limit
