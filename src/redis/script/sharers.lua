-- The script that decides on sharers and turns: parts of a limit, exactly as core/sharers has
-- them, where the reasons are. What is whole there is whole here; a quotient whose dividend reaches 2^53 is
-- rounded, and so is what is used of a part of a rate from 2^33 on, in its fraction of 20 bits.

-- The arguments about a charge that follow those in fields.lua.
local WEIGHT = 11           -- of its sharer; 0: it has none
local SLICE = 12            -- milliseconds of a slice of time (core/sharers/activity.h)
local FLOOR = 13            -- the sharer's service starts there at the earliest; 0: where the key's is
local SHARER_MEMBER = 14
local NODE = 15             -- "": nobody waits for a turn
local ARRIVAL = 16
local WAITING = 17          -- requests at this node
local WAITING_COST = 18
local WAITS = 19
local FAIR_ARGUMENTS = 19
-- The arguments of "end" from its policy's on.
local END_SLICE = 9
local END_IS_OWN = 10
local END_CHARGED = 11      -- in all
local END_USED = 12
local END_COST = 13         -- that the decision charged
local END_GROWTH = 14       -- that may have been charged since
local END_GROWN = 15        -- the charge's member if it has
-- Those of "grow" behind those that it has without a sharer.
local GROW_SLICE = 12
local GROW_IS_OWN = 13

-- What this script keeps is packed as values one behind the other, which costs less to read than an array:
-- a name, and numbers. They are unpacked behind the true that pcall() returns.
local FIRST_NUMBER = 3

-- A sharer's state. Its name is the limit's kind.
local OWN_WEIGHT = 3        -- 0: it has never asked
local ASKED_AT = 4
local FINISH = 5            -- of its latest service
local NEED = 6
local PART_USED = 7
local PART_FRACTION = 8     -- of a rate: 2^-20 more
local ASKED = 9
local MOST_ASKED = 10
local BEFORE = 11           -- of slots: those that the sums have; of a window: used in the one before
local WINDOW = 12
local KNOWS_BEFORE = 13

-- The sums over the sharers of a key: the virtual time, then for each slice of time in which one asked last
-- its number, and the sharers' weights, needs, and what of these is used.
local SERVED = 3
local FIRST_SLICE = 4
-- An activity has these in the same order, and behind them the number of its slice.
local IN_SLICE = 4

local TWO_TO_20 = 1048576
local TWO_TO_24 = 16777216
local TWO_TO_40 = 1099511627776
local TWO_TO_47 = 140737488355328
local TWO_TO_46 = 70368744177664
local TWO_TO_48 = 281474976710656
local MOST_SUM = 1099511627775
local MOST_COUNTED = 16777215
local LONGEST_PERIOD = 31622400000      -- kMaxPeriod in core/

-- Reads what is packed at a key. Returns nil if it is not what has this name. `group`: each so many-th value
-- from the first on is a text, not a number; 0: none is.
local function load_values(key, name, group)
    local packed = ask('GET', key)
    local values = packed and {pcall(cmsgpack.unpack, packed)}
    if not values or values[2] ~= name then
        return nil
    end
    for i = FIRST_NUMBER, #values do
        local value = values[i]
        if group > 0 and (i - FIRST_NUMBER) % group == 0 then
            if type(value) ~= 'string' then
                return nil
            end
        elseif type(value) ~= 'number' or value < 0 or value > MOST_EXACT or value % 1 ~= 0 then
            return nil
        end
    end
    return values
end

local function save_values(key, values, lasts)
    call('SET', key, cmsgpack.pack(unpack(values, 2)), 'PX', lasts)
end

-- Reads the sums of a key, without slices that say nothing any more.
local function load_sums(key, present)
    local sums = load_values(key, 'sums', 0)
    if not sums or #sums % 4 ~= SERVED then
        return {true, 'sums', 0}
    end
    local last = SERVED
    for at = FIRST_SLICE, #sums, 4 do
        local age = present - sums[at]
        if age >= -8 and age <= 8 then
            for i = 0, 3 do
                sums[last + 1 + i] = sums[at + i]
            end
            last = last + 4
        end
    end
    for i = #sums, last + 1, -1 do
        sums[i] = nil
    end
    return sums
end

-- Returns by how much one virtual time is later than another; both are modulo 2^48.
local function later_by(one, other)
    local difference = (one - other) % TWO_TO_48
    return difference < TWO_TO_47 and difference or difference - TWO_TO_48
end

local function length_of_service(capacity, weight, amount)
    return min(max(floor(amount * TWO_TO_24 / (max(capacity, 1) * max(weight, 1))), 1), TWO_TO_40)
end

local function used_in_window(sharer)
    local state, length = sharer.state, 8 * sharer.p1
    if sharer.kind == 'f' then
        return state[PART_USED]
    end
    return state[PART_USED] + floor(state[BEFORE] * (length - state[ASKED_AT] % length) / length)
end

