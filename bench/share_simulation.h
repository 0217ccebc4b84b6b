#pragma once

// Nodes that share a policy by reporting to each other what they have let through, in simulated
// time: the module's own decisions, calls and script, without nginx and without a network. Times
// are steps of one millisecond, and one seed gives one run.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "../t/unit/redis_model/sharing_node.h"

namespace ai_limit {

enum class Spread : uint8_t { kEven, kUneven, kOneNode };

struct Scenario {
    Algorithm algorithm;
    Amount quota;  // in a period, and at once
    Millis period;
    uint32_t nodes;
    uint64_t keys;
    double zipf;  // exponent, 0: all keys alike
    Spread spread;
    uint64_t requests;  // in all
    Millis duration;
    Millis burst = 0;  // in each period all come in so short a time; 0: at all times
    Millis interval = 100;
    Millis latency = 1;    // each way
    uint32_t lost = 0;     // of 1000 tellings, or of their answers
    uint32_t late = 0;     // of 1000 tellings
    Millis lateness = 50;  // at most; what is lost is known to be after twice that
    uint64_t seed = 1;
};

/**
 * How far a key may go beyond its limit: the sum of what the other nodes do not know of each node
 * at a time. A node that asks Redis reports its delta first, so the last one to fill the limit
 * would have no part in it, but for answers to its earlier reports, by which it goes on while it
 * asks.
 */
struct Bound {
    Amount of_all;          // nodes
    Amount of_all_but_one;  // that with the least
};

/**
 * The overshoot and bound of the key that went furthest beyond its limit, and figures on all keys.
 */
struct Outcome {
    Amount overshoot;
    Bound bound;
    uint64_t beyond_all;  // keys that went beyond their bounds
    uint64_t beyond_all_but_one;
    uint64_t pressed;    // keys whose demand was more than their quota
    double used;         // of the quota of these
    uint64_t exchanges;  // calls by which nodes told
    uint64_t reported;   // keys in these
    uint64_t asks;       // requests that waited for Redis
    uint64_t passed;
};

/** Numbers from 0 to n - 1, of which k is as frequent as 1 / (k + 1)^exponent. */
class Zipf {
public:
    Zipf(uint64_t n, double exponent) : n_(n) {
        if (exponent == 0) {
            return;
        }
        sums_.reserve(n);
        double sum = 0;
        for (uint64_t i = 1; i <= n; ++i) {
            sum += std::pow(static_cast<double>(i), -exponent);
            sums_.push_back(sum);
        }
    }

    uint64_t draw(std::mt19937_64* random) const {
        if (sums_.empty()) {
            return (*random)() % n_;
        }
        const double at = static_cast<double>((*random)() >> 11) * 0x1p-53 * sums_.back();
        return static_cast<uint64_t>(std::upper_bound(sums_.begin(), sums_.end(), at) -
                                     sums_.begin());
    }

private:
    uint64_t n_;
    std::vector<double> sums_;
};

/** Counts exactly what was let through of one key on all nodes, by the times at which it was. */
class Reference {
public:
    explicit Reference(const Limit& limit) : limit_(&limit) {}

    /**
     * Counts one request. Returns how far the key is beyond its limit then. `now` never goes back.
     */
    Amount pass(Millis now) {
        ++passed_;
        if (limit_->algorithm == Algorithm::kTokenBucket) {
            return pass_bucket(now);
        }
        if (limit_->algorithm == Algorithm::kFixedWindow) {
            const Millis window = now / limit_->period_length;
            in_window_ = window == window_ ? in_window_ + 1 : 1;
            window_ = window;
            return beyond(in_window_);
        }
        times_.push_back(now);
        while (times_[first_] <= now - limit_->period_length) {
            ++first_;
        }
        return beyond(times_.size() - first_);
    }

    Amount passed() const { return passed_; }

private:
    /** The level times refill_millis: whole numbers. */
    Amount pass_bucket(Millis now) {
        const uint64_t back = static_cast<uint64_t>(now - at_) * limit_->refill_amount;
        level_ = (level_ > back ? level_ - back : 0) + limit_->refill_millis;
        at_ = now;
        return beyond((level_ + limit_->refill_millis - 1) / limit_->refill_millis);
    }

    Amount beyond(Amount used) const {
        return used > limit_->capacity ? used - limit_->capacity : 0;
    }

