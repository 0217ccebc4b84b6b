-- The script that decides on sharers and turns: whose turn it is, over all nodes.
--
-- A hash has an entry for each node at which requests wait for the key: that of its next request. Nodes
-- ask again before their entries are over.

-- An entry, behind its name.
local ORDER = 2             -- the start of the sharer's service; 0 without sharers
local ARRIVED = 3
local COUNT = 4             -- of all that wait at the node
local COUNT_COST = 5
local UNTIL = 6
local ENTRY_FIELDS = 6
local ENTRY_LASTS = 1000
local MOST_NODES = 64

-- Returns the turn of a charge's request among the entries of the nodes. Takes out those that are over.
local function look_at_turns(at, key, order)
    local node, arrival = args[at + NODE], args[at + ARRIVAL]
    local is_new = arrival == 0
    arrival = is_new and now or arrival
    local turn = {
        at = at, key = key, order = order, arrival = arrival, is_behind = false, others = 0, others_cost = 0,
        has_place = false, places = 0,
    }
    local entries = ask('HGETALL', key)
    for i = 1, #entries, 2 do
        local other, entry = entries[i], read(entries[i + 1], {format = 'turn', size = ENTRY_FIELDS})
        if not entry or entry[UNTIL] <= now or entry[UNTIL] > now + ENTRY_LASTS then
            call('HDEL', key, other)
        else
            turn.places = turn.places + 1
            if other == node then
                turn.has_place = true
            else
                turn.others = turn.others + entry[COUNT]
                turn.others_cost = turn.others_cost + entry[COUNT_COST]
                local later, came = later_by(order, entry[ORDER]), arrival - entry[ARRIVED]
                -- Nobody comes in the same moment as another one.
                local follows = came > 0 or came == 0 and (is_new or other < node)
                turn.is_behind = turn.is_behind or later > 0 or later == 0 and follows
            end
        end
    end
    return turn
end

-- Writes what waits at the node after the decision. `stays`: the policy refuses the request.
local function conclude_turn(turn, stays, cost)
    local at = turn.at
    local node, count, waiting_cost = args[at + NODE], args[at + WAITING], args[at + WAITING_COST]
    if not args[at + WAITS] then
        if count > 0 then
            return
        end
    elseif not stays then
        count, waiting_cost = count - 1, max(waiting_cost - cost, 0)
    end
    if count > 0 and (turn.has_place or turn.places < MOST_NODES) then
        local entry = {'turn', turn.order, turn.arrival, count, waiting_cost, now + ENTRY_LASTS}
        call('HSET', turn.key, node, cmsgpack.pack(entry))
        call('PEXPIRE', turn.key, ENTRY_LASTS)
    elseif turn.has_place then
        call('HDEL', turn.key, node)
    end
end
