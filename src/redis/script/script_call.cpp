#include "redis/script/script_call.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/limits/fixed_window.h"
#include "core/policies/redis_clock.h"
#include "redis/protocol/message_pack.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr size_t kMemberLength = 16 + 1 + 16 + 1 + 20;
constexpr Amount kMostInPart = UINT32_MAX;
constexpr uint64_t kMostNodes = 1'000'000;

// Kept: looking the algorithm up costs more than a key's digest.
EVP_MD_CTX* sha256_context;

/** The digest of a key, found again by its hash in the zone, which tells keys apart there, too. */
struct KnownHash {
    uint64_t hash_in_zone;  // 0 where there is none
    KeyHash hash;
};

// 512 KB, of which only what is used is there. A digest takes a tenth of the time that a worker
// spends on a decision.
constexpr size_t kKnownHashes = 16'384;
KnownHash known_hashes[kKnownHashes];

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
void add_member(const MemberId& id, bool tokens, Amount reserved, MessagePack* arguments) {
    char text[kMemberLength];
    size_t size = write_number(id.worker, 16, text, 16);
    text[size++] = '-';
    size += write_number(id.number, 16, text + size, 16);
    if (tokens) {
        text[size++] = ':';
        size += write_number(reserved, 10, text + size, 20);
    }
    arguments->text({text, size});
}

void add_node(uint64_t node, MessagePack* arguments) {
    char text[16];
    arguments->text({text, write_number(node, 16, text, sizeof(text))});
}

bool has_member(const Limit& limit) {
    return limit.measure != Measure::kRequests;
}

void add_kind(const Limit& limit, MessagePack* arguments) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            arguments->text("b");
            break;
        case Algorithm::kSlidingWindow:
            arguments->text("s");
            break;
        case Algorithm::kFixedWindow:
            arguments->text("f");
            break;
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
            arguments->text("c");
            break;
    }
}

void add_amount(Amount amount, MessagePack* arguments) {
    arguments->number(static_cast<int64_t>(amount));
}

void add_numbers(std::initializer_list<uint64_t> numbers, MessagePack* arguments) {
    for (uint64_t number : numbers) {
        add_amount(number, arguments);
    }
}

void add_nothing(unsigned times, MessagePack* arguments) {
    while (times-- != 0) {
        arguments->nothing();
    }
}

/** The limit's own four numbers; `wall` is this node's idea of Redis's time. */
void add_limit(const Limit& limit, Millis wall, MessagePack* arguments) {
    if (limit.algorithm == Algorithm::kTokenBucket) {
        add_numbers(
            {limit.refill_amount, limit.refill_millis, static_cast<uint64_t>(limit.fills_in)},
            arguments);
        add_nothing(1, arguments);
    } else if (limit.algorithm == Algorithm::kSlidingWindow) {
        arguments->number(limit.period_length / kSubWindows);
        add_nothing(3, arguments);
    } else if (limit.algorithm == Algorithm::kFixedWindow) {
        fixed_window::Window present = fixed_window::window_at(limit.period, limit.time_zone, wall);
        fixed_window::Window before = fixed_window::window_at(limit.period, limit.time_zone,
                                                              Millis{present.start} * 1000 - 1);
        fixed_window::Window next =
            fixed_window::window_at(limit.period, limit.time_zone, Millis{present.end} * 1000);
        add_numbers({before.start, present.start, present.end, next.end}, arguments);
    } else {
        add_nothing(4, arguments);
    }
}

