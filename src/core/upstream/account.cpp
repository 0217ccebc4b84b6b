#include "core/upstream/account.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/buckets/free_cell.h"
#include "core/limits/token_bucket.h"
#include "core/policies/policies.h"
#include "core/turns/queue.h"
#include "core/words/shown_key.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

constexpr unsigned kPeriodBits = 17;  // a day has 86,400 seconds
constexpr uint64_t kPeriodMask = (uint64_t{1} << kPeriodBits) - 1;
constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;

constexpr uint64_t limit_word(Amount limit, Millis period) {
    return limit << kPeriodBits | static_cast<uint64_t>(period / 1000);
}

AccountSet* set_of(const Zone& zone, uint64_t tag) {
    return zone.accounts(static_cast<uint32_t>(spread_index(tag, zone.sizes().account_sets)));
}

/** True if `one` should make room rather than `other`: an account that cools down stays. */
bool goes_rather(const UpstreamAccount& one, const UpstreamAccount& other) {
    if (is_cooling(one) != is_cooling(other)) {
        return !is_cooling(one);
    }
    return one.last_use.load(std::memory_order_relaxed) <
           other.last_use.load(std::memory_order_relaxed);
}

void forget(AccountQuota* quota) {
    quota->limit.store(0, std::memory_order_relaxed);
    quota->remaining.store(0, std::memory_order_relaxed);
    quota->full_at.store(0, std::memory_order_relaxed);
}

bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
}

uint32_t copy_name(const AccountName& name, char* to) {
    if (name.is_public && name.key.size() <= kMaxTopKeyText && is_plain(name.key)) {
        std::memcpy(to, name.key.data(), name.key.size());
        return static_cast<uint32_t>(name.key.size());
    }
    return static_cast<uint32_t>(copy_shown_key(name.key, to, kMaxTopKeyText));
}

/** Returns a life that no account in the set has had, whichever place it was in. */
uint64_t next_life(const AccountSet& set, const UpstreamAccount& account) {
    const auto place = static_cast<uint64_t>(&account - set.ways);
    const uint64_t before = account.life.load(std::memory_order_relaxed);
    return (before / kAccountWays + 1) * kAccountWays + place;
}

/** False if another account has taken the place meanwhile. */
bool begin(AccountSet* set, UpstreamAccount* account, uint64_t tag, uint32_t policy,
           const AccountName& name) {
    uint64_t before = account->tag.load(std::memory_order_relaxed);
    if (!account->tag.compare_exchange_strong(before, tag, std::memory_order_acq_rel)) {
        return false;
    }
    account->name_size.store(0, std::memory_order_relaxed);
    account->policy.store(policy, std::memory_order_relaxed);
    account->failed_tries.store(0, std::memory_order_relaxed);
    for (std::atomic<uint64_t>* number : {&account->sent, &account->heard, &account->refusals}) {
        number->store(0, std::memory_order_relaxed);
    }
    for (std::atomic<int64_t>* time : {&account->answered_at, &account->tried_at,
                                       &account->cooling_from, &account->cooling_until}) {
        time->store(0, std::memory_order_relaxed);
    }
    for (AccountQuota& quota : account->quotas) {
        forget(&quota);
    }
    // Behind the numbers: who sees the new life sees that they begin at 0.
    account->life.store(next_life(*set, *account), std::memory_order_release);
    account->name_size.store(copy_name(name, account->name), std::memory_order_release);
    return true;
}

/** A bit of the limit stays unused: the times that requests take on their way differ, and the
 * provider must not see more of them in a short time than it allows. */
Amount usable_part(Amount limit, uint32_t headroom) {
    constexpr Amount kSmall = 10;
    constexpr Amount kSlackPart = 32;
    const Amount kept = (limit * headroom + 99) / 100;
    const Amount slack = limit >= kSmall ? std::max<Amount>(limit / kSlackPart, 1) : 0;
    return limit - std::min(limit - 1, kept + slack);
}

