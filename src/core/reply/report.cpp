#include "core/reply/report.h"

#include "core/reply/headers.h"

namespace ai_limit {

namespace {

bool refuses_anything(const Description& refused) {
    return refused.limit == 0 || refused.unpriced;
}

}  // namespace

bool speaks_rather(const Description& one, const Description& other) {
    if (one.refused != other.refused) {
        return one.refused;
    }
    if (!one.refused) {
        return is_more_restrictive(one, other);
    }
    if (one.wait != other.wait) {
        return one.wait > other.wait;
    }
    // A limit of 0 refuses whatever the request asks for, and so does a missing price: they say
    // more than a limit that the request is too large for.
    return refuses_anything(one) && !refuses_anything(other);
}

}  // namespace ai_limit
