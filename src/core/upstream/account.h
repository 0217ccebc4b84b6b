#pragma once

// What is known of an account at a provider, and how it is kept true.
//
// Each quota of an account is counted like a policy of its own: by a token bucket of the provider's
// limit, in the zone's table. Reservations, decisions and kills are therefore those of any policy.
// What the provider tells only corrects the bucket: a request remembers what the bucket said when
// it was sent. If the provider says that more or less is used, the bucket changes by the
// difference. Requests that were sent later stay counted, since the answer says nothing about them.
//
// After a refusal the account cools down until the provider wants to be asked again, for a minute
// at most. Then one request may try. Its lease is a token bucket as well, of one request every
// kTryLease, which begins to fill when the cooldown ends. A try that dies with its worker is
// therefore followed by another one.
//
// No answer keeps an account closed for more than a minute: if none has come for so long, a request
// passes without being counted.

#include "core/limits/limit.h"
#include "core/upstream/provider_answer.h"
#include "core/zone/journal.h"

namespace ai_limit {

constexpr Millis kLongestCooldown = 60'000;
constexpr Millis kTryLease = 10'000;      // for so long one request tries alone
constexpr Millis kLongestTrust = 60'000;  // for so long an account may refuse without an answer

/** The numbers, in the zone, of the policies by which the quotas of accounts are counted. */
struct AccountPolicies {
    uint32_t quotas[kQuotaKinds];
    uint32_t cooldown;
};

/** One quota as it was counted when a request was sent. */
struct SentQuota {
    bool counts;         // false: nothing was known of it, and the rest says nothing
    Amount used;         // with the request itself
    Amount cost;         // of the request
    uint64_t corrected;  // the sum of the corrections until then
};

/** A request that was sent to the provider, as it has to be remembered until its answer comes. */
struct SentRequest {
    uint64_t life;      // of the account, which may be begun anew before the answer comes
    uint64_t number;    // among those of that life; 0: none
    Millis at;          // in milliseconds of the monotonic clock
    bool is_uncounted;  // it passed because no answer had come for long
    SentQuota quotas[kQuotaKinds];
};

/** An answer, and the request that it is for. */
struct HeardAnswer {
    uint64_t hash;  // of the account's key, by hash_key()
    const AccountPolicies* policies;
    const SentRequest* sent;
    const ProviderAnswer* told;
    unsigned status;
    uint32_t headroom;  // in percent
};

/** The name of an account for operators: its key. */
struct AccountName {
    std::string_view key;
    bool is_public;  // it stands in the configuration. Else it may be a secret, and is shortened
};

/** Finds an account by the tag of its key; nullptr if nothing is known of it. */
UpstreamAccount* find_account(const Zone& zone, uint64_t tag);

/** The same, but begins it if there is none, in place of the one that was unused for the longest
 * time. nullptr in a zone without room for any. `now`: monotonic. */
UpstreamAccount* use_account(const Zone& zone, uint64_t tag, uint32_t policy,
                             const AccountName& name, Millis now);

/**
 * Makes the limit by which a quota is counted, without its numbers in the zone. False if nothing is
 * known of it. `headroom` percent of what the provider gives stay unused, and about three percent
 * in any case: requests do not arrive there exactly as they are sent.
 */
bool make_quota_limit(const UpstreamAccount& account, QuotaKind kind, uint32_t headroom,
                      Limit* limit);

/** Returns a limit as the provider told it; 0 if it is not known. */
Amount told_limit(const UpstreamAccount& account, QuotaKind kind);

/** Makes the limit by which one request at a time tries after a cooldown. */
Limit try_limit();

/** True from a refusal until a request has passed that was sent after it. */
bool is_cooling(const UpstreamAccount& account);

/** True for one request every kTryLease if no answer has come for kLongestTrust: it must pass
 * without being counted. */
bool takes_uncounted_try(UpstreamAccount* account, Millis now);

/** Notes that a request is sent now. The caller fills in what each quota says. */
void begin_sent(UpstreamAccount* account, Millis now, SentRequest* sent);

/** Notes how a quota was counted for a request. */
void note_sent_quota(const UpstreamAccount& account, QuotaKind kind, Amount used, Amount cost,
                     SentRequest* sent);

/** Takes in what an answer tells. Call this once for each request, with no lock taken. */
void hear(Journal* journal, UpstreamAccount* account, const HeardAnswer& answer, Now now);

/** Copies the accounts to a zone that nobody uses yet. */
void copy_accounts(const Zone& from, const Zone& to);

}  // namespace ai_limit
