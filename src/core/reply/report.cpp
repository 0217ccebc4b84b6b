#include "core/reply/report.h"

#include "core/reply/headers.h"

namespace ai_limit {

bool speaks_rather(const Description& one, const Description& other) {
    if (one.refused != other.refused) {
        return one.refused;
    }
    if (!one.refused) {
        return is_more_restrictive(one, other);
    }
    // A limit of 0 refuses whatever the request asks for, so it says more than one that the request
    // is too large for.
    return one.wait != other.wait ? one.wait > other.wait : one.limit == 0 && other.limit != 0;
}

}  // namespace ai_limit
