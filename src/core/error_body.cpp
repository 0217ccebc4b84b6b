#include "core/error_body.h"

#include "core/headers.h"

namespace ai_limit {

namespace {

/** All that the writer of a format needs. */
struct Refusal {
    const Description& policy;
    Millis wait;  // kNever, or more than 0
    unsigned status;
    std::string_view request_id;
};

// pieces of sentences; none of them holds a character that JSON would have escaped

void write_counted(uint64_t count, std::string_view thing, TextWriter& out) {
    out.number(count);
    out.text(" ");
    out.text(thing);
    out.text(count == 1 ? "" : "s");
}

/** `60 requests`, `1 token`, `4 concurrent requests`. */
void write_amount(Amount amount, Measure measure, TextWriter& out) {
    switch (measure) {
        case Measure::kRequests:
            return write_counted(amount, "request", out);
        case Measure::kTokens:
            return write_counted(amount, "token", out);
        case Measure::kInFlight:
            return write_counted(amount, "concurrent request", out);
    }
}

/** The sentence for a request that waiting does not help. */
void write_never_fits(const Description& policy, TextWriter& out) {
    out.text("This request can never fit the limit: it needs ");
    write_amount(policy.requested, policy.measure, out);
    out.text(", the limit is ");
    out.number(policy.limit);
    out.text(".");
}

/** The sentences for a reader who knows nothing of the API. */
void write_plain_message(const Refusal& refusal, TextWriter& out) {
    if (refusal.wait == kNever) {
        return write_never_fits(refusal.policy, out);
    }
    out.text("Too many requests. Try again in ");
    write_counted(seconds_rounded_up(refusal.wait), "second", out);
    out.text(".");
}

// json

void write_json(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":"rate_limit_exceeded","message":")");
    write_plain_message(refusal, out);
    out.text(R"(","retry_after":)");
    if (refusal.wait == kNever) {
        out.text("null");
    } else {
        out.whole_seconds(refusal.wait);
    }
    out.text(R"(,"policy":")");
    out.json(refusal.policy.policy);
    out.text(R"("})");
}

// openai: Codex reads the wait out of the message, and only in seconds

struct PeriodName {
    std::string_view one;
    std::string_view many;
    char letter;  // of RPM or TPM; 0 where the letter says something else
};

/** In the order of PeriodUnit. */
constexpr PeriodName kPeriodNames[] = {
    {"second", "seconds", 'S'}, {"min", "min", 'M'},    {"hour", "hours", 'H'},
    {"day", "days", 'D'},       {"week", "weeks", 'W'}, {"month", "months", 0},
};

/** `requests per min (RPM)`, `tokens per 15 min`, `concurrent requests`. */
void write_openai_quota(const Description& policy, TextWriter& out) {
    if (policy.measure == Measure::kInFlight) {
        out.text("concurrent requests");
        return;
    }
    const bool tokens = policy.measure == Measure::kTokens;
    const PeriodName& period = kPeriodNames[static_cast<size_t>(policy.period.unit)];
    out.text(tokens ? "tokens per " : "requests per ");
    if (policy.period.count != 1) {
        out.number(policy.period.count);
        out.text(" ");
        out.text(period.many);
        return;
    }
    out.text(period.one);
    if (period.letter != 0) {
        const char name[] = {' ', '(', tokens ? 'T' : 'R', 'P', period.letter, ')'};
        out.text({name, sizeof name});
    }
}

void write_openai_message(const Refusal& refusal, TextWriter& out) {
    const Description& policy = refusal.policy;
    const bool never = refusal.wait == kNever;
    out.text(never ? "Request too large for " : "Rate limit reached for ");
    write_openai_quota(policy, out);
    out.text(": Limit ");
    out.number(policy.limit);
    if (!never) {
        out.text(", Used ");
        out.number(policy.limit > policy.remaining ? policy.limit - policy.remaining : 0);
    }
    out.text(", Requested ");
    out.number(policy.requested);
    out.text(".");
    if (!never) {
        out.text(" Please try again in ");
        out.seconds(refusal.wait);
        out.text("s.");
    }
}

