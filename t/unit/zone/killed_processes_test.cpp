// Kills real processes at any moment while they decide, and checks what they leave behind.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};

constexpr int kKeys = 6;
constexpr int kPlentiful = 3;  // the first three keys are never refused
constexpr Amount kPlenty = 4'000'000'000;
constexpr Amount kFew = 3'000;
constexpr uint32_t kMaxIncarnations = 20'000;

/** The memory that the processes share. An incarnation is one life of one process. */
struct Shared {
    struct Tally {
        std::atomic<uint64_t> begun;
        std::atomic<uint64_t> passed;
        std::atomic<uint64_t> refused;
    };
    Tally tallies[kKeys];
    std::atomic<uint32_t> at_rest;
    std::atomic<bool> stop;
    std::atomic<bool> leave;
    std::atomic<bool> reaped[kMaxIncarnations];
    std::atomic<uint32_t> held[kMaxIncarnations][kKeys];
};

Shared* g_shared;

bool is_incarnation_alive(uint32_t pid, uint64_t birth) {
    // The parent reaps at once, but a pid may be another's soon: the birth tells.
    return !g_shared->reaped[birth].load() &&
           (kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH);
}

std::chrono::steady_clock::time_point g_deadline;

void yield_before_deadline() {
    if (std::chrono::steady_clock::now() > g_deadline) {
        fprintf(stderr, "a process waits for ever for a lock\n");
        _exit(4);
    }
    std::this_thread::yield();
}

const Host kRealHost = {is_incarnation_alive, yield_before_deadline};

struct Policies {
    ZonePolicy bucket[2];  // by whether the key is a plentiful one
    ZonePolicy sliding[2];
    ZonePolicy fixed[2];
    ZonePolicy slots;
    ZonePolicy address;

    explicit Policies(const Zone& zone) {
        const char* names[] = {"few", "plenty"};
        for (int i = 0; i < 2; ++i) {
            Amount capacity = i == 0 ? kFew : kPlenty;
            std::string name = names[i];
            bucket[i] = add_policy(zone, (name + " bucket").c_str(),
                                   hourly(Algorithm::kTokenBucket, capacity));
            sliding[i] = add_policy(zone, (name + " sliding").c_str(),
                                    hourly(Algorithm::kSlidingWindow, capacity));
            fixed[i] = add_policy(zone, (name + " fixed").c_str(),
                                  hourly(Algorithm::kFixedWindow, capacity));
        }
        slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 1000));
        address = add_policy(zone, "address", hourly(Algorithm::kTokenBucket, kPlenty));
    }

    Request& charge_rates(Request& request, int key, Amount cost) const {
        int kind = key < kPlentiful ? 1 : 0;
        uint64_t hash = hash_of(key);
        return request.charge(bucket[kind], hash, cost)
            .charge(sliding[kind], hash, cost)
            .charge(fixed[kind], hash, cost);
    }

    static uint64_t hash_of(int key) { return (uint64_t(key) + 1) * 0x2545'F491'4F6C'DD1D; }
};

/** The work of a process of the test until it is told to stop, or killed. */
class Hammer {
public:
    Hammer(const Zone& zone, const Policies& policies, uint32_t incarnation)
        : user_(zone, &kRealHost, static_cast<uint32_t>(getpid()), incarnation),
          policies_(policies),
          incarnation_(incarnation),
          random_(incarnation) {}

    int run() {
        if (!user_.opened()) {
            return 3;
        }
        reclaim_dead(user_.journal(), Now{});
        for (unsigned turn = 1; !g_shared->stop; ++turn) {
            decide();
            if (!kept_.empty() && (kept_.size() > 5 || random_.one_in(4))) {
                end_one();
            }
            if (turn % 4000 == 0) {
                reclaim_dead(user_.journal(), Now{});
            }
        }
        g_shared->at_rest.fetch_add(1);
        while (!g_shared->leave) {
            usleep(200);
        }
        while (kept_.size() > 1) {
            end_one();
        }
        reclaim_self(user_.journal(), Now{});
        return 0;
    }

private:
    struct Held {
        FlightRecord* flight;
        int key;
    };

