#pragma once

// One budget in tokens under more demand than it has, in simulated time: the module's own
// decisions, reservations, habits, growth and settlement, without nginx and without a model. One
// seed gives one run.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "../t/unit/zone_memory.h"
#include "core/counts/text_allowance.h"
#include "core/learn/habits.h"
#include "core/limits/algorithm.h"
#include "core/zone/table.h"

namespace ai_limit {

/** How a budget is kept: `reserve=`, and what happens to a stream without room. */
enum class Keeping : uint8_t {
    kMax,           // reserve=max, and reservations do not grow: what reserve=auto did before
    kAutoSettled,   // reserve=auto, and reservations do not grow
    kAuto,          // reserve=auto
    kAutoCut,       // reserve=auto overrun=cut
    kMaxRemaining,  // reserve=max with ai_limit_max_output remaining
};

/** No limit of the output is named. */
constexpr Amount kNoMaxTokens = 0;

struct ReserveScenario {
    Keeping keeping;
    Amount max_tokens;
    uint32_t models = 1;
    bool habits_change = false;  // every ten minutes, of all models at once
    Millis duration = 3'600'000;
    double demand = 2;  // times the budget
    uint64_t seed = 1;
};

struct ReserveOutcome {
    double used;     // of the budget
    double excess;   // the worst, of the limit
    double refused;  // of the requests that came
    uint64_t answered;
    double cut;           // of the answers
    Amount worst_behind;  // tokens that one stream wrote after it was to be cut
};

class ReserveSimulation {
public:
    explicit ReserveSimulation(const ReserveScenario& scenario)
        : scenario_(scenario),
          limit_(limit_of_rate(Algorithm::kTokenBucket, "60kt/m")),
          memory_(sizes_for(1 << 20, true, true)),
          policy_(add_token_policy(memory_.zone(), "budget", limit_)),
          user_(memory_.zone(), &kAllAlive, 1),
          random_(scenario.seed),
          key_(hash_key(memory_.zone(), "key")) {
        for (uint32_t i = 0; i < scenario.models; ++i) {
            models_.push_back(hash_key(memory_.zone(), "model " + std::to_string(i)));
        }
    }

    ReserveOutcome run() {
        for (now_ = 0; now_ < scenario_.duration; now_ += kStep) {
            stream_all();
            arrive_all();
            watch();
        }
        const double refill = static_cast<double>(scenario_.duration) / 1000 * kRate;
        outcome_.used = produced_ / (static_cast<double>(limit_.capacity) + refill);
        outcome_.excess = worst_ / static_cast<double>(limit_.capacity);
        outcome_.refused = static_cast<double>(given_up_) / static_cast<double>(come_);
        outcome_.cut = static_cast<double>(cut_) / static_cast<double>(outcome_.answered);
        return outcome_;
    }

private:
    static constexpr Millis kStep = 50;
    static constexpr double kRate = 1000;  // tokens of the budget in a second
    static constexpr Amount kPrompt = 500;
    static constexpr double kMedian = 300;      // of the output,
    static constexpr double kSigma = 1;         // whose logarithm is normally distributed
    static constexpr double kSpeed = 60;        // tokens in a second
    static constexpr Millis kFirstToken = 500;  // the time until the first one
    static constexpr Millis kPatience = 60'000;
    static constexpr Millis kHabitLasts = 600'000;
    static constexpr Amount kLeastOutput = 16;
    // Text comes in events; a stream that is to be cut ends with the event.
    static constexpr double kEvent = 8;

    struct Asking {
        Millis at;
        Millis since;
        size_t model;
        Amount output;
        bool operator>(const Asking& other) const { return at > other.at; }
    };

    struct Stream {
        std::unique_ptr<Request> request;
        size_t model;
        HabitPlace place;
        Millis begins;
        Amount asked;   // the most output that the request asks for
        Amount output;  // what the model writes
        Amount reserved;
        double written = 0;
        bool has_begun = false;
    };

