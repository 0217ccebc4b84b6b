#include "core/token_bucket.h"

namespace ai_limit::token_bucket {

namespace {

__extension__ typedef unsigned __int128 Wide;

}  // namespace

Level after_long(const Limit& limit, Level level, uint64_t elapsed) {
    Wide parts = Wide{elapsed} * limit.refill_amount + fraction_of(limit, level);
    Wide whole = parts / limit.refill_millis;
    if (whole >= level.used) {
        return {0, level.at, 0, limit.rate_number};
    }
    return {level.used - static_cast<uint64_t>(whole), level.at,
            static_cast<uint64_t>(parts % limit.refill_millis), limit.rate_number};
}

Millis until_back_long(const Limit& limit, const Level& level, Amount amount, Millis now) {
    Wide parts = Wide{amount} * limit.refill_millis - fraction_of(limit, level);
    Wide millis = (parts + limit.refill_amount - 1) / limit.refill_amount;
    constexpr Wide kLongest = Wide{1} << 61;
    Millis from_level = static_cast<Millis>(millis < kLongest ? millis : kLongest);
    return level.at > now ? from_level + (level.at - now) : from_level;
}

}  // namespace ai_limit::token_bucket
