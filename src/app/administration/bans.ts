/** Bans, from one list or from all, and senders who are forbidden to post to any list. */
import { formatWho, type Who } from '../../core/who.ts'
import type { BanScope, Change, Directory } from '../ports.ts'
import { keysInOrder } from './in-order.ts'
import { readListAddress } from './lists.ts'
import { done, type Outcome, refused } from './problem.ts'

export class Bans {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  /** Whose ban list is meant: that of the list named, or the site's if none is. */
  async scope(listText: string | undefined): Promise<Outcome<BanScope>> {
    if (listText === undefined) return done('site')
    const parsed = readListAddress(listText)
    if (!parsed.ok) return parsed
    const { key } = parsed.value
    return (await this.#directory.getList(key)) === undefined
      ? refused('list-unknown', `there is no list ${key}`)
      : done(key)
  }

  /** Bans somebody, member or not. */
  async add(scope: BanScope, who: Who): Promise<Outcome<Change>> {
    const change = await this.#directory.addBan(scope, who)
    return change === undefined ? refused('list-unknown', `there is no list ${scope}`) : done(change)
  }

  /** Lifts a ban. Only the very entry: lifting `@example.net` lifts no ban of one of its addresses. */
  async remove(scope: BanScope, who: Who): Promise<Outcome<Who>> {
    return (await this.#directory.removeBan(scope, who))
      ? done(who)
      : refused(
          'ban-unknown',
          `${formatWho(who)} is not banned from ${scope === 'site' ? 'all lists' : scope} by an entry of its own`,
        )
  }

  /** The entries, in order. */
  all(scope: BanScope): AsyncIterable<Who> {
    return keysInOrder(() => this.#directory.bans(scope))
  }
}

export class ForbiddenSenders {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  /** Forbids a sender to post to any list, from MAIL on. */
  add(who: Who): Promise<Change> {
    return this.#directory.addForbidden(who)
  }

  /** Takes an entry back. */
  async remove(who: Who): Promise<Outcome<Who>> {
    return (await this.#directory.removeForbidden(who))
      ? done(who)
      : refused('forbidden-unknown', `${formatWho(who)} is not forbidden by an entry of its own`)
  }

  /** The entries, in order. */
  all(): AsyncIterable<Who> {
    return keysInOrder(() => this.#directory.forbidden())
  }
}
