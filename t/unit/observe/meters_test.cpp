// Tests the counts for operators: over processes, names, reloads and another size.

#include <gtest/gtest.h>

#include "core/carry/migration.h"
#include "core/observe/history.h"
#include "core/observe/metrics_text.h"
#include "core/observe/status_json.h"
#include "core/policies/overrides.h"
#include "core/policies/policies.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr Millis kHour = 3'600'000;

TEST(Meters, SumUpAllProcessesAndNumbersOfAName) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    const Zone& zone = memory.zone();
    ZonePolicy bucket = add_policy(zone, "user", hourly(Algorithm::kTokenBucket, 5));
    ZonePolicy window = add_policy(zone, "user", hourly(Algorithm::kSlidingWindow, 5));
    ZonePolicy other = add_policy(zone, "other", hourly(Algorithm::kTokenBucket, 5));
    for (uint32_t process = 1; process <= 20; ++process) {
        count_one(&counts_of(zone, bucket.number, process)->passed);
        count_one(&counts_of(zone, window.number, process)->rejected);
        count_tokens(counts_of(zone, other.number, process), {10, 5, 2, 1, 3, 4, 6, 7, 8, 9, 11});
    }
    PolicyTotals totals = read_totals(zone, "user", Measure::kRequests);
    EXPECT_EQ(totals.passed, 20u);
    EXPECT_EQ(totals.rejected, 20u);
    EXPECT_EQ(totals.input_tokens, 0u);
    totals = read_totals(zone, "other", Measure::kRequests);
    EXPECT_EQ(totals.input_tokens, 200u);
    EXPECT_EQ(totals.output_tokens, 100u);
    EXPECT_EQ(totals.cached_input_tokens, 40u);
    EXPECT_EQ(totals.cache_write_tokens, 20u);
    EXPECT_EQ(totals.cache_write_1h_tokens, 60u);
    EXPECT_EQ(totals.audio_input_tokens, 80u);
    EXPECT_EQ(totals.reasoning_tokens, 120u);
    EXPECT_EQ(totals.audio_output_tokens, 140u);
    EXPECT_EQ(totals.images, 160u);
    EXPECT_EQ(totals.searches, 180u);
    EXPECT_EQ(totals.seconds, 220u);
    forget_counts(zone, other.number);
    totals = read_totals(zone, "other", Measure::kRequests);
    EXPECT_EQ(totals.output_tokens + totals.reasoning_tokens + totals.seconds, 0u);
}

TEST(Meters, CountRejectedRequestsByReason) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    const Zone& zone = memory.zone();
    ZonePolicy policy = add_policy(zone, "user", hourly(Algorithm::kTokenBucket, 5));
    for (uint32_t process = 1; process <= 9; ++process) {
        PolicyCounts* counts = counts_of(zone, policy.number, process);
        count_one(&counts->rejected);
        count_one(process <= 2 ? &counts->rejected_never : &counts->rejected_blocked);
        count_one(&counts->rejected);
    }
    PolicyTotals totals = read_totals(zone, "user", Measure::kRequests);
    EXPECT_EQ(totals.rejected, 18u);
    EXPECT_EQ(totals.rejected_never, 2u);
    EXPECT_EQ(totals.rejected_blocked, 7u);
    EXPECT_EQ(totals.rejected_for_now(), 9u);
    totals.rejected = 8;  // read before the others were counted
    EXPECT_EQ(totals.rejected_for_now(), 0u);
    forget_counts(zone, policy.number);
    totals = read_totals(zone, "user", Measure::kRequests);
    EXPECT_EQ(totals.rejected_never + totals.rejected_blocked, 0u);
}

TEST(Meters, AreCopiedToAZoneOfAnotherSize) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    ZonePolicy policy = add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5));
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    for (uint64_t hash = 1; hash <= 300; ++hash) {
        Request(user).charge(policy, hash << 40).admit(kNow);
    }
    count_one(&counts_of(memory.zone(), policy.number, 1)->passed);
    ZoneMemory larger(sizes_for(256 * 1024, true, true));
    copy_zone(user.journal(), larger.zone(), kNow);
    EXPECT_EQ(read_totals(larger.zone(), "user", Measure::kRequests).passed, 1u);
    EXPECT_EQ(count_entries(larger.zone()), 300u);
    EXPECT_TRUE(is_at_rest(larger.zone()));
}