    void decide() {
        int key = static_cast<int>(random_.below(kKeys));
        Shared::Tally* tally = &g_shared->tallies[key];
        Request request(user_);
        policies_.charge_rates(request, key, 1);
        request.charge(policies_.address, Policies::hash_of(100 + key % 2));
        bool in_flight = random_.one_in(3);
        if (in_flight) {
            request.charge(policies_.slots, Policies::hash_of(key));
        }
        tally->begun.fetch_add(1);
        if (!request.admit(kNow)) {
            tally->refused.fetch_add(1);
            return;
        }
        tally->passed.fetch_add(1);
        if (in_flight) {
            kept_.push_back({request[request.count() - 1].flight, key});
            g_shared->held[incarnation_][key].fetch_add(1);
        }
    }

    void end_one() {
        size_t i = random_.below(kept_.size());
        end_flight(user_.access(), kept_[i].flight);
        g_shared->held[incarnation_][kept_[i].key].fetch_sub(1);
        kept_[i] = kept_.back();
        kept_.pop_back();
    }

    ZoneUser user_;
    const Policies& policies_;
    uint32_t incarnation_;
    Random random_;
    std::vector<Held> kept_;
};

class KilledProcesses : public testing::Test {
protected:
    void SetUp() override {
        g_deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
        void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        g_shared = static_cast<Shared*>(memory);
    }

    void TearDown() override {
        for (const Child& child : children_) {
            kill(child.pid, SIGKILL);
            waitpid(child.pid, nullptr, 0);
        }
        munmap(g_shared, sizeof(Shared));
    }

    void start(const Zone& zone, const Policies& policies) {
        uint32_t incarnation = next_++;
        ASSERT_LT(incarnation, kMaxIncarnations);
        pid_t parent = getpid();
        pid_t pid = fork();
        ASSERT_GE(pid, 0);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(getppid() == parent ? Hammer(zone, policies, incarnation).run() : 0);
        }
        children_.push_back({pid, incarnation});
    }

    void kill_one(size_t i) {
        Child child = children_[i];
        int status = 0;
        kill(child.pid, SIGKILL);
        ASSERT_EQ(waitpid(child.pid, &status, 0), child.pid);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            << "a process ended by itself, status " << status;
        g_shared->reaped[child.incarnation] = true;
        children_.erase(children_.begin() + static_cast<long>(i));
    }

    void stop_all() {
        g_shared->stop = true;
        while (g_shared->at_rest < children_.size()) {
            ASSERT_LT(std::chrono::steady_clock::now(), g_deadline) << "a process hangs";
            usleep(1000);
        }
    }

    void let_all_leave() {
        g_shared->leave = true;
        for (const Child& child : children_) {
            int status = 0;
            ASSERT_EQ(waitpid(child.pid, &status, 0), child.pid);
            ASSERT_EQ(status, 0);
            g_shared->reaped[child.incarnation] = true;
        }
        children_.clear();
    }

    /** All layers of a key at one moment. */
    static void check_layers(const ZoneUser& observer, const Policies& policies, int key,
                             Amount* last) {
        Shared::Tally* tally = &g_shared->tallies[key];
        // A request that begins later or was refused earlier only widens the bracket.
        uint64_t certainly = tally->passed;
        uint64_t refused = tally->refused;
        Request request(observer);
        policies.charge_rates(request, key, 0).admit(kNow);
        uint64_t possibly = tally->begun - refused;
        ASSERT_EQ(request.used(0), request.used(1)) << "key " << key;
        ASSERT_EQ(request.used(0), request.used(2)) << "key " << key;
        ASSERT_GE(request.used(0), certainly) << "key " << key;
        ASSERT_LE(request.used(0), possibly) << "key " << key;
        ASSERT_GE(request.used(0), *last) << "key " << key;
        ASSERT_LE(request.used(0), key < kPlentiful ? kPlenty : kFew) << "key " << key;
        *last = request.used(0);
    }

    /** The requests in flight that living processes say they have. */
    uint64_t held_by_the_living(int key) const {
        uint64_t sum = 0;
        for (const Child& child : children_) {
            sum += g_shared->held[child.incarnation][key];
        }
        return sum;
    }

    struct Child {
        pid_t pid;
        uint32_t incarnation;
    };
    std::vector<Child> children_;
    uint32_t next_ = 2;  // 0 means not known, 1 is this process
};

