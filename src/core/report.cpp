#include "core/report.h"

#include "core/headers.h"

namespace ai_limit {

bool speaks_rather(const Description& one, const Description& other) {
    if (one.refused != other.refused) {
        return one.refused;
    }
    return one.refused ? one.wait > other.wait : is_more_restrictive(one, other);
}

}  // namespace ai_limit
