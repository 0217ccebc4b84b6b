// The counts of models: exact for those that have a row, exact as a sum for all, in bounded memory
// whatever names there are.

#include "core/observe/models.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/carry/migration.h"
#include "core/observe/metrics_text.h"
#include "core/observe/status_json.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr DayNumber kDay = 20'000;

ZoneSizes small_sizes() {
    return sizes_for(64 * 1024, true, false);
}

void count(const Zone& zone, std::string_view name, const TokenCounts& used, Amount cost,
           DayNumber day = kDay) {
    count_model(zone, {name, true}, used, cost, day);
}

/** The models as an operator sees them. */
struct Seen {
    Seen(std::initializer_list<const Zone*> zones, DayNumber day = kDay)
        : models(zones.size() * kModelRows) {
        views.models = models.data();
        for (const Zone* zone : zones) {
            add_models(*zone, day, &views);
        }
        rank_models(&views);
    }

    const ModelView& of(std::string_view name) const {
        for (size_t i = 0; i < views.count; ++i) {
            if (views.models[i].name() == name) {
                return views.models[i];
            }
        }
        return views.others;
    }

    /** The sum over all, the others included. */
    ModelUse sum(ModelUse ModelView::*part) const {
        ModelUse sum = views.others.*part;
        for (size_t i = 0; i < views.count; ++i) {
            for (auto count : ModelUse::kAll) {
                sum.*count += (views.models[i].*part).*count;
            }
        }
        return sum;
    }

    std::vector<ModelView> models;
    ModelViews views{};
};

void expect_equal(const ModelUse& a, const ModelUse& b) {
    for (auto count : ModelUse::kAll) {
        EXPECT_EQ(a.*count, b.*count);
    }
}

TEST(Models, CountAnswersTokensAndCost) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "gpt-5", {100, 20, 40}, 700);
    count(memory.zone(), "gpt-5", {50, 10}, 300);
    count(memory.zone(), "small", {7, 3}, 0);
    Seen seen({&memory.zone()});
    ASSERT_EQ(seen.views.count, 2u);
    EXPECT_EQ(seen.models[0].name(), "gpt-5") << "the dearest one comes first";
    expect_equal(seen.of("gpt-5").total, {2, 150, 40, 30, 1'000});
    expect_equal(seen.of("gpt-5").today, {2, 150, 40, 30, 1'000});
    expect_equal(seen.of("small").total, {1, 7, 0, 3, 0});
    expect_equal(seen.views.others.total, {});
}

TEST(Models, CountEachDayFromZero) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "gpt-5", {100, 20, 40}, 700);
    count(memory.zone(), "old", {1, 1}, 1);
    count(memory.zone(), "gpt-5", {1, 2}, 3, kDay + 1);
    Seen seen({&memory.zone()}, kDay + 1);
    expect_equal(seen.of("gpt-5").today, {1, 1, 0, 2, 3});
    expect_equal(seen.of("gpt-5").total, {2, 101, 40, 22, 703});
    expect_equal(seen.of("old").today, {});
}

TEST(Models, CountTogetherWhatHasNoName) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "", {5, 1}, 9);
    count(memory.zone(), "other", {3, 1}, 1);
    Seen seen({&memory.zone()});
    EXPECT_EQ(seen.views.count, 0u);
    expect_equal(seen.views.others.total, {2, 8, 0, 2, 10});
}

TEST(Models, GiveNoRowToANameThatNobodyConfirmed) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "gpt-5", {5, 1}, 9);
    count_model(memory.zone(), {"made-up", false}, {3, 1}, 1, kDay);
    count_model(memory.zone(), {"gpt-5", false}, {2, 1}, 1, kDay);
    Seen seen({&memory.zone()});
    ASSERT_EQ(seen.views.count, 1u);
    EXPECT_EQ(seen.of("gpt-5").total.input, 7u);
    EXPECT_EQ(seen.views.others.total.input, 3u);
}

