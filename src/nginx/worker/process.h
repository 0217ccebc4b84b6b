#pragma once

#include <cstdint>

namespace ai_limit {

/** Return when the process began, in the kernel's own unit; 0 if the system does not say. */
uint64_t birth_of_process(uint32_t pid);
uint64_t birth_of_this_process();

/** True if the process that had this pid and birth (0: not known) still runs. A zombie does not. */
bool is_process_alive(uint32_t pid, uint64_t birth);

/** Lets other processes run. */
void yield_processor();

}  // namespace ai_limit
