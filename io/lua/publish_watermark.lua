-- Keeps the latest watermark of a job and the allowed lateness that goes with it.
--
-- KEYS: the job's hash.  ARGV: watermark and allowed lateness, whole seconds.
-- The greater pair (watermark, lateness) stays, in whatever order they come. Returns 1 when it was
-- the given one, else 0.
local before = redis.call('HMGET', KEYS[1], 'watermark_secs', 'allowed_lateness_secs')
local watermark, lateness = tonumber(ARGV[1]), tonumber(ARGV[2])
if before[1] then
  local held = tonumber(before[1])
  if watermark < held or watermark == held and lateness <= tonumber(before[2]) then return 0 end
end
redis.call('HSET', KEYS[1], 'watermark_secs', ARGV[1], 'allowed_lateness_secs', ARGV[2])
return 1
