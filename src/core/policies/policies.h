#pragma once

// The policies that a zone knows. A policy keeps its number over reloads by its name and algorithm,
// so that its entries are found again; another algorithm cannot read them and begins anew.

#include <string_view>

#include "core/observe/day_count.h"
#include "core/zone/journal.h"

namespace ai_limit {

/**
 * Returns the number of a policy in the zone, 1 to kMaxPolicies. Makes a record if there is none,
 * if necessary in place of the one that was unused for the longest time. If the limit `varies`,
 * `limit` stands in only until note_limit() notes one. The caller keeps other processes out.
 */
uint32_t register_policy(Journal* journal, std::string_view name, Limit* limit, bool varies);

/** The limit of a policy that has this number, its slowest for 0. In the zone's memory. */
const Limit& find_limit(const Zone& zone, uint32_t policy, uint32_t number);

/**
 * Notes in the zone a limit that a variable holds, to decide what is worth keeping (eviction.h),
 * and gives the limit its numbers.
 */
void note_limit(const Zone& zone, uint32_t policy, Limit* limit);

/**
 * True once limits of a policy have had more than kMaxVariants periods since it was registered
 * last, so that some share a count, which forgets when a key's limit changes between these. Never
 * where nodes share the policy.
 */
bool has_too_many_periods(const Zone& zone, uint32_t policy);

/** Counts a mistake in a policy's variables; returns how many there were. */
uint64_t count_error(const Zone& zone, uint32_t policy);

/** Counts an answer that did not say what it used; returns how many there were. */
uint64_t count_missing_usage(const Zone& zone, uint32_t policy);

/** Counts what a request was charged in the end, and what had been reserved for it. */
void count_settled(const Zone& zone, uint32_t policy, Amount charged, Amount reserved,
                   DayNumber day);

/** Counts a stream that was ended since its reservation was used up and could not grow. */
void count_cut(const Zone& zone, uint32_t policy);

}  // namespace ai_limit
