// Accounts at providers: what is known of them, cooldowns, and what kills leave.

#include "core/upstream/account.h"

#include <gtest/gtest.h>

#include "small_zone.h"

namespace ai_limit {
namespace {

constexpr Millis kSecond = 1000;
constexpr Millis kMinute = 60 * kSecond;
constexpr uint64_t kHash = 0x1234'5678'9abc'de00;

ZoneSizes account_sizes() {
    ZoneSizes sizes = small_sizes();
    sizes.account_sets = kAccountSets;
    return sizes;
}

/** An account, and a process that asks it. */
class Account : public ::testing::Test {
protected:
    Account() : memory_(account_sizes()), user_(memory_.zone(), &kAllAlive, 1) {
        const char* const names[kQuotaKinds] = {"a", "a:tokens", "a:input", "a:output"};
        for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
            policies_.quotas[kind] = add_policy(memory_.zone(), names[kind], try_limit()).number;
        }
        policies_.cooldown = add_policy(memory_.zone(), "a:cooldown", try_limit()).number;
        account_ = use_account(user_.zone(), tag_of(kHash, policies_.quotas[0]),
                               policies_.quotas[0], {"key:account", false}, now_);
    }

    ~Account() override { EXPECT_TRUE(is_at_rest(memory_.zone())); }

    Now now() const { return {now_, now_}; }

    /** True if a request may be sent now, which is then `sent`. */
    bool send(SentRequest* sent) {
        Request request(user_);
        ZonePolicy cooldown = {policies_.cooldown, try_limit()};
        ZonePolicy requests = {policies_.quotas[0], {}};
        if (is_cooling(*account_)) {
            request.charge(cooldown, kHash);
        }
        const size_t place = request.count();
        const bool is_uncounted = takes_uncounted_try(account_, now_);
        const bool is_known =
            !is_uncounted && make_quota_limit(*account_, QuotaKind::kRequests, 0, &requests.limit);
        if (is_known) {
            request.charge(requests, kHash);
        }
        if (request.count() != 0 && !request.admit(now())) {
            return false;
        }
        begin_sent(account_, now_, sent);
        sent->is_uncounted = is_uncounted;
        if (is_known) {
            note_sent_quota(*account_, QuotaKind::kRequests, request.used(place), 1, sent);
        }
        return true;
    }

    bool sends() {
        SentRequest sent{};
        return send(&sent);
    }

    SentRequest sent() {
        SentRequest sent{};
        EXPECT_TRUE(send(&sent));
        return sent;
    }

    SentRequest sent_after(Millis time) {
        now_ += time;
        return sent();
    }

    void hear_answer(const SentRequest& sent, unsigned status, const ProviderAnswer& told) {
        hear(user_.journal(), account_, {tag_base(kHash), &policies_, &sent, &told, status, 0},
             now());
    }

    static ProviderAnswer nothing() {
        ProviderHeaders headers(0);
        return headers.answer();
    }

    static ProviderAnswer told(Amount limit, Amount remaining, Millis period = kMinute) {
        ProviderAnswer answer = nothing();
        answer.quotas[0] = {limit, remaining, true, kNotTold, period};
        return answer;
    }

    static ProviderAnswer wait(Millis retry_after) {
        ProviderAnswer answer = nothing();
        answer.retry_after = retry_after;
        return answer;
    }

    /** Sends as many requests as may pass now. */
    size_t send_all() {
        size_t count = 0;
        while (count < 100'000 && sends()) {
            ++count;
        }
        return count;
    }

    /** Uses more accounts than there is room for. */
    void use_others() {
        for (uint64_t i = 1; i < 5000; ++i) {
            use_account(user_.zone(), i << 20, 1, {"other", false}, ++now_);
        }
    }

    void make_room_and_begin_anew() {
        const uint64_t tag = tag_of(kHash, policies_.quotas[0]);
        use_others();
        ASSERT_EQ(find_account(user_.zone(), tag), nullptr);
        account_ =
            use_account(user_.zone(), tag, policies_.quotas[0], {"key:account", false}, now_);
    }