/** Returns how many processes to kill: CRASH_ROUNDS, or as many as fit into a few seconds. */
int deaths_wanted() {
    const char* wanted = getenv("CRASH_ROUNDS");
    return wanted != nullptr ? atoi(wanted) : 250;
}

TEST_F(KilledProcesses, LoseNoCountAndBlockNobody) {
    auto memory = ZoneMemory::shared({64, 64, 64});
    Policies policies(memory->zone());
    ZoneUser observer(memory->zone(), &kRealHost, static_cast<uint32_t>(getpid()), 1);
    Random random(1);
    Amount last[kKeys] = {};
    for (int i = 0; i < 3; ++i) {
        start(memory->zone(), policies);
    }
    for (int death = 0; death < deaths_wanted(); ++death) {
        usleep(static_cast<useconds_t>(random.below(3000)));
        ASSERT_NO_FATAL_FAILURE(kill_one(random.below(children_.size())));
        for (int key = 0; key < kKeys; ++key) {
            ASSERT_NO_FATAL_FAILURE(check_layers(observer, policies, key, &last[key]));
        }
        ASSERT_NO_FATAL_FAILURE(start(memory->zone(), policies));
    }
    ASSERT_NO_FATAL_FAILURE(stop_all());
    reclaim_dead(observer.journal(), Now{});
    ASSERT_TRUE(is_at_rest(memory->zone()));
    uint64_t decisions = 0;
    uint64_t in_flight = 0;
    for (int key = 0; key < kKeys; ++key) {
        ASSERT_NO_FATAL_FAILURE(check_layers(observer, policies, key, &last[key]));
        decisions += g_shared->tallies[key].begun;
        EXPECT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow),
                  held_by_the_living(key));
        in_flight += held_by_the_living(key);
    }
    for (int key = kPlentiful; key < kKeys; ++key) {
        EXPECT_EQ(last[key], kFew) << "key " << key << " is used up";
    }
    EXPECT_EQ(flights_in(memory->zone()), in_flight);
    RecordProperty("decisions", std::to_string(decisions));

    ASSERT_NO_FATAL_FAILURE(let_all_leave());
    EXPECT_EQ(flights_in(memory->zone()), 0u);
    for (int key = 0; key < kKeys; ++key) {
        EXPECT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow), 0u);
    }
    for (uint32_t chunk = 0; chunk < memory->zone().sizes().flight_chunks; ++chunk) {
        EXPECT_EQ(memory->zone().chunk_owner(chunk)->load(), 0u);
    }
}

// A reload that changes a zone's size copies it while the old generation goes on.
TEST_F(KilledProcesses, LeaveNothingInTheZoneOfTheNextGeneration) {
    for (int round = 0; round < 20; ++round) {
        auto old_memory = ZoneMemory::shared({64, 64, 64});
        auto new_memory = ZoneMemory::shared({128, 32, 128});
        Policies policies(old_memory->zone());
        uint32_t self = static_cast<uint32_t>(getpid());
        for (int i = 0; i < 3; ++i) {
            ASSERT_NO_FATAL_FAILURE(start(old_memory->zone(), policies));
        }
        usleep(3000);
        ZoneUser master(old_memory->zone(), &kRealHost, self, 1);
        copy_zone(master.journal(), new_memory->zone(), kNow);
        master.journal()->retire(master.journal()->number());
        for (int i = 0; i < 2; ++i) {
            ASSERT_NO_FATAL_FAILURE(start(new_memory->zone(), policies));
        }
        usleep(2000);
        for (int i = 0; i < 3; ++i) {
            ASSERT_NO_FATAL_FAILURE(kill_one(0));
        }
        ASSERT_NO_FATAL_FAILURE(stop_all());
        ZoneUser observer(new_memory->zone(), &kRealHost, self, 1);
        reclaim_dead(observer.journal(), Now{});
        for (int key = 0; key < kKeys; ++key) {
            ASSERT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow),
                      held_by_the_living(key))
                << "key " << key << " in round " << round;
        }
        ASSERT_NO_FATAL_FAILURE(let_all_leave());
        g_shared->stop = false;
        g_shared->leave = false;
        g_shared->at_rest = 0;
    }
}

}  // namespace
}  // namespace ai_limit
