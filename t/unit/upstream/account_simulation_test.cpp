// Three times the demand that a provider serves, from several workers: hardly any request is
// refused by the provider, and nearly all of its quota is used.

#include <gtest/gtest.h>

#include <memory>
#include <queue>
#include <random>
#include <vector>

#include "core/upstream/account.h"
#include "mock_provider.h"
#include "small_zone.h"

namespace ai_limit {
namespace {

constexpr uint64_t kHash = 0x1234'5678'9abc'de00;
constexpr Millis kMinute = 60'000;
constexpr Millis kMinutes = 12;
constexpr Millis kBegin = 1000 * kHour;

/** How the provider counts, and how the requests come. */
struct Scene {
    double requests;  // a minute, of the provider
    double tokens;
    double mean_tokens;   // of a request
    double misjudged;     // what the reservations are, as a part of what is used
    Millis most_latency;  // to the provider, and until its answer begins
    bool tokens_matter;   // else the requests do
};

struct Totals {
    uint64_t passed[kMinutes];
    double tokens[kMinutes];
    uint64_t refused[kMinutes];  // by the provider
};

struct Event {
    enum What { kArrives, kReaches, kAnswers, kEnds };
    Millis at;
    What what;
    size_t request;
    bool operator<(const Event& other) const { return at > other.at; }
};

struct Sent {
    std::unique_ptr<Request> request;
    std::unique_ptr<ZonePolicy> limits[3];
    std::unique_ptr<TokenPolicy> tokens_policy;
    ZoneUser* worker;
    SentRequest sent;
    double tokens;
    size_t tokens_place;
    MockAnswer answer;
};

class Simulation {
public:
    Simulation(const Scene& scene, size_t workers)
        : scene_(scene), memory_(sizes()), provider_(scene.requests, scene.tokens) {
        for (size_t i = 0; i < workers; ++i) {
            workers_.push_back(std::make_unique<ZoneUser>(memory_.zone(), &kAllAlive,
                                                          static_cast<uint32_t>(i + 1)));
        }
        const Zone& zone = memory_.zone();
        const char* const names[kQuotaKinds] = {"a", "a:tokens", "a:input", "a:output"};
        Limit tokens = try_limit();
        tokens.measure = Measure::kTokens;
        for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
            policies_.quotas[kind] =
                add_policy(zone, names[kind], kind == 0 ? try_limit() : tokens, true).number;
        }
        reservation_ = add_policy(zone, "a:tokens", reservation_limit());
        policies_.cooldown = add_policy(zone, "a:cooldown", try_limit()).number;
        provider_.ask(0, kBegin);
    }

    Totals run() {
        const double a_minute = std::min(scene_.requests, scene_.tokens / scene_.mean_tokens) * 3;
        std::exponential_distribution<double> gap(a_minute / kMinute);
        for (double at = 0; at < static_cast<double>(kMinutes * kMinute); at += gap(random_)) {
            events_.push({kBegin + static_cast<Millis>(at), Event::kArrives, 0});
        }
        while (!events_.empty()) {
            const Event event = events_.top();
            events_.pop();
            handle(event);
        }
        return totals_;
    }

private:
    static ZoneSizes sizes() {
        ZoneSizes sizes = small_sizes();
        sizes.account_sets = kAccountSets;
        return sizes;
    }

    Millis latency() {
        return std::uniform_int_distribution<Millis>(5, scene_.most_latency)(random_);
    }

    void handle(const Event& event) {
        now_ = event.at;
        switch (event.what) {
            case Event::kArrives:
                arrive();
                return;
            case Event::kReaches:
                reach(event.request);
                return;
            case Event::kAnswers:
                answer(event.request);
                return;
            case Event::kEnds:
                end(event.request);
                return;
        }
    }

    Now now() const { return {now_, now_}; }