TEST(Meters, ReadRequestsInFlightFromTheirRecords) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    const Zone& zone = memory.zone();
    ZonePolicy slots = add_policy(zone, "slots", concurrency_limit(10));
    TokenPolicy tokens = add_token_policy(zone, "tokens", hourly(Algorithm::kTokenBucket, 1000));
    ZoneUser user(zone, &kAllAlive, 1);
    Request first(user);
    first.charge(slots, 1 << 20).charge_tokens(tokens, 2 << 20, 70);
    ASSERT_TRUE(first.admit(kNow));
    Request second(user);
    second.charge(slots, 1 << 20);
    ASSERT_TRUE(second.admit(kNow));
    PolicyLoad loads[kMaxPolicies + 1] = {};
    read_loads(zone, loads);
    EXPECT_EQ(loads[slots.number].in_flight, 2u);
    EXPECT_EQ(loads[tokens.used.number].reserved, 70u);
}

TEST(Meters, DistinguishEvictions) {
    ZoneMemory memory({8, 8, 1});
    const Zone& zone = memory.zone();
    ZonePolicy policy = add_policy(zone, "user", hourly(Algorithm::kTokenBucket, 5));
    ZoneUser user(zone, &kAllAlive, 1);
    for (uint64_t hash = 1; hash <= 100; ++hash) {
        Request(user).charge(policy, hash * 0x9E3779B97F4A7C15).admit(kNow);
    }
    uint64_t live = zone.header()->live_evictions.load();
    EXPECT_EQ(live, 100 - count_entries(zone));
    EXPECT_EQ(zone.header()->idle_evictions.load(), 0u);
    Now later = {kNow.monotonic + 2 * kHour, kNow.wall + 2 * kHour};
    for (uint64_t hash = 101; hash <= 110; ++hash) {
        Request(user).charge(policy, hash * 0x9E3779B97F4A7C15).admit(later);
    }
    EXPECT_EQ(zone.header()->live_evictions.load(), live);
    EXPECT_GT(zone.header()->idle_evictions.load(), 0u);
}

TEST(History, ShowsWhatWasCountedBetweenSamples) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    ZonePolicy policy = add_policy(zone, "user", hourly(Algorithm::kTokenBucket, 5));
    PolicyCounts* counts = counts_of(zone, policy.number, 3);
    HistoryStep steps[kShownSamples];
    Millis at = 1'000;
    EXPECT_TRUE(take_samples(zone, at));
    EXPECT_FALSE(take_samples(zone, at + kSampleInterval - 1));
    EXPECT_EQ(read_history(zone, policy.number, steps), 0u);
    for (uint64_t i = 1; i <= 300; ++i) {
        for (uint64_t n = 0; n < i; ++n) {
            count_one(&counts->passed);
        }
        count_tokens(counts, {i, i, 0});
        EXPECT_TRUE(take_samples(zone, at += kSampleInterval));
        size_t count = read_history(zone, policy.number, steps);
        ASSERT_EQ(count, i < kShownSamples ? i : kShownSamples);
        EXPECT_EQ(steps[count - 1].passed, i);
        EXPECT_EQ(steps[0].passed, i - count + 1);
        EXPECT_EQ(steps[count - 1].tokens, 2 * i);
    }
}

TEST(Overrides, AreFoundUntilTheyEnd) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    Limit limit = hourly(Algorithm::kTokenBucket, 500);
    OverrideView found;
    EXPECT_FALSE(has_overrides(zone));
    EXPECT_TRUE(set_override(zone, {1000, 1, &limit, "500r/h", "sk-1234567890abcdef", 90}, 50));
    EXPECT_TRUE(has_overrides(zone));
    ASSERT_TRUE(find_override(zone, 1000, 60, &found));
    EXPECT_EQ(found.limit.capacity, 500u);
    EXPECT_EQ(found.expires_in, 30);
    EXPECT_EQ(found.rate_text(), "500r/h");
    EXPECT_EQ(found.shown_key(),
              "sk-1\xE2\x80\xA6"
              "cdef");
    EXPECT_FALSE(find_override(zone, 1001, 60, &found));
    EXPECT_FALSE(find_override(zone, 1000, 90, &found));
    drop_expired_overrides(zone, 90);
    EXPECT_FALSE(has_overrides(zone));
}

TEST(Overrides, UseTheLastOneOfAKey) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    Limit few = hourly(Algorithm::kTokenBucket, 5);
    Limit many = hourly(Algorithm::kTokenBucket, 50);
    EXPECT_TRUE(set_override(zone, {1000, 1, &few, "5r/h", "ip:a", 90}, 0));
    EXPECT_TRUE(set_override(zone, {1000, 1, &many, "50r/h", "ip:a", 90}, 0));
    OverrideView found;
    ASSERT_TRUE(find_override(zone, 1000, 0, &found));
    EXPECT_EQ(found.limit.capacity, 50u);
    EXPECT_TRUE(remove_override(zone, 1000, 0));
    EXPECT_FALSE(remove_override(zone, 1000, 0));
    EXPECT_FALSE(has_overrides(zone));
}

