-- The script that decides in Redis, its last part: its calls. script.h describes what each takes and answers.

local function take()
    local lease, n, passes, key, at = args[1], args[2], true, 1, 2
    local charges = {nil, nil, nil}
    for i = 1, n do
        local member, capacity = args[at + MEMBER], args[at + CAPACITY]
        -- All fields are named at once: a table that grows is allocated several times.
        local charge = {
            key = KEYS[key], member = member, flights = member ~= '' and KEYS[key + 1],
            algorithm = algorithm_of(args[at + KIND]), cost = args[at + COST], capacity = capacity,
            fits = nil, state = nil, count = nil, is_there = nil, is_changed = nil, p1 = nil, p2 = nil,
        }
        local weigh = charge.algorithm and weigh_state or weigh_flights
        local taken, wanted = weigh(charge, at, capacity)
        charge.fits = wanted <= capacity and taken <= capacity - wanted
        passes = passes and (charge.fits or args[at + DRY_RUN])
        charges[i] = charge
        key, at = key + (charge.flights and 2 or 1), at + POLICY_ARGUMENTS
    end
    local reply, last = {passes and 1 or 0, now, nil, nil, nil, nil, nil, nil}, 2
    for i = 1, n do
        local charge = charges[i]
        conclude(charge, passes and charge.fits, lease)
        last = append_state(charge, reply, last)
    end
    return reply
end

-- Nearly all calls end here, before Redis makes the other functions.
if ARGV[1] == 'take' then
    return cmsgpack.pack(take())
end

local function grow()
    local lease, flights, member, former = args[1], KEYS[2], args[1 + MEMBER], args[1 + FORMER]
    local charge = {
        key = KEYS[1], member = member, flights = flights, algorithm = algorithm_of(args[1 + KIND]),
        cost = args[1 + COST], fits = nil, state = nil, is_there = nil, is_changed = nil, p1 = nil, p2 = nil,
    }
    local capacity = args[1 + CAPACITY]
    local taken, wanted = weigh_state(charge, 1, capacity)
    -- The same call again only renews the lease.
    local has_grown = ask('ZREM', flights, member) == 1
    local is_known = has_grown or call('ZREM', flights, former) == 1
    local grows = is_known and not has_grown and wanted <= capacity and taken <= capacity - wanted
    charge.fits = has_grown or grows
    if is_known and not grows then
        call('ZADD', flights, now + lease, has_grown and member or former)
        call('PEXPIRE', flights, 2 * lease)
    end
    conclude(charge, grows, lease)
    local reply = {is_known and 1 or 0, now}
    append_state(charge, reply, 2)
    return reply
end

-- Returns what a node knows of a key that Redis has lost, if that has the amount of the member that ends.
-- It is not used while other members are in flight: the node may have counted already what they will use.
local function known_with(seed, algorithm, amount, flights, key)
    local known = seed ~= '' and call('ZCARD', flights) == 0 and read_seed(seed, algorithm, key)
    return known and algorithm.used(known) > amount and known
end

local function settle()
    local key, at = 1, 1
    for _ = 1, args[1] do
        local state_key, algorithm, member = KEYS[key], algorithm_of(args[at + KIND]), args[at + MEMBER]
        local flights = member ~= '' and KEYS[key + 1]
        -- A member that is not in flight was settled before: the same call again changes nothing.
        local ends = not flights or ask('ZREM', flights, member) == 1
        if ends and algorithm then
            local capacity, amount = args[at + CAPACITY], args[at + AMOUNT]
            local p1, p2, p3, p4 = args[at + P1], args[at + P2], args[at + P3], args[at + P4]
            local state, is_found, is_there = load(state_key, algorithm, '', p1)
            algorithm.advance(state, capacity, p1, p2, p3, p4)
            local known = not is_found and flights and known_with(args[at + SEED], algorithm, amount, flights,
                state_key)
            if known then
                state = known
                algorithm.advance(state, capacity, p1, p2, p3, p4)
            else
                if is_found then
                    state[RESERVED] = max(state[RESERVED] - args[at + RELEASED], 0)
                elseif flights then
                    count_reserved(flights, state)
                end
                algorithm.add(state, amount, capacity)
            end
            -- The call does not name the lease. A state that expires early is counted anew.
            save(state_key, state, algorithm, is_there, 60000, p1, p2)
        end
        key, at = key + (flights and 2 or 1), at + POLICY_ARGUMENTS
    end
    return {now}
end

-- Returns how much a node has counted since its last report, and whether to note this report. `noted` is
-- the last one: the life of the node's ledger and its count. A node reports a ledger in full before it
-- begins another one.
local function delta_of(noted, life, counted, acknowledged)
    local noted_life, noted_count = string.match(noted or '', '^(%d+):(%d+)$')
    noted_life, noted_count = tonumber(noted_life) or 0, tonumber(noted_count) or 0
    if life < noted_life then
        return 0, false
    elseif life > noted_life then
        return counted - acknowledged, true
    end
    return max(counted - max(noted_count, acknowledged), 0), counted > noted_count
end

