// State files with a right checksum and absurd values: each is set aside, or can be read, decided
// on and written again. Sanitizers watch that no calculation goes wrong.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "carry/stored_state.h"
#include "core/keys/key_entry.h"
#include "core/learn/habits.h"
#include "core/observe/models.h"
#include "core/policies/overrides.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr Now kThen{1'000'000'000, 1'755'780'000'000};
constexpr Millis kHour = 3'600'000;

ZoneSizes small_sizes() {
    return sizes_for(16 * 1024, true, true);
}

/** A policy of each kind, and what tests do with it. */
struct Policies {
    explicit Policies(const Zone& zone)
        : bucket(add_policy(zone, "bucket", limit_of_rate(Algorithm::kTokenBucket, "24r/d"))),
          sliding(add_policy(zone, "sliding", limit_of_rate(Algorithm::kSlidingWindow, "24r/d"))),
          fixed(add_policy(zone, "fixed", limit_of_rate(Algorithm::kFixedWindow, "24r/month"))),
          slots(add_policy(zone, "slots", concurrency_limit(5))),
          tokens(add_token_policy(zone, "tokens", limit_of_rate(Algorithm::kTokenBucket, "9kt/h"))),
          windowed(add_token_policy(zone, "windowed",
                                    limit_of_rate(Algorithm::kFixedWindow, "9kt/w"))) {}

    /** Requests of each key; those in tokens stay under way. */
    void use(const ZoneUser& user, Now now) const {
        for (uint64_t key = 1; key <= 3; ++key) {
            uint64_t hash = key << 20;
            for (const ZonePolicy* policy : {&bucket, &sliding, &fixed, &slots}) {
                Request(user).charge(*policy, hash, key).admit(now);
            }
            Request(user).charge_tokens(tokens, hash, 100).admit(now);
            count_model(user.zone(), {"m" + std::to_string(key), true}, {key, 1}, 9, 20'000);
            note_use(user.zone(), {hash, 1 << 20}, {key, true, false, 100, 100}, now.wall);
            Request request(user);
            request.charge_tokens(windowed, hash, 100);
            if (request.admit(now)) {
                request.settle(0, 70, now);
            }
        }
    }

    void look(const ZoneUser& user, Now now) const {
        for (uint64_t key = 1; key <= 3; ++key) {
            for (const ZonePolicy* policy : {&bucket, &sliding, &fixed, &tokens.used}) {
                KeyAnswer answer{};
                read_key({user.access(), key << 20, nullptr, policy->number, tokens.held.number, 0,
                          false},
                         now, &answer);
                EXPECT_LE(answer.said.remaining, answer.said.limit);
            }
        }
    }

    ZonePolicy bucket, sliding, fixed, slots;
    TokenPolicy tokens, windowed;
};

void set_overrides(const Zone& zone, const Policies& policies, Now now) {
    uint64_t key = 1;
    for (const ZonePolicy* policy : {&policies.bucket, &policies.sliding, &policies.fixed}) {
        Limit limit = limit_of_rate(policy->limit.algorithm, "7r/m");
        note_limit(zone, policy->number, &limit);
        set_override(zone,
                     {tag_of(key++ << 20, policy->number), policy->number, &limit, "7r/m", "a",
                      now.monotonic + kHour},
                     now.monotonic);
    }
}

/** Decides by each override that was read. */
void use_overrides(const ZoneUser& user, Now now) {
    for (uint32_t place = 0; place < user.zone().header()->overrides.load(); ++place) {
        OverrideView found;
        if (read_override(user.zone(), place, now.monotonic, &found)) {
            EXPECT_LE(found.rate_text().size() + found.shown_key().size(), sizeof(found));
            Request(user).charge({found.policy, found.limit}, 1 << 20).admit(now);
        }
    }
}

/** The bounds of each part of a file, except for the secret and the checksum. */
struct Region {
    size_t begin, end;
};

template <typename Part>
Region region_of_list(const std::string& file, size_t begin) {
    size_t at = begin;
    for (bool is_last = false; !is_last; at += sizeof(Part)) {
        uint64_t first = 0;
        std::memcpy(&first, file.data() + at, sizeof(first));
        is_last = first == 0;
    }
    return {begin, at};
}

std::vector<Region> regions_of(const std::string& file) {
    std::vector<Region> regions = {
        {offsetof(StateFileHead, origin), offsetof(StateFileHead, secret)}};
    size_t begin = sizeof(StateFileHead);
    regions.push_back(region_of_list<PolicyPart>(file, begin));
    regions.push_back(region_of_list<OverridePart>(file, regions.back().end));
    regions.push_back(region_of_list<ChargedAnswerPart>(file, regions.back().end));
    regions.push_back(region_of_list<FlightRecord>(file, regions.back().end));
    regions.push_back(region_of_list<SmallPart>(file, regions.back().end));
    regions.push_back(region_of_list<WidePart>(file, regions.back().end));
    regions.push_back(region_of_list<HabitPart>(file, regions.back().end));
    regions.push_back(region_of_list<ModelPart>(file, regions.back().end));
    EXPECT_EQ(regions.back().end + kStateSumBytes, file.size());
    return regions;
}

void mutate(Random* random, const std::vector<Region>& regions, std::string* file) {
    constexpr uint64_t kAbsurd[] = {0,
                                    1,
                                    ~uint64_t{0},
                                    uint64_t{1} << 63,
                                    INT64_MAX,
                                    uint64_t{1} << 40,
                                    0xffffffff00000000,
                                    0x0000000100000000};
    const Region& region = regions[static_cast<size_t>(random->between(0, 8))];
    size_t at = static_cast<size_t>(
        random->between(static_cast<int64_t>(region.begin), static_cast<int64_t>(region.end) - 8));
    char* byte = file->data() + at;
    char* word = file->data() + at / 8 * 8;
    switch (random->between(0, 3)) {
        case 0:
            *byte = static_cast<char>(*byte ^ 1 << random->between(0, 7));
            break;
        case 1:
            *byte = static_cast<char>(random->between(0, 255));
            break;
        case 2:
            std::memcpy(word, &kAbsurd[random->between(0, 7)], 8);
            break;
        default:
            std::memcpy(word, file->data() + random->between(0, 3) * 8 + region.begin / 8 * 8, 8);
            break;
    }
}

/** Fresh memory that is zero, of which only what is used costs anything. */
class MappedZone {
public:
    MappedZone(const ZoneSizes& sizes, const uint8_t* secret) : size_(layout_of(sizes).total) {
        memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory_ == MAP_FAILED) {
            abort();
        }
        zone = Zone::create(memory_, sizes, secret);
    }
    ~MappedZone() { munmap(memory_, size_); }
    MappedZone(const MappedZone&) = delete;
    MappedZone& operator=(const MappedZone&) = delete;

