#include "core/answer_kind.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

TEST(AnswerKind, KnowsTheTypesOfAnswers) {
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

TEST(AnswerKind, CaseAndParametersMakeNoDifference) {
    EXPECT_EQ(answer_kind("Application/JSON; charset=utf-8"), AnswerKind::kJson);
    EXPECT_EQ(answer_kind("text/event-stream;charset=UTF-8"), AnswerKind::kSse);
    EXPECT_EQ(answer_kind("TEXT/Event-Stream \t; a=b"), AnswerKind::kSse);
    EXPECT_EQ(answer_kind("application/LD+Json;x"), AnswerKind::kJson);
}

TEST(AnswerKind, AllElseIsNotToBeRead) {
    EXPECT_EQ(answer_kind(""), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("; charset=utf-8"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("text/html"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("application/jsonx"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("application/json+xml"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("+json"), AnswerKind::kOther);
    EXPECT_EQ(answer_kind("text/event-streams"), AnswerKind::kOther);
}

}  // namespace
}  // namespace ai_limit