    ZoneMemory memory_;
    ZoneUser user_;
    AccountPolicies policies_{};
    UpstreamAccount* account_ = nullptr;
    Millis now_ = 1000 * kHour;
};

TEST_F(Account, PassesEverythingAsLongAsNothingIsKnown) {
    for (int i = 0; i < 1000; ++i) {
        EXPECT_TRUE(sends());
    }
}

TEST_F(Account, PassesWhatRemains) {
    hear_answer(sent(), 200, told(9, 5));
    EXPECT_EQ(send_all(), 5u);
    now_ += kMinute / 9 + 1;
    EXPECT_EQ(send_all(), 1u);
}

TEST_F(Account, KeepsAPartForRequestsThatOvertakeOthers) {
    hear_answer(sent(), 200, told(1000, 1000));
    EXPECT_EQ(send_all(), 969u);
}

TEST_F(Account, KeepsTheHeadroom) {
    Limit limit{};
    hear_answer(sent(), 200, told(1000, 1000));
    ASSERT_TRUE(make_quota_limit(*account_, QuotaKind::kRequests, 20, &limit));
    EXPECT_EQ(limit.capacity, 769u);
    ASSERT_TRUE(make_quota_limit(*account_, QuotaKind::kRequests, 100, &limit));
    EXPECT_EQ(limit.capacity, 1u) << "an account is never closed by its headroom";
}

TEST_F(Account, CountsRequestsThatWereSentSinceTheAnswerIsFor) {
    const SentRequest first = sent();
    sent();
    sent();
    hear_answer(first, 200, told(9, 8));
    EXPECT_EQ(send_all(), 6u) << "two more were under way";
}

TEST_F(Account, CountsRequestsThatWereSentBeforeTheLimitIsKnown) {
    const SentRequest first = sent();
    const SentRequest second = sent();
    hear_answer(second, 200, told(9, 7));
    hear_answer(first, 200, told(9, 8));
    EXPECT_EQ(send_all(), 7u) << "an older answer says nothing new";
}

TEST_F(Account, FollowsOthersWhoUseTheAccount) {
    hear_answer(sent(), 200, told(9, 8));
    hear_answer(sent(), 200, told(9, 3));
    EXPECT_EQ(send_all(), 3u);
}

TEST_F(Account, FollowsAProviderThatCountsLess) {
    hear_answer(sent(), 200, told(9, 2));
    hear_answer(sent(), 200, told(9, 8));
    EXPECT_EQ(send_all(), 8u);
}

TEST_F(Account, CorrectsOnceWhatSeveralAnswersSay) {
    hear_answer(sent(), 200, told(90, 90));
    SentRequest under_way[4];
    for (SentRequest& one : under_way) {
        one = sent();
    }
    // Somebody else has used 40 before all four.
    for (Amount i = 0; i < 4; ++i) {
        hear_answer(under_way[i], 200, told(90, 90 - 40 - (i + 1)));
    }
    EXPECT_EQ(send_all(), 90 - 2 - 44u);
}

TEST_F(Account, FollowsALimitThatChanges) {
    hear_answer(sent(), 200, told(9, 8));
    hear_answer(sent(), 200, told(5, 4));
    EXPECT_EQ(send_all(), 4u);
    hear_answer(sent_after(kMinute), 200, told(9, 8));
    EXPECT_EQ(send_all(), 8u);
}

TEST_F(Account, ClosesForTheTimeThatARefusalAsks) {
    hear_answer(sent(), 429, wait(20 * kSecond));
    now_ += 20 * kSecond - 1;
    EXPECT_FALSE(sends());
    now_ += 1;
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends()) << "one tries alone";
}

TEST_F(Account, OpensAfterATryThatPasses) {
    hear_answer(sent(), 529, wait(2 * kSecond));
    now_ += 2 * kSecond;
    const SentRequest tries = sent();
    EXPECT_FALSE(sends());
    now_ += 100;
    hear_answer(tries, 200, nothing());
    EXPECT_EQ(account_->refusals.load(), 1u);
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(sends());
    }
}