    const Limit* limit_;
    Amount passed_ = 0;
    Amount in_window_ = 0;
    Millis window_ = -1;
    uint64_t level_ = 0;
    Millis at_ = 0;
    std::vector<Millis> times_;
    size_t first_ = 0;
};

class ShareSimulation {
public:
    explicit ShareSimulation(const Scenario& scenario)
        : scenario_(scenario),
          limit_(limit_of(scenario)),
          redis_(limit_script()),
          random_(scenario.seed),
          key_numbers_(scenario.keys, scenario.zipf) {
        make_nodes();
        agenda_.resize(static_cast<size_t>(scenario.duration + kMore));
        arrivals_.reserve(scenario.requests);
    }

    Outcome run() {
        for (now_ = 0; now_ < scenario_.duration + kMore; ++now_) {
            redis_.set_clock(clock().wall);
            std::vector<Event>& due = agenda_[static_cast<size_t>(now_)];
            for (size_t i = 0; i < due.size(); ++i) {  // more may come to be due at once
                const Event event = due[i];
                happen(event);
            }
            due = {};
            send_due();
            request_all();
        }
        conclude();
        return outcome_;
    }

private:
    static constexpr Millis kMore = 1000;
    static constexpr Millis kSoonAfter = 2;

    /** A call of the script on its way, or its answer. */
    struct Call {
        uint32_t node;
        bool is_take;
        bool is_lost;
        uint64_t key;  // of a take
        std::vector<KeyTelling> deltas;
        ScriptCall words;
        std::vector<int64_t> answer;
    };

    struct Event {
        enum Kind : uint8_t { kDue, kArrives, kAnswered } kind;
        uint32_t node;
        uint64_t key;
        Call* call;
    };

    struct Arrival {
        uint64_t key;
        uint32_t node;
        uint32_t time;
        bool operator<(const Arrival& other) const {
            return std::tie(key, node, time) < std::tie(other.key, other.node, other.time);
        }
    };

    struct KeyRecord {
        explicit KeyRecord(const Limit& limit) : reference(limit) {}
        Reference reference;
        Amount overshoot = 0;
    };

    static Limit limit_of(const Scenario& scenario) {
        Rate rate{};
        const std::string text =
            std::to_string(scenario.quota) + "r/" + std::to_string(scenario.period / 1000) + "s";
        Limit limit{};
        if (parse_rate(text.c_str(), &rate) != nullptr ||
            make_limit(scenario.algorithm, rate, 0, 0, &limit) != nullptr) {
            abort();
        }
        return limit;
    }

    /** Redis's time; all clocks go alike. A window begins with the simulation. */
    Now clock() const {
        const Millis begin = 1'755'777'600'000 / scenario_.period * scenario_.period;
        return {3'600'000 + now_, begin + now_};
    }

    void make_nodes() {
        // A node sees as many keys as there are, or as it gets requests.
        const uint64_t of_one = scenario_.spread == Spread::kEven
                                    ? scenario_.requests / scenario_.nodes + 1
                                    : scenario_.requests;
        const uint64_t keys = std::min(scenario_.keys, of_one) + 64;
        const ZoneSizes sizes = {keys / 2 / 8 * 8 + 64, keys / 4 / 8 * 8 + 64, 1};
        for (uint32_t i = 0; i < scenario_.nodes; ++i) {
            nodes_.push_back(
                std::make_unique<SharingNode>(i + 1, limit_, scenario_.interval, sizes, clock()));
            nodes_.back()->set_nodes(scenario_.nodes);
        }
        due_.resize(scenario_.nodes);
    }

    void at(Millis time, const Event& event) {
        if (time < static_cast<Millis>(agenda_.size())) {
            agenda_[static_cast<size_t>(std::max(time, now_))].push_back(event);
        } else {
            delete event.call;
        }
    }

    bool happens(uint32_t in_1000) { return in_1000 != 0 && random_() % 1000 < in_1000; }

    void happen(const Event& event) {
        switch (event.kind) {
            case Event::kDue:
                due_[event.node].push_back(event.key);
                due_nodes_.push_back(event.node);
                break;
            case Event::kArrives:
                arrive(event);
                break;
            case Event::kAnswered:
                hear(event.call);
                delete event.call;
                break;
        }
    }

    void arrive(const Event& event) {
        Call* call = event.call;
        call->answer = run_script(&redis_, call->words);
        call->words = {};
        at(now_ + scenario_.latency, {Event::kAnswered, event.node, 0, call});
    }

    // The behaviour of a node, as in redis_ledgers.cpp.

    void send(Call* call) {
        call->words = script_call_of(command_);
        Millis delay = scenario_.latency;
        if (!call->is_take && happens(scenario_.late)) {
            delay += 1 + static_cast<Millis>(random_() % static_cast<uint64_t>(scenario_.lateness));
        }
        if (!call->is_take && happens(scenario_.lost)) {
            lose(call, delay);
            return;
        }
        at(now_ + delay, {Event::kArrives, call->node, 0, call});
    }

