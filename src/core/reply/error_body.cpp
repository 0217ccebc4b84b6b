#include "core/reply/error_body.h"

#include "core/reply/headers.h"
#include "core/words/amount_text.h"

namespace ai_limit {

namespace {

/** All that the writer of a format needs. */
struct Refusal {
    const Description* policy;  // nullptr: no policy decided this
    std::string_view sentence;  // says all where there is no policy
    ErrorKind kind;
    Millis wait;  // more than 0, or kNever
    unsigned status;
    std::string_view request_id;

    const ErrorNames& names() const { return names_of(kind); }
};

// pieces of sentences; none of them holds a character that JSON would have escaped

void write_counted(uint64_t count, std::string_view thing, TextWriter& out) {
    out.number(count);
    out.text(" ");
    out.text(thing);
    out.text(count == 1 ? "" : "s");
}

bool is_money(const Description& policy) {
    return policy.measure == Measure::kMoney;
}

void write_amount(const Description& policy, Amount amount, TextWriter& out) {
    write_amount_and_unit(policy.measure, amount, out);
}

/** ` per day`, ` per 15 min`. */
void write_period(Period period, TextWriter& out) {
    const PeriodFacts& facts = facts_of(period.unit);
    out.text(" per ");
    if (period.count == 1) {
        out.text(facts.one);
        return;
    }
    out.number(period.count);
    out.text(" ");
    out.text(facts.many);
}

/** `budget of 20 USD per day`. A burst is no budget of the period: `budget of 5 USD`. */
void write_budget(const Description& policy, TextWriter& out) {
    out.text("budget of ");
    write_amount(policy, policy.limit, out);
    if (!policy.is_burst) {
        write_period(policy.period, out);
    }
}

/** ` needs 0.0412 USD, 0.012 USD is left. `, behind what needs it. */
void write_need(const Description& policy, TextWriter& out) {
    out.text(" needs ");
    write_amount(policy, policy.requested, out);
    out.text(", ");
    write_amount(policy, policy.remaining, out);
    out.text(" is left. ");
}

/** The sentence for a request that is larger than the whole limit. */
void write_never(const Description& policy, TextWriter& out) {
    out.text("This request can never fit the ");
    if (is_money(policy)) {
        write_budget(policy, out);
    } else {
        out.text("limit");
    }
    out.text(": it needs ");
    write_amount(policy, policy.requested, out);
    if (!is_money(policy)) {
        out.text(", the limit is ");
        out.number(policy.limit);
    }
    out.text(".");
}

/** The sentence for a request that no limit has refused for a while; false for others. */
bool write_final_message(const Refusal& refusal, TextWriter& out) {
    if (refusal.policy == nullptr) {
        out.json(refusal.sentence);
        return true;
    }
    const Description& policy = *refusal.policy;
    if (refusal.kind == ErrorKind::kUnavailable) {
        out.text("The limits cannot be checked at the moment. Please try again in ");
        write_counted(seconds_rounded_up(refusal.wait), "second", out);
        out.text(".");
        return true;
    }
    if (refusal.kind == ErrorKind::kBlocked) {
        out.text("This key is blocked: its limit is ");
        write_amount(policy, policy.limit, out);
        out.text(".");
        return true;
    }
    if (refusal.kind == ErrorKind::kTooLarge) {
        write_never(policy, out);
        return true;
    }
    return false;
}

/** The sentences for a reader who knows nothing of the API. */
void write_plain_message(const Refusal& refusal, TextWriter& out) {
    if (write_final_message(refusal, out)) {
        return;
    }
    if (is_money(*refusal.policy)) {
        out.text("The ");
        write_budget(*refusal.policy, out);
        out.text(" is used up: this request");
        write_need(*refusal.policy, out);
    } else {
        out.text("Too many requests. ");
    }
    out.text("Try again in ");
    write_counted(seconds_rounded_up(refusal.wait), "second", out);
    out.text(".");
}

/** `This request would exceed the limit of 60 requests. `, which the wait follows. */
void write_limit_message(const Refusal& refusal, TextWriter& out) {
    const Description& policy = *refusal.policy;
    out.text("This request would exceed the ");
    if (is_money(policy)) {
        write_budget(policy, out);
        out.text(": it");
        write_need(policy, out);
        return;
    }
    out.text("limit of ");
    write_amount(policy, policy.limit, out);
    out.text(". ");
}

// json

void write_json(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":")");
    out.text(refusal.names().plain);
    out.text(R"(","message":")");
    write_plain_message(refusal, out);
    if (refusal.policy == nullptr) {
        out.text(R"("})");
        return;
    }
    out.text(R"(","retry_after":)");
    if (refusal.wait == kNever) {
        out.text("null");
    } else {
        out.whole_seconds(refusal.wait);
    }
    out.text(R"(,"policy":")");
    out.json(refusal.policy->policy);
    out.text(R"("})");
}