Limit limit_of_word(uint64_t word, QuotaKind kind, uint32_t headroom) {
    const Amount amount = word >> kPeriodBits;
    const Millis length = static_cast<Millis>(word & kPeriodMask) * 1000;
    const auto millis = static_cast<uint64_t>(length);
    const uint64_t divisor = std::gcd(amount, millis);
    Rate rate{};
    rate.measure = kQuotaKindFacts[static_cast<size_t>(kind)].measure;
    rate.period = {1, length == kMinute ? PeriodUnit::kMinute
                      : length == kHour ? PeriodUnit::kHour
                                        : PeriodUnit::kDay};
    rate.period_length = length;
    rate.quota = amount;
    rate.whole = true;
    rate.refill_amount = amount / divisor;
    rate.refill_millis = millis / divisor;
    return token_bucket_limit(rate, usable_part(amount, headroom));
}

/** A small entry whose buckets are locked. */
class LockedEntry {
public:
    LockedEntry(Journal* journal, uint64_t tag, uint32_t policy, Now now)
        : journal_(journal), policy_(policy) {
        const BucketPair pair =
            bucket_pair_of(journal->zone(), Algorithm::kTokenBucket, tag, policy);
        LockOrder locks;
        pair.want(&locks, journal);
        locks.take_all();
        cell_ = pair.find();
        if (cell_.index == kNoCell) {
            cell_ = find_free_cell(journal, kSmall, pair.first, pair.second, now, true,
                                   [](Cell) { return false; });
            if (cell_.index != kNoCell) {
                pair.first->overflowed |= cell_.bucket != pair.first ? 1 : 0;
                store_tag(journal, cell_, pair.tag);
            }
            return;
        }
        State state{};
        load_state(cell_, kSmall, &state);
        level = token_bucket::unpack(state.pair);
    }

    bool has_room() const { return cell_.index != kNoCell; }

    void write(const Limit& limit) {
        State state{};
        state.pair = token_bucket::pack(level, policy_, level.used >= limit.capacity);
        store_state(journal_, cell_, kSmall, state);
    }

    token_bucket::Level level = {};

private:
    Journal* journal_;
    uint32_t policy_;
    Cell cell_{};
};

/** How a quota's bucket is to change. */
struct Correction {
    const SentRequest* sent;
    QuotaKind kind;
    Amount told_used;
    uint64_t later;  // requests that were sent later
};

/** What comes back of a limit in a time. */
Amount comes_back(const Limit& limit, Millis time) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide amount = Wide{static_cast<uint64_t>(std::max<Millis>(time, 0))} *
                        limit.refill_amount / limit.refill_millis;
    return amount < Wide{kMaxAmount} ? static_cast<Amount>(amount) : kMaxAmount;
}

/**
 * Returns what is used, now that an answer came. Nobody knows at which moment between the sending
 * and now the provider counted. What would have come back in that time makes no difference.
 */
Amount corrected_use(const Correction& correction, const Limit& limit, Amount used,
                     uint64_t corrected, Millis now) {
    const SentRequest& sent = *correction.sent;
    const SentQuota& quota = sent.quotas[static_cast<size_t>(correction.kind)];
    const Amount told = correction.told_used;
    if (!quota.counts) {
        // The costs of other requests than this one are known only where each costs one.
        const bool is_exact = correction.kind == QuotaKind::kRequests || sent.is_uncounted;
        const Amount all = told + (correction.kind == QuotaKind::kRequests ? correction.later : 0);
        return std::min(is_exact ? all : std::max(used, all), kMaxAmount);
    }
    const auto since = static_cast<int64_t>(corrected - quota.corrected);
    const int64_t most = static_cast<int64_t>(quota.used) + since;
    const int64_t least = most - static_cast<int64_t>(comes_back(limit, now - sent.at));
    const auto at_provider = static_cast<int64_t>(told);
    const int64_t difference = at_provider > most    ? at_provider - most
                               : at_provider < least ? at_provider - least
                                                     : 0;
    return static_cast<Amount>(std::clamp<int64_t>(static_cast<int64_t>(used) + difference, 0,
                                                   static_cast<int64_t>(kMaxAmount)));
}

