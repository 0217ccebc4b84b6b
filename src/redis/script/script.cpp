#include "redis/script/script.h"

#include <openssl/evp.h>

namespace ai_limit {

namespace {

constexpr std::string_view kScript = R"lua(
-- Runs on Lua 5.1, whose numbers are doubles: whole numbers are exact below 2^53.
-- A state lies in a table as it is stored: its number, what is held, its fields.
-- Redis keeps nothing between two calls, so what a call does not need is not made.

local call, floor, min, max = redis.call, math.floor, math.min, math.max

local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local args = {cmsgpack.unpack(ARGV[2] or '')}

-- What is used once an amount is added: a debt is at most 100 times the limit, and less is never made
-- of what is there. A negative amount is given back.
local function add_within(used, amount, capacity)
    if amount < 0 then
        return max(used + amount, 0)
    end
    local most = capacity > 0 and min(101 * capacity, 1000000000000) or 1000000000000
    return max(used, min(used + amount, most))
end

-- An algorithm: the number and the size of its state, where the fields begin that are told;
-- fresh(): the state of a key that was never seen; advance(): what time gives back;
-- used(); add(state, amount, capacity) uses an amount, or gives it back where it is negative;
-- until_back(): a time, not too short, in which all is back;
-- take_over(): makes its state of one with the former number.

local function token_bucket()
    -- a * b + c divided by d: quotient and remainder. c < d <= 2^36; from 2^53 on the quotient is
    -- rounded.
    local function divide(a, b, c, d)
        local parts = a * b
        if parts < 4503599627370496 then -- 2^52
            parts = parts + c
            local quotient = floor(parts / d)
            return quotient, parts - quotient * d
        end
        local whole = floor(a / d) * b
        a = a % d
        whole = whole + a * floor(b / d)
        b = b % d
        -- What is left of b by 16 bits at a time: no sum reaches 2^53.
        local quotient, rest, unit = 0, 0, 4294967296
        for _ = 1, 3 do
            local digit = floor(b / unit)
            parts = rest * 65536 + a * digit
            quotient = quotient * 65536 + floor(parts / d)
            rest = parts % d
            b, unit = b - digit * unit, unit / 65536
        end
        rest = rest + c
        if rest >= d then
            return whole + quotient + 1, rest - d
        end
        return whole + quotient, rest
    end

    return {
        number = 1, size = 6, told_from = 3,

        fresh = function()
            return {1, 0, 0, now, 0, 0}
        end,

        advance = function(state, capacity, refill_amount, refill_millis, fills_in)
            local used, at = state[3], state[4]
            local elapsed = max(now - at, 0)
            local left, remainder = 0, 0
            if elapsed < fills_in or used > capacity then
                local fraction, parts = state[5], state[6]
                if fraction >= parts then
                    fraction = 0
                elseif parts ~= refill_millis then
                    -- By way of a binary fraction of 36 bits, as core/ keeps it.
                    fraction = divide(fraction, 68719476736, parts - 1, parts)
                    fraction = divide(fraction, refill_millis, 0, 68719476736)
                end
                local back, rest = divide(elapsed, refill_amount, fraction, refill_millis)
                if back < used then
                    left, remainder = used - back, rest
                end
            end
            state[3], state[4], state[5], state[6] = left, at + elapsed, remainder, refill_millis
        end,

        used = function(state)
            return state[3]
        end,

        add = function(state, amount, capacity)
            state[3] = add_within(state[3], amount, capacity)
        end,

        until_back = function(state, refill_amount, refill_millis)
            return state[3] * refill_millis / refill_amount + 2 + state[4] - now
        end,
    }
end

local function sliding_window()
    local MOST_IN_SLOT = 4294967295