// openai: Codex reads the wait out of the message, and only in seconds

/** The upper case of a letter. */
constexpr char capital(char letter) {
    return static_cast<char>(letter - 'a' + 'A');
}

/** `requests per min (RPM)`, `tokens per 15 min`, `concurrent requests`. */
void write_openai_quota(const Description& policy, TextWriter& out) {
    if (policy.measure == Measure::kInFlight) {
        out.text("concurrent requests");
        return;
    }
    const MeasureFacts& measure = facts_of(policy.measure);
    const PeriodFacts& period = facts_of(policy.period.unit);
    out.text(measure.quota);
    write_period(policy.period, out);
    if (policy.period.count == 1 && period.letter != 0) {
        const char name[] = {' ', '(', measure.initial, 'P', period.letter, ')'};
        out.text({name, sizeof name});
    }
}

/** `Limit 60`, `Limit 20 USD`. */
void write_openai_figure(std::string_view name, const Description& policy, Amount amount,
                         TextWriter& out) {
    out.text(name);
    out.text(" ");
    if (is_money(policy)) {
        write_amount(policy, amount, out);
    } else {
        out.number(amount);
    }
}

/** `Limit 60, Used 60, Requested 1.`; what never fits has no part in what was used. */
void write_openai_figures(const Refusal& refusal, TextWriter& out) {
    const Description& policy = *refusal.policy;
    out.text(": ");
    write_openai_figure("Limit", policy, policy.limit, out);
    if (refusal.wait != kNever) {
        const Amount used = policy.limit > policy.remaining ? policy.limit - policy.remaining : 0;
        out.text(", ");
        write_openai_figure("Used", policy, used, out);
    }
    out.text(", ");
    write_openai_figure("Requested", policy, policy.requested, out);
    out.text(".");
}

/** `Rate limit reached for `, which the quota follows, and the same for a budget. */
struct OpenAiBeginning {
    const char* quota;  // nullptr if the message does not begin with it
    const char* budget;
};

OpenAiBeginning openai_beginning(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kWait:
            return {"Rate limit reached for ", "Rate limit reached for the "};
        case ErrorKind::kExhausted:
            return {"You exceeded your current quota of ", "You exceeded your current "};
        case ErrorKind::kTooLarge:
            return {"Request too large for ", "Request too large for the "};
        case ErrorKind::kBlocked:
        case ErrorKind::kInvalid:
        case ErrorKind::kUpgradeRequired:
        case ErrorKind::kUnavailable:
            break;
    }
    return {};
}

void write_openai_message(const Refusal& refusal, TextWriter& out) {
    const OpenAiBeginning beginning = openai_beginning(refusal.kind);
    if (refusal.policy == nullptr || beginning.quota == nullptr) {
        write_final_message(refusal, out);
        return;
    }
    if (is_money(*refusal.policy)) {
        out.text(beginning.budget);
        write_budget(*refusal.policy, out);
    } else {
        out.text(beginning.quota);
        write_openai_quota(*refusal.policy, out);
    }
    write_openai_figures(refusal, out);
    if (refusal.wait == kNever) {
        return;
    }
    out.text(" Please try again in ");
    if (refusal.kind == ErrorKind::kExhausted) {
        out.whole_seconds(refusal.wait);
    } else {
        out.seconds(refusal.wait);
    }
    out.text("s.");
}

std::string_view openai_type(const Refusal& refusal) {
    if (!refusal.names().openai_type.empty()) {
        return refusal.names().openai_type;
    }
    return facts_of(refusal.policy != nullptr ? refusal.policy->measure : Measure::kRequests).quota;
}

void write_openai(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":{"message":")");
    write_openai_message(refusal, out);
    out.text(R"(","type":")");
    out.text(openai_type(refusal));
    out.text(R"(","param":null,"code":")");
    out.text(refusal.names().openai_code);
    out.text(R"("}})");
}

// anthropic

void write_anthropic(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"type":"error","error":{"type":")");
    out.text(refusal.names().anthropic_type);
    out.text(R"(","message":")");
    if (!write_final_message(refusal, out)) {
        write_limit_message(refusal, out);
        out.text("Please try again in ");
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

// gemini: google.rpc.Status. Gemini CLI stops at once only for a quota per day, and waits for any
// other however long that takes.

void write_quota_failure(const Description& policy, TextWriter& out) {
    const std::string_view quota = facts_of(policy.measure).quota;
    out.text(R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[)"
             R"({"quotaMetric":")");
    out.json(policy.policy);
    out.text(R"(","quotaId":")");
    const char first = capital(quota.front());
    out.text({&first, 1});
    out.text(quota.substr(1));
    out.text(R"(PerDay")");
    // The value is a whole number in Google's API: the message has that of a budget.
    if (!is_money(policy)) {
        out.text(R"(,"quotaValue":")");
        out.number(policy.limit);
        out.text(R"(")");
    }
    out.text("}]},");
}

void write_gemini(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":{"code":)");
    out.number(refusal.status);
    out.text(R"(,"message":")");
    const bool final = write_final_message(refusal, out);
    if (!final) {
        write_limit_message(refusal, out);
        out.text("Please retry in ");
        out.whole_seconds(refusal.wait);
        out.text("s.");
    }
    out.text(R"(","status":")");
    out.text(refusal.names().google_status);
    if (final) {
        out.text(R"("}})");
        return;
    }
    out.text(R"(","details":[)");
    if (refusal.kind == ErrorKind::kExhausted) {
        write_quota_failure(*refusal.policy, out);
    }
    out.text(R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":")");
    out.whole_seconds(refusal.wait);
    out.text(R"(s"}]}})");
}