void correct(Journal* journal, AccountQuota* quota, uint64_t tag, uint32_t policy,
             const Limit& limit, const Correction& correction, Now now) {
    LockedEntry entry(journal, tag, policy, now);
    if (entry.has_room()) {
        entry.level = token_bucket::advance(limit, entry.level, now.monotonic);
        const Amount before = entry.level.used;
        entry.level.used =
            corrected_use(correction, limit, before, quota->corrected, now.monotonic);
        entry.write(limit);
        journal->write(&quota->corrected, quota->corrected + (entry.level.used - before));
    }
    journal->finish();
    // More may fit than those who wait could know.
    note_room(journal->zone(), tag);
}

/** The period that was told, or the one that was known. */
Millis period_of(const ToldQuota& told, uint64_t known) {
    if (told.period != kNotTold) {
        return told.period;
    }
    return known >> kPeriodBits == told.limit ? static_cast<Millis>(known & kPeriodMask) * 1000
                                              : kMinute;
}

/** True if a quota may be taken at its word: a limit below the cost of a request that has passed
 * is none. */
bool is_credible(const ToldQuota& told, const SentQuota& sent, bool refused) {
    return told.limit != 0 && (refused || !sent.counts || sent.cost <= told.limit);
}

/** Returns the time in which `used` of a limit comes back. */
Millis until_full(Millis period, Amount used, Amount limit) {
    __extension__ typedef unsigned __int128 Wide;
    return static_cast<Millis>(Wide{static_cast<uint64_t>(period)} * used / limit);
}

void hear_quota(Journal* journal, UpstreamAccount* account, QuotaKind kind,
                const HeardAnswer& answer, Now now) {
    const auto place = static_cast<size_t>(kind);
    const ToldQuota& told = answer.told->quotas[place];
    if (!is_credible(told, answer.sent->quotas[place], is_provider_refusal(answer.status))) {
        return;
    }
    AccountQuota* quota = &account->quotas[place];
    const uint64_t word =
        limit_word(told.limit, period_of(told, quota->limit.load(std::memory_order_relaxed)));
    quota->limit.store(word, std::memory_order_relaxed);
    if (!told.has_remaining) {
        return;
    }
    const uint32_t policy = answer.policies->quotas[place];
    Limit limit = limit_of_word(word, kind, answer.headroom);
    note_limit(journal->zone(), policy, &limit);
    const Correction correction = {
        answer.sent, kind, told.limit - told.remaining,
        account->sent.load(std::memory_order_relaxed) - answer.sent->number};
    correct(journal, quota, tag_of(answer.hash, policy), policy, limit, correction, now);
    const Millis reset = told.reset != kNotTold
                             ? told.reset
                             : until_full(limit.period_length, correction.told_used, told.limit);
    quota->remaining.store(told.remaining, std::memory_order_relaxed);
    quota->full_at.store(now.monotonic + reset, std::memory_order_relaxed);
}

Millis back_off(uint32_t failed_tries) {
    constexpr uint32_t kMost = 6;
    return std::min<Millis>(Millis{1000} << std::min(failed_tries, kMost), kLongestCooldown);
}

/** A try that was refused shows that it came too early, whatever the provider tells. */
Millis cooldown_for(Millis told, uint32_t failed_tries) {
    const Millis least = failed_tries != 0 ? back_off(failed_tries - 1) : 1;
    return told == kNotTold ? back_off(failed_tries)
                            : std::min(std::max(told, least), kLongestCooldown);
}