void write_openai(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":{"message":")");
    write_openai_message(refusal, out);
    out.text(R"(","type":")");
    out.text(refusal.policy.measure == Measure::kTokens ? "tokens" : "requests");
    out.text(R"(","param":null,"code":"rate_limit_exceeded"}})");
}

// anthropic

void write_anthropic(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"type":"error","error":{"type":"rate_limit_error","message":")");
    if (refusal.wait == kNever) {
        write_never_fits(refusal.policy, out);
    } else {
        out.text("This request would exceed the limit of ");
        write_amount(refusal.policy.limit, refusal.policy.measure, out);
        out.text(". Please try again in ");
        write_counted(seconds_rounded_up(refusal.wait), "second", out);
        out.text(".");
    }
    out.text(R"("},"request_id":)");
    if (refusal.request_id.empty()) {
        out.text("null}");
        return;
    }
    out.text(R"("req_)");
    out.json(refusal.request_id);
    out.text(R"("})");
}

// gemini: google.rpc.Status

void write_gemini(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":{"code":)");
    out.number(refusal.status);
    out.text(R"(,"message":")");
    if (refusal.wait == kNever) {
        write_never_fits(refusal.policy, out);
        out.text(R"(","status":"RESOURCE_EXHAUSTED"}})");
        return;
    }
    out.text("This request would exceed the limit of ");
    write_amount(refusal.policy.limit, refusal.policy.measure, out);
    out.text(". Please retry in ");
    out.whole_seconds(refusal.wait);
    out.text(R"(s.","status":"RESOURCE_EXHAUSTED","details":[)"
             R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":")");
    out.whole_seconds(refusal.wait);
    out.text(R"(s"}]}})");
}

// problem: RFC 9457, with the type of draft-ietf-httpapi-ratelimit-headers

void write_problem(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
             R"("title":"Request cannot be satisfied as assigned quota has been exceeded",)"
             R"("status":)");
    out.number(refusal.status);
    out.text(R"(,"detail":")");
    write_plain_message(refusal, out);
    out.text(R"(","violated-policies":[")");
    out.json(refusal.policy.policy);
    out.text(R"("]})");
}

// the table of formats, in the order of ErrorFormat

struct FormatRow {
    std::string_view name;
    std::string_view content_type;
    void (*write)(const Refusal& refusal, TextWriter& out);
};

constexpr FormatRow kFormats[] = {
    {"json", "application/json", write_json},
    {"openai", "application/json", write_openai},
    {"anthropic", "application/json", write_anthropic},
    {"gemini", "application/json", write_gemini},
    {"problem", "application/problem+json", write_problem},
    {"off", "", nullptr},
};

constexpr size_t kFormatCount = sizeof kFormats / sizeof *kFormats;

static_assert(kFormatCount == static_cast<size_t>(ErrorFormat::kOff) + 1);

const FormatRow& row_of(ErrorFormat format) {
    return kFormats[static_cast<size_t>(format)];
}

}  // namespace

bool find_error_format(std::string_view name, ErrorFormat* format) {
    for (size_t i = 0; i < kFormatCount; i++) {
        if (kFormats[i].name == name) {
            *format = static_cast<ErrorFormat>(i);
            return true;
        }
    }
    return false;
}

std::string_view error_content_type(ErrorFormat format) {
    return row_of(format).content_type;
}

bool write_error_body(ErrorFormat format, const Description& reported, unsigned status,
                      std::string_view request_id, TextWriter& out) {
    const FormatRow& row = row_of(format);
    if (row.write == nullptr) {
        return false;
    }
    row.write({reported, told_wait(reported), status, request_id}, out);
    return !out.overflowed();
}

}  // namespace ai_limit
