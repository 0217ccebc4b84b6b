// A worker is killed at each instruction of what it does with an answer.

#include "core/upstream/account.h"
#include "deaths.h"
#include "small_zone.h"

namespace ai_limit {
namespace {

constexpr uint64_t kHash = 0x1234'5678'9abc'de00;
constexpr Now kNow = {1000 * kHour, 1000 * kHour};

class AccountAtEveryInstruction : public Stepwise<::testing::Test> {
protected:
    AccountAtEveryInstruction() : memory(sizes()), mortal(memory.zone(), &kStepHost, 1) {
        const char* const names[kQuotaKinds] = {"a", "a:tokens", "a:input", "a:output"};
        for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
            policies.quotas[kind] = add_policy(memory.zone(), names[kind], try_limit()).number;
        }
        policies.cooldown = add_policy(memory.zone(), "a:cooldown", try_limit()).number;
        account =
            use_account(memory.zone(), tag(), policies.quotas[0], {"key:a", false}, kNow.monotonic);
    }

    static ZoneSizes sizes() {
        ZoneSizes sizes = kTiny;
        sizes.account_sets = 1;
        return sizes;
    }

    uint64_t tag() const { return tag_of(kHash, policies.quotas[0]); }

    static ProviderAnswer told(Amount limit, Amount remaining) {
        ProviderHeaders headers(0);
        ProviderAnswer answer = headers.answer();
        answer.quotas[0] = {limit, remaining, true, kNotTold, 60'000};
        return answer;
    }

    SentRequest sent() const {
        SentRequest request{};
        begin_sent(account, kNow.monotonic, &request);
        return request;
    }

    void hear_answer(const SentRequest& request, unsigned status, const ProviderAnswer& answer) {
        hear(mortal.journal(), account, {tag_base(kHash), &policies, &request, &answer, status, 0},
             kNow);
    }

    Amount used(const ZoneUser& user) const {
        Limit limit{};
        EXPECT_TRUE(
            make_quota_limit(*find_account(user.zone(), tag()), QuotaKind::kRequests, 0, &limit));
        return look(user, {policies.quotas[0], limit}, kHash, kNow);
    }

    ZoneMemory memory;
    ZoneUser mortal;
    AccountPolicies policies{};
    UpstreamAccount* account = nullptr;
};

TEST_F(AccountAtEveryInstruction, CorrectsAQuotaOnceOrNotAtAll) {
    hear_answer(sent(), 200, told(100, 90));
    SentRequest request = sent();
    request.quotas[0] = {true, 10, 1, account->quotas[0].corrected};
    const ProviderAnswer answer = told(100, 60);
    Deaths deaths(memory, [&] { hear_answer(request, 200, answer); });
    ASSERT_EQ(used(mortal), 40U);
    ASSERT_GT(deaths.count(), 10U);
    g_is_dead[1] = true;
    size_t corrected = 0;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneUser survivor(deaths.state(i)->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), kNow);
        const Amount after = used(survivor);
        ASSERT_TRUE(after == 10 || after == 40) << "state " << i;
        ASSERT_EQ(find_account(survivor.zone(), tag())->quotas[0].corrected, after)
            << "the sum of corrections belongs to the entry, state " << i;
        corrected += after == 40 ? 1 : 0;
    }
    EXPECT_GT(corrected, 0U);
    EXPECT_LT(corrected, deaths.count());
}

TEST_F(AccountAtEveryInstruction, LeavesNoAccountClosedForGood) {
    const SentRequest request = sent();
    const ProviderAnswer answer = told(100, 0);
    Deaths deaths(memory, [&] { hear_answer(request, 429, answer); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneUser survivor(deaths.state(i)->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), kNow);
        ASSERT_TRUE(is_at_rest(survivor.zone())) << "state " << i;
        const Now later = {kNow.monotonic + kLongestCooldown, kNow.wall};
        const ZonePolicy cooldown = {policies.cooldown, try_limit()};
        Request one(survivor);
        ASSERT_TRUE(one.charge(cooldown, kHash).admit(later)) << "state " << i;
    }
}

}  // namespace
}  // namespace ai_limit