/** Lets no request try before `until`, or, if it `is_first` of a cooldown, just then. */
void close_until(Journal* journal, const HeardAnswer& answer, Millis until, bool is_first,
                 Now now) {
    const uint32_t policy = answer.policies->cooldown;
    const Limit limit = try_limit();
    LockedEntry entry(journal, tag_of(answer.hash, policy), policy, now);
    const bool is_later = entry.level.used == 0 || entry.level.at < until - kTryLease;
    if (entry.has_room() && (is_first || is_later)) {
        entry.level.used = 1;
        entry.level.at = until - kTryLease;
        entry.level.fraction = 0;
        entry.write(limit);
    }
    journal->finish();
}

/** True if the request was sent after the refusal that the account cools down from. One that was
 * sent in the same millisecond was sent before it: no cooldown is shorter. */
bool is_try(const UpstreamAccount& account, const HeardAnswer& answer) {
    return is_cooling(account) &&
           answer.sent->at > account.cooling_from.load(std::memory_order_relaxed);
}

void hear_refusal(Journal* journal, UpstreamAccount* account, const HeardAnswer& answer, Now now) {
    account->refusals.fetch_add(1, std::memory_order_relaxed);
    const Millis before = account->cooling_until.load(std::memory_order_relaxed);
    const bool is_new = before == 0;
    const bool was_try = !is_new && is_try(*account, answer);
    uint32_t failed_tries = account->failed_tries.load(std::memory_order_relaxed);
    failed_tries = is_new ? 0 : was_try ? failed_tries + 1 : failed_tries;
    const Millis until =
        std::max(before, now.monotonic + cooldown_for(answer.told->retry_after, failed_tries));
    close_until(journal, answer, until, is_new || was_try, now);
    account->failed_tries.store(failed_tries, std::memory_order_relaxed);
    if (is_new || was_try) {
        account->cooling_from.store(now.monotonic, std::memory_order_relaxed);
    }
    account->cooling_until.store(until, std::memory_order_relaxed);
}

/** Lets another request try after one that was answered with an error, which may have come before
 * the provider looked at its limits. But not before the cooldown ends, which the refusal of an
 * earlier request may have made longer meanwhile. */
void hear_error(Journal* journal, const UpstreamAccount& account, const HeardAnswer& answer,
                Now now) {
    if (!is_try(account, answer)) {
        return;
    }
    const Millis until = account.cooling_until.load(std::memory_order_relaxed);
    close_until(journal, answer, std::max(until, now.monotonic), true, now);
    note_room(journal->zone(), tag_of(answer.hash, answer.policies->cooldown));
}

/** Ends a cooldown. */
void hear_passed(const Zone& zone, UpstreamAccount* account, const HeardAnswer& answer) {
    if (is_try(*account, answer)) {
        account->failed_tries.store(0, std::memory_order_relaxed);
        account->cooling_until.store(0, std::memory_order_relaxed);
        note_room(zone, tag_of(answer.hash, answer.policies->cooldown));
    }
}

/** False for an answer to a request that was sent before one whose answer is known, or before the
 * account was begun anew: its numbers and sums belong to another life. */
