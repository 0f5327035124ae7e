/**
 * A batch of the journal as commands to Redis: events into the stream, and one addition to each counter, however many events
 * are behind it. Everything has an end: the stream by its length, the rest by time.
 */
import { type LongPeriod, PERIOD_MS, type Tally, TOP_KINDS, timeOfStart } from '../app/counters.ts'
import { type JournalBatch, MAX_TOP, type Retention } from '../app/journal.ts'
import { eventFields } from '../app/journal-event.ts'
import type { JournalKeys } from './keys.ts'

/** Arguments of one command: Lua has room for some thousands. */
const MOST_ARGUMENTS = 1000

type KeyType = 'stream' | 'hash' | 'zset' | 'string'

export interface BatchCommands {
  /** Beside the one that remembers the batch. */
  readonly keys: readonly string[]
  readonly types: readonly KeyType[]
  /** Name, number of the key from 1 on, arguments. */
  readonly commands: readonly (readonly (string | number)[])[]
}

class Commands implements BatchCommands {
  readonly keys: string[] = []
  readonly types: KeyType[] = []
  readonly commands: (string | number)[][] = []

  key(name: string, type: KeyType): number {
    this.types.push(type)
    return this.keys.push(name)
  }

  add(name: string, key: number, ...args: (string | number)[]): void {
    this.commands.push([name, key, ...args])
  }
}

/** What a counter of all lists' hash is called. */
export function listCounterField(list: string, counter: string): string {
  return `${list} ${counter}`
}

function addTally(to: Commands, tally: Tally, names: JournalKeys, retention: Retention): void {
  const { period, start } = tally
  // Kept for so many whole periods behind the one that goes on.
  const end = timeOfStart(period, start) + (retention.keep[period] + 1) * PERIOD_MS[period]
  const counters = to.key(names.counters(period, start), 'hash')
  for (const [name, count] of tally.site) to.add('HINCRBY', counters, name, count)
  to.add('PEXPIREAT', counters, end)
  if (tally.lists.size > 0) {
    const lists = to.key(names.listCounters(period, start), 'hash')
    for (const [list, counts] of tally.lists) {
      for (const [name, count] of counts) to.add('HINCRBY', lists, listCounterField(list, name), count)
    }
    to.add('PEXPIREAT', lists, end)
  }
  if (period !== 'minute') addPeople(to, tally, { names, period, end })
}

function addPeople(
  to: Commands,
  { start, senders, top }: Tally,
  { names, period, end }: { readonly names: JournalKeys; readonly period: LongPeriod; readonly end: number },
): void {
  if (senders.size > 0) {
    const key = to.key(names.senders(period, start), 'string')
    const all = [...senders]
    for (let at = 0; at < all.length; at += MOST_ARGUMENTS) {
      to.add('PFADD', key, ...all.slice(at, at + MOST_ARGUMENTS))
    }
    to.add('PEXPIREAT', key, end)
  }
  for (const kind of TOP_KINDS) {
    if (top[kind].size === 0) continue
    const key = to.key(names.top(kind, period, start), 'zset')
    for (const [name, count] of top[kind]) to.add('ZINCRBY', key, count, name)
    to.add('ZREMRANGEBYRANK', key, 0, -MAX_TOP - 1)
    to.add('PEXPIREAT', key, end)
  }
}

/** The commands of a batch. */
export function batchCommands(batch: JournalBatch, names: JournalKeys, retention: Retention): BatchCommands {
  const to = new Commands()
  if (batch.events.length > 0) {
    const events = to.key(names.events, 'stream')
    for (const event of batch.events) {
      to.add('XADD', events, 'MAXLEN', '~', retention.maxEvents, '*', ...eventFields(event))
    }
  }
  for (const tally of batch.tallies) addTally(to, tally, names, retention)
  return to
}
