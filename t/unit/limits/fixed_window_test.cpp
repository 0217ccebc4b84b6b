#include "core/limits/fixed_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/limits/algorithm.h"
#include "core/limits/rate.h"
#include "limited_key.h"
#include "random.h"

namespace ai_limit {
namespace {

using Unit = PeriodUnit;

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;

constexpr const char* kZones[] = {"+00:00", "+09:00", "+05:45", "-03:30",
                                  "+14:00", "-12:00", "-00:01"};

Millis zone(std::string_view text) {
    Millis offset = 0;
    EXPECT_TRUE(parse_time_zone(text, &offset)) << text;
    return offset;
}

Limit window(const std::string& rate_text, std::string_view zone_text = "+00:00") {
    Rate rate{};
    Limit limit{};
    EXPECT_EQ(parse_rate(rate_text, &rate), nullptr) << rate_text;
    EXPECT_EQ(make_limit(Algorithm::kFixedWindow, rate, 0, zone(zone_text), &limit), nullptr)
        << rate_text;
    return limit;
}

/** `2024-02-29T23:59:59.999`, UTC. */
Millis utc(const std::string& text) {
    tm parts{};
    const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    EXPECT_NE(rest, nullptr) << text;
    const Millis millis = rest != nullptr && *rest == '.' ? std::stoi(rest + 1) : 0;
    return Millis{timegm(&parts)} * 1000 + millis;
}

std::string shown(Millis wall) {
    const time_t seconds = wall / 1000;
    tm parts{};
    gmtime_r(&seconds, &parts);
    char text[64];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    return text + ("." + std::to_string(1000 + wall % 1000).substr(1));
}

/** The bounds of a window by the C library's calendar, in seconds since the epoch. */
struct Bounds {
    time_t start;
    time_t end;
};

Bounds months(int count, time_t local) {
    tm parts{};
    gmtime_r(&local, &parts);
    const int month = (parts.tm_year - 70) * 12 + parts.tm_mon;
    tm first{};
    first.tm_year = 70;
    first.tm_mon = month / count * count;
    first.tm_mday = 1;
    tm next = first;
    next.tm_mon += count;
    return {timegm(&first), timegm(&next)};
}

/**
 * Returns windows of `count` times so many days, from the first such day on: 1970-01-01 or Monday
 * 1970-01-05.
 */
Bounds days(int count, bool weeks, time_t local) {
    tm day{};
    gmtime_r(&local, &day);
    day.tm_hour = day.tm_min = day.tm_sec = 0;
    day.tm_mday -= weeks ? (day.tm_wday + 6) % 7 : 0;
    const time_t seconds_per_day = 86'400;
    const time_t length = weeks ? 7 : 1;
    const time_t number = (timegm(&day) / seconds_per_day - (weeks ? 4 : 0)) / length;
    day.tm_mday -= static_cast<int>(number % count * length);
    tm end = day;
    end.tm_mday += static_cast<int>(count * length);
    return {timegm(&day), timegm(&end)};
}

Bounds calendar(Period period, Millis time_zone, Millis wall) {
    const time_t east = time_zone / 1000;
    const time_t local = wall / 1000 + east;
    const int count = static_cast<int>(period.count);
    if (period.unit < Unit::kDay) {
        const time_t length = length_of(period) / 1000;
        const time_t start = wall / 1000 / length * length;
        return {start, start + length};
    }
    const Bounds bounds = period.unit == Unit::kMonth
                              ? months(count, local)
                              : days(count, period.unit == Unit::kWeek, local);
    return {bounds.start - east, bounds.end - east};
}

std::string window_at(const std::string& rate, std::string_view zone_text,
                      const std::string& wall) {
    const Limit limit = window(rate, zone_text);
    const fixed_window::Window found =
        fixed_window::window_at(limit.period, limit.time_zone, utc(wall));
    return shown(Millis{found.start} * 1000).substr(0, 19) + " to " +
           shown(Millis{found.end} * 1000).substr(0, 19);
}

TEST(FixedWindow, AlignsSecondsMinutesAndHoursToTheEpoch) {
    EXPECT_EQ(window_at("1r/s", "+00:00", "2025-08-21T12:40:07.999"),
              "2025-08-21T12:40:07 to 2025-08-21T12:40:08");
    EXPECT_EQ(window_at("1r/15m", "+00:00", "2025-08-21T12:40:00"),
              "2025-08-21T12:30:00 to 2025-08-21T12:45:00");
    EXPECT_EQ(window_at("1r/h", "+05:45", "2025-08-21T12:40:00"),
              "2025-08-21T12:00:00 to 2025-08-21T13:00:00");
    EXPECT_EQ(window_at("1r/5h", "+00:00", "1970-01-01T14:59:59.999"),
              "1970-01-01T10:00:00 to 1970-01-01T15:00:00");
}

TEST(FixedWindow, StartsDaysAtMidnightInTheTimeZone) {
    EXPECT_EQ(window_at("1r/d", "+00:00", "2025-08-21T23:59:59.999"),
              "2025-08-21T00:00:00 to 2025-08-22T00:00:00");
    EXPECT_EQ(window_at("1r/d", "+09:00", "2025-08-21T14:59:59.999"),
              "2025-08-20T15:00:00 to 2025-08-21T15:00:00");
    EXPECT_EQ(window_at("1r/d", "+09:00", "2025-08-21T15:00:00"),
              "2025-08-21T15:00:00 to 2025-08-22T15:00:00");
    EXPECT_EQ(window_at("1r/d", "+05:45", "2025-08-21T18:15:00"),
              "2025-08-21T18:15:00 to 2025-08-22T18:15:00");
    EXPECT_EQ(window_at("1r/d", "-03:30", "2025-08-21T03:29:59.999"),
              "2025-08-20T03:30:00 to 2025-08-21T03:30:00");
    EXPECT_EQ(window_at("1r/2d", "+00:00", "1970-01-04T12:00:00"),
              "1970-01-03T00:00:00 to 1970-01-05T00:00:00");
}

TEST(FixedWindow, StartsWeeksOnMonday) {
    EXPECT_EQ(window_at("1r/w", "+00:00", "2025-08-24T23:59:59.999"),  // a Sunday
              "2025-08-18T00:00:00 to 2025-08-25T00:00:00");
    EXPECT_EQ(window_at("1r/w", "+00:00", "2025-08-25T00:00:00"),
              "2025-08-25T00:00:00 to 2025-09-01T00:00:00");
    EXPECT_EQ(window_at("1r/w", "-03:30", "2025-08-25T03:29:59"),
              "2025-08-18T03:30:00 to 2025-08-25T03:30:00");
    EXPECT_EQ(window_at("1r/2w", "+00:00", "1970-01-20T00:00:00"),
              "1970-01-19T00:00:00 to 1970-02-02T00:00:00");
}

TEST(FixedWindow, StartsMonthsOnTheFirst) {
    EXPECT_EQ(window_at("1r/month", "+00:00", "2024-02-29T23:59:59.999"),
              "2024-02-01T00:00:00 to 2024-03-01T00:00:00");
    EXPECT_EQ(window_at("1r/month", "+00:00", "2025-02-28T00:00:00"),
              "2025-02-01T00:00:00 to 2025-03-01T00:00:00");
    EXPECT_EQ(window_at("1r/month", "+09:00", "2025-12-31T15:00:00"),
              "2025-12-31T15:00:00 to 2026-01-31T15:00:00");
    EXPECT_EQ(window_at("1r/3month", "+00:00", "2025-06-30T12:00:00"),
              "2025-04-01T00:00:00 to 2025-07-01T00:00:00");
    EXPECT_EQ(window_at("1r/12month", "+00:00", "2024-12-31T12:00:00"),
              "2024-01-01T00:00:00 to 2025-01-01T00:00:00");
    EXPECT_EQ(window_at("1r/month", "+00:00", "2000-02-29T12:00:00"),
              "2000-02-01T00:00:00 to 2000-03-01T00:00:00");
    EXPECT_EQ(window_at("1r/month", "+00:00", "2100-02-28T12:00:00"),  // no leap year
              "2100-02-01T00:00:00 to 2100-03-01T00:00:00");
}

struct Case {
    std::string rate;
    std::string zone;
    uint64_t seed;
    Limit limit;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.rate << " tz=" << c.zone << " seed " << c.seed;
}

constexpr const char* kPeriods[] = {"s",  "m",   "h",      "d",      "w",      "month",
                                    "7s", "15m", "90m",    "5h",     "2d",     "3d",
                                    "2w", "3w",  "2month", "3month", "12month"};

Case random_case(uint64_t seed) {
    Random random(seed);
    Case c;
    c.rate = std::to_string(random.scaled(random.one_in(2) ? 20 : kMaxAmount)) + "r/" +
             random.one_of(kPeriods);
    c.zone = random.one_of(kZones);
    c.seed = seed;
    c.limit = window(c.rate, c.zone);
    return c;
}

/** Returns a time from 1971 to 2105. */
Millis random_wall(Random* random) {
    return random->between(365 * kDay, 135 * 365 * kDay);
}

Amount cost_above_zero(Random* random, const Limit& limit) {
    switch (random->below(6)) {
        case 0:
            return limit.capacity;
        case 1:
            return limit.capacity + 1;
        case 2:
        case 3:
            return random->scaled(limit.capacity);
        default:
            return 1;
    }
}

TEST(FixedWindowProperty, MatchesTheCalendarToTheMillisecond) {
    for (uint64_t seed = 0; seed < 1000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 1'000'000);
        const Limit& limit = c.limit;
        for (int i = 0; i < 40; ++i) {
            const Millis wall = random_wall(&random);
            const Bounds expected = calendar(limit.period, limit.time_zone, wall);
            const Millis edges[] = {wall, Millis{expected.start} * 1000,
                                    Millis{expected.end} * 1000 - 1};
            for (const Millis moment : edges) {
                const auto found = fixed_window::window_at(limit.period, limit.time_zone, moment);
                ASSERT_EQ(found.start, expected.start) << c << " at " << shown(moment);
                ASSERT_EQ(found.end, expected.end) << c << " at " << shown(moment);
            }
            const auto before =
                fixed_window::window_at(limit.period, limit.time_zone, edges[1] - 1);
            const auto after = fixed_window::window_at(limit.period, limit.time_zone, edges[2] + 1);
            ASSERT_EQ(before.end, expected.start) << c << " before " << shown(edges[1]);
            ASSERT_EQ(after.start, expected.end) << c << " after " << shown(edges[2]);
        }
    }
}

TEST(FixedWindowProperty, PutsEveryDayTo2105IntoItsMonthAndWeek) {
    for (const char* zone_text : kZones) {
        const Limit limits[] = {window("1r/month", zone_text), window("1r/w", zone_text),
                                window("1r/d", zone_text)};
        for (Millis wall = 60 * kDay; wall < 135 * 365 * kDay; wall += kDay) {
            for (const Limit& limit : limits) {
                const auto found = fixed_window::window_at(limit.period, limit.time_zone, wall);
                const Bounds expected = calendar(limit.period, limit.time_zone, wall);
                ASSERT_EQ(found.start, expected.start) << zone_text << " at " << shown(wall);
                ASSERT_EQ(found.end, expected.end) << zone_text << " at " << shown(wall);
            }
        }
    }
}

TEST(FixedWindow, PassesExactlyTheQuotaInEachWindow) {
    LimitedKey two(window("2r/m"));
    const Millis minute = utc("2025-08-21T12:40:00");
    EXPECT_TRUE(two.pass(1, minute + 59'998));
    EXPECT_TRUE(two.pass(1, minute + 59'999));
    EXPECT_FALSE(two.pass(1, minute + 59'999));
    EXPECT_TRUE(two.pass(2, minute + 60'000));
    EXPECT_FALSE(two.pass(1, minute + 60'000));
}

TEST(FixedWindow, RefusesEverythingAtARateOfZero) {
    LimitedKey none(window("0r/m"));
    EXPECT_FALSE(none.pass(1, 0));
    EXPECT_FALSE(none.pass(1, utc("2025-08-21T12:40:00")));
}

TEST(FixedWindow, HoldsTheLargestQuota) {
    LimitedKey largest(window("1000Gt/d"));
    const Millis noon = utc("2025-08-21T12:00:00");
    EXPECT_TRUE(largest.pass(kMaxAmount - 1, noon));
    EXPECT_TRUE(largest.pass(1, noon));
    EXPECT_FALSE(largest.pass(1, noon));
    EXPECT_EQ(largest.used_at(noon), kMaxAmount);
}

TEST(FixedWindow, StaysInTheLaterWindowWhenTheClockStepsBack) {
    LimitedKey three(window("3r/h"));
    const Millis boundary = utc("2025-08-21T13:00:00");
    EXPECT_TRUE(three.pass(1, boundary));
    EXPECT_TRUE(three.pass(1, boundary - 1));
    EXPECT_EQ(three.wait_for(3, boundary - 1), kHour + 1);
    EXPECT_TRUE(three.pass(1, boundary + 1));
    EXPECT_FALSE(three.pass(1, boundary - kDay));
    EXPECT_FALSE(three.pass(1, boundary + kHour - 1));
    EXPECT_TRUE(three.pass(3, boundary + kHour));
}

TEST(FixedWindow, KeepsWhatWasUsedWhenTheQuotaChanges) {
    const Millis noon = utc("2025-08-21T12:00:00");
    for (const char* period : {"m", "h", "d", "w", "month"}) {
        LimitedKey changed(window(std::string("10r/") + period));
        EXPECT_TRUE(changed.pass(7, noon));
        changed.change(window(std::string("20r/") + period));
        EXPECT_EQ(changed.used_at(noon + 1), 7U) << period;
        EXPECT_FALSE(changed.would_pass(14, noon + 1)) << period;
        EXPECT_TRUE(changed.would_pass(13, noon + 1)) << period;
        changed.change(window(std::string("5r/") + period));
        EXPECT_EQ(changed.used_at(noon + 2), 7U) << period;
        EXPECT_FALSE(changed.would_pass(1, noon + 2)) << period;
    }
}

TEST(FixedWindow, KeepsWhatWasUsedFromHourlyToDailyAndBack) {
    const Millis noon = utc("2025-08-21T12:00:00");
    LimitedKey changed(window("10r/h"));
    EXPECT_TRUE(changed.pass(4, noon));
    changed.change(window("100r/d"));
    EXPECT_TRUE(changed.pass(1, noon + kMinute));
    EXPECT_EQ(changed.used_at(noon + 11 * kHour), 5U);
    changed.change(window("10r/h"));
    EXPECT_EQ(changed.used_at(noon + 2 * kMinute), 5U);
    EXPECT_TRUE(changed.pass(1, noon + 2 * kMinute));
    EXPECT_EQ(changed.used_at(noon + kHour - 1), 6U);
    EXPECT_EQ(changed.used_at(noon + kHour), 0U);
}

TEST(FixedWindow, CountsAPastHourInTheDayThatStillRuns) {
    const Millis noon = utc("2025-08-21T12:00:00");
    LimitedKey changed(window("10r/h"));
    EXPECT_TRUE(changed.pass(4, noon));
    changed.change(window("100r/d"));
    EXPECT_EQ(changed.used_at(noon + 5 * kHour), 4U);
    EXPECT_EQ(changed.used_at(noon + 12 * kHour), 0U);
}

TEST(FixedWindow, KeepsWhatWasUsedInTheRunningWindowWhenTheTimeZoneChanges) {
    const Millis noon = utc("2025-08-21T12:00:00");
    LimitedKey changed(window("10r/d"));
    EXPECT_TRUE(changed.pass(4, noon));
    changed.change(window("10r/d", "+09:00"));
    EXPECT_EQ(changed.used_at(noon + kHour), 4U);
    EXPECT_EQ(changed.used_at(noon + 3 * kHour),
              4U);  // the day that began at 15:00 overlaps the old one
}

/** Returns the time to the next request: often to the edge of a window. */
Millis random_step(Random* random, const Limit& limit, Millis wall) {
    const Bounds bounds = calendar(limit.period, limit.time_zone, wall);
    const Millis left = Millis{bounds.end} * 1000 - wall;
    switch (random->below(6)) {
        case 0:
            return 0;
        case 1:
            return random->between(0, 20);
        case 2:
            return left - 1;
        case 3:
            return left;
        default:
            return random->between(0, limit.period_length / 3);
    }
}

TEST(FixedWindowProperty, DecidesByTheUseInTheCalendarWindow) {
    int passed = 0;
    int refused = 0;
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 2'000'000);
        LimitedKey tested(c.limit);
        std::map<time_t, Amount> windows;
        Millis wall = random.between(365 * kDay, 70 * 365 * kDay);
        for (int i = 0; i < 100 && wall < 130 * 365 * kDay; ++i) {
            wall += random_step(&random, c.limit, wall);
            const Bounds bounds = calendar(c.limit.period, c.limit.time_zone, wall);
            Amount& in_window = windows[bounds.start];
            const Amount cost = cost_above_zero(&random, c.limit);
            const bool expected = in_window + cost <= c.limit.capacity;
            ASSERT_EQ(tested.used_at(wall), in_window) << c << " at " << shown(wall);
            if (!expected && cost <= c.limit.capacity) {
                ASSERT_EQ(tested.wait_for(cost, wall), Millis{bounds.end} * 1000 - wall)
                    << c << " at " << shown(wall);
            }
            ASSERT_EQ(tested.pass(cost, wall), expected) << c << " at " << shown(wall);
            in_window += expected ? cost : 0;
            (expected ? passed : refused) += 1;
        }
    }
    EXPECT_GT(passed, 5000);
    EXPECT_GT(refused, 5000);
}

TEST(FixedWindowProperty, NeverPassesMoreThanTheQuotaWithClocksThatDifferOrStepBack) {
    static constexpr Millis kStepsBack[] = {1, 999, 5000, kMinute, kHour, kDay, 40 * kDay};
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 3'000'000);
        LimitedKey tested(c.limit);
        std::map<time_t, Amount> windows;  // of the latest time at which one passed
        Millis clock = random.between(365 * kDay, 70 * 365 * kDay);
        Millis latest = 0;
        for (int i = 0; i < 100 && clock < 130 * 365 * kDay; ++i) {
            clock += random_step(&random, c.limit, clock);
            if (random.one_in(8)) {
                clock -= random.one_of(kStepsBack);
            }
            const Millis wall = clock - random.between(0, 50);
            const time_t start =
                calendar(c.limit.period, c.limit.time_zone, std::max(latest, wall)).start;
            const Amount cost = cost_above_zero(&random, c.limit);
            const bool expected = windows[start] + cost <= c.limit.capacity;
            ASSERT_EQ(tested.pass(cost, wall), expected)
                << c << " at " << shown(wall) << ", request " << i;
            if (expected) {
                windows[start] += cost;
                latest = std::max(latest, wall);
                ASSERT_LE(windows[start], c.limit.capacity) << c << " at " << shown(wall);
            }
        }
    }
}

TEST(FixedWindowProperty, ForgetsNothingUsedInThePresentWindowWhateverChanges) {
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        Random random(seed + 4'000'000);
        const std::string zone_text = random.one_of(kZones);
        LimitedKey tested(window("1000Gr/m", zone_text));
        struct Used {
            Millis wall;
            Amount cost;
            bool forgotten;
        };
        std::vector<Used> history;
        Millis wall = random_wall(&random) / 2;
        for (int i = 0; i < 60; ++i) {
            const Limit limit = window(std::string("1000Gr/") + random.one_of(kPeriods),
                                       random.one_in(9) ? "+01:00" : zone_text);
            tested.change(limit);
            wall += random.one_in(3) ? static_cast<Millis>(random.scaled(20 * kDay))
                                     : random.between(0, kHour);
            const Millis start = Millis{calendar(limit.period, limit.time_zone, wall).start} * 1000;
            Amount least = 0;
            for (Used& charge : history) {
                // A shorter window on the way forgets what came before it for good.
                charge.forgotten |= charge.wall < start;
                least += charge.forgotten ? 0 : charge.cost;
            }
            ASSERT_GE(tested.used_at(wall), least) << "seed " << seed << " at " << shown(wall);
            const Amount cost = random.scaled(1000);
            ASSERT_TRUE(tested.pass(cost, wall)) << "seed " << seed << " at " << shown(wall);
            history.push_back({wall, cost, false});
        }
    }
}

}  // namespace
}  // namespace ai_limit
