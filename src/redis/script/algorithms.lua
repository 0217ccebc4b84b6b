-- The scripts that decide in Redis, the second part of both: the algorithms.
--
-- Redis runs Lua 5.1, whose numbers are doubles. All numbers here are whole.

local call, floor, min, max = redis.call, math.floor, math.min, math.max

local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local args = {cmsgpack.unpack(ARGV[2] or '')}

-- Returns what is used once `amount` is added; a negative amount is given back. A debt grows to at most
-- 100 times the limit. What is used already is never made less.
local function add_within(used, amount, capacity)
    if amount < 0 then
        return max(used + amount, 0)
    end
    local most = capacity > 0 and min(101 * capacity, MOST_AMOUNT) or MOST_AMOUNT
    return max(used, min(used + amount, most))
end

-- Each algorithm is a table with:
--   format, former_format   the FORMAT that it writes, and one that it also reads
--   size                    how many fields its state has
--   first_reported          the fields from this one on are in the reply
--   fresh(p1)               returns the state of a key that was never seen
--   advance(state, capacity, p1, p2, p3, p4)
--                           gives back what time has given back by now
--   used(state)             returns how much is used
--   add(state, amount, capacity)
--                           uses an amount; gives it back if it is negative
--   until_back(state, p1, p2)
--                           returns in how many ms all is given back, or a little more
--   convert(state)          makes its state of one with the former format
-- p1 to p4 are the limit's own numbers (script.h).

local function token_bucket()
    -- Returns quotient and remainder of (a * b + c) / d, where c < d <= 2^36. From 2^53 on the quotient
    -- is rounded.
    local function divide(a, b, c, d)
        local parts = a * b
        if parts < TWO_TO_52 then
            parts = parts + c
            local quotient = floor(parts / d)
            return quotient, parts - quotient * d
        end
        local whole = floor(a / d) * b
        a = a % d
        whole = whole + a * floor(b / d)
        b = b % d
        -- Long division takes the rest of b by 16 bits at a time, so that no sum reaches 2^53.
        local quotient, rest, unit = 0, 0, TWO_TO_32
        for _ = 1, 3 do
            local digit = floor(b / unit)
            parts = rest * TWO_TO_16 + a * digit
            quotient = quotient * TWO_TO_16 + floor(parts / d)
            rest = parts % d
            b, unit = b - digit * unit, unit / TWO_TO_16
        end
        rest = rest + c
        if rest >= d then
            return whole + quotient + 1, rest - d
        end
        return whole + quotient, rest
    end

    return {
        format = 1, size = 6, first_reported = USED,

        fresh = function()
            return {1, 0, 0, now, 0, 0}
        end,

        advance = function(state, capacity, refill_amount, refill_millis, fills_in)
            local used, at = state[USED], state[AT]
            local elapsed = max(now - at, 0)
            local left, remainder = 0, 0
            if elapsed < fills_in or used > capacity then
                local fraction, parts = state[REMAINDER], state[PARTS]
                if fraction >= parts then
                    fraction = 0
                elseif parts ~= refill_millis then
                    -- The rate has changed. core/ keeps the remainder as a binary fraction of 36 bits, so
                    -- it goes through one here, too.
                    fraction = divide(fraction, TWO_TO_36, parts - 1, parts)
                    fraction = divide(fraction, refill_millis, 0, TWO_TO_36)
                end
                local back, rest = divide(elapsed, refill_amount, fraction, refill_millis)
                if back < used then
                    left, remainder = used - back, rest
                end
            end
            state[USED], state[AT], state[REMAINDER], state[PARTS] = left, at + elapsed, remainder, refill_millis
        end,

        used = function(state)
            return state[USED]
        end,

        add = function(state, amount, capacity)
            state[USED] = add_within(state[USED], amount, capacity)
        end,

        until_back = function(state, refill_amount, refill_millis)
            return state[USED] * refill_millis / refill_amount + 2 + state[AT] - now
        end,
    }
end

