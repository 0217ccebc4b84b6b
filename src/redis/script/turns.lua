-- The script that decides on sharers and turns: whose turn it is, over all nodes.
--
-- Each node at which requests wait for the key has an entry: that of its next request. Nodes ask again before
-- their entries are over.

-- An entry lies among the others, from FIRST_NUMBER on. It begins with the node's name.
local ORDER = 1             -- the start of the sharer's service; 0 without sharers
local ARRIVED = 2
local COUNT = 3             -- of all that wait at the node
local COUNT_COST = 4
local UNTIL = 5
local ENTRY_VALUES = 6
local ENTRY_LASTS = 1000
local MOST_NODES = 64

-- Returns the entries that are not over, without that of one node; whether that was there; and its order and
-- arrival unless it is over.
local function load_entries(key, node)
    local entries, values, has_place, own = {true, 'turns'}, load_values(key, 'turns', ENTRY_VALUES), false, nil
    if not values or #values % ENTRY_VALUES ~= 2 then
        return entries, false
    end
    for at = FIRST_NUMBER, #values, ENTRY_VALUES do
        local left = values[at + UNTIL] - now
        local lasts = left > 0 and left <= ENTRY_LASTS
        if values[at] == node then
            has_place, own = true, lasts and {values[at + ORDER], values[at + ARRIVED]}
        elseif lasts then
            for i = at, at + UNTIL do
                entries[#entries + 1] = values[i]
            end
        end
    end
    return entries, has_place, own
end

local function save_entries(key, entries)
    if #entries >= FIRST_NUMBER then
        save_values(key, entries, ENTRY_LASTS)
    else
        call('DEL', key)
    end
end

-- Returns the turn of a charge's request among the entries of the nodes.
local function look_at_turns(at, key, order)
    local node, arrival = args[at + NODE], args[at + ARRIVAL]
    local is_new = arrival == 0
    arrival = is_new and now or arrival
    local entries, has_place, own = load_entries(key, node)
    local turn = {
        at = at, key = key, order = order, arrival = arrival, is_behind = false, others = 0, others_cost = 0,
        entries = entries, has_place = has_place, own = is_new and own,
    }
    if turn.own then
        turn.is_behind = later_by(order, own[1]) >= 0
    end
    for i = FIRST_NUMBER, #entries, ENTRY_VALUES do
        turn.others = turn.others + entries[i + COUNT]
        turn.others_cost = turn.others_cost + entries[i + COUNT_COST]
        local later, came = later_by(order, entries[i + ORDER]), arrival - entries[i + ARRIVED]
        -- Nobody comes in the same moment as another one.
        local follows = came > 0 or came == 0 and (is_new or entries[i] < node)
        turn.is_behind = turn.is_behind or later > 0 or later == 0 and follows
    end
    return turn
end

-- Writes what waits at the node after the decision. `stays`: the policy refuses the request. `is_held`: the part
-- of its sharer does, so it holds up nobody.
local function conclude_turn(turn, stays, cost, is_held)
    local at, entries = turn.at, turn.entries
    local node, count, waiting_cost = args[at + NODE], args[at + WAITING], args[at + WAITING_COST]
    if not args[at + WAITS] then
        if count > 0 then
            return
        end
    elseif not stays then
        count, waiting_cost = count - 1, max(waiting_cost - cost, 0)
    end
    if stays and is_held then
        turn.order = (turn.order + TWO_TO_46) % TWO_TO_48
    end
    -- A request that comes now is not the node's next one if it passes, or goes behind that.
    local own = turn.own
    if own and (not stays or later_by(turn.order, own[1]) >= 0) then
        turn.order, turn.arrival = own[1], own[2]
    end
    local last = #entries
    if count > 0 and last < MOST_NODES * ENTRY_VALUES then
        for i, value in ipairs({node, turn.order, turn.arrival, count, waiting_cost, now + ENTRY_LASTS}) do
            entries[last + i] = value
        end
    end
    if #entries > last or turn.has_place then
        save_entries(turn.key, entries)
    end
end

local function leave(key, node)
    local entries, has_place = load_entries(key, node)
    if has_place then
        save_entries(key, entries)
    end
end