TEST_F(Account, StaysClosedAfterAnAnswerToAnEarlierRequest) {
    const SentRequest earlier = sent();
    now_ += 1;
    hear_answer(sent(), 429, wait(2 * kSecond));
    hear_answer(earlier, 200, told(100, 99));
    EXPECT_FALSE(sends());
}

TEST_F(Account, LetsAnotherTryAfterAnErrorThatSaysNothing) {
    hear_answer(sent(), 429, wait(kSecond));
    now_ += kSecond;
    for (const unsigned status : {400U, 401U, 500U, 502U}) {
        hear_answer(sent(), status, nothing());
    }
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends()) << "but only one at a time";
}

TEST_F(Account, StaysClosedAfterAnErrorOfAnEarlierRequest) {
    const SentRequest earlier = sent();
    now_ += 1;
    hear_answer(sent(), 429, wait(kSecond));
    hear_answer(earlier, 400, nothing());
    EXPECT_FALSE(sends());
}

TEST_F(Account, StaysClosedAfterAnAnswerToARequestOfTheSameMillisecondAsTheRefusal) {
    const SentRequest earlier = sent();
    hear_answer(sent(), 429, wait(kSecond));
    hear_answer(earlier, 200, nothing());
    EXPECT_FALSE(sends());
}

TEST_F(Account, StaysClosedAfterAnErrorOfATryIfARefusalCameMeanwhile) {
    const SentRequest earlier = sent();
    hear_answer(sent(), 429, wait(kSecond));
    const SentRequest tries = sent_after(kSecond);
    hear_answer(earlier, 429, wait(5 * kSecond));
    now_ += kSecond;
    hear_answer(tries, 500, nothing());
    now_ += 4 * kSecond - 1;
    EXPECT_FALSE(sends());
    now_ += 1;
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends()) << "one at a time";
}

TEST_F(Account, LetsAnotherTryIfTheFirstDies) {
    hear_answer(sent(), 429, wait(kSecond));
    now_ += kSecond;
    EXPECT_TRUE(sends());
    now_ += kTryLease - 1;
    EXPECT_FALSE(sends());
    now_ += 1;
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends());
}

TEST_F(Account, BacksOffWithoutARetryAfter) {
    hear_answer(sent(), 503, nothing());
    for (const Millis wait : {1, 2, 4, 8, 16, 32, 60, 60, 60}) {
        now_ += wait * kSecond - 1;
        EXPECT_FALSE(sends()) << wait;
        now_ += 1;
        hear_answer(sent(), 503, nothing());
    }
    now_ += kMinute;
    hear_answer(sent(), 200, nothing());
    now_ += 1;
    hear_answer(sent(), 503, nothing());
    now_ += kSecond;
    EXPECT_TRUE(sends()) << "it begins anew";
}

TEST_F(Account, BacksOffFromAProviderThatAlwaysAsksForTooLittle) {
    hear_answer(sent(), 429, wait(1));
    now_ += 1;
    hear_answer(sent(), 429, wait(1));
    now_ += 1;
    EXPECT_FALSE(sends());
    now_ += kSecond;
    hear_answer(sent(), 429, wait(1));
    now_ += 2 * kSecond - 1;
    EXPECT_FALSE(sends());
}

TEST_F(Account, CountsABurstOfRefusalsAsOne) {
    SentRequest burst[20];
    for (SentRequest& one : burst) {
        one = sent();
    }
    for (const SentRequest& one : burst) {
        now_ += 1;
        hear_answer(one, 429, nothing());
    }
    EXPECT_EQ(account_->refusals.load(), 20u);
    now_ += kSecond;
    EXPECT_TRUE(sends());
}

