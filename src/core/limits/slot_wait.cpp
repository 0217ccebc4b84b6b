#include "core/limits/slot_wait.h"

namespace ai_limit {

Millis likely_slot_wait(const SlotDuration& average, Amount used, Amount slots, uint32_t chance) {
    __extension__ using Wide = unsigned __int128;
    const Amount running = used > 0 ? used : 1;
    // If the limit has shrunk, more than one request must end before one can begin.
    const Amount ends = running >= slots ? running - slots + 1 : 1;
    const Wide sixteenths = Wide{average.load(std::memory_order_relaxed)} * ends / running;
    const Wide spread = sixteenths * (1024 + chance % 257) / 1024;
    const Wide wait = (spread + 15) / 16;
    if (wait <= static_cast<Wide>(kShortestSlotWait)) {
        return kShortestSlotWait;
    }
    return wait < static_cast<Wide>(kLongestSlotWait) ? static_cast<Millis>(wait)
                                                      : kLongestSlotWait;
}

}  // namespace ai_limit