// ollama; bedrock, whose kind of error stands in a header; cohere

void write_error_string(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"error":")");
    write_plain_message(refusal, out);
    out.text(R"("})");
}

void write_message_string(const Refusal& refusal, TextWriter& out) {
    out.text(R"({"message":")");
    write_plain_message(refusal, out);
    out.text(R"("})");
}

// problem: RFC 9457, with the type of draft-ietf-httpapi-ratelimit-headers

void write_problem(const Refusal& refusal, TextWriter& out) {
    const bool of_quota = refusal.policy != nullptr && refusal.kind != ErrorKind::kUnavailable;
    out.text(!of_quota
                 ? R"({"type":"about:blank","status":)"
                 : R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
                   R"("title":"Request cannot be satisfied as assigned quota has been exceeded",)"
                   R"("status":)");
    out.number(refusal.status);
    out.text(R"(,"detail":")");
    write_plain_message(refusal, out);
    if (!of_quota) {
        out.text(R"("})");
        return;
    }
    out.text(R"(","violated-policies":[")");
    out.json(refusal.policy->policy);
    out.text(R"("]})");
}

// The table of formats, in the order of ErrorFormat.

struct FormatRow {
    ErrorFormat format;
    std::string_view name;
    std::string_view content_type;
    void (*write)(const Refusal& refusal, TextWriter& out);
};

constexpr FormatRow kFormats[] = {
    {ErrorFormat::kJson, "json", "application/json", write_json},
    {ErrorFormat::kOpenAi, "openai", "application/json", write_openai},
    {ErrorFormat::kAnthropic, "anthropic", "application/json", write_anthropic},
    {ErrorFormat::kGemini, "gemini", "application/json", write_gemini},
    {ErrorFormat::kOllama, "ollama", "application/json", write_error_string},
    {ErrorFormat::kBedrock, "bedrock", "application/json", write_message_string},
    {ErrorFormat::kCohere, "cohere", "application/json", write_message_string},
    {ErrorFormat::kProblem, "problem", "application/problem+json", write_problem},
    {ErrorFormat::kOff, "off", "", nullptr},
    {ErrorFormat::kAuto, "auto", "", nullptr},
};

constexpr size_t kFormatCount = sizeof kFormats / sizeof *kFormats;

constexpr bool is_in_order() {
    for (size_t i = 0; i < kFormatCount; i++) {
        if (kFormats[i].format != static_cast<ErrorFormat>(i)) {
            return false;
        }
    }
    return kFormatCount == static_cast<size_t>(ErrorFormat::kAuto) + 1;
}

static_assert(is_in_order(), "kFormats needs one row for each ErrorFormat, in the same order");

const FormatRow& row_of(ErrorFormat format) {
    return kFormats[static_cast<size_t>(format)];
}

bool write(ErrorFormat format, const Refusal& refusal, TextWriter& out) {
    const FormatRow& row = row_of(format);
    if (row.write == nullptr) {
        return false;
    }
    row.write(refusal, out);
    return !out.overflowed();
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

void list_error_formats(TextWriter& out) {
    std::string_view between;
    for (const FormatRow& row : kFormats) {
        if (row.write != nullptr) {
            out.text(between);
            out.text(row.name);
            between = ", ";
        }
    }
}

std::string_view error_content_type(ErrorFormat format) {
    return row_of(format).content_type;
}

std::string_view error_type_header(ErrorFormat format, ErrorKind kind) {
    return format == ErrorFormat::kBedrock ? names_of(kind).amazon_type : std::string_view();
}

bool write_error_body(ErrorFormat format, const Description& reported, unsigned status,
                      std::string_view request_id, TextWriter& out) {
    return write(
        format, {&reported, {}, kind_of(reported), stated_wait(reported), status, request_id}, out);
}

bool write_error_body(ErrorFormat format, ErrorKind kind, std::string_view sentence,
                      unsigned status, std::string_view request_id, TextWriter& out) {
    return write(format, {nullptr, sentence, kind, kNever, status, request_id}, out);
}

}  // namespace ai_limit