    void arrive() {
        Sent one{};
        one.worker = workers_[random_() % workers_.size()].get();
        one.request = std::make_unique<Request>(*one.worker);
        one.tokens = std::uniform_real_distribution<double>(0.2, 1.8)(random_) * scene_.mean_tokens;
        const Amount reserve = static_cast<Amount>(one.tokens * scene_.misjudged);
        const uint64_t tag = tag_of(kHash, policies_.quotas[0]);
        UpstreamAccount* account =
            use_account(memory_.zone(), tag, policies_.quotas[0], {"key:a", false}, now_);
        if (is_cooling(*account)) {
            one.limits[0] =
                std::make_unique<ZonePolicy>(ZonePolicy{policies_.cooldown, try_limit()});
            one.request->charge(*one.limits[0], kHash);
        }
        Limit limit{};
        const size_t requests_place = one.request->count();
        const bool knows_requests = make_quota_limit(*account, QuotaKind::kRequests, 0, &limit);
        if (knows_requests) {
            one.limits[1] = std::make_unique<ZonePolicy>(ZonePolicy{policies_.quotas[0], limit});
            one.request->charge(*one.limits[1], kHash);
        }
        one.tokens_place = one.request->count();
        const bool knows_tokens = make_quota_limit(*account, QuotaKind::kTokens, 0, &limit);
        if (knows_tokens) {
            one.tokens_policy = std::make_unique<TokenPolicy>(
                TokenPolicy{reservation_, {policies_.quotas[1], limit}});
            one.request->charge_tokens(*one.tokens_policy, kHash, reserve);
        }
        if (one.request->count() != 0 && !one.request->admit(now())) {
            return;
        }
        begin_sent(account, now_, &one.sent);
        if (knows_requests) {
            note_sent_quota(*account, QuotaKind::kRequests, one.request->used(requests_place), 1,
                            &one.sent);
        }
        if (knows_tokens) {
            note_sent_quota(*account, QuotaKind::kTokens, one.request->used(one.tokens_place),
                            reserve, &one.sent);
        }
        sent_.push_back(std::move(one));
        events_.push({now_ + latency(), Event::kReaches, sent_.size() - 1});
    }

    void reach(size_t i) {
        Sent& one = sent_[i];
        one.answer = provider_.ask(one.tokens, now_);
        const auto minute = static_cast<size_t>((now_ - kBegin) / kMinute);
        if (minute < kMinutes) {
            const bool passed = one.answer.status == 200;
            totals_.passed[minute] += passed ? 1 : 0;
            totals_.tokens[minute] += passed ? one.tokens : 0;
            totals_.refused[minute] += passed ? 0 : 1;
        }
        events_.push({now_ + latency(), Event::kAnswers, i});
    }

    void answer(size_t i) {
        Sent& one = sent_[i];
        UpstreamAccount* account = find_account(memory_.zone(), tag_of(kHash, policies_.quotas[0]));
        hear(one.worker->journal(), account,
             {tag_base(kHash), &policies_, &one.sent, &one.answer.told, one.answer.status, 0},
             now());
        const Millis stream = one.answer.status == 200 ? 10 * latency() : 0;
        events_.push({now_ + stream, Event::kEnds, i});
    }

    void end(size_t i) {
        Sent& one = sent_[i];
        if (one.tokens_policy != nullptr) {
            const bool passed = one.answer.status == 200;
            one.request->settle(one.tokens_place, passed ? static_cast<Amount>(one.tokens) : 0,
                                now());
        }
        one.request.reset();
    }

    Scene scene_;
    ZoneMemory memory_;
    MockProvider provider_;
    std::vector<std::unique_ptr<ZoneUser>> workers_;
    AccountPolicies policies_{};
    ZonePolicy reservation_{};
    std::priority_queue<Event> events_;
    std::vector<Sent> sent_;
    std::mt19937 random_{1};
    Millis now_ = kBegin;
    Totals totals_{};
};

void check(const Scene& scene, size_t workers) {
    const Totals totals = Simulation(scene, workers).run();
    uint64_t refused = 0;
    double used = 0;
    for (size_t minute = 0; minute < kMinutes; ++minute) {
        EXPECT_LE(totals.refused[minute], 1u) << "minute " << minute;
        refused += totals.refused[minute];
        if (minute != 0) {  // the quota of the first minute is there beside what refills
            used += scene.tokens_matter ? totals.tokens[minute]
                                        : static_cast<double>(totals.passed[minute]);
        }
    }
    const double quota = scene.tokens_matter ? scene.tokens : scene.requests;
    const double part = used / (quota * (kMinutes - 1));
    std::printf("%zu workers: %.1f %% used, %lu refused by the provider\n", workers, part * 100,
                static_cast<unsigned long>(refused));
    EXPECT_GE(part, 0.97);
}

TEST(AccountSimulation, UsesTheQuotaOfRequests) {
    check({60, 1e9, 500, 1, 300, false}, 4);
    check({3000, 1e9, 500, 1, 300, false}, 4);
    check({2000, 1e9, 500, 1, 1000, false}, 1);
}

TEST(AccountSimulation, UsesTheQuotaOfTokens) {
    check({3000, 100'000, 500, 1, 300, true}, 4);
    check({3000, 1'000'000, 500, 1, 1000, true}, 1);
}

TEST(AccountSimulation, UsesTheQuotaOfTokensWithReservationsThatAreWrong) {
    check({3000, 100'000, 500, 0.5, 300, true}, 4);
    check({3000, 100'000, 500, 2, 300, true}, 4);
}

}  // namespace
}  // namespace ai_limit
