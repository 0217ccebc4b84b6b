#pragma once

// The memory of what is known of accounts at providers (core/upstream/account.h), in sets of a few.
// No lock guards it, except that a quota's `corrected` belongs to the bucket of the quota's entry.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/limits/quota_kind.h"
#include "core/zone/statistics.h"

namespace ai_limit {

/** One quota of an account. */
struct AccountQuota {
    std::atomic<uint64_t> limit;  // with its period in seconds below it (account.cpp); 0: not known
    uint64_t corrected;           // the sum of all corrections of its entry, modulo 2^64
    std::atomic<uint64_t> remaining;  // as it was told last
    std::atomic<int64_t> full_at;     // in milliseconds of the monotonic clock, as told last
};

/** One account. Times are in milliseconds of the monotonic clock. */
struct alignas(64) UpstreamAccount {
    std::atomic<uint64_t> tag;  // 0: a free place
    std::atomic<uint32_t> policy;
    std::atomic<uint32_t> failed_tries;  // after a cooldown, one after another
    std::atomic<uint64_t> life;          // another one each time that it is begun; 0: never
    std::atomic<int64_t> last_use;
    std::atomic<uint64_t> sent;         // requests; the last one has this number
    std::atomic<uint64_t> heard;        // the latest number whose answer was taken in
    std::atomic<int64_t> answered_at;   // the latest answer that told something, or refused
    std::atomic<int64_t> tried_at;      // a request that passed because no answer had come for long
    std::atomic<int64_t> cooling_from;  // the latest refusal,
    std::atomic<int64_t> cooling_until;  // and its end; 0: none since a request has passed
    std::atomic<uint64_t> refusals;
    AccountQuota quotas[kQuotaKinds];
    std::atomic<uint32_t> name_size;  // 0 while it is written
    char name[kMaxTopKeyText];        // as a log shows the key
};

constexpr uint32_t kAccountWays = 4;

struct AccountSet {
    UpstreamAccount ways[kAccountWays];
};

/** Room for 256 accounts, in zones with a policy that asks the upstream. */
constexpr uint32_t kAccountSets = 64;

}  // namespace ai_limit