-- Returns how a sharer counts in the sums.
local function activity_of(sharer)
    local state, kind = sharer.state, sharer.kind
    local need, used = state[NEED], 0
    if kind == 'c' then
        used = state[BEFORE]
    elseif kind ~= 'b' then
        used = min(used_in_window(sharer), kind == 'f' and need or need - min(need, floor(need / 8) + 1))
    end
    return {state[OWN_WEIGHT], need, used, floor(state[ASKED_AT] / sharer.slice)}
end

local function is_recent(slice, present)
    return slice <= present and present <= slice + 8
end

-- Returns where the sums of a slice are, or nil.
local function place_of(sums, slice)
    for at = FIRST_SLICE, #sums, 4 do
        if sums[at] == slice then
            return at
        end
    end
    return nil
end

-- Adds to the sums of a slice, and takes from them.
local function change_sums(sums, at, less, more)
    for i = 1, 3 do
        sums[at + i] = min(max(sums[at + i] - less[i], 0) + more[i], MOST_SUM)
    end
end

-- Returns the sharer with its state and its key's sums. `at` is where its limit's arguments begin.
local function load_sharer(at, key, sums_key, flights, slice)
    local kind, present = args[at + KIND], floor(now / slice)
    local state = load_values(key, kind, 0)
    local is_there = state and #state == KNOWS_BEFORE
    if not is_there then
        state = {true, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    end
    local sharer = {
        at = at, key = key, sums_key = sums_key, flights = flights, kind = kind, slice = slice, state = state,
        is_there = is_there, sums = load_sums(sums_key, present), p1 = args[at + P1], present = present,
        capacity = args[at + CAPACITY], used = state[PART_USED] + state[PART_FRACTION] / TWO_TO_20, slots = 0,
        before = nil, start = nil, served = nil, weights = nil, is_own = nil, left = nil, claimed = nil, wait = 0,
        need = nil,
    }
    sharer.before = activity_of(sharer)
    if flights then
        ask('ZREMRANGEBYSCORE', flights, '-inf', now)
        sharer.slots = kind == 'c' and call('ZCARD', flights) or 0
    end
    return sharer
end

-- Writes both, to expire when they say nothing any more: when the sharer is not active, has its part back,
-- and its latest window and the one behind it are over. Nobody knows how many will share the key while a part
-- of a rate comes back: four times as many as do now, if anybody should ask.
local function save_sharer(sharer)
    local state, kind, at, active = sharer.state, sharer.kind, sharer.at, 10 * sharer.slice
    local lasts = 0
    if kind == 'b' then
        local amount = sharer.p1 * state[OWN_WEIGHT]
        lasts = amount > 0 and 4 * sharer.used * args[at + P2] * sharer.weights / amount or LONGEST_PERIOD
        state[PART_USED] = floor(sharer.used)
        state[PART_FRACTION] = floor(sharer.used % 1 * TWO_TO_20)
    elseif kind == 's' then
        lasts = 16 * sharer.p1
    elseif kind == 'f' then
        lasts = args[at + P4] * 1000 - now
    end
    lasts = floor(min(max(lasts, active) + active, LONGEST_LIFE))
    save_values(sharer.key, state, lasts)
    save_values(sharer.sums_key, sharer.sums, max(active, 10000))
end

-- Returns the names of the present window and of the one before it, and in how many of the latest slices of
-- time the present one began; all of them if it is none by the calendar.
local function windows_now(sharer)
    if sharer.kind ~= 'f' then
        local number = floor(now / (8 * sharer.p1))
        return number, number - 1, 9
    end
    local at, second = sharer.at, floor(now / 1000)
    local previous, start, next = args[at + P1], args[at + P2], args[at + P3]
    if second < start then
        previous, start = 2 * previous - start, previous
    elseif second >= next then
        previous, start = start, next
    end
    return start, previous, min(sharer.present - floor(min(start * 1000, now) / sharer.slice), 9)
end

-- Sums over the others: their weights, and what they need and have not used.
local function others_of(sharer, of_window)
    local sums, own, present, weights, needs, used = sharer.sums, sharer.before, sharer.present, 0, 0, 0
    for at = FIRST_SLICE, #sums, 4 do
        local slice = sums[at]
        if is_recent(slice, present) then
            weights, needs = weights + sums[at + 1], needs + sums[at + 2]
            used = used + (present - slice < of_window and sums[at + 3] or 0)
        end
    end
    local slice = own[IN_SLICE]
    if own[1] > 0 and is_recent(slice, present) then
        weights, needs = max(weights - own[1], 0), max(needs - own[2], 0)
        used = max(used - (present - slice < of_window and own[3] or 0), 0)
    end
    return weights, max(needs - used, 0)
end

-- Begins another window if the state's is over.
local function enter_window(state, window, before)
    local is_known = state[OWN_WEIGHT] > 0
    if is_known and state[WINDOW] == window then
        return
    end
    local knows = is_known and state[WINDOW] == before
    state[BEFORE], state[MOST_ASKED] = knows and state[PART_USED] or 0, knows and state[ASKED] or 0
    state[KNOWS_BEFORE] = knows and 1 or 0
    state[WINDOW], state[PART_USED], state[ASKED] = window, 0, 0
end

-- Notes a wish for so much at once, lets old ones fade, and returns what is wished for.
local function note_wish(sharer, wish, adds)
    local state = sharer.state
    local passed = sharer.present - sharer.before[IN_SLICE]
    if passed < 0 or passed > 8 then
        passed = 8
    end
    if passed > 0 then
        local faded = floor(state[MOST_ASKED] * (8 - passed) / 8)
        state[MOST_ASKED] = passed < 8 and max(state[ASKED], faded) or 0
        state[ASKED] = 0
    end
    state[ASKED] = min(adds and state[ASKED] + wish or max(state[ASKED], wish), MOST_AMOUNT)
    return max(state[ASKED], state[MOST_ASKED])
end

-- Compares a request with the sharer's part, and notes what it asks for. Never refuses by itself.
local function weigh_sharer(sharer, cost, weight, floor_of_service)
    local state, at, kind, capacity = sharer.state, sharer.at, sharer.kind, sharer.capacity
    local window, window_before, of_window = 0, 0, 9
    if kind == 's' or kind == 'f' then
        window, window_before, of_window = windows_now(sharer)
    end

    sharer.served = sharer.sums[SERVED]
    sharer.start = floor_of_service > 0 and floor_of_service or sharer.served
    if state[OWN_WEIGHT] == 0 or not is_recent(sharer.before[IN_SLICE], sharer.present) then
        state[FINISH] = sharer.start
    elseif later_by(state[FINISH], sharer.start) > 0 then
        sharer.start = state[FINISH]
    end

    local weights, claims = others_of(sharer, of_window)
    sharer.weights = min(weights, 1073741824) + weight
    sharer.claimed = min(claims, capacity - min(cost, capacity))
    local part = max(floor(capacity * weight / sharer.weights), min(cost, capacity))
    local used, wished
    if kind == 'b' then
        wished = note_wish(sharer, cost, true)
        local amount, millis = sharer.p1 * weight, args[at + P2] * sharer.weights
        local elapsed = min(max(now - state[ASKED_AT], 0), LONGEST_PERIOD)
        used = max(sharer.used - floor(elapsed * amount * TWO_TO_20 / millis) / TWO_TO_20, 0)
        sharer.used = used
        if used + cost > part and amount > 0 then
            sharer.wait = min(floor((used + cost - part) * millis / amount) + 1, LONGEST_PERIOD)
        end
    elseif kind == 'c' then
        used = sharer.slots
        wished = note_wish(sharer, used + cost, false)
    else
        enter_window(state, window, window_before)
        state[ASKED], state[ASKED_AT] = min(state[ASKED] + cost, MOST_AMOUNT), now
        used, wished = used_in_window(sharer), part
        if state[KNOWS_BEFORE] == 1 then
            wished = max(state[ASKED], state[MOST_ASKED])
            wished = kind == 's' and wished + floor(wished / 8) + 1 or wished
        end
    end
    sharer.is_own, sharer.left, sharer.need = used + cost <= part, max(floor(part - used), 0), min(wished, part)
    state[OWN_WEIGHT], state[ASKED_AT] = weight, now
end

-- Corrects what is taken of the part: `charged` was, and `used` is.
local function correct_part(sharer, is_own, charged, used)
    local state = sharer.state
    if sharer.kind == 'b' then
        sharer.used = is_own and min(max(sharer.used + used - charged, 0), MOST_AMOUNT) or sharer.used
    elseif sharer.kind == 'c' then
        state[BEFORE] = min(sharer.slots, state[NEED], MOST_COUNTED)
    else
        state[PART_USED] = min(max(state[PART_USED] + used - charged, 0), MOST_AMOUNT)
    end
end

-- Counts the sharer in the sums as it is now, and writes both.
local function count_sharer(sharer)
    local sums, before = sharer.sums, sharer.before
    local after, none = activity_of(sharer), {0, 0, 0}
    local stays = before[1] > 0 and before[IN_SLICE] == after[IN_SLICE]
    local at, former = place_of(sums, after[IN_SLICE]), place_of(sums, before[IN_SLICE])
    if not at then
        at = #sums + 1
        sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = after[IN_SLICE], 0, 0, 0
    end
    change_sums(sums, at, stays and before or none, after)
    if not stays and before[1] > 0 and former then
        change_sums(sums, former, before, none)
    end
    save_sharer(sharer)
end

-- Notes what the sharer has asked for, and what it has if its request passes.
local function conclude_sharer(sharer, is_charged, cost, lease)
    local state, sums = sharer.state, sharer.sums
    state[NEED] = sharer.need
    if is_charged then
        if sharer.flights then
            call('ZADD', sharer.flights, now + lease, args[sharer.at + SHARER_MEMBER])
            call('PEXPIRE', sharer.flights, 2 * lease)
            sharer.slots = sharer.slots + cost
        end
        local length = length_of_service(sharer.capacity, state[OWN_WEIGHT], max(cost, 1))
        state[FINISH] = (sharer.start + length) % TWO_TO_48
        if later_by(sharer.start, sums[SERVED]) > 0 then
            sums[SERVED] = sharer.start
        end
    end
    correct_part(sharer, sharer.is_own, 0, is_charged and cost or 0)
    count_sharer(sharer)
end
