#include "core/limits/token_bucket.h"

namespace ai_limit::token_bucket {

namespace {

__extension__ typedef unsigned __int128 Wide;

}  // namespace

Level advance_slowly(const Limit& limit, Level level, Millis now) {
    uint64_t elapsed = static_cast<uint64_t>(now - level.at);
    Wide parts = Wide{elapsed} * limit.refill_amount + parts_of(limit, level);
    Wide whole = parts / limit.refill_millis;
    if (whole >= level.used) {
        return {0, now, 0, limit.rate_number};
    }
    return {level.used - static_cast<uint64_t>(whole), now,
            to_fraction(static_cast<uint64_t>(parts % limit.refill_millis), limit.refill_millis),
            limit.rate_number};
}

Millis until_back_long(const Limit& limit, Level level, Amount amount, Millis now) {
    Wide parts = Wide{amount} * limit.refill_millis - parts_of(limit, level);
    Wide millis = (parts + limit.refill_amount - 1) / limit.refill_amount;
    constexpr Wide kLongest = Wide{1} << 61;
    Millis from_level = static_cast<Millis>(millis < kLongest ? millis : kLongest);
    return level.at > now ? from_level + (level.at - now) : from_level;
}

}  // namespace ai_limit::token_bucket