/** Adds what is known here of a key's use, as the script keeps states. */
void add_seed(const Limit& limit, const State& state, const Zone& zone, MessagePack* arguments) {
    if (has_flights(limit.algorithm) || used(limit, state) == 0) {
        arguments->text({});
        return;
    }
    static MessagePack packed;
    packed.clear();
    if (limit.algorithm == Algorithm::kTokenBucket) {
        token_bucket::Level level = token_bucket::unpack(state.pair);
        Millis at = to_redis_wall(zone, level.at);
        packed.array(6);
        add_numbers({1, 0, level.used, static_cast<uint64_t>(at),
                     token_bucket::parts_of(limit, level), limit.refill_millis},
                    &packed);
    } else if (limit.algorithm == Algorithm::kSlidingWindow) {
        packed.array(4 + kSubWindows + 1);
        add_numbers({4, 0, static_cast<uint64_t>(limit.period_length / kSubWindows),
                     state.sliding_window.last_charge},
                    &packed);
        for (uint32_t count : state.sliding_window.used) {
            packed.number(count);
        }
    } else {
        packed.array(5);
        add_numbers(
            {3, 0, state.fixed_window.used, state.fixed_window.start, state.fixed_window.end},
            &packed);
    }
    arguments->text(packed.view());
}

/** EVALSHA, its keys and the call's name; a policy that has something in flight has a second one
 * for that. */
template <typename T>
void begin_call(const T* items, size_t n, const Limit& (*limit_of)(const T&), std::string_view name,
                Command* command) {
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
    command->word(name);
}

/** Returns an empty pack for the arguments of the call that is being written. */
MessagePack* empty_arguments() {
    static MessagePack arguments;
    arguments.clear();
    return &arguments;
}

const Limit& limit_of_charge(const RedisCharge& charge) {
    return *charge.charge->limit;
}

const Limit& limit_of_flight(const RedisFlight& flight) {
    return flight.limit;
}

const Limit& limit_of_key(const RedisKey& asked) {
    return *asked.limit;
}

bool is_tokens(const Limit& limit) {
    return limit.measure == Measure::kTokens;
}

/** Returns the script's answer, which is a text; any other reply has no numbers. */
std::string_view packed_in(const Reply& reply) {
    return reply.kind() == ReplyKind::kText ? reply.text() : std::string_view();
}

constexpr uint64_t kAnyTime = uint64_t{1} << 52;

/** The limit, the zone and the policy that a state belongs to. */
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

void read_token_bucket(const Counted& counted, PackedNumbers* numbers, State* state) {
    const Limit& limit = *counted.limit;
    token_bucket::Level level{};
    level.used = numbers->next(kMaxAmount);
    Millis at = static_cast<Millis>(numbers->next(kAnyTime));
    // A node whose clock was wrong when its zone was made may have begun after that.
    level.at = std::max(to_redis_monotonic(*counted.zone, at), Millis{0});
    uint64_t remainder = numbers->next(kAnyTime);
    bool same = numbers->next(kAnyTime) == limit.refill_millis && remainder < limit.refill_millis;
    level.fraction = same ? token_bucket::to_fraction(remainder, limit.refill_millis) : 0;
    level.rate = limit.rate_number;
    state->pair = token_bucket::pack(level, counted.policy, false);
}

void read_sliding_window(const Limit& limit, PackedNumbers* numbers, SlidingWindowState* state) {
    state->period_seconds = static_cast<uint32_t>(limit.period_length / 1000);
    state->last_charge = numbers->next(kAnyTime);
    for (uint32_t& count : state->used) {
        count = static_cast<uint32_t>(numbers->next(kMostInPart));
    }
}

void read_fixed_window(PackedNumbers* numbers, FixedWindowState* state) {
    state->used = numbers->next(kMaxAmount);
    state->start = static_cast<uint32_t>(numbers->next(UINT32_MAX));
    state->end = static_cast<uint32_t>(numbers->next(UINT32_MAX));
}

State read_state(const Counted& counted, PackedNumbers* numbers) {
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
        case Algorithm::kReservation:
        case Algorithm::kLedger:
            state.concurrency.used = numbers->next(kMaxAmount);
            break;
    }
    state.head.policy = counted.policy & 0xff;
    return state;
}

/** The script's answer about one charge. */
struct ChargeReply {
    bool fits;
    Amount reserved;
    State state;
};

