#include "core/answers/answer_kind.h"

#include <gtest/gtest.h>

#include <string>

namespace ai_limit {
namespace {

TEST(AnswerKind, RecognizesTheTypesOfAnswers) {
    EXPECT_EQ(answer_kind("application/json"), AnswerKind::kJson);
    EXPECT_EQ(answer_kind("application/problem+json"), AnswerKind::kJson);
    EXPECT_EQ(answer_kind("text/event-stream"), AnswerKind::kSse);
    EXPECT_EQ(answer_kind("application/x-ndjson"), AnswerKind::kLines);
    EXPECT_EQ(answer_kind("application/ndjson"), AnswerKind::kLines);
    EXPECT_EQ(answer_kind("application/jsonl"), AnswerKind::kLines);
    EXPECT_EQ(answer_kind("application/json-seq"), AnswerKind::kLines);
    EXPECT_EQ(answer_kind("application/stream+json"), AnswerKind::kLines);
    EXPECT_EQ(answer_kind("application/vnd.amazon.eventstream"), AnswerKind::kEventStream);
}

TEST(AnswerKind, IgnoresCaseAndParametersOfTheType) {
    EXPECT_EQ(answer_kind("Application/JSON; charset=utf-8"), AnswerKind::kJson);
    EXPECT_EQ(answer_kind("text/event-stream;charset=UTF-8"), AnswerKind::kSse);
    EXPECT_EQ(answer_kind("TEXT/Event-Stream \t; a=b"), AnswerKind::kSse);
    EXPECT_EQ(answer_kind("application/LD+Json;x"), AnswerKind::kJson);
}

TEST(AnswerKind, ReadsNoOtherTypes) {
    EXPECT_EQ(answer_kind(""), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("; charset=utf-8"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("text/html"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("application/jsonx"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("application/json+xml"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("+json"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("text/event-streams"), AnswerKind::kOther);
}

/** The kind and what is to be read, in pieces of every size. */
AnswerKind find(AnswerKind hint, std::string_view body) {
    AnswerKind kind = hint;
    for (size_t most = body.size() + 1; most > 0; --most) {
        AnswerKindFinder finder(hint);
        std::string read;
        bool known = false;
        for (std::string_view rest = body; !rest.empty();) {
            std::string_view piece = rest.substr(0, most);
            rest.remove_prefix(piece.size());
            if (known || (known = finder.take(&piece))) {
                read += read.empty() ? finder.front() : "";
                read += piece;
            }
        }
        EXPECT_TRUE(most > body.size() || finder.kind() == kind) << body << " by " << most;
        kind = finder.kind();
        EXPECT_TRUE(read.empty() || body.substr(body.size() - read.size()) == read) << body;
    }
    return kind;
}

TEST(AnswerKindFinder, DecidesByTheFirstBytes) {
    for (const AnswerKind hint : {AnswerKind::kOther, AnswerKind::kJson, AnswerKind::kSse}) {
        EXPECT_EQ(find(hint, "{}"), AnswerKind::kJson);
        EXPECT_EQ(find(hint, " \r\n[1]"), AnswerKind::kJson);
        EXPECT_EQ(find(hint, "\xEF\xBB\xBF{}"), AnswerKind::kJson);
        EXPECT_EQ(find(hint, "\xEF\xBB\xBF\ndata: {}"), AnswerKind::kSse);
        for (const char* stream : {"data:{}", "event: a", "id: 1", "retry: 1", ": ping"}) {
            EXPECT_EQ(find(hint, stream), AnswerKind::kSse) << stream;
        }
    }
    EXPECT_EQ(find(AnswerKind::kLines, "{}\n{}"), AnswerKind::kLines);
    EXPECT_EQ(find(AnswerKind::kLines, "data: {}"), AnswerKind::kSse);
    EXPECT_EQ(find(AnswerKind::kEventStream, "{\"message\":1}"), AnswerKind::kJson);
}

TEST(AnswerKindFinder, FallsBackToTheContentType) {
    for (const AnswerKind hint : {AnswerKind::kOther, AnswerKind::kJson, AnswerKind::kSse,
                                  AnswerKind::kLines, AnswerKind::kEventStream}) {
        for (const char* body :
             {"", "hello", "data", "dates: 1", "<html>", "\"a\"", "\xEF\xBB{}"}) {
            EXPECT_EQ(find(hint, body), hint) << body;
        }
    }
    EXPECT_EQ(find(AnswerKind::kEventStream, std::string_view("\0\0\0\x10", 4)),
              AnswerKind::kEventStream);
}

TEST(AnswerKind, RecognizesTypesWithoutText) {
    EXPECT_TRUE(is_media_type("audio/mpeg"));
    EXPECT_TRUE(is_media_type("Image/PNG; a=b"));
    EXPECT_FALSE(is_media_type("application/octet-stream"));
    EXPECT_FALSE(is_media_type(""));
}

}  // namespace
}  // namespace ai_limit
