/**
 * Writes the journal off the answer path: decisions are gathered for a moment, made into events and written as one batch, the
 * next when the last is there. A batch whose answer was lost is written again under the same id, so that it counts once. While the
 * store is away, as many wait as there is room for; those beyond are lost, counted, and told of.
 */
import { tally } from './counters.ts'
import type { Decided } from './gate.ts'
import {
  BATCH_KNOWN_MS,
  type Heartbeat,
  type Journal,
  type JournalBatch,
  type JournalSink,
  type Retention,
} from './journal.ts'
import type { JournalEvent } from './journal-event.ts'
import { type AddressShown, eventOf, isNoted } from './journal-event.ts'
import type { Log } from './log.ts'
import { type Clock, StoreUnavailable } from './ports.ts'
import { Repeats, repeatKey } from './repeats.ts'

export interface JournalWriterParts {
  readonly sink: JournalSink
  readonly node: string
  readonly version: string
  readonly pid: number
  /** Names this writer among all that there ever were. */
  readonly writer: string
  /** May change, as may `addresses`. */
  readonly retention: Retention
  readonly addresses: AddressShown
  readonly clock: Clock
  readonly log: Log
}

/** In milliseconds: how long decisions are gathered. */
const GATHER_MS = 100

/** Events of one batch: the store does nothing else while it writes them. */
const MAX_BATCH = 200

/** Decisions that wait for the store. */
export const MAX_WAITING = 20_000

/** In milliseconds: the first pause after a failure, and the longest. */
const RETRY_MS = { first: 100, longest: 1000 } as const

/** In milliseconds. */
export const HEARTBEAT_MS = 5000

/** In milliseconds: how long the end waits for what is not yet written. */
const LAST_WORDS_MS = 3000

/** A decision that waits: as it came, or made into an event already, so that nothing large is kept. */
type Waiting = { readonly decided: Decided } | { readonly event: JournalEvent }

/** A batch under way, with what it tells of repetitions and losses. */
interface Underway {
  readonly batch: JournalBatch
  readonly made: number
  readonly repeated: number
  readonly lost: number
}

interface Outage {
  readonly since: number
  readonly lostBefore: number
  losing: boolean
}