TEST(Overrides, KeepAKeyThatIsShortenedAlready) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    Limit limit = hourly(Algorithm::kTokenBucket, 5);
    const std::string shown = "sk-1\xE2\x80\xA6" + std::string(kMaxTopKeyText, 'x');
    EXPECT_TRUE(set_override(zone, {1000, 1, &limit, "5r/h", shown, 90, true}, 0));
    OverrideView found;
    ASSERT_TRUE(find_override(zone, 1000, 0, &found));
    EXPECT_EQ(found.shown_key(), shown.substr(0, kMaxTopKeyText));
}

TEST(Overrides, AreLimitedInNumberAndReuseEndedOnes) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    Limit limit = hourly(Algorithm::kTokenBucket, 5);
    for (uint64_t i = 0; i < kMaxOverrides; ++i) {
        ASSERT_TRUE(
            set_override(zone, {1000 + i, 1, &limit, "5r/h", "ip:a", i == 7 ? 50 : 900}, 0));
    }
    EXPECT_FALSE(has_room_for_override(zone, 5000, 0));
    EXPECT_TRUE(has_room_for_override(zone, 1000, 0));  // in place of the one that it has
    EXPECT_FALSE(set_override(zone, {5000, 1, &limit, "5r/h", "ip:b", 900}, 0));
    EXPECT_TRUE(has_room_for_override(zone, 5000, 50));
    EXPECT_TRUE(set_override(zone, {1000, 1, &limit, "5r/h", "ip:a", 900}, 0));
    EXPECT_TRUE(set_override(zone, {5000, 1, &limit, "5r/h", "ip:b", 900}, 50));
    OverrideView found;
    EXPECT_TRUE(find_override(zone, 5000, 60, &found));
    EXPECT_FALSE(find_override(zone, 1007, 60, &found));
    ZoneMemory larger(sizes_for(256 * 1024, true, true));
    copy_overrides(zone, larger.zone());
    EXPECT_TRUE(find_override(larger.zone(), 5000, 60, &found));
    forget_overrides(zone, 1);
    EXPECT_FALSE(has_overrides(zone));
}

TEST(MetricsText, EscapesLabels) {
    char buffer[kMaxSample];
    TextWriter out(buffer, sizeof(buffer));
    write_sample("m", {"zone", "a\"b\\c\nd"}, {"kind", "x"}, 7, out);
    EXPECT_EQ(out.view(), "m{zone=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 7\n");
}

/** A policy of 20 USD a day that was charged 4.873215 USD. */
PolicySnapshot spending() {
    PolicySnapshot seen{};
    seen.name = "spend";
    seen.limit = "20usd/d";
    seen.tz = "+00:00";
    seen.overrun = "debt";
    seen.measure = Measure::kMoney;
    seen.counts_tokens = true;
    seen.totals.input_tokens = 1'000;
    seen.totals.settled = 4'873'215;
    seen.totals.released = 9'746'430;
    seen.charged_today = 1'500'000;
    seen.day = 20'000;
    seen.totals.overshoot = 812;
    seen.load.reserved = 41'200;
    seen.number = 1;
    return seen;
}

/** All metrics of a policy. */
std::string metrics_of(const PolicySnapshot& seen) {
    char buffer[16 * 1024];
    TextWriter out(buffer, sizeof(buffer));
    for (size_t i = 0; i < kPolicyMetricCount; ++i) {
        if (kPolicyMetrics[i].has(seen)) {
            kPolicyMetrics[i].write(kPolicyMetrics[i].metric.name, seen, out);
        }
    }
    EXPECT_FALSE(out.overflowed());
    return std::string(out.view());
}

/** True if one of the lines is this. */
bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(MetricsText, CountsMoneyInDollarsAndNotAsTokens) {
    const std::string text = metrics_of(spending());
    EXPECT_TRUE(has_line(text, "ai_limit_cost_usd_total{policy=\"spend\"} 4.873215")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_cost_usd_today{policy=\"spend\"} 1.5")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_reserved_usd{policy=\"spend\"} 0.0412")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_overshoot_usd_total{policy=\"spend\"} 0.000812")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_reserve_ratio{policy=\"spend\"} 2")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_tokens_total{policy=\"spend\",type=\"input\"} 1000"))
        << text;
    EXPECT_EQ(text.find("ai_limit_reserved_tokens"), std::string::npos);
    EXPECT_EQ(text.find("ai_limit_overshoot_tokens_total"), std::string::npos);
}

