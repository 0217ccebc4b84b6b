-- The scripts that decide in Redis, the first part of both: names of positions and limits.
--
-- These names are constants: src/redis/script/join.sh writes the number in place of each of them. Redis
-- makes the script's functions anew for each call and keeps nothing between two calls, so a local costs
-- instructions for each function that uses it.

-- A state is an array, which Redis keeps as MessagePack. All states begin with these two.
local FORMAT = 1            -- says which algorithm the state belongs to
local RESERVED = 2          -- tokens that are reserved
-- token_bucket and fixed_window
local USED = 3
-- token_bucket
local AT = 4                -- the time of the state
local REMAINDER = 5         -- of the last refill, in parts of a token
local PARTS = 6             -- how many of them are one token: refill_millis when it was written
-- sliding_window
local LENGTH = 3            -- of a sub-window, in ms
local LAST_CHARGE = 4       -- its time
local FIRST_PART = 5        -- sub-window number n is counted in field n % 9 + FIRST_PART
local LAST_PART = 13
-- fixed_window
local WINDOW_START = 4      -- in seconds since the epoch
local WINDOW_END = 5

-- The arguments about a policy, by their place behind the arguments before them. The first seven are the
-- same in all calls.
local KIND = 1              -- names the algorithm
local CAPACITY = 2
local P1 = 3                -- the limit's own numbers: refill_amount, and so on (script.h)
local P2 = 4
local P3 = 5
local P4 = 6
local SEED = 7              -- what the node knows of the key: a packed state, or ""
-- take and settle
local MEMBER = 8
-- take
local COST = 9
local DRY_RUN = 10
-- grow
local FORMER = 10           -- the member's name until now
-- settle
local RELEASED = 9          -- what the member had reserved
local AMOUNT = 10           -- what it has used; given back if negative
-- sync
local LIFE = 8              -- of the node's ledger
local COUNTED = 9           -- in this life
local ACKNOWLEDGED = 10     -- the part of it that Redis had answered
local POLICY_ARGUMENTS = 10

local TWO_TO_16 = 65536
local TWO_TO_32 = 4294967296
local TWO_TO_36 = 68719476736
local TWO_TO_52 = 4503599627370496
local MOST_EXACT = 9007199254740991     -- 2^53 - 1: whole numbers up to here are exact
local MOST_AMOUNT = 1000000000000       -- kMaxAmount in core/
local MOST_IN_PART = 4294967295         -- a sub-window's count has 32 bits in core/
-- Redis refuses times to live that it cannot add to its own time. This one is 3,000 years.
local LONGEST_LIFE = 100000000000000
