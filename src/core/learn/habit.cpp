#include "core/learn/habit.h"

#include <algorithm>

namespace ai_limit {

namespace {

constexpr uint32_t kOne = 256;  // a token, in the unit of Habit::output
constexpr uint32_t kMostOutput = static_cast<uint32_t>(kMostUsualOutput) * kOne;

// The steps, relative to the estimate. They are in the ratio of 19 to 1, as the 95th percentile
// wants it, and somewhat more, since long runs lower the estimate further: 1/7 up, 1/170 down.
constexpr uint64_t kUp = 36;       // 256ths
constexpr uint64_t kDown = 24;     // 4096ths
constexpr uint64_t kMoreDown = 5;  // for each answer of a long run
constexpr uint32_t kLongRun = 32;
constexpr uint32_t kMostRun = 127;

/** The answers that are too few for a percentile. */
constexpr uint32_t kFewAnswers = 10;

// A prompt of 1024 tokens moves the ratio by a quarter of the distance; shorter ones less, since
// what an API adds to each of them (tools, roles) is no ratio.
constexpr Amount kFullPrompt = 1024;
constexpr uint32_t kFullWeight = 64;  // 256ths

void learn_first_output(const HabitSample& sample, uint32_t output, Habit* habit) {
    habit->output = std::max(habit->output, output);
    habit->answers += sample.is_least_output ? 0 : 1;
}

void raise_output(uint32_t output, Habit* habit) {
    const uint64_t step =
        std::max<uint64_t>(habit->output * kUp >> 8, (output - habit->output) >> 4);
    habit->output = static_cast<uint32_t>(std::min<uint64_t>(habit->output + step, kMostOutput));
    habit->run = 0;
}

void lower_output(Habit* habit) {
    const uint64_t more = habit->run > kLongRun ? (habit->run - kLongRun) * kMoreDown : 0;
    habit->output -= static_cast<uint32_t>(habit->output * (kDown + more) >> 12);
    habit->run = std::min(habit->run + 1, kMostRun);
}

void learn_output(const HabitSample& sample, Habit* habit) {
    const auto output = static_cast<uint32_t>(std::min(sample.output, kMostUsualOutput)) * kOne;
    if (sample.is_least_output && (habit->answers == 0 || output <= habit->output)) {
        return;
    }
    if (habit->answers < kFewAnswers) {
        learn_first_output(sample, output, habit);
        return;
    }
    habit->answers = std::min(habit->answers + 1, kManyAnswers);
    if (output > habit->output) {
        raise_output(output, habit);
    } else {
        lower_output(habit);
    }
}

void learn_ratio(const HabitSample& sample, Habit* habit) {
    const Amount input = std::min(sample.input, kMaxAmount);
    const auto ratio = static_cast<int32_t>(
        std::clamp<Amount>(input * kWholeRatio / sample.prompt, kLeastRatio, kMostRatio));
    const auto before = static_cast<int32_t>(habit->ratio != 0 ? habit->ratio : kWholeRatio);
    const auto weight =
        static_cast<int32_t>(std::min(sample.prompt, kFullPrompt) * kFullWeight / kFullPrompt);
    habit->ratio = static_cast<uint32_t>(before + (ratio - before) * weight / 256);
}

}  // namespace

void learn(const HabitSample& sample, Habit* habit) {
    if (sample.has_output) {
        learn_output(sample, habit);
    }
    if (sample.prompt != 0) {
        learn_ratio(sample, habit);
    }
}

}  // namespace ai_limit
