#include "core/words/amount_text.h"

#include "core/words/number.h"

namespace ai_limit {

namespace {

constexpr uint64_t kMillion = 1'000'000;
constexpr size_t kMaxDecimals = 6;
constexpr std::string_view kUsd = "usd";

/** Takes what stands behind the point at the front of the text, as millionths. */
bool read_fraction(std::string_view* text, uint64_t* millionths) {
    if (text->empty() || text->front() != '.') {
        return true;
    }
    text->remove_prefix(1);
    unsigned digits = 0;
    if (!read_digits(text, millionths, &digits) || digits > kMaxDecimals) {
        return false;
    }
    for (; digits < kMaxDecimals; ++digits) {
        *millionths *= 10;
    }
    return true;
}

}  // namespace

void write_amount_and_unit(Measure measure, uint64_t amount, TextWriter& out) {
    write_amount(measure, amount, out);
    out.text(" ");
    out.text(amount == 1 ? facts_of(measure).one : facts_of(measure).many);
}

bool read_amount(std::string_view text, WrittenAmount* written) {
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    Amount whole = 0;
    uint64_t fraction = 0;
    if (!read_whole(text.substr(0, digits), kMaxAmount, &whole)) {
        return false;
    }
    text.remove_prefix(digits);
    if (!read_fraction(&text, &fraction) || (!text.empty() && text != kUsd)) {
        return false;
    }
    *written = {whole < kMaxAmount ? whole * kMillion + fraction : kMaxAmount * kMillion,
                !text.empty()};
    return true;
}

bool amount_of(const WrittenAmount& written, Measure measure, Amount* amount) {
    if (facts_of(measure).in_millionths) {
        *amount = written.millionths < kMaxAmount ? written.millionths : kMaxAmount;
        return true;
    }
    const bool is_whole = written.millionths % kMillion == 0;
    *amount = written.millionths / kMillion + (is_whole ? 0 : 1);
    return is_whole && !written.in_usd;
}

}  // namespace ai_limit
