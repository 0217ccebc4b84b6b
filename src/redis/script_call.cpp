#include "redis/script_call.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/fixed_window.h"
#include "core/shared_clock.h"
#include "redis/script.h"

namespace ai_limit {

namespace {

constexpr size_t kMemberLength = 16 + 1 + 16 + 1 + 20;
constexpr Amount kMostInPart = UINT32_MAX;
constexpr uint64_t kMostNodes = 1'000'000;

// Kept: looking the algorithm up costs more than a key's digest.
EVP_MD_CTX* sha256_context;

bool sha256(std::string_view text, unsigned char* digest) {
    const EVP_MD* known = nullptr;
    if (sha256_context == nullptr) {
        sha256_context = EVP_MD_CTX_new();
        known = EVP_sha256();
    }
    return sha256_context != nullptr && EVP_DigestInit_ex(sha256_context, known, nullptr) == 1 &&
           EVP_DigestUpdate(sha256_context, text.data(), text.size()) == 1 &&
           EVP_DigestFinal_ex(sha256_context, digest, nullptr) == 1;
}

size_t write_number(uint64_t value, int base, char* out, size_t room) {
    return static_cast<size_t>(std::to_chars(out, out + room, value, base).ptr - out);
}

/** `worker-number`, of tokens `worker-number:amount`. */
void add_member(const MemberId& id, bool tokens, Amount held, Command* command) {
    char text[kMemberLength];
    size_t size = write_number(id.worker, 16, text, 16);
    text[size++] = '-';
    size += write_number(id.number, 16, text + size, 16);
    if (tokens) {
        text[size++] = ':';
        size += write_number(held, 10, text + size, 20);
    }
    command->word({text, size});
}

void add_node(uint64_t node, Command* command) {
    char text[16];
    command->word({text, write_number(node, 16, text, sizeof(text))});
}

bool has_member(const Limit& limit) {
    return limit.measure != Measure::kRequests;
}

void add_kind(const Limit& limit, Command* command) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            command->word("b");
            break;
        case Algorithm::kSlidingWindow:
            command->word("s");
            break;
        case Algorithm::kFixedWindow:
            command->word("f");
            break;
        case Algorithm::kConcurrency:
        case Algorithm::kHold:
        case Algorithm::kLedger:
            command->word("c");
            break;
    }
}

void add_numbers(std::initializer_list<int64_t> numbers, Command* command) {
    for (int64_t number : numbers) {
        command->number(number);
    }
}

/** The limit's own four numbers; `wall` is this node's idea of Redis's time. */
void add_limit(const Limit& limit, Millis wall, Command* command) {
    if (limit.algorithm == Algorithm::kTokenBucket) {
        add_numbers({static_cast<int64_t>(limit.refill_amount),
                     static_cast<int64_t>(limit.refill_millis), limit.fills_in, 0},
                    command);
    } else if (limit.algorithm == Algorithm::kSlidingWindow) {
        add_numbers({limit.period_length / kSubWindows, 0, 0, 0}, command);
    } else if (limit.algorithm == Algorithm::kFixedWindow) {
        fixed_window::Window present = fixed_window::window_at(limit.period, limit.time_zone, wall);
        fixed_window::Window before = fixed_window::window_at(limit.period, limit.time_zone,
                                                              Millis{present.start} * 1000 - 1);
        fixed_window::Window next =
            fixed_window::window_at(limit.period, limit.time_zone, Millis{present.end} * 1000);
        add_numbers({before.start, present.start, present.end, next.end}, command);
    } else {
        add_numbers({0, 0, 0, 0}, command);
    }
}

/** A short array of numbers in MessagePack, as the script keeps states. */
class PackedState {
public:
    explicit PackedState(unsigned elements) { byte(0x90 | elements); }

    void add(uint64_t value) {
        if (value < 0x80) {
            byte(static_cast<unsigned>(value));
        } else if (value <= UINT32_MAX) {
            byte(0xce);
            big_endian(value, 4);
        } else {
            byte(0xcf);
            big_endian(value, 8);
        }
    }

    std::string_view view() const { return {bytes_, size_}; }

private:
    void byte(unsigned value) { bytes_[size_++] = static_cast<char>(value); }
    void big_endian(uint64_t value, unsigned bytes) {
        while (bytes-- != 0) {
            byte(value >> (8 * bytes) & 0xff);
        }
    }

