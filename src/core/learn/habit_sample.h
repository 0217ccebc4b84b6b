#pragma once

// What one answer teaches about its key and model.

#include "core/counts/answer_cost.h"
#include "core/counts/reservation.h"
#include "core/learn/habit.h"

namespace ai_limit {

/**
 * Returns what an answer with a 2xx status teaches, by what it is charged for. An answer that was
 * cut, or that has as much output as its request allows, might have had more. One that used
 * nothing, of a cache for example, teaches nothing.
 */
HabitSample habit_sample(const AnswerFacts& facts, const AnswerCost& cost,
                         const AskedOutput& asked);

}  // namespace ai_limit
