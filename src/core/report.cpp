#include "core/report.h"

#include "core/headers.h"

namespace ai_limit {

size_t choose_reported(const Description* all, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; ++i) {
        const Description& one = all[i];
        const Description& other = all[best];
        bool better = one.refused != other.refused ? one.refused
                      : one.refused                ? one.wait > other.wait
                                                   : is_more_restrictive(one, other);
        best = better ? i : best;
    }
    return best;
}

}  // namespace ai_limit