    char bytes_[1 + 15 * 9];
    size_t size_ = 0;
};

/** What is known here of a key's use. */
void add_seed(const Limit& limit, const State& state, const Zone& zone, Command* command) {
    if (has_flights(limit.algorithm) || used(limit, state) == 0) {
        command->word({});
        return;
    }
    if (limit.algorithm == Algorithm::kTokenBucket) {
        token_bucket::Level level = token_bucket::unpack(state.pair);
        Millis at = to_shared_wall(zone, level.at);
        PackedState packed(6);
        for (uint64_t value :
             {uint64_t{1}, uint64_t{0}, uint64_t{level.used}, static_cast<uint64_t>(at),
              token_bucket::fraction_of(limit, level), limit.refill_millis}) {
            packed.add(value);
        }
        command->word(packed.view());
    } else if (limit.algorithm == Algorithm::kSlidingWindow) {
        PackedState packed(4 + kSubWindows + 1);
        packed.add(2);
        packed.add(0);
        packed.add(static_cast<uint64_t>(limit.period_length / kSubWindows));
        packed.add(state.sliding_window.newest);
        for (uint32_t count : state.sliding_window.used) {
            packed.add(count);
        }
        command->word(packed.view());
    } else {
        PackedState packed(5);
        packed.add(3);
        packed.add(0);
        packed.add(state.fixed_window.used);
        packed.add(state.fixed_window.start);
        packed.add(state.fixed_window.end);
        command->word(packed.view());
    }
}

/** EVALSHA and its keys; a policy that has something in flight has a second one for that. */
template <typename T>
void begin_call(const T* items, size_t n, const Limit& (*limit_of)(const T&), Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    int64_t keys = 0;
    for (size_t i = 0; i < n; ++i) {
        keys += has_member(limit_of(items[i])) ? 2 : 1;
    }
    command->number(keys);
    for (size_t i = 0; i < n; ++i) {
        command->word(items[i].key);
        if (has_member(limit_of(items[i]))) {
            command->joined_word({items[i].key, ":flights"});
        }
    }
}

const Limit& limit_of_charge(const SharedCharge& charge) {
    return *charge.charge->limit;
}

const Limit& limit_of_flight(const SharedFlight& flight) {
    return flight.limit;
}

bool is_tokens(const Limit& limit) {
    return limit.measure == Measure::kTokens;
}

/** The numbers of a reply, one after another; each must be from 0 to `most`. */
class Numbers {
public:
    explicit Numbers(const Reply& reply)
        : next_(reply.numbers()), end_(reply.numbers() + reply.number_count()) {}

    uint64_t next(uint64_t most) {
        if (next_ == end_ || *next_ < 0 || static_cast<uint64_t>(*next_) > most) {
            fits_ = false;
            return 0;
        }
        return static_cast<uint64_t>(*next_++);
    }

    bool are_fine_and_all() const { return fits_ && next_ == end_; }

private:
    const int64_t* next_;
    const int64_t* end_;
    bool fits_ = true;
};

constexpr uint64_t kAnyTime = uint64_t{1} << 52;

/** What a state belongs to. */
struct Counted {
    const Limit* limit;
    const Zone* zone;
    uint32_t policy;
};

Counted counted_by(const Charge& charge) {
    return {charge.limit, &charge.access->journal.zone(), charge.policy};
}

Counted counted_by(const LedgerEntry& entry) {
    return {&entry.limit, &entry.access->journal.zone(), entry.used_policy};
}

void read_token_bucket(const Counted& counted, Numbers* numbers, State* state) {
    const Limit& limit = *counted.limit;
    token_bucket::Level level{};
    level.used = numbers->next(kMaxAmount);
    Millis at = static_cast<Millis>(numbers->next(kAnyTime));
    // A node whose clock was wrong when its zone was made may have begun after that.
    level.at = std::max(to_shared_monotonic(*counted.zone, at), Millis{0});
    uint64_t remainder = numbers->next(kAnyTime);
    bool same = numbers->next(kAnyTime) == limit.refill_millis && remainder < limit.refill_millis;
    level.remainder = same ? remainder : 0;
    level.rate = limit.rate_number;
    state->pair = token_bucket::pack(level, counted.policy, false);
}