    /** The call is lost, or its answer is. */
    void lose(Call* call, Millis delay) {
        if (random_() % 2 == 0) {
            Call* copy = new Call(*call);
            copy->is_lost = true;
            at(now_ + delay, {Event::kArrives, call->node, 0, copy});
        }
        Call* lost = call;
        lost->answer.clear();
        at(now_ + 2 * scenario_.lateness, {Event::kAnswered, call->node, 0, lost});
    }

    void tell(uint32_t node, const std::vector<uint64_t>& keys) {
        Call* call = new Call{node, false, false, 0, {}, {}, {}};
        for (const uint64_t key : keys) {
            KeyTelling ledger_delta;
            if (nodes_[node]->read(key, &ledger_delta)) {
                call->deltas.push_back(ledger_delta);
            }
            if (call->deltas.size() == kMaxDeltas) {
                send_tellings(call);
                call = new Call{node, false, false, 0, {}, {}, {}};
            }
        }
        if (call->deltas.empty()) {
            delete call;
        } else {
            send_tellings(call);
        }
    }

    void send_tellings(Call* call) {
        nodes_[call->node]->write_sync(call->deltas, clock(), &command_);
        ++outcome_.exchanges;
        outcome_.reported += call->deltas.size();
        send(call);
    }

    void send_due() {
        for (const uint32_t node : due_nodes_) {
            if (!due_[node].empty()) {
                tell(node, due_[node]);
                due_[node].clear();
            }
        }
        due_nodes_.clear();
    }

    void hear(Call* call) {
        if (call->is_lost) {
            return;
        }
        SharingNode* node = nodes_[call->node].get();
        if (call->is_take) {
            hear_decision(*call);
        } else if (!call->answer.empty()) {
            node->read_sync(call->deltas, wire_.reply_of(call->answer), clock());
        } else {
            for (const KeyTelling& reported : call->deltas) {
                if (node->must_send_again(reported.key, clock())) {
                    at(now_ + scenario_.interval, {Event::kDue, call->node, reported.key, nullptr});
                }
            }
        }
    }

    void see_to(uint32_t node, uint64_t key, DeltaDue news) {
        if (news == DeltaDue::kNow) {
            tell(node, {key});
        } else if (news != DeltaDue::kNone) {
            const Millis delay = news == DeltaDue::kSoon ? std::min(scenario_.interval, kSoonAfter)
                                                         : scenario_.interval;
            at(now_ + delay, {Event::kDue, node, key, nullptr});
        }
    }

    // Requests: redis_decision.cpp.

    void request_all() {
        if (now_ >= scenario_.duration) {
            return;
        }
        const uint64_t end =
            scenario_.requests * busy_time(now_ + 1) / busy_time(scenario_.duration);
        for (; requested_ < end; ++requested_) {
            request(draw_node(), key_numbers_.draw(&random_));
        }
    }

    /** In which requests come, until `time`. */
    uint64_t busy_time(Millis time) const {
        if (scenario_.burst == 0) {
            return static_cast<uint64_t>(time);
        }
        const Millis rest = std::min(time % scenario_.period, scenario_.burst);
        return static_cast<uint64_t>(time / scenario_.period * scenario_.burst + rest);
    }

    uint32_t draw_node() {
        if (scenario_.spread == Spread::kOneNode) {
            return 0;
        }
        uint64_t node = random_() % scenario_.nodes;
        if (scenario_.spread == Spread::kUneven && random_() % 4 != 0) {
            node = node * node / scenario_.nodes;
            node = node * node / scenario_.nodes;
        }
        return static_cast<uint32_t>(node);
    }

    void request(uint32_t node, uint64_t key) {
        arrivals_.push_back({key, node, static_cast<uint32_t>(now_)});
        DeltaDue news = DeltaDue::kNone;
        const SharingNode::Answer answer = nodes_[node]->decide(key, 1, clock(), &news);
        see_to(node, key, news);
        if (answer == SharingNode::Answer::kPassed) {
            pass(key);
        } else if (answer == SharingNode::Answer::kUnknown) {
            ask(node, key);
        }
    }

    void ask(uint32_t node, uint64_t key) {
        ++outcome_.asks;
        Call* call = new Call{node, true, false, key, {}, {}, {}};
        nodes_[node]->write_take(key, 1, clock(), &command_);
        const ScriptCall words = script_call_of(command_);
        nodes_[node]->note_ask(key, 1, clock());
        tell(node, {key});
        call->words = words;
        at(now_ + scenario_.latency, {Event::kArrives, node, 0, call});
    }

