#pragma once

// Which stored answers a client has been charged for: OpenAI's Responses and Gemini's Interactions
// can be fetched again by their ids, and report their usage every time.
//
// A part of the zone, so it is the same for all workers and over reloads. It has one word for each
// answer and client, in sets of eight. An answer takes the place of one that is forgotten,
// otherwise of the oldest in its set: the memory is constant, and no limit loses its entry to an
// answer. Answers that were charged by estimate, because they reported nothing yet, have a second
// word with the estimate, in sets of their own. So have those whose price is to be remembered, with
// its number.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/counts/token_counts.h"
#include "core/words/types.h"

namespace ai_limit {

class Zone;

/** The time for which an answer is remembered, in milliseconds. */
constexpr Millis kAnswerMemory = Millis{24} * 3600 * 1000;

constexpr uint32_t kAnswerWays = 8;
constexpr uint32_t kAnswerSets = 1 << 16;

/** Answers: the upper bits are of a hash, the lower 24 the minute of the wall clock; 0: a free
 * place. */
struct alignas(64) AnswerSet {
    std::atomic<uint64_t> ways[kAnswerWays];
};
static_assert(sizeof(AnswerSet) == 64);

constexpr uint32_t kPartWays = 4;
constexpr uint32_t kPartSets = 1 << 13;

/** Answers that were charged by estimate, and those whose price is remembered. */
struct alignas(64) PartSet {
    struct Way {
        std::atomic<uint64_t> way;      // as in AnswerSet
        std::atomic<uint64_t> amounts;  // the input in the lower half, the output in the upper one;
                                        // or the number of a price
    };
    Way ways[kPartWays];
};
static_assert(sizeof(PartSet) == 64);

/** The longest id of an answer that is remembered, in bytes. */
constexpr size_t kMaxAnswerId = 128;

/**
 * Hashes the id of an answer, for the client with this key.
 * `key`: by hash_key(). `id`: at most kMaxAnswerId bytes.
 */
uint64_t hash_answer(const Zone& zone, uint64_t key, std::string_view id);

/** Returns whether the client was charged for the answer within the last 24 hours. `wall`: of the
 * wall clock, in milliseconds. */
bool is_answer_charged(const Zone& zone, uint64_t hash, Millis wall);

/** Notes that the client is charged for the answer. Callers hold a lock of the zone over this and
 * the question before it, so that of two workers one charges. */
void note_charged_answer(const Zone& zone, uint64_t hash, Millis wall);

/** The tokens that a client was charged by estimate for an answer, at most 2^32 - 1 of each. */
struct ChargedPart {
    Amount input = 0;
    Amount output = 0;
};

/** Returns what the client was charged for the answer within the last 24 hours; zeros for nothing.
 */
ChargedPart charged_part(const Zone& zone, uint64_t hash, Millis wall);

/** Notes what the client has been charged for the answer so far. Callers hold the same lock. */
void note_charged_part(const Zone& zone, uint64_t hash, const ChargedPart& part, Millis wall);

/** Hashes the id of an answer for its price, which is the same for all clients. `id`: as above. */
uint64_t hash_answer_price(const Zone& zone, std::string_view id);

/** Returns the number of the price that an answer has had within the last 24 hours; 0 for none. */
uint64_t answer_price(const Zone& zone, uint64_t hash, Millis wall);

/** Notes the number of an answer's price. `hash`: by hash_answer_price(). Callers hold the same
 * lock. */
void note_answer_price(const Zone& zone, uint64_t hash, uint64_t number, Millis wall);

/**
 * Returns the part of `used` that remains to be charged. A count that is a part of the input or the
 * output is at most what remains of that.
 */
TokenCounts remaining(const TokenCounts& used, const ChargedPart& part);

/** True if the answer in a place, which is not 0, is still remembered. */
bool is_answer_kept(uint64_t way, Millis wall);

/** For a zone that is copied to another size. */
void copy_charged_answers(const Zone& from, const Zone& to);

}  // namespace ai_limit
