-- Applies one board record whole, or not at all, and never an older one over a newer one.
--
-- KEYS: ranks (sorted set, score = -count), rows (hash: item -> "count upper"),
--       board (hash of the record), latest (start of the newest window), changes (stream).
-- ARGV: generation, events, ttl in seconds (0: none), window start,
--       rows as JSON [item, "count upper", ...] in rank order, then record field, value, ...
-- Returns "applied", "done" (the same revision was there), "older" or "empty".
--
-- The board tells the change that its last revision made to the one before: `revisions` applied
-- so far, `events_added` and `ranks_moved`, the listed items whose rank is new or another. All
-- events of a new generation count as added.
--
-- Integers stay decimal text: beyond 2^53 a Lua number would round them.
local ranks, rows, board, latest, changes = unpack(KEYS)
local generation, events, ttl, start = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local CHUNK = 1000 -- pairs; unpack has room for about 8,000 values

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

-- a - b for decimal text, a >= b.
local function minus(a, b)
  local out, borrow = {}, 0
  for i = 1, #a do
    local digit = tonumber(a:sub(-i, -i)) - borrow - (tonumber(b:sub(-i, -i)) or 0)
    borrow = digit < 0 and 1 or 0
    out[#a - i + 1] = tostring(digit + borrow * 10):sub(1, 1)
  end
  local text = table.concat(out):gsub('^0+', '')
  return text == '' and '0' or text
end

local function in_chunks(command, key, values)
  for first = 1, #values, 2 * CHUNK do
    redis.call(command, key, unpack(values, first, math.min(first + 2 * CHUNK - 1, #values)))
  end
end

if events == '0' then return 'empty' end

local before = redis.call('HMGET', board, 'generation', 'events', 'revisions')
local added, revisions = events, 1
if before[1] then
  if less(generation, before[1]) then return 'older' end
  if generation == before[1] then
    if events == before[2] then return 'done' end
    if less(events, before[2]) then return 'older' end
    added = minus(events, before[2])
  end
  revisions = (before[3] or 1) + 1
end

local function count_of(value)
  return value and value:match('^%d+') or '0'
end

local stored, ranked = {}, {}
if before[1] then
  local flat = redis.call('HGETALL', rows)
  for i = 1, #flat, 2 do stored[flat[i]] = flat[i + 1] end
  ranked = redis.call('ZRANGE', ranks, 0, -1)
  -- Scores are doubles: from 16 digits on only the exact counts tell the order.
  if #count_of(stored[ranked[1]]) > 15 then
    local place = {}
    for rank, item in ipairs(ranked) do place[item] = rank end
    table.sort(ranked, function(a, b)
      local x, y = count_of(stored[a]), count_of(stored[b])
      if x ~= y then return less(y, x) end
      return place[a] < place[b]
    end)
  end
end

local listed = cjson.decode(ARGV[5])
local scores, values, moved, changed = {}, {}, 0, 0
for i = 1, #listed, 2 do
  local item, value = listed[i], listed[i + 1]
  if stored[item] ~= value then
    values[#values + 1] = item
    values[#values + 1] = value
    scores[#scores + 1] = '-' .. count_of(value)
    scores[#scores + 1] = item
    changed = changed + 1
  end
  if ranked[(i + 1) / 2] ~= item then moved = moved + 1 end
  stored[item] = nil
end
local gone = {}
for item in pairs(stored) do gone[#gone + 1] = item end

in_chunks('ZREM', ranks, gone)
in_chunks('HDEL', rows, gone)
in_chunks('ZADD', ranks, scores)
in_chunks('HSET', rows, values)
redis.call('HSET', board, 'generation', generation, 'events', events, 'revisions', revisions,
           'events_added', added, 'ranks_moved', moved, unpack(ARGV, 6))
for _, key in ipairs({ranks, rows, board}) do
  if ttl > 0 then
    redis.call('EXPIRE', key, ttl)
  elseif before[1] then
    redis.call('PERSIST', key) -- an earlier writer may have given it an end
  end
end

local newest = redis.call('GET', latest)
if not newest or less(newest, start) then redis.call('SET', latest, start) end
redis.call('XADD', changes, 'MAXLEN', '~', 1000, '*', 'start', start, 'generation', generation,
           'events', events, 'revisions', revisions, 'events_added', added,
           'ranks_moved', moved, 'rows_changed', changed, 'rows_removed', #gone)
redis.call('PUBLISH', changes, start)
return 'applied'
