/**
 * Posts counted for a list's rate, in the embedded store. A sender's period is a window with a group of its own, which
 * holds the messages; windows that have ended are taken away a few at a time as others are counted.
 */
import { createHash } from 'node:crypto'
import type { Clock, CountedPost } from '../app/ports.ts'
import type { ListFacts } from '../core/facts.ts'
import type { Who } from '../core/who.ts'
import type { Groups } from './embedded-groups.ts'
import type { Tables } from './embedded-tables.ts'

/** Ended windows taken away with one post: more than can come with it. */
const ENDED_AT_ONCE = 4

/** Rows of garbage swept with one post. */
const SWEPT_AT_ONCE = 50

export class Posts {
  readonly #tables: Tables
  readonly #groups: Groups
  readonly #clock: Clock

  constructor(tables: Tables, groups: Groups, clock: Clock) {
    this.#tables = tables
    this.#groups = groups
    this.#clock = clock
  }

  /** What a sender has posted to the list whose posts these are, and whether the message is among it. */
  find(posts: number, sender: Who, message: string): ListFacts['posts'] {
    const window = this.#tables.windows.get([posts, sender])
    if (window === undefined || window.until <= this.#clock()) return { made: 0, counted: false }
    return { made: window.made, counted: this.#groups.has(window.group, nameOf(message)) }
  }

  /** Counts a post. Inside a change. */
  count(posts: number, post: CountedPost): void {
    const { windows, expiring } = this.#tables
    const now = this.#clock()
    this.#endWindows(now)
    this.#groups.sweep(SWEPT_AT_ONCE)
    let window = windows.get([posts, post.sender])
    if (window === undefined || window.until <= now) {
      if (window !== undefined) this.#end(window.until, window.group, [posts, post.sender])
      window = { group: this.#groups.add(), until: now + post.seconds * 1000, made: 0 }
      expiring.put([window.until, window.group], [posts, post.sender])
    } else if (window.made >= post.posts) return
    const added = this.#groups.put(window.group, nameOf(post.message), '') === 'added'
    windows.put([posts, post.sender], { ...window, made: window.made + (added ? 1 : 0) })
  }

  #endWindows(now: number): void {
    const ended = this.#tables.expiring.getRange({
      end: [now, Number.MAX_SAFE_INTEGER],
      limit: ENDED_AT_ONCE,
    })
    for (const { key, value } of [...ended]) this.#end(key[0], key[1], value)
  }

  #end(until: number, group: number, window: [group: number, sender: string]): void {
    const { windows, expiring } = this.#tables
    expiring.remove([until, group])
    if (windows.get(window)?.group === group) windows.remove(window)
    this.#groups.discard(group)
  }
}

/** Message ids come from the network: those that are no short plain text go by their digest. */
function nameOf(message: string): string {
  return /^[\x21-\x7e]{1,200}$/.test(message)
    ? message
    : `sha256 ${createHash('sha256').update(message).digest('base64')}`
}
