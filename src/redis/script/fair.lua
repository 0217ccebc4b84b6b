-- The script that decides on sharers and turns, its last part: its calls. fair_call.h describes what each takes
-- and answers.

local function append(reply, last, ...)
    local numbers = {...}
    for i = 1, #numbers do
        reply[last + i] = numbers[i]
    end
    return last + #numbers
end

local function take()
    local lease, n, passes, key, at = args[1], args[2], true, 1, 2
    local charges = {}
    for i = 1, n do
        local member, capacity, dry_run = args[at + MEMBER], args[at + CAPACITY], args[at + DRY_RUN]
        local charge = {
            key = KEYS[key], member = member, flights = member ~= '' and KEYS[key + 1],
            algorithm = algorithm_of(args[at + KIND]), cost = args[at + COST], capacity = capacity,
            fits = nil, state = nil, count = nil, is_there = nil, is_changed = nil, p1 = nil, p2 = nil,
            sharer = nil, is_held = nil, turn = nil,
        }
        key = key + (charge.flights and 2 or 1)
        local taken, wanted = (charge.algorithm and weigh_state or weigh_flights)(charge, at, capacity)
        local fits = wanted <= capacity and taken <= capacity - wanted
        local sharer, least = nil, max(charge.cost, 1)
        if args[at + WEIGHT] > 0 then
            sharer = load_sharer(at, KEYS[key], KEYS[key + 1], charge.flights and KEYS[key + 2], args[at + SLICE])
            key = key + (charge.flights and 3 or 2)
            weigh_sharer(sharer, least, args[at + WEIGHT], args[at + FLOOR])
            local is_held = not sharer.is_own and taken + least + sharer.claimed > capacity
            fits = fits and not is_held
            charge.sharer, charge.is_held = sharer, is_held and sharer.claimed > 0
        end
        if args[at + NODE] ~= '' then
            local turn = look_at_turns(at, KEYS[key], sharer and sharer.start or 0)
            turn.is_behind = turn.is_behind and not dry_run
            fits = fits and not turn.is_behind
            charge.turn = turn
            key = key + 1
        end
        charge.fits = fits
        passes = passes and (fits or dry_run)
        charges[i] = charge
        at = at + FAIR_ARGUMENTS
    end
    local reply, last = {passes and 1 or 0, now}, 2
    for i = 1, n do
        local charge = charges[i]
        local sharer, turn, is_charged = charge.sharer, charge.turn, passes and charge.fits
        conclude(charge, is_charged, lease)
        last = append_state(charge, reply, last)
        if sharer then
            conclude_sharer(sharer, is_charged, charge.cost, lease)
            last = append(reply, last, sharer.is_own and 1 or 0, sharer.left, sharer.claimed, sharer.wait,
                sharer.need, sharer.weights, sharer.start, sharer.served)
        end
        if turn then
            conclude_turn(turn, not charge.fits, charge.cost, charge.is_held)
            last = append(reply, last, turn.is_behind and 1 or 0, turn.others, turn.others_cost)
        end
    end
    return reply
end

if ARGV[1] == 'take' then
    return cmsgpack.pack(take())
end

-- Corrects a sharer's part and its service. A member that is not in flight was ended before.
local function end_sharer()
    local flights, member = args[MEMBER] ~= '' and KEYS[3], args[MEMBER]
    if flights and ask('ZREM', flights, member) == 0 then
        return
    end
    local sharer = load_sharer(0, KEYS[1], KEYS[2], flights, args[END_SLICE])
    if not sharer.is_there then
        return
    end
    local state, charged, used = sharer.state, args[END_CHARGED], args[END_USED]
    local capacity, weight, before = sharer.capacity, state[OWN_WEIGHT], sharer.before
    if args[END_GROWTH] > 0 and call('ZREM', flights, args[END_GROWN]) == 1 then
        charged = charged + args[END_GROWTH]
    end
    sharer.weights = weight + others_of(sharer, 9)
    correct_part(sharer, args[END_IS_OWN], charged, used)
    if sharer.kind ~= 'c' then
        state[FINISH] = (state[FINISH] + length_of_service(capacity, weight, used) -
            length_of_service(capacity, weight, max(args[END_COST], 1))) % TWO_TO_48
    end
    local place = place_of(sharer.sums, before[IN_SLICE])
    if place then
        change_sums(sharer.sums, place, before, activity_of(sharer))
    end
    save_sharer(sharer)
end

-- Like "grow" of the other script, for as much as the sharer may have.
local function grow()
    local lease, flights, member, former = args[1], KEYS[2], args[1 + MEMBER], args[1 + FORMER]
    local more, capacity = args[1 + COST], args[1 + CAPACITY]
    local charge = {
        key = KEYS[1], member = member, flights = flights, algorithm = algorithm_of(args[1 + KIND]), cost = more,
    }
    local taken = weigh_state(charge, 1, capacity)
    local room = max(capacity - taken, 0)
    local sharer = load_sharer(1, KEYS[3], KEYS[4], KEYS[5], args[GROW_SLICE])
    if sharer.is_there then
        -- A part is as large as what is asked for at once. An answer that runs can do with less.
        weigh_sharer(sharer, 1, sharer.state[OWN_WEIGHT], 0)
        room = min(room, max(sharer.left, room - sharer.claimed))
    end
    -- The same call again only renews the lease.
    local has_grown = ask('ZREM', flights, member) == 1
    local is_known = has_grown or call('ZREM', flights, former) == 1
    local grows = is_known and not has_grown and more <= room
    charge.fits = has_grown or grows
    if is_known and not grows then
        call('ZADD', flights, now + lease, has_grown and member or former)
        call('PEXPIRE', flights, 2 * lease)
    end
    conclude(charge, grows, lease)
    if sharer.is_there then
        if grows then
            -- The node may end the member before it knows that this has grown.
            call('ZREM', sharer.flights, former)
            call('ZADD', sharer.flights, now + lease, member)
            call('PEXPIRE', sharer.flights, 2 * lease)
        end
        correct_part(sharer, args[GROW_IS_OWN], 0, grows and more or 0)
        count_sharer(sharer)
    end
    local reply = {is_known and 1 or 0, now}
    append(reply, append_state(charge, reply, 2), room)
    return reply
end

if ARGV[1] == 'grow' then
    return cmsgpack.pack(grow())
elseif ARGV[1] == 'end' then
    end_sharer()
else
    leave(KEYS[1], args[1])
end
return cmsgpack.pack({now})