void read_sliding_window(const Limit& limit, Numbers* numbers, SlidingWindowState* state) {
    state->period_seconds = static_cast<uint32_t>(limit.period_length / 1000);
    state->newest = numbers->next(kAnyTime);
    for (uint32_t& count : state->used) {
        count = static_cast<uint32_t>(numbers->next(kMostInPart));
    }
}

void read_fixed_window(Numbers* numbers, FixedWindowState* state) {
    state->used = numbers->next(kMaxAmount);
    state->start = static_cast<uint32_t>(numbers->next(UINT32_MAX));
    state->end = static_cast<uint32_t>(numbers->next(UINT32_MAX));
}

State read_state(const Counted& counted, Numbers* numbers) {
    State state{};
    switch (counted.limit->algorithm) {
        case Algorithm::kTokenBucket:
            read_token_bucket(counted, numbers, &state);
            break;
        case Algorithm::kSlidingWindow:
            read_sliding_window(*counted.limit, numbers, &state.sliding_window);
            break;
        case Algorithm::kFixedWindow:
            read_fixed_window(numbers, &state.fixed_window);
            break;
        case Algorithm::kConcurrency:
        case Algorithm::kHold:
        case Algorithm::kLedger:
            state.concurrency.used = numbers->next(kMaxAmount);
            break;
    }
    state.head.policy = counted.policy & 0xff;
    return state;
}

/** What the script tells of a charge. */
struct Told {
    bool fits;
    Amount held;
    State state;
};

Told read_told(const Counted& counted, Numbers* numbers) {
    Told told{};
    told.fits = numbers->next(1) != 0;
    told.held = numbers->next(kMaxAmount);
    told.state = read_state(counted, numbers);
    return told;
}

bool is_answer_for(const Reply& reply, const SharedCharge* charges, size_t n) {
    Numbers numbers(reply);
    numbers.next(1);
    numbers.next(kAnyTime);
    for (size_t i = 0; i < n; ++i) {
        read_told(counted_by(*charges[i].charge), &numbers);
    }
    return reply.kind() == ReplyKind::kArray && numbers.are_fine_and_all();
}

bool is_answer_for(const Reply& reply, const SharedTelling* tellings, size_t n) {
    Numbers numbers(reply);
    numbers.next(kAnyTime);
    for (size_t i = 0; i < n; ++i) {
        read_told(counted_by(*tellings[i].entry), &numbers);
    }
    return reply.kind() == ReplyKind::kArray && numbers.are_fine_and_all();
}

}  // namespace

bool hash_key_for_redis(std::string_view key, KeyHash* hash) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!sha256(key, digest)) {
        forget_key_hashing();
        return false;
    }
    unsigned char text[sizeof(hash->text) + 1];
    EVP_EncodeBlock(text, digest, 16);
    std::memcpy(hash->text, text, sizeof(hash->text));
    return true;
}

void forget_key_hashing() {
    EVP_MD_CTX_free(sha256_context);
    sha256_context = nullptr;
}

size_t write_redis_key(std::string_view prefix, const KeyHash& hash, std::string_view policy,
                       char* out) {
    char* at = out;
    const auto add = [&](std::string_view part) {
        std::memcpy(at, part.data(), part.size());
        at += part.size();
    };
    add(prefix);
    add(":{");
    add({hash.text, kKeyHashLength});
    add("}:");
    add(policy);
    return static_cast<size_t>(at - out);
}

void write_take(const SharedCharge* charges, size_t n, Now now, Command* command) {
    begin_call(charges, n, limit_of_charge, command);
    command->word("take");
    command->number(kLease);
    command->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        const Charge& charge = *charges[i].charge;
        const Limit& limit = *charge.limit;
        add_kind(limit, command);
        if (has_member(limit)) {
            add_member(charges[i].member, is_tokens(limit), charge.cost, command);
        } else {
            command->word({});
        }
        command->number(static_cast<int64_t>(charge.cost));
        command->number(static_cast<int64_t>(limit.capacity));
        command->word(charge.dry_run ? "1" : "0");
        add_limit(limit, shared_now(charge.access->journal.zone(), now).wall, command);
        add_seed(limit, charge.state, charge.access->journal.zone(), command);
    }
}