    -- Under another length each sub-window counts as if all of it had been used at its end.
    local function change_length(state, length)
        local counts, old_length, last = {unpack(state, 5, 13)}, max(state[3], 1), min(state[4], now)
        local old_newest, present = floor(state[4] / old_length), floor(now / length)
        for slot = 5, 13 do
            state[slot] = 0
        end
        state[3], state[4] = length, last
        for number = old_newest, max(old_newest - 8, 0), -1 do
            local count = counts[number % 9 + 1]
            local moved = floor(min((number + 1) * old_length - 1, last) / length)
            if count > 0 and moved + 8 >= present then
                local slot = moved % 9 + 5
                state[slot] = min(state[slot] + count, MOST_IN_SLOT)
            end
        end
    end

    local function used(state)
        local sum = 0
        for slot = 5, 13 do
            sum = sum + state[slot]
        end
        return sum
    end

    return {
        number = 4, former = 2, size = 13, told_from = 4,

        fresh = function(length)
            return {4, 0, length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
        end,

        -- It kept the number of the newest sub-window in place of the last charge: that was at its end
        -- at the latest, and not later than now, if that is in it.
        take_over = function(state)
            local first = state[4] * state[3]
            local last = max(first + state[3] - 1, 0)
            if now >= first and now <= last then
                last = now
            end
            state[1], state[4] = 4, min(last, 9007199254740991)
        end,

        advance = function(state, _, length)
            if state[3] ~= length then
                change_length(state, length)
            end
            local last = state[4]
            if now - last >= 8 * length then
                for slot = 5, 13 do
                    state[slot] = 0
                end
            else
                for number = floor(last / length) + 1, floor(now / length) do
                    state[number % 9 + 5] = 0
                end
            end
        end,

        used = used,

        add = function(state, amount, capacity)
            if amount >= 0 then
                local before = used(state)
                amount = add_within(before, amount, capacity) - before
                if amount > 0 then
                    state[4] = max(state[4], now)
                    local slot = floor(state[4] / state[3]) % 9 + 5
                    state[slot] = min(state[slot] + amount, MOST_IN_SLOT)
                end
                return
            end
            local newest = floor(max(state[4], now) / state[3])
            for number = newest, newest - 8, -1 do
                local slot = number % 9 + 5
                local given_back = min(state[slot], -amount)
                state[slot] = state[slot] - given_back
                amount = amount + given_back
            end
        end,

        until_back = function(state)
            return state[4] + 8 * state[3] - now
        end,
    }
end

local function fixed_window()
    -- Of the windows before, at and behind the asking node's own; further off, of the same length.
    local function window_now(previous, start, next, last)
        local second = floor(now / 1000)
        if second >= previous and second < last then
            if second < start then
                return previous, start
            elseif second < next then
                return start, next
            end
            return next, last
        end
        local length = max(next - start, 1)
        local edge = second < previous and previous or last
        start = max(edge + floor((second - edge) / length) * length, 0)
        return start, start + length
    end

    return {
        number = 3, size = 5, told_from = 3, is_calendar = true,

        fresh = function()
            return {3, 0, 0, 0, 0}
        end,

        -- A window of the future goes on: the clock has stepped back.
        advance = function(state, _, previous, start, next, last)
            local first, stop = window_now(previous, start, next, last)
            if state[4] >= stop and state[3] > 0 then
                return
            end
            if state[5] <= first then
                state[3] = 0
            end
            state[4], state[5] = first, stop
        end,

        used = function(state)
            return state[3]
        end,

        add = function(state, amount, capacity)
            state[3] = add_within(state[3], amount, capacity)
        end,

        until_back = function(state)
            return state[5] * 1000 - now
        end,
    }
end

-- Each is made when it is first asked for.
local algorithms = {b = token_bucket, s = sliding_window, f = fixed_window}

-- Of a kind; nil for "c", which has no state.
local function algorithm_of(kind)
    local algorithm = algorithms[kind]
    if type(algorithm) == 'function' then
        algorithm = algorithm()
        algorithms[kind] = algorithm
    end
    return algorithm
end

-- The first command on a key: what is there and of no use makes room.
local function ask(command, key, ...)
    local reply = redis.pcall(command, key, ...)
    if type(reply) == 'table' and reply.err then
        if string.find(reply.err, 'WRONGTYPE', 1, true) then
            call('DEL', key)
        end
        return call(command, key, ...)
    end
    return reply
end

-- The state that was packed, nil where it is none of this algorithm's.
local function read(packed, algorithm)
    local good, state = pcall(cmsgpack.unpack, packed)
    local number, former = algorithm.number, algorithm.former
    if not good or type(state) ~= 'table' or #state ~= algorithm.size or
        state[1] ~= number and state[1] ~= (former or number) then
        return nil
    end
    for i = 2, algorithm.size do
        local field = state[i]
        if type(field) ~= 'number' or field < 0 or field > 9007199254740991 or field % 1 ~= 0 then
            return nil
        end
    end
    if state[1] ~= number then
        algorithm.take_over(state)
    end
    return state
end

-- What a node knows of a key, nil where it knows nothing, or where the key was forgotten on
-- purpose: other nodes have not heard of that. The second name is of the key's slot.
local function read_seed(seed, algorithm, key)
    return seed ~= '' and call('GET', key .. ':forgotten') == false and read(seed, algorithm) or nil
end

-- The state, whether it was found, whether there is anything to delete.
local function load(key, algorithm, seed, p1)
    local packed = ask('GET', key)
    local state = packed and read(packed, algorithm)
    if state then
        return state, true, true
    end
    return read_seed(seed, algorithm, key) or algorithm.fresh(p1), false, packed
end

local function save(key, state, algorithm, is_there, hold_for, p1, p2)
    local lasts = 0
    if algorithm.used(state) > 0 then
        lasts = algorithm.until_back(state, p1, p2)
    elseif state[2] == 0 then
        if is_there then
            call('DEL', key)
        end
        return
    end
    if state[2] > 0 then
        lasts = max(lasts, hold_for)
    end
    -- Redis refuses times that it cannot add to its own: 3,000 years must do.
    lasts = floor(min(max(lasts, 1), 100000000000000))
    call('SET', key, cmsgpack.pack(state), 'PX', lasts)
end

-- What is held for these members in tokens.
local function held_by(members)
    local sum = 0
    for _, member in ipairs(members) do
        sum = sum + (tonumber(string.match(member, ':(%d+)$')) or 0)
    end
    return sum
end

-- A state that is gone while some are in flight tells nothing of what they hold, but they do. So
-- it may expire, and what was lost comes back with the members that are renewed.
local function count_held(flights, state)
    state[2] = max(state[2], held_by(call('ZRANGE', flights, 0, -1)))
end

-- What is held by those whose lease is over, or by nobody any more, is used. True where it changed.
local function collect(flights, state, algorithm, capacity)
    local first = ask('ZRANGE', flights, 0, 0, 'WITHSCORES')
    local over = state[2]
    if first[1] then
        if state[2] == 0 then
            count_held(flights, state)
        end
        if tonumber(first[2]) > now then
            return false
        end
        over = held_by(call('ZRANGEBYSCORE', flights, '-inf', now))
        call('ZREMRANGEBYSCORE', flights, '-inf', now)
    end
    if over > 0 then
        state[2] = max(state[2] - over, 0)
        algorithm.add(state, over, capacity)
    end
    return over > 0
end

-- What is used of the limit, and what is wanted of it.
local function weigh_state(charge, arg, capacity)
    local algorithm, cost, seed = charge.algorithm, charge.cost, args[arg + 9]
    local p1, p2 = args[arg + 5], args[arg + 6]
    local state, is_found, is_there = load(charge.key, algorithm, seed, p1)
    algorithm.advance(state, capacity, p1, p2, args[arg + 7], args[arg + 8])
    charge.state, charge.is_there, charge.p1, charge.p2 = state, is_there, p1, p2
    -- What the node knows is kept, whatever is decided.
    charge.is_changed = not is_found and seed ~= ''
    if not charge.flights then
        return algorithm.used(state), cost
    end
    if collect(charge.flights, state, algorithm, capacity) then
        charge.is_changed = true
    end
    -- Something must be left even where nothing is to be held.
    return algorithm.used(state) + state[2], max(cost, 1)
end

local function weigh_flights(charge)
    ask('ZREMRANGEBYSCORE', charge.flights, '-inf', now)
    charge.count = call('ZCARD', charge.flights)
    return charge.count, charge.cost
end

local function take_off(charge, lease)
    call('ZADD', charge.flights, now + lease, charge.member)
    call('PEXPIRE', charge.flights, 2 * lease)
    if charge.algorithm then
        charge.state[2] = charge.state[2] + charge.cost
    else
        charge.count = charge.count + 1
    end
end

-- Writes what a charge has changed.
local function conclude(charge, is_charged, lease)
    local state, algorithm = charge.state, charge.algorithm
    if is_charged then
        if charge.flights then
            take_off(charge, lease)
        else
            algorithm.add(state, charge.cost, charge.capacity)
        end
    end
    if algorithm and (charge.is_changed or is_charged and charge.cost > 0) then
        save(charge.key, state, algorithm, charge.is_there, 2 * lease, charge.p1, charge.p2)
    end
end

-- Appends what is told of a charge to the reply, which has `last` numbers; returns its new last.
local function tell(charge, reply, last)
    local state, algorithm = charge.state, charge.algorithm
    reply[last + 1] = charge.fits and 1 or 0
    if not algorithm then
        reply[last + 2], reply[last + 3] = 0, charge.count
        return last + 3
    end
    last = last + 2
    reply[last] = state[2]
    for field = algorithm.told_from, algorithm.size do
        last = last + 1
        reply[last] = state[field]
    end
    return last
end

local function take()
    local lease, n, passes, key, arg = args[1], args[2], true, 1, 3
    local charges = {nil, nil, nil}
    for i = 1, n do
        local member, capacity = args[arg + 1], args[arg + 3]
        -- All fields at once: a table that grows is made several times.
        local charge = {
            key = KEYS[key], member = member, flights = member ~= '' and KEYS[key + 1],
            algorithm = algorithm_of(args[arg]), cost = args[arg + 2], capacity = capacity, fits = nil,
            state = nil, count = nil, is_there = nil, is_changed = nil, p1 = nil, p2 = nil,
        }
        local weigh = charge.algorithm and weigh_state or weigh_flights
        local taken, wanted = weigh(charge, arg, capacity)
        charge.fits = wanted <= capacity and taken <= capacity - wanted
        passes = passes and (charge.fits or args[arg + 4])
        charges[i] = charge
        key, arg = key + (charge.flights and 2 or 1), arg + 10
    end
    local reply, last = {passes and 1 or 0, now, nil, nil, nil, nil, nil, nil}, 2
    for i = 1, n do
        local charge = charges[i]
        conclude(charge, passes and charge.fits, lease)
        last = tell(charge, reply, last)
    end
    return reply
end

-- Nearly all calls end here, before the rest is made.
if ARGV[1] == 'take' then
    return cmsgpack.pack(take())
end

-- What a node knows of a key that was lost, the amount of who lands last included. Of others that
-- are still to land it might know what they will charge.
local function known_with(seed, algorithm, amount, flights, key)
    local known = seed ~= '' and call('ZCARD', flights) == 0 and read_seed(seed, algorithm, key)
    return known and algorithm.used(known) > amount and known
end

local function settle()
    local key, arg = 1, 2
    for _ = 1, args[1] do
        local state_key, algorithm, member = KEYS[key], algorithm_of(args[arg]), args[arg + 1]
        local flights = member ~= '' and KEYS[key + 1]
        -- Who is not in flight any more has landed before: asked again, nothing happens.
        local lands = not flights or ask('ZREM', flights, member) == 1
        if lands and algorithm then
            local p1, p2 = args[arg + 5], args[arg + 6]
            local state, is_found, is_there = load(state_key, algorithm, '', p1)
            local p3, p4 = args[arg + 7], args[arg + 8]
            algorithm.advance(state, args[arg + 4], p1, p2, p3, p4)
            local amount = args[arg + 3]
            local known = not is_found and flights and known_with(args[arg + 9], algorithm, amount, flights,
                state_key)
            if known then
                state = known
                algorithm.advance(state, args[arg + 4], p1, p2, p3, p4)
            else
                if is_found then
                    state[2] = max(state[2] - args[arg + 2], 0)
                elseif flights then
                    count_held(flights, state)
                end
                algorithm.add(state, amount, args[arg + 4])
            end
            -- The lease is not known here; what is held can be counted anew.
            save(state_key, state, algorithm, is_there, 60000, p1, p2)
        end
        key, arg = key + (flights and 2 or 1), arg + 10
    end
    return {now}
end

-- What a node has counted and not told before, and whether it is to be noted. `known` is what it told
-- last: the life of its ledger and its count. Of a life that is over all has been told.
local function news_of(known, life, counted, acknowledged)
    local known_life, known_count = string.match(known or '', '^(%d+):(%d+)$')
    known_life, known_count = tonumber(known_life) or 0, tonumber(known_count) or 0
    if life < known_life then
        return 0, false
    elseif life > known_life then
        return counted - acknowledged, true
    end
    return max(counted - max(known_count, acknowledged), 0), counted > known_count
end

-- Adds what a node has counted to the state. `theirs` is what that node knows, `untold` of it what it
-- has not heard back of. The rest is more than was known here only where Redis has lost something.
local function add_news(state, theirs, algorithm, capacity, news, untold)
    local before = algorithm.used(state)
    local is_over = theirs and algorithm.is_calendar and algorithm.used(theirs) == 0
    if not is_over then
        algorithm.add(state, news, capacity)
    end
    if theirs and algorithm.used(theirs) - untold > before then
        theirs[2] = state[2]
        return theirs
    end
    return state
end

local function hear()
    local node, n, arg = args[1], args[2], 3
    local reply, last = {now}, 1
    for i = 1, n do
        local key, nodes, algorithm = KEYS[2 * i - 1], KEYS[2 * i], algorithm_of(args[arg])
        local capacity, p1, p2 = args[arg + 1], args[arg + 2], args[arg + 3]
        local p3, p4, seed = args[arg + 4], args[arg + 5], args[arg + 6]
        local state, _, is_there = load(key, algorithm, '', p1)
        algorithm.advance(state, capacity, p1, p2, p3, p4)
        local theirs = seed ~= '' and read(seed, algorithm)
        if theirs then
            algorithm.advance(theirs, capacity, p1, p2, p3, p4)
            -- It is asked for only where it matters.
            if algorithm.used(theirs) > algorithm.used(state) then
                theirs = read_seed(seed, algorithm, key) and theirs
            end
        end
        local life, counted, acknowledged = args[arg + 7], args[arg + 8], args[arg + 9]
        local news, is_new = news_of(ask('HGET', nodes, node), life, counted, acknowledged)
        state = add_news(state, theirs, algorithm, capacity, news, counted - acknowledged)
        if is_new then
            call('HSET', nodes, node, string.format('%.0f:%.0f', life, counted))
            call('PEXPIRE', nodes, 60000)
        end
        save(key, state, algorithm, is_there, 60000, p1, p2)
        last = tell({state = state, algorithm = algorithm, fits = true}, reply, last)
        arg = arg + 10
    end
    return reply
end

-- What is counted for a key; "forget" makes it nothing, and nodes that know better are not believed
-- for as long as they might. What is held stays. Nothing else is changed.
local function look()
    local key, flights, algorithm = KEYS[1], KEYS[2], algorithm_of(args[1])
    local reply = {now}
    if not algorithm then
        ask('ZREMRANGEBYSCORE', flights, '-inf', now)
        tell({count = call('ZCARD', flights), fits = true}, reply, 1)
        return reply
    end
    local capacity, p1, p2, p3, p4 = args[2], args[3], args[4], args[5], args[6]
    local state = load(key, algorithm, args[7], p1)
    algorithm.advance(state, capacity, p1, p2, p3, p4)
    local used = algorithm.used(state)
    tell({state = state, algorithm = algorithm, fits = used > 0}, reply, 1)
    if ARGV[1] == 'forget' and used > 0 then
        local lasts = floor(min(max(algorithm.until_back(state, p1, p2), 1), 100000000000000))
        local held = state[2]
        state = algorithm.fresh(p1)
        algorithm.advance(state, capacity, p1, p2, p3, p4)
        state[2] = held
        call('SET', key, cmsgpack.pack(state), 'PX', max(lasts, 60000))
        call('SET', key .. ':forgotten', '1', 'PX', lasts)
    end
    return reply
end

local function beat()
    local nodes, lease = KEYS[1], args[2]
    ask('ZREMRANGEBYSCORE', nodes, '-inf', now)
    call('ZADD', nodes, now + lease, args[1])
    call('PEXPIRE', nodes, lease)
    return {now, call('ZCARD', nodes)}
end

local function renew()
    local lease, key, arg = args[1], 1, 3
    for _ = 1, args[2] do
        local kind, m, flights = args[arg], args[arg + 1], KEYS[key + 1]
        -- In tokens, who is gone stays gone, since what it held is used, unless all is gone; what
        -- they hold, count_held() finds out.
        local is_known = algorithms[kind] and call('EXISTS', KEYS[key]) == 1
        for i = arg + 2, arg + 1 + m do
            if is_known then
                ask('ZADD', flights, 'XX', now + lease, args[i])
            else
                ask('ZADD', flights, now + lease, args[i])
            end
        end
        call('PEXPIRE', flights, 2 * lease)
        key, arg = key + 2, arg + 2 + m
    end
    return {now}
end

local reply
if ARGV[1] == 'settle' then
    reply = settle()
elseif ARGV[1] == 'tell' then
    reply = hear()
elseif ARGV[1] == 'beat' then
    reply = beat()
elseif ARGV[1] == 'renew' then
    reply = renew()
elseif ARGV[1] == 'look' or ARGV[1] == 'forget' then
    reply = look()
else
    call('SET', KEYS[1], '1', 'PX', 1000) -- "probe"
    reply = {now}
end
return cmsgpack.pack(reply)
)lua";

/**
 * The script without its comments and indentation. Redis reads at most 16 KB from an
 * unauthenticated client, and refuses more without saying that a password is missing.
 */
struct Script {
    char text[kScript.size()];
    size_t size = 0;

    Script() noexcept {
        for (size_t at = 0; at < kScript.size();) {
            size_t end = kScript.find('\n', at) + 1;
            std::string_view line = kScript.substr(at, end - at);
            line.remove_prefix(line.find_first_not_of(' '));
            if (line.front() != '\n' && line.substr(0, 2) != "--") {
                size += line.copy(text + size, line.size());
            }
            at = end;
        }
    }
};

constexpr char kHexDigits[] = "0123456789abcdef";

struct Sha1 {
    char digits[40];

    Sha1() noexcept {
        std::string_view script = limit_script();
        unsigned char digest[20] = {};
        EVP_Digest(script.data(), script.size(), digest, nullptr, EVP_sha1(), nullptr);
        for (int i = 0; i < 20; ++i) {
            digits[2 * i] = kHexDigits[digest[i] >> 4];
            digits[2 * i + 1] = kHexDigits[digest[i] & 15];
        }
    }
};

}  // namespace

std::string_view limit_script() {
    static const Script script;
    return {script.text, script.size};
}

std::string_view limit_script_sha1() {
    static const Sha1 sha1;
    return {sha1.digits, sizeof(sha1.digits)};
}

}  // namespace ai_limit