export class JournalWriter implements Journal {
  readonly #parts: JournalWriterParts
  readonly #repeats = new Repeats<true>()
  readonly #started: number
  #waiting: Waiting[] = []
  #underway: Underway | undefined
  #batches = 0
  #written = 0
  #lost = 0
  /** Repetitions and losses that the counters do not have yet. */
  #repeatedUntold = 0
  #lostUntold = 0
  #outage: Outage | undefined
  #pause: number = RETRY_MS.first
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #beats: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  constructor(parts: JournalWriterParts) {
    this.#parts = parts
    this.#started = parts.clock()
  }

  /** Begins to tell every few seconds how the node is. */
  start(): void {
    const beat = (): void => void this.#beat('serving')
    beat()
    this.#beats ??= setInterval(beat, HEARTBEAT_MS)
    this.#beats.unref()
  }

  /** How the writer is. */
  heartbeat(state: Heartbeat['state'] = 'serving'): Heartbeat {
    const { node, pid, version, clock } = this.#parts
    return {
      node,
      pid,
      version,
      started: this.#started,
      time: clock(),
      state,
      written: this.#written,
      lost: this.#lost,
      waiting: this.#waiting.length + (this.#underway?.batch.events.length ?? 0),
    }
  }

  record(decided: Decided): void {
    if (!isNoted(decided)) return
    if (this.#waiting.length >= MAX_WAITING || this.#closed !== undefined) this.#lose(1)
    else if (decided.tx.phase !== 'END-OF-MESSAGE') this.#waiting.push({ decided })
    else {
      // It holds the message's header and the names of its parts.
      const event = this.#event(decided)
      if (event !== undefined) this.#waiting.push({ event })
    }
    if (this.#timer === undefined && this.#writing === undefined) this.#later(GATHER_MS)
  }

  /** Writes what there is, waits for that a short time if need be, and tells that the node stops. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { clock, sink } = this.#parts
    clearInterval(this.#beats)
    const end = clock() + LAST_WORDS_MS
    for (;;) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#start()
      await this.#writing
      if (!this.#hasWork() || clock() >= end) break
      if (this.#outage !== undefined) await new Promise(resolve => setTimeout(resolve, RETRY_MS.first))
    }
    clearTimeout(this.#timer)
    if (this.#underway !== undefined) this.#giveUp(this.#underway)
    if (this.#waiting.length > 0) this.#lose(this.#waiting.length)
    this.#waiting = []
    if (this.#outage !== undefined) this.#tell('journal entries lost at the end')
    await sink.beat(this.heartbeat('stopped')).catch(() => {})
  }

  #hasWork(): boolean {
    return (
      this.#underway !== undefined || this.#waiting.length > 0 || this.#repeatedUntold + this.#lostUntold > 0
    )
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#start()
    }, ms)
    this.#timer.unref()
  }

  #start(): void {
    if (this.#writing !== undefined || !this.#hasWork()) return
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined
      if (this.#hasWork() && this.#timer === undefined) {
        this.#later(this.#outage === undefined ? GATHER_MS : this.#pause)
      }
    })
  }

  /** Writes batches until less than a whole one waits, or the store fails. */
  async #write(): Promise<void> {
    const { sink, retention } = this.#parts
    do {
      const underway = this.#underway ?? this.#nextBatch()
      this.#underway = underway
      try {
        await sink.append(underway.batch, retention)
      } catch (error) {
        this.#failed(underway, error)
        return
      }
      this.#underway = undefined
      this.#written += underway.batch.events.length
      this.#recovered()
    } while (this.#waiting.length >= MAX_BATCH)
  }

  #nextBatch(): Underway {
    const { writer, clock } = this.#parts
    const events: JournalEvent[] = []
    for (const each of this.#waiting.splice(0, MAX_BATCH)) {
      const event = 'event' in each ? each.event : this.#event(each.decided)
      if (event !== undefined) events.push(event)
    }
    const [repeated, lost] = [this.#repeatedUntold, this.#lostUntold]
    this.#repeatedUntold = 0
    this.#lostUntold = 0
    const time = clock()
    const tallies = tally(events, repeated + lost > 0 ? { time, repeated, lost } : undefined)
    const batch = { writer, id: `${writer}-${++this.#batches}`, events, tallies }
    return { batch, made: time, repeated, lost }
  }

  /** The event of a decision, unless it is a repetition. */
  #event(decided: Decided): JournalEvent | undefined {
    const { tx, verdict, at, queueId, ref } = decided
    const { node, addresses, log } = this.#parts
    try {
      const key = repeatKey(tx, verdict, queueId)
      const first = (): true => true
      // A reason id that was given away must be found.
      if (key !== undefined && this.#repeats.first(`${key}${ref ?? ''}`, at, first).repeated) {
        this.#repeatedUntold++
        return undefined
      }
      return eventOf(decided, node, addresses)
    } catch (cause) {
      log.error('journal entry not made', { cause })
      this.#lose(1)
      return undefined
    }
  }

  #lose(count: number): void {
    this.#lost += count
    this.#lostUntold += count
    if (this.#outage === undefined || this.#outage.losing) return
    this.#outage.losing = true
    this.#parts.log.warn('journal entries are being lost', { waiting: this.#waiting.length })
  }

  #failed(underway: Underway, cause: unknown): void {
    const { log, clock } = this.#parts
    if (this.#outage === undefined) {
      log.warn('journal not written', { cause })
      this.#outage = { since: clock(), lostBefore: this.#lost, losing: false }
    }
    const again = cause instanceof StoreUnavailable && clock() - underway.made < BATCH_KNOWN_MS / 2
    if (!again) this.#giveUp(underway)
    this.#pause = Math.min(RETRY_MS.longest, this.#pause * 2)
  }

  /** Nobody knows whether the batch is there, or it can never be: it counts as lost. */
  #giveUp({ batch, repeated, lost }: Underway): void {
    this.#underway = undefined
    this.#repeatedUntold += repeated
    this.#lostUntold += lost
    if (batch.events.length > 0) this.#lose(batch.events.length)
  }

  #recovered(): void {
    if (this.#outage === undefined) return
    this.#tell('journal written again')
    this.#outage = undefined
    this.#pause = RETRY_MS.first
  }

  #tell(message: string): void {
    if (this.#outage === undefined) return
    const { since, lostBefore } = this.#outage
    const seconds = Math.round((this.#parts.clock() - since) / 1000)
    this.#parts.log.info(message, { seconds, lost: this.#lost - lostBefore })
  }

  #beat(state: Heartbeat['state']): Promise<void> {
    // Whether the store answers is said where decisions need it; a beat that is missed is seen where nodes are shown.
    return this.#parts.sink.beat(this.heartbeat(state)).catch(() => {})
  }
}
