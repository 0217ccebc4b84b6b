#pragma once

// Reads whole requests, in one piece and cut anywhere, for the tests of RequestInfo.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/requests/request_info.h"

namespace ai_limit {

constexpr Amount kUnknown = UINT64_MAX;

/** All facts that are read from a request. */
struct RequestFields {
    std::string model;
    bool streams;
    bool includes_usage;
    bool unreadable;
    Amount most_output;
    Amount prompt;
    bool edits;
    std::string edited;    // the body, if it is to be edited
    std::string left_out;  // why the usage is

    bool operator==(const RequestFields& other) const {
        return model == other.model && streams == other.streams &&
               includes_usage == other.includes_usage && unreadable == other.unreadable &&
               most_output == other.most_output && prompt == other.prompt && edits == other.edits &&
               edited == other.edited && left_out == other.left_out;
    }
};

inline RequestFields reported(std::string_view path, std::string_view body, size_t most) {
    RequestInfo info;
    info.read_path(path);
    for (std::string_view rest = body; !rest.empty();) {
        const std::string piece(rest.substr(0, most));
        rest.remove_prefix(piece.size());
        info.feed(piece);
    }
    info.set_offset_in_body(0);
    info.finish(body.size());
    RequestFields result{std::string(info.model()),
                         info.streams(),
                         info.includes_usage(),
                         info.unreadable(),
                         kUnknown,
                         info.prompt_estimate(),
                         false,
                         std::string(body),
                         std::string(info.why_usage_is_left_out())};
    Amount tokens = 0;
    result.most_output = info.most_output(&tokens) ? tokens : kUnknown;
    BodyEdit edit{};
    result.edits = info.edit_to_include_usage(&edit);
    if (result.edits) {
        result.edited.replace(edit.offset, edit.remove, edit.insert);
    }
    return result;
}

/** Whole, and in pieces of every size. */
inline RequestFields reported(std::string_view path, std::string_view body) {
    const RequestFields whole = reported(path, body, body.size() + 1);
    for (size_t most = 1; most < body.size() && most < 100; ++most) {
        EXPECT_EQ(reported(path, body, most), whole) << body << " in pieces of " << most;
    }
    return whole;
}

constexpr std::string_view kChat = "/v1/chat/completions";

}  // namespace ai_limit