    bool grows() const {
        return scenario_.keeping == Keeping::kAuto || scenario_.keeping == Keeping::kAutoCut;
    }

    Now clock() const { return {3'600'000 + now_, Millis{1'790'000'000'000} + now_}; }

    double habit() const {
        static constexpr double kFactors[] = {1, 3, 0.5, 1, 0.3, 2};
        const auto turn = static_cast<size_t>(now_ / kHabitLasts) % std::size(kFactors);
        return scenario_.habits_change ? kFactors[turn] : 1;
    }

    Amount most_of_request() const {
        return scenario_.max_tokens == kNoMaxTokens ? 1'000'000 : scenario_.max_tokens;
    }

    Amount draw_output() {
        std::lognormal_distribution<double> outputs(std::log(kMedian * habit()), kSigma);
        const double output = std::max(outputs(random_), 1.0);
        return std::min(static_cast<Amount>(output), most_of_request());
    }

    /** Requests in a step that ask for `demand` times the budget. */
    double arrivals() {
        if (mean_habit_ != habit()) {
            mean_habit_ = habit();
            double sum = 0;
            constexpr int kDraws = 20'000;
            for (int i = 0; i < kDraws; ++i) {
                sum += static_cast<double>(draw_output());
            }
            mean_ = static_cast<double>(kPrompt) + sum / kDraws;
        }
        return scenario_.demand * kRate / mean_ * kStep / 1000;
    }

    void arrive_all() {
        std::poisson_distribution<int> count(arrivals());
        for (int i = count(random_); i > 0; --i) {
            ++come_;
            asking_.push({now_, now_, random_() % models_.size(), draw_output()});
        }
        while (!asking_.empty() && asking_.top().at <= now_) {
            const Asking asking = asking_.top();
            asking_.pop();
            ask(asking);
        }
    }

    /** Returns the rest of the limit, for `ai_limit_max_output remaining`. */
    Amount remaining_output() {
        Request look(user_);
        look.charge_tokens(policy_, key_, 0);
        look.would_admit(clock());
        const Amount left = remaining_of(limit_, look.used(0));
        return left > kPrompt ? left - kPrompt : 0;
    }

    /** The most output that the request asks for when it goes upstream. */
    AskedOutput asked_output() {
        AskedOutput asked{scenario_.max_tokens != kNoMaxTokens, scenario_.max_tokens};
        if (scenario_.keeping == Keeping::kMaxRemaining) {
            const Amount most = std::max(remaining_output(), kLeastOutput);
            asked.most = asked.is_limited ? std::min(asked.most, most) : most;
            asked.is_limited = true;
        }
        return asked;
    }

    Expectation expect(const Asking& asking, const AskedOutput& asked, HabitPlace* place) const {
        if (scenario_.keeping == Keeping::kMax || scenario_.keeping == Keeping::kMaxRemaining) {
            return {kPrompt, kPrompt, asked.is_limited ? asked.most : 0};
        }
        return expect_use(memory_.zone(), {key_, models_[asking.model]}, grows(), kPrompt, asked,
                          kMaxAmount, place);
    }

    void ask(Asking asking) {
        const AskedOutput asked = asked_output();
        HabitPlace place{};
        const Amount reserved =
            reservation(expect(asking, asked, &place), TokenWeights(), limit_.capacity);
        auto request = std::make_unique<Request>(user_);
        request->charge_tokens(policy_, key_, reserved);
        if (!request->admit(clock())) {
            retry(asking, *request, reserved);
            return;
        }
        const Amount most = asked.is_limited ? asked.most : most_of_request();
        streams_.push_back({std::move(request), asking.model, place, now_ + kFirstToken, asked.most,
                            std::min(asking.output, most), reserved});
        produce(static_cast<double>(kPrompt));
    }

