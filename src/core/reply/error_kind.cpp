#include "core/reply/error_kind.h"

#include <cstddef>

namespace ai_limit {

namespace {

// In the order of ErrorKind. The names from kTooLarge on hold no "rate limit": some agents look for
// those words in any error, and try again if they find them.
constexpr ErrorNames kNames[] = {
    // kWait
    {"rate_limit_exceeded", "", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED",
     "ThrottlingException"},
    // kExhausted
    {"rate_limit_exceeded", "insufficient_quota", "insufficient_quota", "rate_limit_error",
     "RESOURCE_EXHAUSTED", "ThrottlingException"},
    // kTooLarge
    {"request_too_large", "invalid_request_error", "request_too_large", "invalid_request_error",
     "INVALID_ARGUMENT", "ValidationException"},
    // kBlocked
    {"access_denied", "permission_error", "access_denied", "permission_error", "PERMISSION_DENIED",
     "AccessDeniedException"},
    // kInvalid
    {"invalid_request", "invalid_request_error", "invalid_request", "invalid_request_error",
     "INVALID_ARGUMENT", "ValidationException"},
    // kUpgradeRequired
    {"upgrade_required", "invalid_request_error", "upgrade_required", "invalid_request_error",
     "FAILED_PRECONDITION", "ValidationException"},
    // kUnavailable
    {"service_unavailable", "server_error", "service_unavailable", "api_error", "UNAVAILABLE",
     "ServiceUnavailableException"},
};

static_assert(sizeof kNames / sizeof *kNames == static_cast<size_t>(ErrorKind::kUnavailable) + 1);

}  // namespace

ErrorKind kind_of(const Description& refused) {
    if (refused.undecided) {
        return ErrorKind::kUnavailable;
    }
    if (refused.wait != kNever) {
        return refused.wait > kLongestWait ? ErrorKind::kExhausted : ErrorKind::kWait;
    }
    return refused.limit == 0 || refused.unpriced ? ErrorKind::kBlocked : ErrorKind::kTooLarge;
}

ErrorKind kind_of_status(unsigned status) {
    switch (status) {
        case 403:
            return ErrorKind::kBlocked;
        case 426:
            return ErrorKind::kUpgradeRequired;
        case 429:
            return ErrorKind::kWait;
        default:
            return ErrorKind::kInvalid;
    }
}

const ErrorNames& names_of(ErrorKind kind) {
    return kNames[static_cast<size_t>(kind)];
}

}  // namespace ai_limit