bool read_take(const Reply& reply, SharedCharge* charges, size_t n, bool* passes,
               Millis* redis_now) {
    if (!is_answer_for(reply, charges, n)) {
        return false;
    }
    Numbers numbers(reply);
    *passes = numbers.next(1) != 0;
    *redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    for (size_t i = 0; i < n; ++i) {
        Charge* charge = charges[i].charge;
        Told told = read_told(counted_by(*charge), &numbers);
        charge->verdict = told.fits ? Verdict::kPassed : Verdict::kRefused;
        charges[i].held = told.held;
        charges[i].state = told.state;
    }
    return true;
}

void write_settle(const SharedFlight& flight, Amount tokens, const State& known, const Zone& zone,
                  Now now, Command* command) {
    begin_call(&flight, 1, limit_of_flight, command);
    command->word("settle");
    command->word("1");
    add_kind(flight.limit, command);
    add_member(flight.member, is_tokens(flight.limit), flight.held, command);
    command->number(static_cast<int64_t>(flight.held));
    command->number(static_cast<int64_t>(tokens));
    command->number(static_cast<int64_t>(flight.limit.capacity));
    add_limit(flight.limit, shared_now(zone, now).wall, command);
    add_seed(flight.limit, known, zone, command);
}

void write_give_back(const SharedCharge& shared, Now now, Command* command) {
    const Charge& charge = *shared.charge;
    begin_call(&shared, 1, limit_of_charge, command);
    command->word("settle");
    command->word("1");
    add_kind(*charge.limit, command);
    command->word({});
    command->word("0");
    command->number(-static_cast<int64_t>(charge.cost));
    command->number(static_cast<int64_t>(charge.limit->capacity));
    add_limit(*charge.limit, shared_now(charge.access->journal.zone(), now).wall, command);
    command->word({});
}

void write_renew(const SharedFlight& flight, Command* command) {
    begin_call(&flight, 1, limit_of_flight, command);
    command->word("renew");
    command->number(kLease);
    command->word("1");
    add_kind(flight.limit, command);
    command->word("1");
    add_member(flight.member, is_tokens(flight.limit), flight.held, command);
}

void write_tell(uint64_t node, const SharedTelling* tellings, size_t n, Now now, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->number(static_cast<int64_t>(2 * n));
    for (size_t i = 0; i < n; ++i) {
        command->word(tellings[i].key);
        command->joined_word({tellings[i].key, ":nodes"});
    }
    command->word("tell");
    add_node(node, command);
    command->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        const LedgerEntry& entry = *tellings[i].entry;
        const Telling& telling = *tellings[i].telling;
        const Zone& zone = entry.access->journal.zone();
        add_kind(entry.limit, command);
        command->number(static_cast<int64_t>(entry.limit.capacity));
        add_limit(entry.limit, shared_now(zone, now).wall, command);
        add_seed(entry.limit, telling.state, zone, command);
        add_numbers({static_cast<int64_t>(telling.life), static_cast<int64_t>(telling.counted),
                     static_cast<int64_t>(telling.acknowledged)},
                    command);
    }
}

bool read_tell(const Reply& reply, SharedTelling* tellings, size_t n, Millis* redis_now) {
    if (!is_answer_for(reply, tellings, n)) {
        return false;
    }
    Numbers numbers(reply);
    *redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    for (size_t i = 0; i < n; ++i) {
        Told told = read_told(counted_by(*tellings[i].entry), &numbers);
        tellings[i].held = told.held;
        tellings[i].state = told.state;
    }
    return true;
}

void write_beat(std::string_view key, uint64_t node, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->word("1");
    command->word(key);
    command->word("beat");
    add_node(node, command);
    command->number(kNodeLease);
}

bool read_beat(const Reply& reply, uint32_t* nodes, Millis* redis_now) {
    Numbers numbers(reply);
    *redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    *nodes = static_cast<uint32_t>(numbers.next(kMostNodes));
    return reply.kind() == ReplyKind::kArray && numbers.are_fine_and_all();
}

}  // namespace ai_limit
