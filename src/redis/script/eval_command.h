#pragma once

#include <cstddef>
#include <string_view>

namespace ai_limit {

/** Returns the script that the bytes of an EVALSHA name (script.h); "" if they name none of them.
 */
std::string_view script_called_by(std::string_view evalsha);

/**
 * Makes the EVAL command that does the same as an EVALSHA of one of our scripts: for a Redis that
 * has not got the script, and may not let this client load it. Returns its bytes, which the caller
 * must free(), and sets their size; nullptr without memory, or if `evalsha` is no such command.
 */
char* make_eval_command(std::string_view evalsha, size_t* size);

}  // namespace ai_limit
