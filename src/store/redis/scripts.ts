/**
 * The atomic changes, one script each. All keys of a script share a hash tag. A script that finds no list changes
 * nothing: a list is there if its settings are, and nothing is written beside a list that is not.
 */
import { script } from './script.ts'

/**
 * Makes a list.
 * KEYS: list. ARGV: name, value, … of every setting. Returns 1, or 0 if the list is there already.
 */
export const CREATE_LIST = script(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
`)

/**
 * Changes some settings.
 * KEYS: list. ARGV: name, value, … of those that change. Returns every name and value after the change, or nil if
 * there is no list.
 */
export const UPDATE_LIST = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return redis.call('HGETALL', KEYS[1])
`)

/**
 * Removes a list. UNLINK gives the memory of a million people back in the background.
 * KEYS: list, people, bans, admissions. Returns 1, or 0 if there was no list.
 */
export const REMOVE_LIST = script(`
local existed = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', unpack(KEYS))
return existed
`)

/**
 * Puts an entry into a hash.
 * KEYS: hash, and the list that must be there for it, if it is a list's. ARGV: field, value, and 'keep' if a value
 * that is there stays as it is. Returns 'added', 'changed', 'unchanged' or 'no-list'.
 */
export const PUT_ENTRY = script(`
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 0 then return 'no-list' end
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before and (before == ARGV[2] or ARGV[3] == 'keep') then return 'unchanged' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if before then return 'changed' end
return 'added'
`)

/**
 * Adds a batch to what is staged, and tells how it differs from what is live. An entry that was staged before is
 * counted again as what it is now, so that the sums of all batches count everybody once.
 * KEYS: staged hash, live hash. ARGV: seconds to live, then field, value, … Returns what to add to the number of
 * added, changed and unchanged entries.
 */
export const STAGE = script(`
local sums = {0, 0, 0}
local function count(live, staged, by)
  local kind = 3
  if not live then kind = 1 elseif live ~= staged then kind = 2 end
  sums[kind] = sums[kind] + by
end
for i = 2, #ARGV, 2 do
  local live = redis.call('HGET', KEYS[2], ARGV[i])
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  if before then count(live, before, -1) end
  count(live, ARGV[i + 1], 1)
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return sums
`)

/**
 * Puts what is staged in place of a list's people and bans, with new settings.
 * KEYS: list, people, bans, staged people, staged bans. ARGV: 1 or 0 for whether people were staged, the same for bans,
 * then name, value, … of every setting. Returns the number of people before, or nil, with nothing changed, if what was
 * staged has expired.
 */
export const COMMIT = script(`
if redis.call('EXISTS', KEYS[4]) ~= tonumber(ARGV[1]) then return false end
if redis.call('EXISTS', KEYS[5]) ~= tonumber(ARGV[2]) then return false end
local before = redis.call('HLEN', KEYS[2])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
for i = 2, 3 do
  if redis.call('EXISTS', KEYS[i + 2]) == 1 then
    redis.call('RENAME', KEYS[i + 2], KEYS[i])
    redis.call('PERSIST', KEYS[i])
  end
end
return before
`)

/**
 * Counts a post, once for each message. The sender's set lives for the period that its first post begins; the list's
 * index names the senders that have one, and forgets a few that have not any more.
 * KEYS: list, the sender's posts, index. ARGV: sender, message, most posts, seconds. Returns nothing.
 */
export const COUNT_POST = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local now = tonumber(redis.call('TIME')[1])
for _, sender in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. now, 'LIMIT', 0, 10)) do
  redis.call('ZREM', KEYS[3], sender)
end
local made = redis.call('SCARD', KEYS[2])
if made >= tonumber(ARGV[3]) then return false end
redis.call('SADD', KEYS[2], ARGV[2])
if made == 0 then
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), ARGV[1])
  if redis.call('TTL', KEYS[3]) < tonumber(ARGV[4]) + 1 then redis.call('EXPIRE', KEYS[3], ARGV[4] + 1) end
end
return false
`)

/**
 * Remembers for some time that a sender was let in. Those whose time is over are forgotten a few at a time, and of too
 * many those that would end first.
 * KEYS: list, admissions. ARGV: sender, seconds, most admissions. Returns nothing.
 */
export const ADMIT = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local now = tonumber(redis.call('TIME')[1])
for _, sender in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)) do
  redis.call('ZREM', KEYS[2], sender)
end
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
if redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[3]) then
  redis.call('ZREM', KEYS[2], redis.call('ZRANGE', KEYS[2], 0, 0)[1])
end
if redis.call('TTL', KEYS[2]) < tonumber(ARGV[2]) + 1 then redis.call('EXPIRE', KEYS[2], ARGV[2] + 1) end
return false
`)
