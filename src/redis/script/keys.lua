-- The scripts that decide in Redis, the third part of both: what Redis keeps at the keys, as states and as flights.

-- Runs the first command on a key. If something of another type is at the key, it is deleted: nobody
-- but this script uses these keys.
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

-- Unpacks a state. Returns nil if it is not one of this algorithm.
local function read(packed, algorithm)
    local good, state = pcall(cmsgpack.unpack, packed)
    local format, former_format = algorithm.format, algorithm.former_format
    if not good or type(state) ~= 'table' or #state ~= algorithm.size or
        state[FORMAT] ~= format and state[FORMAT] ~= (former_format or format) then
        return nil
    end
    for i = RESERVED, algorithm.size do
        local field = state[i]
        if type(field) ~= 'number' or field < 0 or field > MOST_EXACT or field % 1 ~= 0 then
            return nil
        end
    end
    if state[FORMAT] ~= format then
        algorithm.convert(state)
    end
    return state
end

-- Returns what a node knows of a key. Returns nil if the node knows nothing, or if an operator has made
-- Redis forget the key: a node may not have heard of that. Both keys have the same slot of a cluster.
local function read_seed(seed, algorithm, key)
    return seed ~= '' and call('GET', key .. ':forgotten') == false and read(seed, algorithm) or nil
end

-- Returns the key's state, whether Redis had it, and whether there is anything at the key.
local function load(key, algorithm, seed, p1)
    local packed = ask('GET', key)
    local state = packed and read(packed, algorithm)
    if state then
        return state, true, true
    end
    return read_seed(seed, algorithm, key) or algorithm.fresh(p1), false, packed
end

-- Writes the state, to expire when nothing is used any more, and not before `reserved_for` ms if
-- something is reserved. Deletes the key if there is neither.
local function save(key, state, algorithm, is_there, reserved_for, p1, p2)
    local lasts = 0
    if algorithm.used(state) > 0 then
        lasts = algorithm.until_back(state, p1, p2)
    elseif state[RESERVED] == 0 then
        if is_there then
            call('DEL', key)
        end
        return
    end
    if state[RESERVED] > 0 then
        lasts = max(lasts, reserved_for)
    end
    lasts = floor(min(max(lasts, 1), LONGEST_LIFE))
    call('SET', key, cmsgpack.pack(state), 'PX', lasts)
end

-- Returns how many tokens these members have reserved: the number behind the colon of each.
local function reserved_by(members)
    local sum = 0
    for _, member in ipairs(members) do
        sum = sum + (tonumber(string.match(member, ':(%d+)$')) or 0)
    end
    return sum
end

-- Counts anew what is reserved. A state that has expired, or that Redis has lost, does not say it, but
-- the members in flight do, and lost members come back when they are renewed.
local function count_reserved(flights, state)
    state[RESERVED] = max(state[RESERVED], reserved_by(call('ZRANGE', flights, 0, -1)))
end

-- Charges what members have reserved whose lease is over, and what is reserved by no member. Returns
-- true if the state has changed.
local function charge_expired(flights, state, algorithm, capacity)
    local first = ask('ZRANGE', flights, 0, 0, 'WITHSCORES')
    local over = state[RESERVED]
    if first[1] then
        if state[RESERVED] == 0 then
            count_reserved(flights, state)
        end
        if tonumber(first[2]) > now then
            return false
        end
        over = reserved_by(call('ZRANGEBYSCORE', flights, '-inf', now))
        call('ZREMRANGEBYSCORE', flights, '-inf', now)
    end
    if over > 0 then
        state[RESERVED] = max(state[RESERVED] - over, 0)
        algorithm.add(state, over, capacity)
    end
    return over > 0
end
