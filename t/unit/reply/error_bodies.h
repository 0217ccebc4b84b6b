#pragma once

// Refusals, their bodies and a reader of these, for the tests of error bodies.

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <string>
#include <string_view>

#include "core/reply/error_body.h"

namespace ai_limit {

constexpr Millis kDayLength = 86'400'000;

constexpr ErrorFormat kBodies[] = {
    ErrorFormat::kJson,   ErrorFormat::kOpenAi,  ErrorFormat::kAnthropic, ErrorFormat::kGemini,
    ErrorFormat::kOllama, ErrorFormat::kBedrock, ErrorFormat::kCohere,    ErrorFormat::kProblem};

/**
 * A strict reader of one JSON text. Its leaves come out by path: `/error/details/0/retryDelay` has
 * `"26s"`, strings with their quotes and escapes.
 */
class Json {
public:
    explicit Json(std::string_view text) : text_(text) {
        value("");
        valid_ = valid_ && at_ == text_.size();
    }

    bool valid() const { return valid_; }

    std::string at(const std::string& path) const {
        const auto found = leaves_.find(path);
        return found == leaves_.end() ? "(absent)" : found->second;
    }

    bool has(const std::string& prefix) const {
        const auto found = leaves_.lower_bound(prefix);
        return found != leaves_.end() && found->first.compare(0, prefix.size(), prefix) == 0;
    }

private:
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool eat(char c) {
        if (peek() != c) {
            return false;
        }
        at_++;
        return true;
    }

    void expect(char c) { valid_ = eat(c) && valid_; }

    void leaf(const std::string& path, size_t from) {
        valid_ = valid_ && leaves_.emplace(path, text_.substr(from, at_ - from)).second;
    }

    void value(const std::string& path) {
        if (!valid_) {
            return;
        }
        const size_t from = at_;
        if (peek() == '{') {
            object(path);
        } else if (peek() == '[') {
            array(path);
        } else if (peek() == '"') {
            string();
            leaf(path, from);
        } else if (text_.substr(at_, 4) == "null") {
            at_ += 4;
            leaf(path, from);
        } else {
            while (isdigit(static_cast<unsigned char>(peek())) != 0) {
                at_++;
            }
            valid_ = at_ > from && (text_[from] != '0' || at_ == from + 1);
            leaf(path, from);
        }
    }

    void object(const std::string& path) {
        expect('{');
        do {
            const size_t from = at_;
            string();
            const std::string name(text_.substr(from, at_ - from));
            expect(':');
            if (valid_) {
                value(path + "/" + name.substr(1, name.size() - 2));
            }
        } while (valid_ && eat(','));
        expect('}');
    }

    void array(const std::string& path) {
        expect('[');
        size_t index = 0;
        do {
            value(path + "/" + std::to_string(index++));
        } while (valid_ && eat(','));
        expect(']');
    }

    void string() {
        expect('"');
        while (valid_ && peek() != '"') {
            const auto byte = static_cast<unsigned char>(peek());
            valid_ = byte >= 0x20;
            at_++;
            if (byte == '\\') {
                escape();
            }
        }
        expect('"');
    }

    void escape() {
        const char kind = peek();
        at_++;
        if (kind == 'u') {
            for (int i = 0; i < 4; i++, at_++) {
                valid_ = valid_ && isxdigit(static_cast<unsigned char>(peek())) != 0;
            }
        } else {
            valid_ = valid_ && (kind == '"' || kind == '\\');
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    bool valid_ = true;
    std::map<std::string, std::string> leaves_;
};

inline Description user(Millis wait) {
    return {
        "user", Measure::kRequests, {1, PeriodUnit::kMinute}, 60, 0, 1, 60'000, 60'000, 1'000, wait,
        true};
}

inline Description tokens(Millis wait) {
    return {"tokens",
            Measure::kTokens,
            {1, PeriodUnit::kMinute},
            30'000,
            1'200,
            5'000,
            60'000,
            57'600,
            2,
            wait,
            true};
}

/** A budget of 20 USD, of which 0.012 USD is left for a request that needs 0.0412 USD. */
inline Description money(Millis wait, Period period = {1, PeriodUnit::kDay}) {
    return {"spend",    Measure::kMoney, period,     20'000'000, 12'000, 41'200,
            kDayLength, kDayLength,      kDayLength, wait,       true};
}

inline Description slots() {
    return {"slots", Measure::kInFlight, {}, 4, 0, 1, 0, 0, 1'000, 1'000, true};
}

inline Description too_large() {
    Description policy = tokens(kNever);
    policy.remaining = 30'000;
    policy.requested = 30'601;
    return policy;
}

inline Description blocked() {
    Description policy = tokens(kNever);
    policy.limit = policy.remaining = 0;
    return policy;
}

inline std::string body(ErrorFormat format, const Description& reported, unsigned status = 429,
                        std::string_view request_id = "0123abcd") {
    char buffer[kMaxErrorBody];
    TextWriter out(buffer, sizeof buffer);
    EXPECT_TRUE(write_error_body(format, reported, status, request_id, out));
    return std::string(out.view());
}

inline std::string openai_message(const Description& reported) {
    return Json(body(ErrorFormat::kOpenAi, reported)).at("/error/message");
}

inline std::string openai_quota(Measure measure, uint32_t count, PeriodUnit unit) {
    Description policy = user(1'000);
    policy.measure = measure;
    policy.period = {count, unit};
    const std::string message = openai_message(policy);
    const std::string before = "\"Rate limit reached for ";
    EXPECT_EQ(message.substr(0, before.size()), before);
    return message.substr(before.size(), message.find(':') - before.size());
}

}  // namespace ai_limit
