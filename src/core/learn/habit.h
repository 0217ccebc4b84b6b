#pragma once

// What such requests usually use: the output, as the 95th percentile, and how far the estimate of
// the prompt is off. A habit is learned from one answer after another and takes one word. Its
// numbers stay within their bounds whatever the word holds.
//
// The percentile is found by stochastic approximation (Robbins and Monro, 1951): an answer above
// the estimate raises it by 95 parts, an answer below lowers it by 5, relative to the estimate. It
// needs no memory of former answers, and follows when habits change. Three additions make it
// useful from the first answer on, and quicker:
// - The first 10 answers are too few for a percentile. The estimate is their maximum, and
//   usual_output() adds a margin that shrinks with each of them.
// - An answer far above the estimate raises it by a sixteenth of the distance at least.
// - If many answers in a row are below the estimate, each lowers it more than the one before: of
//   32 answers, one is above a right estimate nearly always.
//
// Answers below the estimate, 19 of 20, all lower it by the same step, however little they used.
// Therefore one of them in five teaches a habit that is steady (read_steady_habit()), and lowers it
// by five steps.

#include <algorithm>
#include <cstdint>

#include "core/words/types.h"

namespace ai_limit {

/** The largest output that is learned, in tokens. */
constexpr Amount kMostUsualOutput = (Amount{1} << 22) - 1;

/** A ratio of 1. */
constexpr uint32_t kWholeRatio = 1024;

/** The reported input is between a quarter of its estimate and four times as much. */
constexpr uint32_t kLeastRatio = kWholeRatio / 4;
constexpr uint32_t kMostRatio = kWholeRatio * 4;

/** What one answer teaches. Tokens, without weights. */
struct HabitSample {
    Amount output;
    bool has_output;          // `output` is known,
    bool is_least_output;     // and the model would have written more: the answer was cut
    Amount prompt;            // estimated input; 0 if the reported one is unknown
    Amount input;             // reported
    uint32_t stands_for = 1;  // so many answers below the estimate, of which only this one teaches
};

/** The answers below the estimate of a steady habit for which one stands that teaches. */
constexpr uint32_t kStandsFor = 5;

struct Habit {
    uint32_t output;   // in 256ths of a token
    uint32_t ratio;    // of the reported to the estimated input; 0 if that is unknown
    uint32_t answers;  // that taught the output, at most kManyAnswers
    uint32_t run;      // the last of them that were not above the estimate
};

constexpr uint32_t kManyAnswers = 63;

namespace learning {

constexpr uint32_t kTokenOutput = 256;  // a token, in the unit of Habit::output
constexpr uint32_t kMostOutput = static_cast<uint32_t>(kMostUsualOutput) * kTokenOutput;

// The steps, relative to the estimate. They are in the ratio of 19 to 1, as the 95th percentile
// wants it, and somewhat more, since long runs lower the estimate further: 1/7 up, 1/170 down.
constexpr uint64_t kUp = 36;       // 256ths
constexpr uint64_t kDown = 24;     // 4096ths
constexpr uint64_t kMoreDown = 5;  // for each answer of a long run
constexpr uint32_t kLongRun = 32;
constexpr uint32_t kMostRun = 127;

/** A run that shows that the estimate is too high: each answer is to lower it. */
constexpr uint32_t kSteadyRun = 48;

/** The answers that are too few for a percentile. */
constexpr uint32_t kFewAnswers = 10;

// A prompt of 1024 tokens moves the ratio by a quarter of the distance; shorter ones less, since
// what an API adds to each of them (tools, roles) is no ratio.
constexpr Amount kFullPrompt = 1024;
constexpr uint32_t kFullWeight = 64;  // 256ths

// An answer that stands for others moves it by half of the distance. If it moved it as far as all
// of them, it would be the only one that counts.
constexpr uint32_t kFullWeightOfSome = 128;

inline void learn_first_output(const HabitSample& sample, uint32_t output, Habit* habit) {
    habit->output = std::max(habit->output, output);
    habit->answers += sample.is_least_output ? 0 : 1;
}

inline void raise_output(uint32_t output, Habit* habit) {
    const uint64_t step =
        std::max<uint64_t>(habit->output * kUp >> 8, (output - habit->output) >> 4);
    habit->output = static_cast<uint32_t>(std::min<uint64_t>(habit->output + step, kMostOutput));
    habit->run = 0;
}

/** Lowers the estimate by the steps of so many answers, at most kStandsFor. */
inline void lower_output(uint32_t answers, Habit* habit) {
    const uint64_t more = habit->run > kLongRun ? (habit->run - kLongRun) * kMoreDown : 0;
    habit->output -= static_cast<uint32_t>(habit->output * ((kDown + more) * answers) >> 12);
    habit->run = std::min(habit->run + answers, kMostRun);
}
static_assert((kDown + (kMostRun - kLongRun) * kMoreDown) * kStandsFor < 4096);

inline void learn_output(const HabitSample& sample, Habit* habit) {
    const auto output =
        static_cast<uint32_t>(std::min(sample.output, kMostUsualOutput)) * kTokenOutput;
    if (sample.is_least_output && (habit->answers == 0 || output <= habit->output)) {
        return;
    }
    if (habit->answers < kFewAnswers) {
        learn_first_output(sample, output, habit);
        return;
    }
    habit->answers = std::min(habit->answers + sample.stands_for, kManyAnswers);
    if (output > habit->output) {
        raise_output(output, habit);
    } else {
        lower_output(sample.stands_for, habit);
    }
}

inline void learn_ratio(const HabitSample& sample, Habit* habit) {
    const Amount input = std::min(sample.input, kMaxAmount);
    const auto ratio = static_cast<int32_t>(
        std::clamp<Amount>(input * kWholeRatio / sample.prompt, kLeastRatio, kMostRatio));
    const auto before = static_cast<int32_t>(habit->ratio != 0 ? habit->ratio : kWholeRatio);
    const uint32_t full_weight = sample.stands_for > 1 ? kFullWeightOfSome : kFullWeight;
    const auto weight =
        static_cast<int32_t>(std::min(sample.prompt, kFullPrompt) * full_weight / kFullPrompt);
    habit->ratio = static_cast<uint32_t>(before + (ratio - before) * weight / 256);
}

}  // namespace learning

/** Adds one answer. One that was cut only raises the output, and only if some is known. In a
 * header, since each answer learns once, and the call would cost as much as this. */
__attribute__((always_inline)) inline void learn(const HabitSample& sample, Habit* habit) {
    if (sample.has_output) {
        learning::learn_output(sample, habit);
    }
    if (sample.prompt != 0) {
        learning::learn_ratio(sample, habit);
    }
}

/** True if learn() would change nothing: the sample has neither an output nor an input. */
inline bool teaches(const HabitSample& sample) {
    return sample.has_output || sample.prompt != 0;
}

/** The margin above the estimate in 16ths: 4 after one answer, 2 after three, 1.2 after 16. */
constexpr uint32_t kMarginUnit = 16;
constexpr uint32_t margin_after(uint32_t answers) {
    return kMarginUnit + 48 / (answers != 0 ? answers : 1);
}

/** The margins by number of answers. */
struct MarginTable {
    uint8_t after[kManyAnswers + 1];
};
constexpr MarginTable margin_table() {
    MarginTable table{};
    for (uint32_t i = 0; i <= kManyAnswers; ++i) {
        table.after[i] = static_cast<uint8_t>(margin_after(i));
    }
    return table;
}
constexpr MarginTable kMargins = margin_table();

/**
 * Returns the output that such a request uses at most, 19 of 20 times, in tokens rounded up.
 * `habit` must know some answers.
 */
inline Amount usual_output(const Habit& habit) {
    constexpr uint32_t kOne = 256 * kMarginUnit;
    return (uint64_t{habit.output} * kMargins.after[habit.answers] + kOne - 1) / kOne;
}

/**
 * Returns how much more than usual_output() twice the percentile is; 0 as long as the margin makes
 * more of it. An answer that is not streamed shows nothing until its end, so its reservation cannot
 * grow, and one answer in twenty is larger than usual.
 */
inline Amount spare_output(const Habit& habit) {
    constexpr Amount kOne = 256;
    const Amount twice = (2 * Amount{habit.output} + kOne - 1) / kOne;
    return twice - std::min(twice, usual_output(habit));
}

/** Returns the estimate of a prompt, which is at most kMaxAmount, corrected by the ratio; at most
 * kMaxAmount as well. */
inline Amount corrected_prompt(Amount estimate, uint32_t ratio) {
    return std::min((estimate * ratio + kWholeRatio - 1) / kWholeRatio, kMaxAmount);
}

/** Every word is some habit. Zeros are one that knows nothing. The upper 8 bits of the word are
 * not the habit's. */
inline Habit habit_of(uint64_t word) {
    Habit habit{};
    habit.output = static_cast<uint32_t>(word & 0x3fffffff);
    const auto ratio = static_cast<uint32_t>(word >> 30 & 0x1fff);
    habit.ratio = ratio == 0 ? 0 : std::clamp(ratio, kLeastRatio, kMostRatio);
    habit.answers = static_cast<uint32_t>(word >> 43 & 0x3f);
    habit.run = static_cast<uint32_t>(word >> 49 & 0x7f);
    return habit;
}
inline uint64_t word_of(const Habit& habit) {
    return habit.output | uint64_t{habit.ratio} << 30 | uint64_t{habit.answers} << 43 |
           uint64_t{habit.run} << 49;
}
constexpr unsigned kHabitBits = 56;

/**
 * Reads a habit that is steady: known well, with answers that do not seem to shrink. A part of
 * those below its estimate is enough to learn from. Returns false for any other word, and also if
 * one of the upper 8 bits is set. It is the same as habit_of(), but takes less: each request reads
 * a habit.
 */
inline bool read_steady_habit(uint64_t word, Habit* habit) {
    const uint64_t run_and_answers = word >> 43;
    habit->output = static_cast<uint32_t>(word & 0x3fffffff);
    habit->ratio = static_cast<uint32_t>(word >> 30 & 0x1fff);
    habit->answers = static_cast<uint32_t>(run_and_answers & 0x3f);
    habit->run = static_cast<uint32_t>(run_and_answers >> 6);
    return run_and_answers < uint64_t{learning::kSteadyRun} << 6 &&
           habit->answers >= learning::kFewAnswers &&
           habit->ratio - kLeastRatio <= kMostRatio - kLeastRatio;
}

}  // namespace ai_limit
