/** What the stream delivery has Redis do, atomically each. */
import { createHash } from 'node:crypto'

function script(lua: string): { readonly lua: string; readonly sha: string } {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Adds an entry if there is room for it.
 * KEYS: stream. ARGV: entries that it may hold, then field, value, …. Returns the entry's id, or nil if it is full.
 * Without fields it only tells whether there is room.
 */
export const ADD = script(`
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
if #ARGV == 1 then return '' end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
`)

/**
 * The same, once for each marker: an entry that was added under it is not added again, whether anybody has taken it
 * since or not. The marker is written anew each time, so that WAIT has something to wait for.
 * KEYS: stream, marker. ARGV: entries that it may hold, seconds for which the marker is kept, then field, value, ….
 */
export const ADD_ONCE = script(`
local before = redis.call('GET', KEYS[2])
if before then
  redis.call('SET', KEYS[2], before, 'EX', ARGV[2])
  return before
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
if #ARGV == 2 then return '' end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], id, 'EX', ARGV[2])
return id
`)

/**
 * Takes an entry back.
 * KEYS: stream, marker. ARGV: the entry's id.
 */
export const TAKE_BACK = script(`
redis.call('DEL', KEYS[2])
return redis.call('XDEL', KEYS[1], ARGV[1])
`)

/** In seconds: longer than a copy is tried again that was cut short. */
export const MARKER_SECONDS = 30 * 86_400

/**
 * The key that remembers a copy's entry. In a cluster it has to be where the stream is: it has the stream's own hash
 * tag, or else the whole name of the stream as one.
 */
export function markerKey(stream: string, copy: string): string {
  const own = /^[^{]*\{[^}]+\}/.test(stream)
  return `${stream}:accepted:${copy}${own ? '' : `:{${stream}}`}`
}
