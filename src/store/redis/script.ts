/** Lua scripts as Redis knows them: by their SHA-1 (EVALSHA), or whole where it does not know them yet (EVAL). */
import { createHash } from 'node:crypto'

export interface Script {
  readonly lua: string
  readonly sha: string
}

/** Makes a script of its text. */
export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}
