#pragma once

// The part of a question and of an answer that is about sharers and turns (script_call.h), as the
// script has it that decides on them (fair_script()).

#include "redis/script/call_words.h"

namespace ai_limit {

/** True if one of the charges has a sharer or a turn. */
bool are_fair(const RedisCharge* charges, size_t n);

/** write_take() for such charges, and those that are decided with them. */
void write_fair_take(const RedisCharge* charges, size_t n, Now now, Command* command);

/** The answer about a charge's sharer and its turn. */
struct FairReply {
    SharerPart part;
    uint64_t start;
    uint64_t served;
    bool is_behind;
    uint32_t others;
    Amount others_cost;
};

/** Reads what an answer says about them; nothing if the charge has none. */
void read_fair_reply(const RedisCharge& charge, PackedNumbers* numbers, FairReply* fair_reply);

/** Notes what has been read. */
void take_over(const FairReply& fair_reply, RedisCharge* charge);

}  // namespace ai_limit