TEST(MetricsText, CountsTokensWithoutDollars) {
    PolicySnapshot seen = spending();
    seen.measure = Measure::kTokens;
    const std::string text = metrics_of(seen);
    EXPECT_TRUE(has_line(text, "ai_limit_reserved_tokens{policy=\"spend\"} 41200")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_charged_tokens_total{policy=\"spend\"} 4873215")) << text;
    EXPECT_TRUE(has_line(text, "ai_limit_overshoot_tokens_total{policy=\"spend\"} 812")) << text;
    EXPECT_EQ(text.find("usd"), std::string::npos) << text;
}

TEST(StatusJson, HasMoneyInDollarsInAnObjectOfItsOwn) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    PolicySnapshot seen = spending();
    seen.number = add_policy(zone, "spend", hourly(Algorithm::kTokenBucket, 5)).number;
    note_key(zone.top_keys(seen.number), TopMeasure::kCharges, 1, uint64_t{1} << 32, "ip:a",
             42'100);
    note_in_list(zone.day_keys(seen.number), epoch_of_day(20'000), uint64_t{1} << 32, "ip:a",
                 50'000);
    const Amount charged[] = {3, 0, 250'000};
    for (Millis i = 0; i < 3; ++i) {
        count_settled(zone, seen.number, charged[i], 0, 20'000);
        take_samples(zone, i * kSampleInterval);
    }
    std::string buffer(kMaxPolicyJson, '\0');
    TextWriter out(buffer.data(), buffer.size());
    JsonWriter json(out);
    write_policy_json(zone, seen, 0, json);
    const std::string text(out.view());
    for (
        const char* part :
        {R"("measure":"money","limit":"20usd/d","tz":"+00:00")",
         R"("money":{"spent":4.873215,"spent_today":1.5,"reserved":0.0412,"reserve_ratio":2,"overshoot":0.000812,)",
         R"("money":[{"key":"ip:a","count":0.0421,"whole":true}])",
         R"("money_today":[{"key":"ip:a","count":0.05,"whole":true}])", R"("money":[0,0.25])"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    }
    EXPECT_EQ(text.find(R"("tokens":[{)"), std::string::npos) << text;
}

TEST(Meters, DoNotMixMoneyWithWhatAPolicyOfThatNameCountedBefore) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    const Zone& zone = memory.zone();
    Limit limit = hourly(Algorithm::kTokenBucket, 1'000);
    limit.measure = Measure::kTokens;
    const uint32_t tokens = add_policy(zone, "user", limit).number;
    limit.measure = Measure::kMoney;
    const uint32_t money = add_policy(zone, "user", limit).number;
    ASSERT_NE(tokens, money);
    zone.policy(tokens)->settled.store(1'000'000);
    zone.policy(money)->settled.store(25);
    EXPECT_EQ(read_totals(zone, "user", Measure::kMoney).settled, 25u);
    EXPECT_EQ(read_totals(zone, "user", Measure::kTokens).settled, 1'000'000u);
}

TEST(Meters, CountWhatWasChargedTodayUnderAllNumbersOfAName) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    const Zone& zone = memory.zone();
    Limit limit = hourly(Algorithm::kTokenBucket, 1'000);
    limit.measure = Measure::kMoney;
    const uint32_t bucket = add_policy(zone, "user", limit).number;
    limit = hourly(Algorithm::kSlidingWindow, 1'000);
    limit.measure = Measure::kMoney;
    const uint32_t window = add_policy(zone, "user", limit).number;
    constexpr DayNumber kDay = 20'000;
    count_settled(zone, bucket, 7, 9, kDay - 1);
    count_settled(zone, bucket, 5, 9, kDay);
    count_settled(zone, window, 4, 9, kDay);
    EXPECT_EQ(charged_on(zone, "user", Measure::kMoney, kDay), 9u);
    EXPECT_EQ(charged_on(zone, "user", Measure::kMoney, kDay + 1), 0u);
    EXPECT_EQ(charged_on(zone, "user", Measure::kTokens, kDay), 0u);
    EXPECT_EQ(read_totals(zone, "user", Measure::kMoney).settled, 16u);
}

TEST(StatusJson, HasRoomForTheLargestPolicy) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    const Zone& zone = memory.zone();
    ZonePolicy policy = add_policy(zone, "user", hourly(Algorithm::kTokenBucket, 5));
    PolicyCounts* counts = counts_of(zone, policy.number, 1);
    for (uint64_t i = 0; i < 2 * kShownSamples; ++i) {
        uint64_t large = i % 2 == 0 ? UINT64_MAX - i : i;
        counts->passed.store(large);
        counts->rejected.store(large);
        counts->rejected_dry_run.store(large);
        counts->input_tokens.store(large);
        zone.policy(policy.number)->settled.store(large);
        take_samples(zone, static_cast<Millis>(i) * kSampleInterval);
    }
    std::string ugly(200, '\x01');
    for (uint64_t i = 0; i < 100; ++i) {
        for (TopMeasure measure :
             {TopMeasure::kRequests, TopMeasure::kRefusals, TopMeasure::kCharges}) {
            note_key(zone.top_keys(policy.number), measure, 1, i << 32 | 256, "ip:" + ugly,
                     1'000'000'000'000, ugly);
        }
        note_in_list(zone.day_keys(policy.number), 1, i << 32 | 256, "ip:" + ugly,
                     1'000'000'000'000, ugly);
    }
    std::string name(kMaxPolicyName, 'n');
    PolicySnapshot seen{};
    NearKeys near{};
    for (uint64_t i = 0; i < kMostNearKeys; ++i) {
        NearKey one{};
        one.key.tag = i + 256;
        write_shown_name("ip:" + ugly, &one.key.name);
        write_shown_label(ugly, &one.key.label);
        one.said = {kMaxAmount, i, kNever, Measure::kMoney};
        add_near_key(one, &near);
    }
    ASSERT_EQ(near.count, kMostNearKeys);
    seen.near = &near;
    seen.name = name;
    seen.totals = read_totals(zone, "user", Measure::kRequests);
    seen.measure = Measure::kMoney;
    seen.counts_tokens = true;
    seen.counts_in_flight = true;
    seen.number = policy.number;
    std::string buffer(kMaxPolicyJson, '\0');
    TextWriter out(buffer.data(), buffer.size());
    JsonWriter json(out);
    write_policy_json(zone, seen, 0, json);
    EXPECT_FALSE(out.overflowed());
    EXPECT_LT(out.view().size(), kMaxPolicyJson / 2);
}

/** Writes a policy with wait= and share=, for which so many keys and sharers are shown. */
std::string shared_json(size_t count, std::string_view text) {
    ZoneMemory memory(sizes_for(64 * 1024, true, false));
    ShownName name{};
    write_shown_name(text, &name);
    const auto waiting = std::make_unique<WaitingKeyViews>();
    const auto sharers = std::make_unique<SharerRows>();
    waiting->count = std::min(count, kShownWaitingKeys);
    for (size_t i = 0; i < waiting->count; ++i) {
        waiting->keys[i] = {name, UINT32_MAX, 1'234};
    }
    sharers->count = std::min<size_t>(count, kNamedSharers);
    for (size_t i = 0; i < sharers->count; ++i) {
        sharers->rows[i] = {name, name, 250'000, kMaxAmount, 42, 1'000};
    }
    PolicySnapshot seen{};
    seen.measure = Measure::kMoney;
    seen.number = 1;
    seen.wait = "20s";
    seen.waiting = waiting.get();
    seen.sharers = sharers.get();
    std::string buffer(kMaxPolicyJson + kMaxWaitsJson + kMaxSharersJson, '\0');
    TextWriter out(buffer.data(), buffer.size());
    JsonWriter json(out);
    write_policy_json(memory.zone(), seen, 0, json);
    EXPECT_FALSE(out.overflowed());
    return std::string(out.view());
}

TEST(StatusJson, HasWhoWaitsAndWhoSharesInTheUnitOfThePolicy) {
    const std::string text = shared_json(1, "ip:a");
    for (
        const char* part :
        {R"("waits":{"now":0,"ended":0,"seconds":0,"keys":[{"key":"ip:a","whole":true,"waiting":4294967295,"next_waited":1.234}]})",
         R"("sharers":[{"sharer":"ip:a","key":"ip:a","whole":true,"weight":1000,"part":0.25,"used":1000000,"need":0.000042}])"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    }
}

TEST(StatusJson, HasRoomForAsManyWaitersAndSharersAsAreShown) {
    const std::string ugly = "ip:" + std::string(200, '\x01');
    EXPECT_LT(shared_json(100, ugly).size() - shared_json(0, ugly).size(),
              (kMaxWaitsJson + kMaxSharersJson) / 2);
}

}  // namespace
}  // namespace ai_limit
