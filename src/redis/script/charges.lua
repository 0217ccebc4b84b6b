-- The scripts that decide in Redis, the fourth part of both: one charge, weighed and then taken or not.

-- Reads the state of a charge. Returns how much of the limit is used and how much the charge wants.
local function weigh_state(charge, at, capacity)
    local algorithm, cost, seed = charge.algorithm, charge.cost, args[at + SEED]
    local p1, p2 = args[at + P1], args[at + P2]
    local state, is_found, is_there = load(charge.key, algorithm, seed, p1)
    algorithm.advance(state, capacity, p1, p2, args[at + P3], args[at + P4])
    charge.state, charge.is_there, charge.p1, charge.p2 = state, is_there, p1, p2
    -- What the node knows is kept even if the request is refused.
    charge.is_changed = not is_found and seed ~= ''
    if not charge.flights then
        return algorithm.used(state), cost
    end
    if charge_expired(charge.flights, state, algorithm, capacity) then
        charge.is_changed = true
    end
    -- A request that reserves nothing still needs one token that is left.
    return algorithm.used(state) + state[RESERVED], max(cost, 1)
end

-- The same for concurrency.
local function weigh_flights(charge)
    ask('ZREMRANGEBYSCORE', charge.flights, '-inf', now)
    charge.count = call('ZCARD', charge.flights)
    return charge.count, charge.cost
end

-- Puts the charge's member in flight.
local function start(charge, lease)
    call('ZADD', charge.flights, now + lease, charge.member)
    call('PEXPIRE', charge.flights, 2 * lease)
    if charge.algorithm then
        charge.state[RESERVED] = charge.state[RESERVED] + charge.cost
    else
        charge.count = charge.count + 1
    end
end

-- Takes the charge if the request passes, and writes what has changed.
local function conclude(charge, is_charged, lease)
    local state, algorithm = charge.state, charge.algorithm
    if is_charged then
        if charge.flights then
            start(charge, lease)
        else
            algorithm.add(state, charge.cost, charge.capacity)
        end
    end
    if algorithm and (charge.is_changed or is_charged and charge.cost > 0) then
        save(charge.key, state, algorithm, charge.is_there, 2 * lease, charge.p1, charge.p2)
    end
end

-- Appends a charge's verdict and state to the reply, which has `last` numbers. Returns how many it has then.
local function append_state(charge, reply, last)
    local state, algorithm = charge.state, charge.algorithm
    reply[last + 1] = charge.fits and 1 or 0
    if not algorithm then
        reply[last + 2], reply[last + 3] = 0, charge.count
        return last + 3
    end
    last = last + 2
    reply[last] = state[RESERVED]
    for field = algorithm.first_reported, algorithm.size do
        last = last + 1
        reply[last] = state[field]
    end
    return last
end