bool is_latest(UpstreamAccount* account, const SentRequest& sent) {
    if (sent.life != account->life.load(std::memory_order_acquire)) {
        return false;
    }
    const uint64_t number = sent.number;
    uint64_t heard = account->heard.load(std::memory_order_relaxed);
    while (heard < number) {
        if (account->heard.compare_exchange_weak(heard, number, std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

}  // namespace

UpstreamAccount* find_account(const Zone& zone, uint64_t tag) {
    return zone.sizes().account_sets != 0 ? find_way(set_of(zone, tag), tag) : nullptr;
}

UpstreamAccount* use_account(const Zone& zone, uint64_t tag, uint32_t policy,
                             const AccountName& name, Millis now) {
    if (zone.sizes().account_sets == 0) {
        return nullptr;
    }
    AccountSet* set = set_of(zone, tag);
    UpstreamAccount* found = find_way(set, tag);
    while (found == nullptr) {
        // Another account may take the place at the same time.
        UpstreamAccount* oldest = set->ways;
        for (UpstreamAccount& way : set->ways) {
            oldest = goes_rather(way, *oldest) ? &way : oldest;
        }
        found = begin(set, oldest, tag, policy, name) ? oldest : nullptr;
    }
    found->last_use.store(now, std::memory_order_relaxed);
    return found;
}

Amount told_limit(const UpstreamAccount& account, QuotaKind kind) {
    return account.quotas[static_cast<size_t>(kind)].limit.load(std::memory_order_relaxed) >>
           kPeriodBits;
}

bool make_quota_limit(const UpstreamAccount& account, QuotaKind kind, uint32_t headroom,
                      Limit* limit) {
    const uint64_t word =
        account.quotas[static_cast<size_t>(kind)].limit.load(std::memory_order_relaxed);
    if (word == 0) {
        return false;
    }
    *limit = limit_of_word(word, kind, headroom);
    return true;
}

Limit try_limit() {
    Rate rate{};
    parse_rate("1r/10s", &rate);
    return token_bucket_limit(rate, 1);
}

bool is_cooling(const UpstreamAccount& account) {
    return account.cooling_until.load(std::memory_order_relaxed) != 0;
}

bool takes_uncounted_try(UpstreamAccount* account, Millis now) {
    const Millis answered = account->answered_at.load(std::memory_order_relaxed);
    Millis tried = account->tried_at.load(std::memory_order_relaxed);
    return answered != 0 && now - answered >= kLongestTrust && now - tried >= kTryLease &&
           account->tried_at.compare_exchange_strong(tried, now, std::memory_order_relaxed);
}

void begin_sent(UpstreamAccount* account, Millis now, SentRequest* sent) {
    *sent = {};
    // Before the number, which begin() resets first.
    sent->life = account->life.load(std::memory_order_acquire);
    sent->number = account->sent.fetch_add(1, std::memory_order_relaxed) + 1;
    sent->at = now;
}

void note_sent_quota(const UpstreamAccount& account, QuotaKind kind, Amount used, Amount cost,
                     SentRequest* sent) {
    const auto place = static_cast<size_t>(kind);
    const uint64_t corrected = __atomic_load_n(&account.quotas[place].corrected, __ATOMIC_RELAXED);
    sent->quotas[place] = {true, used, cost, corrected};
}

void hear(Journal* journal, UpstreamAccount* account, const HeardAnswer& answer, Now now) {
    constexpr unsigned kErrors = 400;
    // A zone that was copied to another size may have no entries of this kind.
    if (journal->zone().buckets(kSmall) == 0) {
        return;
    }
    const bool refused = is_provider_refusal(answer.status);
    bool tells = refused;
    for (const ToldQuota& told : answer.told->quotas) {
        tells |= told.limit != 0;
    }
    if (tells) {
        account->answered_at.store(now.monotonic, std::memory_order_relaxed);
    }
    if (is_latest(account, *answer.sent)) {
        for (const QuotaKindFacts& facts : kQuotaKindFacts) {
            hear_quota(journal, account, facts.kind, answer, now);
        }
    }
    if (refused) {
        hear_refusal(journal, account, answer, now);
    } else if (answer.status < kErrors) {
        hear_passed(journal->zone(), account, answer);
    } else {
        hear_error(journal, *account, answer, now);
    }
}

void copy_accounts(const Zone& from, const Zone& to) {
    if (from.sizes().account_sets != to.sizes().account_sets) {
        return;
    }
    for (uint32_t set = 0; set < to.sizes().account_sets; ++set) {
        std::memcpy(static_cast<void*>(to.accounts(set)),
                    static_cast<const void*>(from.accounts(set)), sizeof(AccountSet));
    }
}

}  // namespace ai_limit
