/** The journal's one change: a batch of commands that is carried out as a whole, and once. */
import { script } from './script.ts'

/**
 * Carries out a batch, unless it is the last one that its writer wrote. Every key is looked at before the first command, so
 * that one of another type stops all of it.
 * KEYS: the writer's last batch, then those of the commands. ARGV: the batch's id; milliseconds for which it is known; JSON: the
 * type that each key but the first has if it is there; JSON: commands, each a name, a key's number, and arguments. Returns 1, or 0 if
 * the batch was there.
 */
export const APPLY_BATCH = script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
for at, wanted in ipairs(cjson.decode(ARGV[3])) do
  local found = redis.call('TYPE', KEYS[at + 1]).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE the key ' .. KEYS[at + 1] .. ' holds another type of value')
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for _, command in ipairs(cjson.decode(ARGV[4])) do
  redis.call(command[1], KEYS[command[2] + 1], unpack(command, 3))
end
return 1
`)