void read_charge_reply(const Counted& counted, PackedNumbers* numbers, ChargeReply* charge_reply) {
    charge_reply->fits = numbers->next(1) != 0;
    charge_reply->reserved = numbers->next(kMaxAmount);
    charge_reply->state = read_state(counted, numbers);
}

}  // namespace

bool hash_key_for_redis(std::string_view key, uint64_t hash_in_zone, KeyHash* hash) {
    KnownHash* known = &known_hashes[hash_in_zone % kKnownHashes];
    if (known->hash_in_zone == hash_in_zone) {
        *hash = known->hash;
        return true;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!sha256(key, digest)) {
        forget_key_hashing();
        return false;
    }
    unsigned char text[sizeof(hash->text) + 1];
    EVP_EncodeBlock(text, digest, 16);
    std::memcpy(hash->text, text, sizeof(hash->text));
    *known = {hash_in_zone, *hash};
    return true;
}

void forget_key_hashing() {
    EVP_MD_CTX_free(sha256_context);
    sha256_context = nullptr;
}

size_t write_redis_key(std::string_view prefix, const KeyHash& hash, std::string_view policy,
                       Measure measure, char* out) {
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
    if (measure == Measure::kTokens) {
        add(":t");
    }
    return static_cast<size_t>(at - out);
}

void write_take(const RedisCharge* charges, size_t n, Now now, Command* command) {
    begin_call(charges, n, limit_of_charge, "take", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        const Charge& charge = *charges[i].charge;
        const Limit& limit = *charge.limit;
        add_kind(limit, arguments);
        if (has_member(limit)) {
            add_member(charges[i].member, is_tokens(limit), charge.cost, arguments);
        } else {
            arguments->text({});
        }
        add_numbers({charge.cost, limit.capacity}, arguments);
        arguments->truth(charge.dry_run);
        add_limit(limit, redis_time(charge.access->journal.zone(), now).wall, arguments);
        add_seed(limit, charge.state, charge.access->journal.zone(), arguments);
    }
    command->packed_word(*arguments);
}

bool read_take(const Reply& reply, RedisCharge* charges, size_t n, bool* passes,
               Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    bool all_pass = numbers.next(1) != 0;
    Millis now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply[kMaxSetPolicies];
    for (size_t i = 0; i < n; ++i) {
        read_charge_reply(counted_by(*charges[i].charge), &numbers, &charge_reply[i]);
    }
    if (!numbers.are_fine_and_all()) {
        return false;
    }
    *passes = all_pass;
    *redis_now = now;
    for (size_t i = 0; i < n; ++i) {
        charges[i].charge->verdict = charge_reply[i].fits ? Verdict::kPassed : Verdict::kRefused;
        charges[i].reserved = charge_reply[i].reserved;
        charges[i].state = charge_reply[i].state;
    }
    return true;
}