    Zone zone;

private:
    size_t size_;
    void* memory_;
};

/** Reads what was accepted, decides on it at several times, and writes it again. */
void use_state(const std::string& file, uint64_t seed) {
    Now now = {5'000, kThen.wall + 60'000};
    MappedZone memory(small_sizes(), secret_of_state(file));
    {
        ZoneUser reader(memory.zone, &kAllAlive, 9);
        read_state(file, reader.journal(), now);
        reader.journal()->retire(reader.journal()->number());
    }
    Policies policies(memory.zone);
    ZoneUser user(memory.zone, &kAllAlive, 1);
    for (Millis later : {Millis{0}, Millis{70'000}, 400 * 24 * kHour}) {
        Now then = {now.monotonic + later, now.wall + later};
        use_overrides(user, then);
        policies.use(user, then);
        policies.look(user, then);
    }
    if (seed % 16 == 0) {  // it takes longer than all the rest
        EXPECT_EQ(check_state(state_of(memory.zone, now)), StateFault::kNone) << "seed " << seed;
    }
}

TEST(StateMutation, RejectsAbsurdValuesOrTakesNoHarm) {
    ZoneMemory memory(small_sizes());
    Policies policies(memory.zone());
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    policies.use(user, kThen);
    set_overrides(memory.zone(), policies, kThen);
    const std::string good = state_of(memory.zone(), kThen);
    const std::vector<Region> regions = regions_of(good);
    int accepted = 0;
    constexpr int kMutations = 10'000;
    for (uint64_t seed = 1; seed <= kMutations; ++seed) {
        Random random(seed);
        std::string bad = good;
        for (int64_t i = random.between(1, 3); i > 0; --i) {
            mutate(&random, regions, &bad);
        }
        mend_sum(&bad);
        if (check_state(bad) == StateFault::kNone) {
            ++accepted;
            use_state(bad, seed);
        }
    }
    EXPECT_GT(accepted, kMutations / 20);
    EXPECT_LT(accepted, kMutations * 19 / 20);
}

/** One absurd word in the first entry of a kind. */
template <typename Part, typename Change>
StateFault fault_with(const std::string& good, Region region, const Change& change) {
    std::string bad = good;
    Part part;
    std::memcpy(static_cast<void*>(&part), bad.data() + region.begin, sizeof(part));
    change(&part);
    std::memcpy(bad.data() + region.begin, static_cast<const void*>(&part), sizeof(part));
    mend_sum(&bad);
    return check_state(bad);
}

TEST(StateMutation, RejectsACalendarWindowOfNoLength) {
    ZoneMemory memory(small_sizes());
    ZonePolicy policy =
        add_policy(memory.zone(), "fixed", limit_of_rate(Algorithm::kFixedWindow, "24r/month"));
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    ASSERT_TRUE(Request(user).charge(policy, 1 << 20).admit(kThen));
    const std::string good = state_of(memory.zone(), kThen);
    Region entries = regions_of(good)[5];
    auto no_length = [](SmallPart* part) {
        FixedWindowState state;
        std::memcpy(&state, part->words, sizeof(state));
        state.end = state.start;
        std::memcpy(part->words, &state, sizeof(state));
    };
    EXPECT_EQ(fault_with<SmallPart>(good, entries, [](SmallPart*) {}), StateFault::kNone);
    EXPECT_EQ(fault_with<SmallPart>(good, entries, no_length), StateFault::kDamaged);
}

TEST(StateMutation, RejectsALimitThatDividesByZero) {
    ZoneMemory memory(small_sizes());
    add_policy(memory.zone(), "bucket", limit_of_rate(Algorithm::kTokenBucket, "24r/d"));
    const std::string good = state_of(memory.zone(), kThen);
    auto no_refill = [](PolicyPart* part) {
        reinterpret_cast<PolicyRecord*>(part->record)->limits[0].limit.refill_amount = 0;
    };
    EXPECT_EQ(fault_with<PolicyPart>(good, regions_of(good)[1], no_refill), StateFault::kDamaged);
}

}  // namespace
}  // namespace ai_limit