local function sliding_window()
    -- Counts each sub-window under another length as if all of it had been used at its end.
    local function change_length(state, length)
        local counts, old_length = {unpack(state, FIRST_PART, LAST_PART)}, max(state[LENGTH], 1)
        local last = min(state[LAST_CHARGE], now)
        local old_newest, present = floor(state[LAST_CHARGE] / old_length), floor(now / length)
        for part = FIRST_PART, LAST_PART do
            state[part] = 0
        end
        state[LENGTH], state[LAST_CHARGE] = length, last
        for number = old_newest, max(old_newest - 8, 0), -1 do
            local count = counts[number % 9 + 1]
            local moved = floor(min((number + 1) * old_length - 1, last) / length)
            if count > 0 and moved + 8 >= present then
                local part = moved % 9 + FIRST_PART
                state[part] = min(state[part] + count, MOST_IN_PART)
            end
        end
    end

    local function used(state)
        local sum = 0
        for part = FIRST_PART, LAST_PART do
            sum = sum + state[part]
        end
        return sum
    end

    return {
        format = 4, former_format = 2, size = 13, first_reported = LAST_CHARGE,

        fresh = function(length)
            return {4, 0, length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
        end,

        -- The former format had the number of the newest sub-window in place of the last charge. That
        -- charge was at the end of this sub-window at the latest, and not later than now.
        convert = function(state)
            local first = state[LAST_CHARGE] * state[LENGTH]
            local last = max(first + state[LENGTH] - 1, 0)
            if now >= first and now <= last then
                last = now
            end
            state[FORMAT], state[LAST_CHARGE] = 4, min(last, MOST_EXACT)
        end,

        advance = function(state, _, length)
            if state[LENGTH] ~= length then
                change_length(state, length)
            end
            local last = state[LAST_CHARGE]
            if now - last >= 8 * length then
                for part = FIRST_PART, LAST_PART do
                    state[part] = 0
                end
            else
                for number = floor(last / length) + 1, floor(now / length) do
                    state[number % 9 + FIRST_PART] = 0
                end
            end
        end,

        used = used,

        add = function(state, amount, capacity)
            if amount >= 0 then
                local before = used(state)
                amount = add_within(before, amount, capacity) - before
                if amount > 0 then
                    state[LAST_CHARGE] = max(state[LAST_CHARGE], now)
                    local part = floor(state[LAST_CHARGE] / state[LENGTH]) % 9 + FIRST_PART
                    state[part] = min(state[part] + amount, MOST_IN_PART)
                end
                return
            end
            local newest = floor(max(state[LAST_CHARGE], now) / state[LENGTH])
            for number = newest, newest - 8, -1 do
                local part = number % 9 + FIRST_PART
                local given_back = min(state[part], -amount)
                state[part] = state[part] - given_back
                amount = amount + given_back
            end
        end,

        until_back = function(state)
            return state[LAST_CHARGE] + 8 * state[LENGTH] - now
        end,
    }
end

local function fixed_window()
    -- Returns start and end of the window that is now. The asking node names the window at its own time,
    -- the one before and the one behind. Windows further off are taken to be as long as that in the middle.
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
        format = 3, size = 5, first_reported = USED, is_calendar = true,

        fresh = function()
            return {3, 0, 0, 0, 0}
        end,

        advance = function(state, _, previous, start, next, last)
            local first, stop = window_now(previous, start, next, last)
            -- A window of the future goes on: the clock has stepped back.
            if state[WINDOW_START] >= stop and state[USED] > 0 then
                return
            end
            if state[WINDOW_END] <= first then
                state[USED] = 0
            end
            state[WINDOW_START], state[WINDOW_END] = first, stop
        end,

        used = function(state)
            return state[USED]
        end,

        add = function(state, amount, capacity)
            state[USED] = add_within(state[USED], amount, capacity)
        end,

        until_back = function(state)
            return state[WINDOW_END] * 1000 - now
        end,
    }
end

-- By the kind that the call names. An algorithm is made when it is first asked for.
local algorithms = {b = token_bucket, s = sliding_window, f = fixed_window}

-- Returns nil for "c", concurrency, which has no state.
local function algorithm_of(kind)
    local algorithm = algorithms[kind]
    if type(algorithm) == 'function' then
        algorithm = algorithm()
        algorithms[kind] = algorithm
    end
    return algorithm
end