void write_settle(const RedisFlight& flight, Amount tokens, const State& known, const Zone& zone,
                  Now now, Command* command) {
    begin_call(&flight, 1, limit_of_flight, "settle", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(1);
    add_kind(flight.limit, arguments);
    add_member(flight.member, is_tokens(flight.limit), flight.reserved, arguments);
    add_numbers({flight.reserved, std::min(tokens, kMaxAmount), flight.limit.capacity}, arguments);
    add_limit(flight.limit, redis_time(zone, now).wall, arguments);
    add_seed(flight.limit, known, zone, arguments);
    command->packed_word(*arguments);
}

void write_give_back(const RedisCharge& redis_charge, Now now, Command* command) {
    const Charge& charge = *redis_charge.charge;
    begin_call(&redis_charge, 1, limit_of_charge, "settle", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(1);
    add_kind(*charge.limit, arguments);
    arguments->text({});
    arguments->number(0);
    arguments->number(-static_cast<int64_t>(charge.cost));
    arguments->number(static_cast<int64_t>(charge.limit->capacity));
    add_limit(*charge.limit, redis_time(charge.access->journal.zone(), now).wall, arguments);
    arguments->text({});
    command->packed_word(*arguments);
}

void write_look(const RedisKey& asked, bool forgets, Now now, Command* command) {
    const Limit& limit = *asked.limit;
    begin_call(&asked, 1, limit_of_key, forgets ? "forget" : "look", command);
    MessagePack* arguments = empty_arguments();
    add_kind(limit, arguments);
    arguments->number(static_cast<int64_t>(limit.capacity));
    add_limit(limit, redis_time(*asked.zone, now).wall, arguments);
    add_seed(limit, asked.known, *asked.zone, arguments);
    command->packed_word(*arguments);
}

bool read_look(const Reply& reply, const RedisKey& asked, RedisLook* look) {
    PackedNumbers numbers(packed_in(reply));
    look->redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply;
    read_charge_reply({asked.limit, asked.zone, asked.policy}, &numbers, &charge_reply);
    look->is_used = charge_reply.fits;
    look->reserved = charge_reply.reserved;
    look->state = charge_reply.state;
    return numbers.are_fine_and_all();
}

void write_renew(const RedisFlight& flight, Command* command) {
    begin_call(&flight, 1, limit_of_flight, "renew", command);
    MessagePack* arguments = empty_arguments();
    arguments->number(kLease);
    arguments->number(1);
    add_kind(flight.limit, arguments);
    arguments->number(1);
    add_member(flight.member, is_tokens(flight.limit), flight.reserved, arguments);
    command->packed_word(*arguments);
}

void write_sync(uint64_t node, const RedisDelta* deltas, size_t n, Now now, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->number(static_cast<int64_t>(2 * n));
    for (size_t i = 0; i < n; ++i) {
        command->word(deltas[i].key);
        command->joined_word({deltas[i].key, ":nodes"});
    }
    command->word("tell");
    MessagePack* arguments = empty_arguments();
    add_node(node, arguments);
    arguments->number(static_cast<int64_t>(n));
    for (size_t i = 0; i < n; ++i) {
        const LedgerEntry& entry = *deltas[i].entry;
        const LedgerDelta& ledger_delta = *deltas[i].ledger_delta;
        const Zone& zone = entry.access->journal.zone();
        add_kind(entry.limit, arguments);
        arguments->number(static_cast<int64_t>(entry.limit.capacity));
        add_limit(entry.limit, redis_time(zone, now).wall, arguments);
        add_seed(entry.limit, ledger_delta.state, zone, arguments);
        add_numbers({ledger_delta.life, ledger_delta.counted, ledger_delta.acknowledged},
                    arguments);
    }
    command->packed_word(*arguments);
}

bool read_sync(const Reply& reply, RedisDelta* deltas, size_t n, Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    Millis now = static_cast<Millis>(numbers.next(kAnyTime));
    ChargeReply charge_reply[kMaxDeltas];
    for (size_t i = 0; i < n; ++i) {
        read_charge_reply(counted_by(*deltas[i].entry), &numbers, &charge_reply[i]);
    }
    if (!numbers.are_fine_and_all()) {
        return false;
    }
    *redis_now = now;
    for (size_t i = 0; i < n; ++i) {
        deltas[i].reserved = charge_reply[i].reserved;
        deltas[i].state = charge_reply[i].state;
    }
    return true;
}

void write_heartbeat(std::string_view key, uint64_t node, Command* command) {
    command->clear();
    command->word("EVALSHA");
    command->word(limit_script_sha1());
    command->word("1");
    command->word(key);
    command->word("beat");
    MessagePack* arguments = empty_arguments();
    add_node(node, arguments);
    arguments->number(kNodeLease);
    command->packed_word(*arguments);
}

bool read_heartbeat(const Reply& reply, uint32_t* nodes, Millis* redis_now) {
    PackedNumbers numbers(packed_in(reply));
    *redis_now = static_cast<Millis>(numbers.next(kAnyTime));
    *nodes = static_cast<uint32_t>(numbers.next(kMostNodes));
    return numbers.are_fine_and_all();
}

}  // namespace ai_limit
