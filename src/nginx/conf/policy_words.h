#pragma once

// Reads the words of a policy that not only its directive has: its variables and the API have some
// of them, and ai_limit_redis has sync= as well.

#include "nginx/conf/config.h"

namespace ai_limit {

/**
 * Reads a limit that the policy may have: a rate, or a number of slots. Returns nullptr, or a
 * static text that says what is wrong.
 */
const char* parse_limit(const PolicyConf& policy, std::string_view text, Limit* limit);

/**
 * Reads `auto`, `auto:N`, `max`, `off` or a number of what the policy counts; false if the text is
 * none of these. The N of `auto:N` are tokens of output.
 */
bool parse_reserve(std::string_view text, Reserve* reserve, WrittenAmount* amount);

/** Reads the weight of a sharer, from 1 to kMaxSharerWeight; false for anything else. */
bool parse_sharer_weight(std::string_view text, uint32_t* weight);

/** Reads `off`, `strict` or a time; false for anything else. */
bool parse_sync(ngx_str_t text, Syncing* syncing);

}  // namespace ai_limit