    void retry(Asking asking, const Request& request, Amount reserved) {
        const Description said = describe(limit_, request[0].state, reserved, true, clock());
        // Clients round up, and come a little later.
        asking.at = now_ + std::max<Millis>(said.wait, 1000) + static_cast<Millis>(random_() % 500);
        if (asking.at > asking.since + kPatience) {
            ++given_up_;
        } else {
            asking_.push(asking);
        }
    }

    void produce(double tokens) {
        produced_ += tokens;
        level_ += tokens;
    }

    void stream_all() {
        for (size_t i = 0; i < streams_.size();) {
            if (stream(&streams_[i])) {
                ++i;
            } else {
                std::swap(streams_[i], streams_.back());
                streams_.pop_back();
            }
        }
    }

    /** One step of a stream; false if it has ended. */
    bool stream(Stream* stream) {
        if (now_ < stream->begins) {
            return true;
        }
        const double left = static_cast<double>(stream->output) - stream->written;
        const double wrote = std::min(kSpeed * kStep / 1000, left);
        stream->written += wrote;
        produce(wrote);
        if (stream->written >= static_cast<double>(stream->output)) {
            end(*stream, true);
            return false;
        }
        return !grows() || grow(stream) || scenario_.keeping != Keeping::kAutoCut ||
               !is_cut(*stream);
    }

    TokenCounts used_by(const Stream& stream) const {
        TokenCounts used;
        used.input = kPrompt;
        used.output = static_cast<Amount>(std::ceil(stream.written));
        return used;
    }

    /** False if the stream has used more than it could reserve. */
    bool grow(Stream* stream) {
        const TokenWeights weights;
        const TokenCounts used = used_by(*stream);
        if (growth_wanted(stream->reserved, used, 0, weights) == 0) {
            return true;
        }
        const Amount wanted = growth_wanted(stream->reserved, used, kGrowthStep, weights);
        stream->reserved += stream->request->grow(0, wanted, clock());
        return growth_wanted(stream->reserved, used, 0, weights) == 0;
    }

    bool is_cut(const Stream& stream) {
        ++cut_;
        const Amount used = weigh(used_by(stream), TokenWeights());
        outcome_.worst_behind = std::max(outcome_.worst_behind, used - stream.reserved);
        end(stream, false);
        return true;
    }

    void end(const Stream& stream, bool finished) {
        ++outcome_.answered;
        const TokenCounts used = used_by(stream);
        stream.request->settle(0, weigh(used, TokenWeights()), clock());
        const bool is_limited =
            scenario_.max_tokens != kNoMaxTokens || scenario_.keeping == Keeping::kMaxRemaining;
        const bool is_least = !finished || (is_limited && used.output >= stream.asked);
        HabitSample sample{used.output, true, is_least, kPrompt, kPrompt};
        sample.stands_for = stands_for(sample, stream.place, &turns_);
        if (sample.stands_for != 0) {
            note_use(memory_.zone(), {key_, models_[stream.model]}, sample, stream.place,
                     clock().wall);
        }
    }

    /** Compares the tokens that have been written until each moment with the burst and the refill.
     */
    void watch() {
        worst_ = std::max(worst_, level_ - static_cast<double>(limit_.capacity));
        level_ = std::max(0.0, level_ - kRate * kStep / 1000);
    }

    ReserveScenario scenario_;
    Limit limit_;
    ZoneMemory memory_;
    TokenPolicy policy_;
    ZoneUser user_;
    TeachingTurns turns_;
    std::mt19937_64 random_;
    uint64_t key_;
    std::vector<uint64_t> models_;
    std::vector<Stream> streams_;
    std::priority_queue<Asking, std::vector<Asking>, std::greater<Asking>> asking_;
    Millis now_ = 0;
    double mean_habit_ = 0;
    double mean_ = 0;
    double produced_ = 0;
    double level_ = 0;
    double worst_ = 0;
    uint64_t come_ = 0;
    uint64_t given_up_ = 0;
    uint64_t cut_ = 0;
    ReserveOutcome outcome_ = {};
};

}  // namespace ai_limit