TEST(Models, ShowNamesEscapedAndCut) {
    ZoneMemory memory(small_sizes());
    const std::string dirty = "a\"b\\c\n\xff" + std::string(60'000, 'x');
    count(memory.zone(), dirty, {1, 1}, 0);
    Seen seen({&memory.zone()});
    ASSERT_EQ(seen.views.count, 1u);
    const std::string shown(seen.models[0].name());
    EXPECT_EQ(shown.size(), kMaxModelText);
    EXPECT_EQ(shown.substr(0, 22), "a\\x22b\\x5Cc\\x0A\\xFFxxx");
    EXPECT_EQ(shown.substr(shown.size() - 4), "x...");
}

TEST(Models, ShowNamesThatLookTheSameAsOne) {
    ZoneMemory memory(small_sizes());
    const std::string long_name(200, 'x');
    count(memory.zone(), long_name + "1", {1, 1}, 0);
    count(memory.zone(), long_name + "2", {2, 1}, 0);
    Seen seen({&memory.zone()});
    ASSERT_EQ(seen.views.count, 1u) << "a metric has each label once";
    EXPECT_EQ(seen.models[0].total.input, 3u);
}

TEST(Models, AddUpZones) {
    ZoneMemory one(small_sizes());
    ZoneMemory two(small_sizes());
    count(one.zone(), "gpt-5", {1, 1}, 5);
    count(two.zone(), "gpt-5", {2, 1}, 6);
    count(two.zone(), "small", {4, 1}, 1);
    Seen seen({&one.zone(), &two.zone()});
    EXPECT_EQ(seen.views.count, 2u);
    expect_equal(seen.of("gpt-5").total, {2, 3, 0, 2, 11});
    for (int i = 0; i < 20; ++i) {
        count(one.zone(), "a" + std::to_string(i), {1, 1}, 5);
        count(two.zone(), "b" + std::to_string(i), {1, 1}, 5);
    }
    Seen many({&one.zone(), &two.zone()});
    EXPECT_EQ(many.views.count, kModelRows);
    EXPECT_EQ(many.sum(&ModelView::total).answers, 43u);
}

TEST(Models, LoseNothingHoweverManyNamesThereAre) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        ZoneMemory memory(small_sizes());
        Random random(seed);
        ModelUse total{};
        ModelUse today{};
        for (int i = 0; i < 20'000; ++i) {
            const DayNumber day = i < 10'000 ? kDay : kDay + 1;
            const TokenCounts used = {random.below(1'000), random.below(500), random.below(100)};
            const Amount cost = random.below(10'000);
            count(memory.zone(), "m" + std::to_string(random.below(3'000)), used, cost, day);
            for (ModelUse* use : {&total, &today}) {
                if (use == &total || day != kDay) {
                    use->answers += 1;
                    use->input += used.input;
                    use->cached_input += used.cached_input;
                    use->output += used.output;
                    use->cost += cost;
                }
            }
        }
        Seen seen({&memory.zone()}, kDay + 1);
        EXPECT_EQ(seen.views.count, kModelRows);
        expect_equal(seen.sum(&ModelView::total), total);
        expect_equal(seen.sum(&ModelView::today), today);
    }
}

TEST(Models, KeepTheRowsOfModelsInUseAmongMadeUpNames) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        ZoneMemory memory(small_sizes());
        Random random(seed);
        std::map<std::string, uint64_t> truth;
        for (int i = 0; i < 30'000; ++i) {
            // Half of the answers are of 20 models; each of the others has a name of its own.
            const uint64_t real = random.below(40);
            const std::string name =
                real < 20 ? "real-" + std::to_string(real) : "made-up-" + std::to_string(i);
            ++truth[name];
            count(memory.zone(), name, {100, 100}, 0);
        }
        Seen seen({&memory.zone()});
        for (int real = 0; real < 20; ++real) {
            const std::string name = "real-" + std::to_string(real);
            ASSERT_EQ(seen.of(name).name(), name) << "seed " << seed;
            EXPECT_GE(seen.of(name).total.answers, truth[name] * 8 / 10);
            EXPECT_LE(seen.of(name).total.answers, truth[name]);
        }
    }
}

TEST(Models, LoseNothingWhenProcessesCountAtOnce) {
    ZoneMemory memory(small_sizes());
    constexpr uint64_t kAnswers = 20'000;
    std::vector<std::thread> processes;
    for (uint64_t i = 0; i < 4; ++i) {
        processes.emplace_back([&, i] {
            Random random(i + 1);
            for (uint64_t n = 0; n < kAnswers; ++n) {
                // find_counts() rather than count_model(): threads share what processes do not
                const std::string name = "m" + std::to_string(random.below(100));
                ModelCounts* counts = find_counts(memory.zone(), {name, true}, {9, 1}, kDay);
                counts->answers.total.fetch_add(1);
            }
        });
    }
    for (std::thread& process : processes) {
        process.join();
    }
    EXPECT_EQ(Seen({&memory.zone()}).sum(&ModelView::total).answers, 4 * kAnswers);
}

TEST(Models, AreCopiedToAZoneOfAnotherSize) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "gpt-5", {100, 20, 40}, 700);
    count(memory.zone(), "", {1, 1}, 1);
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    ZoneMemory larger(sizes_for(256 * 1024, true, true));
    copy_zone(user.journal(), larger.zone(), {1'000, 1'755'780'000'000});
    Seen seen({&larger.zone()});
    expect_equal(seen.of("gpt-5").today, {1, 100, 40, 20, 700});
    EXPECT_EQ(seen.views.others.total.cost, 1u);
}

TEST(Models, AreShownWithTheirCostWhereThereArePrices) {
    ZoneMemory memory(small_sizes());
    count(memory.zone(), "gpt\"5", {100, 20, 40}, 4'873'215);
    Seen seen({&memory.zone()});
    std::string buffer(kMaxModelJson, '\0');
    TextWriter out(buffer.data(), buffer.size());
    JsonWriter json(out);
    write_model_json(seen.models[0], true, json);
    EXPECT_EQ(out.take(), R"({"model":"gpt\\x225","today":{"answers":1,"input":100,)"
                          R"("cached_input":40,"output":20,"spent":4.873215},)"
                          R"("total":{"answers":1,"input":100,"cached_input":40,"output":20,)"
                          R"("spent":4.873215}})");
    JsonWriter bare(out);
    write_model_json(seen.models[0], false, bare);
    EXPECT_EQ(out.take().find("spent"), std::string_view::npos);
    kModelMetrics[0].write(kModelMetrics[0].metric.name, seen.models[0], out);
    EXPECT_EQ(out.take(), "ai_limit_model_answers_total{model=\"gpt\\\\x225\"} 1\n");
}

TEST(Models, FitTheRoomForTheirTexts) {
    ModelView view{};
    std::memset(view.text, '\\', kMaxModelText);
    view.size = kMaxModelText;
    for (auto count : ModelUse::kAll) {
        view.total.*count = view.today.*count = UINT64_MAX;
    }
    char json_buffer[kMaxModelJson];
    TextWriter json_out(json_buffer, sizeof(json_buffer));
    JsonWriter json(json_out);
    write_model_json(view, true, json);
    EXPECT_FALSE(json_out.overflowed());
    for (size_t i = 0; i < kModelMetricCount; ++i) {
        char buffer[kMaxModelSamples];
        TextWriter out(buffer, sizeof(buffer));
        kModelMetrics[i].write(kModelMetrics[i].metric.name, view, out);
        EXPECT_FALSE(out.overflowed()) << kModelMetrics[i].metric.name;
    }
}

}  // namespace
}  // namespace ai_limit