-- Adds what a node has counted to the state. `theirs` is what that node knows, `unreported` the part of it
-- that Redis has not acknowledged. If the rest is more than Redis knew, Redis has lost something, and the
-- node's state takes the place of its own. Returns the state.
local function add_delta(state, theirs, algorithm, capacity, delta, unreported)
    local before = algorithm.used(state)
    local is_over = theirs and algorithm.is_calendar and algorithm.used(theirs) == 0
    if not is_over then
        algorithm.add(state, delta, capacity)
    end
    if theirs and algorithm.used(theirs) - unreported > before then
        theirs[RESERVED] = state[RESERVED]
        return theirs
    end
    return state
end

local function sync()
    local node, n, at = args[1], args[2], 2
    local reply, last = {now}, 1
    for i = 1, n do
        local key, nodes, algorithm = KEYS[2 * i - 1], KEYS[2 * i], algorithm_of(args[at + KIND])
        local capacity, seed = args[at + CAPACITY], args[at + SEED]
        local p1, p2, p3, p4 = args[at + P1], args[at + P2], args[at + P3], args[at + P4]
        local state, _, is_there = load(key, algorithm, '', p1)
        algorithm.advance(state, capacity, p1, p2, p3, p4)
        local theirs = seed ~= '' and read(seed, algorithm)
        if theirs then
            algorithm.advance(theirs, capacity, p1, p2, p3, p4)
            -- Asks whether the key was forgotten only if that matters.
            if algorithm.used(theirs) > algorithm.used(state) then
                theirs = read_seed(seed, algorithm, key) and theirs
            end
        end
        local life, counted, acknowledged = args[at + LIFE], args[at + COUNTED], args[at + ACKNOWLEDGED]
        local delta, is_new = delta_of(ask('HGET', nodes, node), life, counted, acknowledged)
        state = add_delta(state, theirs, algorithm, capacity, delta, counted - acknowledged)
        if is_new then
            call('HSET', nodes, node, string.format('%.0f:%.0f', life, counted))
            call('PEXPIRE', nodes, 60000)
        end
        save(key, state, algorithm, is_there, 60000, p1, p2)
        last = append_state({state = state, algorithm = algorithm, fits = true}, reply, last)
        at = at + POLICY_ARGUMENTS
    end
    return reply
end

-- Answers what is counted for a key. "forget" then clears what is used, and for as long as nodes might
-- know better, their seeds are not believed. Reservations stay.
local function look()
    local key, flights, algorithm = KEYS[1], KEYS[2], algorithm_of(args[KIND])
    local reply = {now}
    if not algorithm then
        ask('ZREMRANGEBYSCORE', flights, '-inf', now)
        append_state({count = call('ZCARD', flights), fits = true}, reply, 1)
        return reply
    end
    local capacity, p1, p2, p3, p4 = args[CAPACITY], args[P1], args[P2], args[P3], args[P4]
    local state = load(key, algorithm, args[SEED], p1)
    algorithm.advance(state, capacity, p1, p2, p3, p4)
    local used = algorithm.used(state)
    append_state({state = state, algorithm = algorithm, fits = used > 0}, reply, 1)
    if ARGV[1] == 'forget' and used > 0 then
        local lasts = floor(min(max(algorithm.until_back(state, p1, p2), 1), LONGEST_LIFE))
        local reserved = state[RESERVED]
        state = algorithm.fresh(p1)
        algorithm.advance(state, capacity, p1, p2, p3, p4)
        state[RESERVED] = reserved
        call('SET', key, cmsgpack.pack(state), 'PX', max(lasts, 60000))
        call('SET', key .. ':forgotten', '1', 'PX', lasts)
    end
    return reply
end

local function heartbeat()
    local nodes, lease = KEYS[1], args[2]
    ask('ZREMRANGEBYSCORE', nodes, '-inf', now)
    call('ZADD', nodes, now + lease, args[1])
    call('PEXPIRE', nodes, lease)
    return {now, call('ZCARD', nodes)}
end

local function renew()
    local lease, key, at = args[1], 1, 3
    for _ = 1, args[2] do
        local kind, m, flights = args[at], args[at + 1], KEYS[key + 1]
        -- In tokens, a member whose lease was over is not put in flight again: its reservation was charged.
        -- If Redis has lost the state, all members return, and count_reserved() counts what they have reserved.
        local is_known = algorithms[kind] and call('EXISTS', KEYS[key]) == 1
        for i = at + 2, at + 1 + m do
            if is_known then
                ask('ZADD', flights, 'XX', now + lease, args[i])
            else
                ask('ZADD', flights, now + lease, args[i])
            end
        end
        call('PEXPIRE', flights, 2 * lease)
        key, at = key + 2, at + 2 + m
    end
    return {now}
end

local reply
if ARGV[1] == 'settle' then
    reply = settle()
elseif ARGV[1] == 'grow' then
    reply = grow()
elseif ARGV[1] == 'sync' then
    reply = sync()
elseif ARGV[1] == 'heartbeat' then
    reply = heartbeat()
elseif ARGV[1] == 'renew' then
    reply = renew()
elseif ARGV[1] == 'look' or ARGV[1] == 'forget' then
    reply = look()
else
    call('SET', KEYS[1], '1', 'PX', 1000) -- "probe"
    reply = {now}
end
return cmsgpack.pack(reply)
