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
            sharer = nil, turn = nil,
        }
        key = key + (charge.flights and 2 or 1)
        local taken, wanted = (charge.algorithm and weigh_state or weigh_flights)(charge, at, capacity)
        local fits = wanted <= capacity and taken <= capacity - wanted
        local sharer, least = nil, max(charge.cost, 1)
        if args[at + WEIGHT] > 0 then
            sharer = load_sharer(at, KEYS[key], KEYS[key + 1], charge.flights and KEYS[key + 2], args[at + SLICE])
            key = key + (charge.flights and 3 or 2)
            weigh_sharer(sharer, least)
            fits = fits and (sharer.is_own or taken + least + sharer.claimed <= capacity)
            charge.sharer = sharer
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
            conclude_turn(turn, not charge.fits, charge.cost)
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
    sharer.weights = weight + others_of(sharer, 9)
    correct_part(sharer, args[END_IS_OWN], charged, used)
    if sharer.kind ~= 'c' then
        state[FINISH] = (state[FINISH] + length_of_service(capacity, weight, used) -
            length_of_service(capacity, weight, max(charged, 1))) % TWO_TO_48
    end
    local place = place_of(sharer.sums, before[IN_SLICE])
    if place then
        change_sums(sharer.sums, place, before, activity_of(sharer))
    end
    save_sharer(sharer)
end

if ARGV[1] == 'end' then
    end_sharer()
else
    leave(KEYS[1], args[1])
end
return cmsgpack.pack({now})
