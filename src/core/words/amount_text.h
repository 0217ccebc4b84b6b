#pragma once

// Reads and writes amounts as people see them: dollars for a policy in money, which counts
// millionths of them, and plain numbers for all others.

#include <string_view>

#include "core/words/text_writer.h"
#include "core/words/types.h"

namespace ai_limit {

/** Bytes that any 64-bit number of any unit takes at most. */
constexpr size_t kMaxAmountText = kMaxMillionthsText;

/** Writes `4.873215` for 4873215 millionths of a dollar, and `100` for 100 of anything else. */
inline void write_amount(Measure measure, uint64_t amount, TextWriter& out) {
    if (facts_of(measure).in_millionths) {
        out.millionths(amount);
    } else {
        out.number(amount);
    }
}

/** The same with the unit behind it: `60 requests`, `1 token`, `4 concurrent requests`, `20 USD`.
 */
void write_amount_and_unit(Measure measure, uint64_t amount, TextWriter& out);

/**
 * A number in the configuration whose unit is that of the policy's rate, which may not be known
 * yet. Numbers above kMaxAmount stand for kMaxAmount.
 */
struct WrittenAmount {
    uint64_t millionths;  // a number of at most kMaxAmount has at most six decimals
    bool in_usd;          // "usd" stands behind the number
};

constexpr WrittenAmount kAnyAmount = {kMaxAmount * 1'000'000, false};

/** Reads `5`, `0.05` or `5usd`, the entire text. False, and `written` untouched, if it is none. */
bool read_amount(std::string_view text, WrittenAmount* written);

/**
 * Returns the number as an amount of this measure. False if it is none: a fraction, or dollars in a
 * unit that is not money. Then `amount` is the number rounded up.
 */
bool amount_of(const WrittenAmount& written, Measure measure, Amount* amount);

}  // namespace ai_limit