TEST_F(Account, IsNeverClosedForMoreThanAMinute) {
    constexpr Millis kDay = 24 * kHour;
    const ProviderAnswer nonsense[] = {wait(kDay),        told(1, 0),          told(1, 0, kDay),
                                       told(60, 0, kDay), told(kMaxAmount, 0), told(9, 0, kHour)};
    for (const unsigned status : {200U, 429U}) {
        for (const ProviderAnswer& answer : nonsense) {
            hear_answer(sent_after(kDay), status, answer);
            const Millis began = now_;
            while (!sends()) {
                now_ += 100;
                ASSERT_LE(now_ - began, kMinute);
            }
        }
    }
}

TEST_F(Account, KnowsWhenTheLargestLimitIsFull) {
    constexpr Millis kDay = 24 * kHour;
    hear_answer(sent(), 200, told(kMaxAmount, 0, kDay));
    EXPECT_EQ(account_->quotas[0].full_at.load(), now_ + kDay);
}

TEST_F(Account, DoesNotBelieveALimitBelowWhatHasPassed) {
    ProviderAnswer answer = nothing();
    answer.quotas[1] = {5, 5, true, kNotTold, kMinute};
    SentRequest request = sent();
    request.quotas[1] = {true, 400, 400, 0};
    hear_answer(request, 200, answer);
    Limit limit{};
    EXPECT_FALSE(make_quota_limit(*account_, QuotaKind::kTokens, 0, &limit));
}

TEST_F(Account, NeverClosesForARemainderThatNeverFalls) {
    for (int i = 0; i < 100; ++i) {
        hear_answer(sent(), 200, told(20, 20));
    }
    hear_answer(sent(), 429, told(20, 20));
    EXPECT_FALSE(sends()) << "but a refusal counts";
}

TEST_F(Account, LearnsNothingFromAnswersToRequestsBeforeItMadeRoomForOthers) {
    for (int i = 0; i < 5; ++i) {
        hear_answer(sent(), 200, told(90, 50));
    }
    const SentRequest earlier = sent();
    make_room_and_begin_anew();
    hear_answer(sent(), 200, told(9, 8));
    hear_answer(earlier, 200, told(90, 2));
    EXPECT_EQ(told_limit(*account_, QuotaKind::kRequests), 9u);
    hear_answer(sent(), 200, told(9, 5));
    EXPECT_EQ(send_all(), 5u) << "answers to later requests count";
}

TEST_F(Account, CoolsDownAfterARefusalOfARequestBeforeItMadeRoomForOthers) {
    const SentRequest earlier = sent();
    make_room_and_begin_anew();
    hear_answer(earlier, 429, wait(kSecond));
    EXPECT_FALSE(sends());
}

TEST_F(Account, KeepsAccountsThatCoolDownWhenOthersCome) {
    hear_answer(sent(), 429, wait(kMinute));
    use_others();
    EXPECT_EQ(find_account(user_.zone(), tag_of(kHash, policies_.quotas[0])), account_);
    EXPECT_EQ(std::string(account_->name, account_->name_size.load()), "key:account");
}

TEST_F(Account, IsShownByANameThatIsNoSecret) {
    const auto shown = [this](std::string_view key, bool is_public) {
        const UpstreamAccount* account = use_account(
            user_.zone(), std::hash<std::string_view>()(key) << 8, 1, {key, is_public}, now_);
        return std::string(account->name, account->name_size.load());
    };
    EXPECT_EQ(shown("openai", true), "openai");
    EXPECT_EQ(shown("sk-secret-of-a-client", false), "sk-s…ient");
    EXPECT_EQ(shown("a\nb", true).find('\n'), std::string::npos);
}

TEST_F(Account, IsCopiedToAZoneOfAnotherSize) {
    hear_answer(sent(), 429, wait(kMinute));
    ZoneSizes larger = account_sizes();
    larger.small_buckets *= 2;
    ZoneMemory to(larger);
    copy_zone(user_.journal(), to.zone(), now());
    const UpstreamAccount* copy = find_account(to.zone(), tag_of(kHash, policies_.quotas[0]));
    ASSERT_NE(copy, nullptr);
    EXPECT_TRUE(is_cooling(*copy));
}

}  // namespace
}  // namespace ai_limit