    void hear_decision(const Call& call) {
        const Reply& reply = wire_.reply_of(call.answer);
        if (nodes_[call.node]->read_take(call.key, 1, reply, clock())) {
            pass(call.key);
        }
    }

    void pass(uint64_t key) {
        ++outcome_.passed;
        KeyRecord& record = records_.try_emplace(key, limit_).first->second;
        record.overshoot = std::max(record.overshoot, record.reference.pass(now_));
    }

    // The results.

    Amount quota_in_all() const {
        const uint64_t periods =
            static_cast<uint64_t>((scenario_.duration + scenario_.period - 1) / scenario_.period);
        const bool is_bucket = scenario_.algorithm == Algorithm::kTokenBucket;
        return is_bucket
                   ? limit_.capacity + limit_.capacity * static_cast<uint64_t>(scenario_.duration) /
                                           static_cast<uint64_t>(scenario_.period)
                   : limit_.capacity * periods;
    }

    /** How long others do not know of what a node lets through. */
    Millis blind_time() const {
        Millis time = scenario_.interval + 2 * scenario_.latency;
        if (scenario_.late != 0) {
            time += scenario_.lateness;
        }
        if (scenario_.lost != 0) {
            time += 2 * (2 * scenario_.lateness + scenario_.interval);  // lost twice, seldom more
        }
        return time;
    }

    /** The most requests of one node for one key in any `blind_time()`. */
    static Amount most_at_once(const Arrival* first, const Arrival* end, Millis time) {
        Amount most = 0;
        const Arrival* from = first;
        for (const Arrival* to = first; to != end; ++to) {
            while (static_cast<Millis>(to->time) - static_cast<Millis>(from->time) > time) {
                ++from;
            }
            most = std::max(most, static_cast<Amount>(to - from + 1));
        }
        return most;
    }

    Bound bound_of(const Arrival* first, const Arrival* end) const {
        Amount sum = 0;
        Amount least = limit_.capacity;
        uint32_t nodes = 0;
        while (first != end) {
            const Arrival* next = first;
            while (next != end && next->node == first->node) {
                ++next;
            }
            const Amount part = std::min(limit_.capacity / scenario_.nodes,
                                         most_at_once(first, next, blind_time()));
            sum += part;
            least = std::min(least, part);
            ++nodes;
            first = next;
        }
        return {sum, nodes == scenario_.nodes ? sum - least : sum};
    }

    void conclude() {
        std::sort(arrivals_.begin(), arrivals_.end());
        const Amount quota = quota_in_all();
        Amount used = 0;
        const Arrival* end = arrivals_.data() + arrivals_.size();
        for (const Arrival* first = arrivals_.data(); first != end;) {
            const Arrival* next = first;
            while (next != end && next->key == first->key) {
                ++next;
            }
            const auto record = records_.find(first->key);
            if (record != records_.end()) {
                judge(record->second.overshoot, bound_of(first, next));
                if (static_cast<Amount>(next - first) > quota) {
                    ++outcome_.pressed;
                    used += std::min(quota, record->second.reference.passed());
                }
            }
            first = next;
        }
        outcome_.used = outcome_.pressed == 0 ? 0
                                              : static_cast<double>(used) /
                                                    static_cast<double>(outcome_.pressed * quota);
    }

    void judge(Amount overshoot, Bound bound) {
        outcome_.beyond_all += overshoot > bound.of_all ? 1 : 0;
        outcome_.beyond_all_but_one += overshoot > bound.of_all_but_one ? 1 : 0;
        if (overshoot > outcome_.overshoot ||
            (overshoot == outcome_.overshoot && bound.of_all > outcome_.bound.of_all)) {
            outcome_.overshoot = overshoot;
            outcome_.bound = bound;
        }
    }

    Scenario scenario_;
    Limit limit_;
    RedisModel redis_;
    std::mt19937_64 random_;
    Zipf key_numbers_;
    std::vector<std::unique_ptr<SharingNode>> nodes_;
    std::vector<std::vector<Event>> agenda_;
    std::vector<std::vector<uint64_t>> due_;  // keys of each node
    std::vector<uint32_t> due_nodes_;
    std::vector<Arrival> arrivals_;
    std::unordered_map<uint64_t, KeyRecord> records_;
    Command command_;
    WireReader wire_;
    Millis now_ = 0;
    uint64_t requested_ = 0;
    Outcome outcome_ = {};
};

}  // namespace ai_limit
