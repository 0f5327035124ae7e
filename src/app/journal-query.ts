/**
 * Questions to the journal: which events there are of a kind, what becomes of a reason id, and what comes next. All of it reads
 * the events in pages, the latest first, within bounds.
 */
import type { JournalReader, StoredEvent } from './journal.ts'
import type { JournalEvent } from './journal-event.ts'
import { type ReasonId, timesOf } from './reason-id.ts'

/** What events are wanted; what is absent does not matter. */
export interface EventFilter {
  readonly list?: string | undefined
  /** An address as it stands in the journal, in any case; empty is the null sender. */
  readonly sender?: string | undefined
  readonly verdict?: string | undefined
  readonly reason?: string | undefined
  /** Milliseconds since the epoch. */
  readonly since?: number | undefined
}

/** Events of one page. */
const PAGE = 500

/** Whether an event is wanted. In shadow mode, what would have been said counts as said. */
export function matches(event: JournalEvent, filter: EventFilter): boolean {
  const { list, sender, verdict, reason, since } = filter
  return (
    (list === undefined || event.list === list) &&
    (sender === undefined || event.sender?.toLowerCase() === sender.toLowerCase()) &&
    (verdict === undefined || event.verdict === verdict || event.would === verdict) &&
    (reason === undefined || event.reason === reason || event.wouldReason === reason) &&
    (since === undefined || event.time >= since)
  )
}

/** When an event was written, by its id. */
function writtenAt({ id }: StoredEvent): number {
  return Number(id.slice(0, id.indexOf('-')))
}

/** The events that are wanted, the latest first. Reads on only as far as it is asked. */
export async function* history(reader: JournalReader, filter: EventFilter): AsyncGenerator<StoredEvent> {
  for (let id: string | undefined; ; ) {
    const page = await reader.before(id, PAGE)
    for (const event of page) if (matches(event, filter)) yield event
    const last = page.at(-1)
    if (last === undefined) return
    // No event is written before it happens.
    if (filter.since !== undefined && writtenAt(last) < filter.since) return
    id = last.id
  }
}

/** The last `limit` events that are wanted, the earliest first, and the id after which others come. */
export async function lastEvents(
  reader: JournalReader,
  filter: EventFilter,
  limit: number,
): Promise<{ readonly events: readonly StoredEvent[]; readonly end: string | undefined }> {
  const [newest] = await reader.before(undefined, 1)
  const events: StoredEvent[] = []
  if (newest === undefined) return { events, end: undefined }
  const ordered = (id: string): readonly number[] => id.split('-').map(Number)
  const [endMs = 0, endNumber = 0] = ordered(newest.id)
  for await (const event of history(reader, filter)) {
    const [ms = 0, number = 0] = ordered(event.id)
    // What came meanwhile is told by whoever follows from there.
    if (ms > endMs || (ms === endMs && number > endNumber)) continue
    if (events.length >= limit) break
    events.push(event)
  }
  return { events: events.reverse(), end: newest.id }
}

/** In milliseconds: how often there is a look for new events. */
const LOOK_EVERY_MS = 250

export interface FollowOptions {
  /** The id after which to begin; without it, at the first event that comes from now on. */
  readonly after?: string | undefined
  readonly signal: AbortSignal
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/** New events as they come, in order, until the signal says stop. Rejects with `StoreUnavailable` if the store goes away. */
export async function* follow(
  reader: JournalReader,
  { after, signal }: FollowOptions,
): AsyncGenerator<StoredEvent> {
  let id = after ?? (await reader.before(undefined, 1))[0]?.id
  while (!signal.aborted) {
    const page = await reader.after(id, PAGE)
    for (const event of page) {
      yield event
      id = event.id
    }
    if (page.length < PAGE && !signal.aborted) await pause(LOOK_EVERY_MS, signal)
  }
}

/** Between the answer and the journal, in milliseconds: usually, and where clocks differ or the store was away. */
const WINDOWS = [
  { before: 2000, after: 10_000 },
  { before: 300_000, after: 1_800_000 },
] as const

/** Events read for one id in one window, so that an id in a flood does not cost all of it. */
const MOST_READ = 200_000

async function within(
  reader: JournalReader,
  id: ReasonId,
  from: number,
  to: number,
): Promise<readonly StoredEvent[]> {
  let read = 0
  for (let at = `${Math.max(0, from)}-0`; read < MOST_READ; ) {
    const page = await reader.after(at, PAGE)
    const found = page.filter(event => event.ref === id && writtenAt(event) <= to)
    if (found.length > 0) return found
    const last = page.at(-1)
    if (last === undefined || writtenAt(last) > to) break
    read += page.length
    at = last.id
  }
  return []
}

/**
 * The events of a reason id: one nearly always, several if two hosts made the same one in the same second. The id says when it was
 * made, give or take 48 days, so that only events of about that time are read.
 */
export async function eventsOf(
  reader: JournalReader,
  id: ReasonId,
  now: number,
): Promise<readonly StoredEvent[]> {
  const [first] = await reader.after(undefined, 1)
  if (first === undefined) return []
  for (const window of WINDOWS) {
    for (const time of timesOf(id, Math.min(first.time, writtenAt(first)) - window.after, now + 60_000)) {
      const found = await within(reader, id, time - window.before, time + window.after)
      if (found.length > 0) return found
    }
  }
  return []
}
