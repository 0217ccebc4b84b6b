#include "core/reply/headers.h"

#include "core/words/ascii_case.h"
#include "core/words/text_writer.h"

namespace ai_limit {

namespace {

/** Clients come back at once if the wait is longer, unless a header forbids it. */
constexpr Millis kLongWait = 60'000;

/** Digits of an Amount, also of one in dollars, and of kMaxSeconds. */
constexpr size_t kAmountSize = 13;
constexpr size_t kSecondsSize = 15;

/** All that the writer of a style needs. */
struct Shown {
    const Description* all;
    size_t n;
    const Description& reported;
    Now now;
    HeaderSink& sink;
};

bool put(HeaderSink& sink, const ResponseHeaderName& header, std::string_view value) {
    return sink.put(header.name, header.lowercase, value);
}

/** Writes the value of one style's reset header. */
using ResetWriter = void (*)(Millis reset, Now now, TextWriter& out);

/** No reset is longer: a Go duration has 24 bytes at most, a date 20, seconds 15. */
constexpr size_t kResetSize = 24;

/** False for a limit of 0, which has no reset: nothing of it ever comes back. */
bool has_reset(const Standing& policy) {
    return policy.limit != 0;
}

/** Limit, remaining and reset of one policy under the three names, with one allocation. */
template <ResetWriter write_reset>
bool put_three(const ResponseHeaderName* names, const Standing& policy, Now now, HeaderSink& sink) {
    constexpr size_t kSize = kAmountSize + kAmountSize + kResetSize;
    char* space = sink.space(kSize);
    if (space == nullptr) {
        return false;
    }
    TextWriter out(space, kSize);
    out.number(policy.limit);
    const std::string_view limit = out.take();
    out.number(policy.remaining);
    const std::string_view remaining = out.take();
    write_reset(policy.reset, now, out);
    const std::string_view reset = out.take();
    return !out.overflowed() && put(sink, names[0], limit) && put(sink, names[1], remaining) &&
           (!has_reset(policy) || put(sink, names[2], reset));
}

const Description* most_restrictive(const Shown& shown, Measure measure) {
    const Description* found = nullptr;
    for (size_t i = 0; i < shown.n; i++) {
        const Description& policy = shown.all[i];
        if (policy.measure == measure &&
            (found == nullptr || is_more_restrictive(policy, *found))) {
            found = &policy;
        }
    }
    return found;
}

/** The styles that distinguish requests and tokens: the first three names, and the last three. They
 * have no name for what is neither, such as money. */
template <ResetWriter write_reset>
bool put_by_measure(const ResponseHeaderName* names, const Shown& shown) {
    const Description* requests = most_restrictive(shown, Measure::kRequests);
    if (requests != nullptr && !put_three<write_reset>(names, *requests, shown.now, shown.sink)) {
        return false;
    }
    const Description* tokens = most_restrictive(shown, Measure::kTokens);
    return tokens == nullptr || put_three<write_reset>(names + 3, *tokens, shown.now, shown.sink);
}

// x-ratelimit: the reported policy; the reset in seconds from now

bool write_x_ratelimit(const Shown& shown) {
    char* space = shown.sink.space(kXRateLimitSize);
    if (space == nullptr) {
        return false;
    }
    bool all = true;
    format_x_ratelimit(
        shown.reported, space, [&](const ResponseHeaderName& name, std::string_view value) {
            const bool is_reset = name.name == kXRateLimitNames[2].name;
            all = all && ((is_reset && !has_reset(shown.reported)) || put(shown.sink, name, value));
        });
    return all;
}

// ietf: every policy, money in millionths, since the numbers are whole ones;
// draft-ietf-httpapi-ratelimit-headers-10

constexpr ResponseHeaderName kIetfNames[] = {
    {"RateLimit-Policy", "ratelimit-policy"},
    {"RateLimit", "ratelimit"},
};

void write_separator(size_t i, TextWriter& out) {
    if (i > 0) {
        out.text(", ");
    }
}

void write_policy_item(const Description& policy, TextWriter& out) {
    out.text("\"");
    out.text(policy.policy);
    out.text("\";q=");
    out.number(policy.limit);
    if (policy.measure == Measure::kInFlight) {
        out.text(";qu=\"concurrent-requests\"");
        return;
    }
    out.text(";w=");
    out.whole_seconds(policy.window > 0 ? policy.window : 1);  // the draft wants w > 0
}

void write_limit_item(const Description& policy, TextWriter& out) {
    out.text("\"");
    out.text(policy.policy);
    out.text("\";r=");
    out.number(policy.remaining);
    if (has_reset(policy)) {
        out.text(";t=");
        out.whole_seconds(policy.next);
    }
}

/** At least what both items of the policy take, with their separators. */
constexpr size_t ietf_size(const Description& policy) {
    constexpr size_t kPolicyText = sizeof "\"\";q=;qu=\"concurrent-requests\", " + kSecondsSize;
    constexpr size_t kLimitText = sizeof "\"\";r=;t=, " + kSecondsSize;
    return 2 * (policy.policy.size() + kAmountSize) + kPolicyText + kLimitText;
}

bool write_ietf(const Shown& shown) {
    size_t size = 0;
    for (size_t i = 0; i < shown.n; i++) {
        size += ietf_size(shown.all[i]);
    }
    char* space = shown.sink.space(size);
    if (space == nullptr) {
        return false;
    }
    TextWriter out(space, size);
    for (size_t i = 0; i < shown.n; i++) {
        write_separator(i, out);
        write_policy_item(shown.all[i], out);
    }
    const std::string_view policies = out.take();
    for (size_t i = 0; i < shown.n; i++) {
        write_separator(i, out);
        write_limit_item(shown.all[i], out);
    }
    const std::string_view limits = out.take();
    return !out.overflowed() && put(shown.sink, kIetfNames[0], policies) &&
           put(shown.sink, kIetfNames[1], limits);
}

// openai: requests and tokens; the reset as Go prints a time.Duration

constexpr ResponseHeaderName kOpenAiNames[] = {
    {"x-ratelimit-limit-requests", "x-ratelimit-limit-requests"},
    {"x-ratelimit-remaining-requests", "x-ratelimit-remaining-requests"},
    {"x-ratelimit-reset-requests", "x-ratelimit-reset-requests"},
    {"x-ratelimit-limit-tokens", "x-ratelimit-limit-tokens"},
    {"x-ratelimit-remaining-tokens", "x-ratelimit-remaining-tokens"},
    {"x-ratelimit-reset-tokens", "x-ratelimit-reset-tokens"},
};

/** `0s`, `120ms`, `1.5s`, `6m0s`, `1h0m0s`; an hour is the largest unit. */
void write_go_duration(Millis reset, Now, TextWriter& out) {
    constexpr Millis kMinute = 60'000;
    constexpr Millis kHour = 60 * kMinute;
    const Millis length = reset > 0 ? reset : 0;
    if (length > 0 && length < 1000) {
        out.number(static_cast<uint64_t>(length));
        out.text("ms");
        return;
    }
    if (length >= kHour) {
        out.number(static_cast<uint64_t>(length / kHour));
        out.text("h");
    }
    if (length >= kMinute) {
        out.number(static_cast<uint64_t>(length % kHour / kMinute));
        out.text("m");
    }
    out.seconds(length % kMinute);
    out.text("s");
}

bool write_openai(const Shown& shown) {
    return put_by_measure<write_go_duration>(kOpenAiNames, shown);
}

// anthropic: requests and tokens; the reset as a date

constexpr ResponseHeaderName kAnthropicNames[] = {
    {"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-limit"},
    {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-remaining"},
    {"anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-reset"},
    {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-limit"},
    {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-remaining"},
    {"anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-reset"},
};

struct Date {
    unsigned year;
    unsigned month;
    unsigned day;
};

/** The Gregorian date so many days after 1970-01-01, with years that begin in March. */
Date date_of_day(uint64_t days_since_epoch) {
    constexpr unsigned kDaysTo1970 = 719'468;  // from 0000-03-01
    constexpr unsigned kDaysOf400Years = 146'097;
    const uint64_t days = days_since_epoch + kDaysTo1970;
    const auto day_of_era = static_cast<unsigned>(days % kDaysOf400Years);
    const unsigned year_of_era =
        (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const unsigned day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned month_from_march = (5 * day_of_year + 2) / 153;
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    const auto era_years = static_cast<unsigned>(days / kDaysOf400Years * 400);
    return {era_years + year_of_era + (month <= 2 ? 1 : 0), month,
            day_of_year - (153 * month_from_march + 2) / 5 + 1};
}

/** RFC 3339 in UTC with whole seconds, rounded up; no later than the year 9999, its last. */
void write_date(Millis reset, Now now, TextWriter& out) {
    constexpr uint64_t kLastSecond = 253'402'300'799;
    constexpr unsigned kDay = 86'400;
    Millis at = 0;
    uint64_t second = kLastSecond;
    if (!__builtin_add_overflow(now.wall, reset > 0 ? reset : 0, &at)) {
        second = seconds_rounded_up(at) < kLastSecond ? seconds_rounded_up(at) : kLastSecond;
    }
    const Date date = date_of_day(second / kDay);
    const auto of_day = static_cast<unsigned>(second % kDay);
    out.two_digits(date.year / 100);
    out.two_digits(date.year % 100);
    out.text("-");
    out.two_digits(date.month);
    out.text("-");
    out.two_digits(date.day);
    out.text("T");
    out.two_digits(of_day / 3600);
    out.text(":");
    out.two_digits(of_day / 60 % 60);
    out.text(":");
    out.two_digits(of_day % 60);
    out.text("Z");
}

bool write_anthropic(const Shown& shown) {
    return put_by_measure<write_date>(kAnthropicNames, shown);
}

// what every style adds to a refusal

constexpr ResponseHeaderName kRetryAfter = {"Retry-After", "retry-after"};
constexpr ResponseHeaderName kRetryAfterMs = {"retry-after-ms", "retry-after-ms"};
constexpr ResponseHeaderName kShouldRetry = {"x-should-retry", "x-should-retry"};
constexpr ResponseHeaderName kCacheControl = {"Cache-Control", "cache-control"};
constexpr ResponseHeaderName kRefusalNames[] = {kRetryAfter, kRetryAfterMs, kShouldRetry,
                                                kCacheControl};

/** The one wait that clients honour. Clients that cap it are asked not to retry if it is long. */
bool write_wait(Millis wait, HeaderSink& sink) {
    if (wait == kNever) {
        return put(sink, kShouldRetry, "false");
    }
    constexpr size_t kSize = kSecondsSize + 5;  // up to kLongWait milliseconds have five digits
    char* space = sink.space(kSize);
    if (space == nullptr) {
        return false;
    }
    TextWriter out(space, kSize);
    out.whole_seconds(wait);
    if (!put(sink, kRetryAfter, out.take())) {
        return false;
    }
    if (wait > kLongWait) {
        return put(sink, kShouldRetry, "false");
    }
    out.number(static_cast<uint64_t>(wait));
    return put(sink, kRetryAfterMs, out.take());
}

/** RFC 6585, 4: a 429 must not be stored by a cache. */
bool write_refusal(const Description& reported, HeaderSink& sink) {
    return write_wait(stated_wait(reported), sink) && put(sink, kCacheControl, "no-store");
}

// The table of styles, in the order of HeaderStyle.

struct NameList {
    const ResponseHeaderName* names;
    size_t count;
};

template <size_t count>
constexpr NameList name_list(const ResponseHeaderName (&names)[count]) {
    return {names, count};
}

struct StyleRow {
    std::string_view name;
    HeaderStyle style;
    bool (*write)(const Shown& shown);
    NameList names;  // all that `write` may put
};

constexpr StyleRow kStyles[] = {
    {"x-ratelimit", HeaderStyle::kXRateLimit, write_x_ratelimit, name_list(kXRateLimitNames)},
    {"ietf", HeaderStyle::kIetf, write_ietf, name_list(kIetfNames)},
    {"openai", HeaderStyle::kOpenAi, write_openai, name_list(kOpenAiNames)},
    {"anthropic", HeaderStyle::kAnthropic, write_anthropic, name_list(kAnthropicNames)},
};

constexpr bool is_in_order() {
    unsigned bit = 1;
    for (const StyleRow& row : kStyles) {
        if (header_styles(row.style) != bit) {
            return false;
        }
        bit <<= 1;
    }
    return true;
}

static_assert(is_in_order(),
              "each row of kStyles has a bit of its own, in the order of HeaderStyle");

constexpr NameList kRefusal = name_list(kRefusalNames);

/** A set of letters; empty for what is none. */
using Letters = uint32_t;

constexpr Letters letter(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z' ? Letters{1} << (lower(c) - 'a') : 0;
}

constexpr Letters first_letters(const NameList& list) {
    Letters letters = 0;
    for (size_t i = 0; i < list.count; i++) {
        letters |= letter(list.names[i].lowercase[0]);
    }
    return letters;
}

constexpr Letters first_letters_of_styles() {
    Letters letters = 0;
    for (const StyleRow& row : kStyles) {
        letters |= first_letters(row.names);
    }
    return letters;
}

/** Most headers of a response begin with another letter than any that is written here. */
constexpr Letters kPassedLetters = first_letters_of_styles();
constexpr Letters kRefusedLetters = kPassedLetters | first_letters(kRefusal);

bool contains(const NameList& list, std::string_view name) {
    for (size_t i = 0; i < list.count; i++) {
        if (is_same(name, list.names[i].lowercase)) {
            return true;
        }
    }
    return false;
}

/** Apart from its caller, so that names with another first letter cost no stack frame. */
[[gnu::noinline]] bool is_listed(std::string_view name, HeaderStyles styles, bool refused) {
    for (const StyleRow& row : kStyles) {
        if ((styles & header_styles(row.style)) != 0 && contains(row.names, name)) {
            return true;
        }
    }
    return refused && contains(kRefusal, name);
}

}  // namespace

HeaderStyles find_header_style(std::string_view name) {
    for (const StyleRow& row : kStyles) {
        if (row.name == name) {
            return header_styles(row.style);
        }
    }
    return kNoHeaders;
}

void list_header_styles(TextWriter& out) {
    std::string_view between;
    for (const StyleRow& row : kStyles) {
        out.text(between);
        out.text(row.name);
        between = ", ";
    }
}

bool write_headers(HeaderStyles styles, const Description* all, size_t n,
                   const Description& reported, bool refused, Now now, HeaderSink& sink) {
    if (styles == kNoHeaders) {
        return true;
    }
    if (n > 0) {
        const Shown shown{all, n, reported, now, sink};
        for (const StyleRow& row : kStyles) {
            if ((styles & header_styles(row.style)) != 0 && !row.write(shown)) {
                return false;
            }
        }
    }
    return !refused || write_refusal(reported, sink);
}

bool is_rate_limit_header(std::string_view name, HeaderStyles styles, bool refused) {
    const Letters letters = refused ? kRefusedLetters : kPassedLetters;
    if (name.empty() || styles == kNoHeaders || (letters & letter(name.front())) == 0) {
        return false;
    }
    return is_listed(name, styles, refused);
}

bool is_wait_header(std::string_view name) {
    for (const ResponseHeaderName& header : {kRetryAfter, kRetryAfterMs, kShouldRetry}) {
        if (is_same(name, header.lowercase)) {
            return true;
        }
    }
    return false;
}

bool is_more_restrictive(const Standing& a, const Standing& b) {
    __extension__ using Wide = unsigned __int128;
    // a limit of 0 has nothing left, as one of 1 of which nothing remains
    const Amount limit_of_a = a.limit > 0 ? a.limit : 1;
    const Amount limit_of_b = b.limit > 0 ? b.limit : 1;
    return Wide{a.remaining} * limit_of_b < Wide{b.remaining} * limit_of_a;
}

}  // namespace ai_limit
