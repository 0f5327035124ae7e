/**
 * Delivery into a Redis stream: an entry for each copy, with its envelope and its octets as they came
 * (docs/delivery.md has the fields). A stream that is full takes no more: nothing is ever trimmed, for what would go is
 * mail that nobody has read.
 */
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import { makeReply, type Reply } from '../core/reply.ts'
import { atMost } from './at-most.ts'
import { entryFields } from './stream-entry.ts'
import { ADD, ADD_ONCE, MARKER_SECONDS, markerKey, TAKE_BACK } from './stream-scripts.ts'

type Argument = string | number | Buffer

/** The delivery's own connection to Redis. What is asked of it rejects if Redis is away or does not do it. */
export interface StreamServer {
  /** Runs a script, atomically. */
  run(
    script: { readonly lua: string; readonly sha: string },
    keys: readonly string[],
    args: readonly Argument[],
  ): Promise<unknown>
  one(name: string, ...args: Argument[]): Promise<unknown>
  close(): Promise<void>
}

export interface StreamSettings {
  /** Its name in the configuration. */
  readonly name: string
  readonly key: string
  /** Entries that the stream may hold. */
  readonly maxEntries: number
  /** In octets. */
  readonly maxMessageSize: number
  /** How many replicas must have an entry. */
  readonly waitReplicas: number
  /** How long they are waited for. */
  readonly replicaTimeoutMs: number
  /** Called when it is first needed. */
  readonly connect: () => Promise<StreamServer>
  /** How long a message may wait for its turn; a minute if not given. */
  readonly turnTimeoutMs?: number
}

/** Messages that are in memory at the same time. */
const MAX_IN_MEMORY = 4

const TURN_TIMEOUT_MS = 60_000

/** Why an entry was not kept, for the log. */
export class StreamError extends Error {
  readonly code = 'POSTERN_STREAM'
  override readonly name = 'StreamError'
}

function made(code: number, enhanced: string, text: string): Reply {
  const reply = makeReply(code, enhanced, text)
  if (!reply.ok) throw new Error(`the reply ${code} ${enhanced} ${text}: ${reply.problem}`)
  return reply.value
}

const FULL = made(451, '4.3.1', 'There is no room for the message at the moment; try again later')
const TOO_BIG = made(552, '5.3.4', 'The message is larger than its destination takes')

async function wholeOf(message: Message): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of message.read()) pieces.push(piece)
  return Buffer.concat(pieces)
}

export function createStreamDelivery(settings: StreamSettings): Delivery {
  const { name, key, maxEntries, maxMessageSize, waitReplicas } = settings
  const { turnTimeoutMs = TURN_TIMEOUT_MS } = settings
  // WAIT holds up what comes behind it on the connection.
  const inTurn = atMost(waitReplicas > 0 ? 1 : MAX_IN_MEMORY)
  const underWay = new Set<Promise<unknown>>()
  let connecting: Promise<StreamServer> | undefined

  function server(): Promise<StreamServer> {
    connecting ??= settings.connect()
    return connecting
  }

  /** Waits for the replicas, and takes the entry back if they do not have it: the message will come again. */
  async function makeSure(redis: StreamServer, id: string, marker: string | undefined): Promise<void> {
    if (waitReplicas === 0) return
    let have: unknown
    try {
      have = await redis.one('WAIT', waitReplicas, settings.replicaTimeoutMs)
    } catch (cause) {
      throw new StreamError(`${key}: not known whether ${waitReplicas} replicas have the entry`, { cause })
    }
    if (typeof have === 'number' && have >= waitReplicas) return
    const back = marker === undefined ? redis.one('XDEL', key, id) : redis.run(TAKE_BACK, [key, marker], [id])
    await back.catch(() => {})
    throw new StreamError(`${key}: ${String(have)} replicas of ${waitReplicas} have the entry`)
  }

  function full(): DeliveryOutcome {
    const cause = new StreamError(`${key} holds ${maxEntries} entries that nobody has removed`)
    return { kind: 'refused', reply: FULL, cause }
  }

  /** Adds an entry, with a marker only once; without fields it tells whether there is room. */
  function add(
    redis: StreamServer,
    marker: string | undefined,
    fields: readonly Argument[],
  ): Promise<unknown> {
    return marker === undefined
      ? redis.run(ADD, [key], [maxEntries, ...fields])
      : redis.run(ADD_ONCE, [key, marker], [maxEntries, MARKER_SECONDS, ...fields])
  }

  async function put(
    envelope: Envelope,
    octets: Buffer,
    to: DeliveryRecipient,
    marker: string | undefined,
  ): Promise<DeliveryOutcome> {
    try {
      const redis = await server()
      const id = await add(redis, marker, entryFields(envelope, octets, to))
      if (id === null) return full()
      await makeSure(redis, String(id), marker)
      return { kind: 'delivered' }
    } catch (cause) {
      return { kind: 'failed', cause }
    }
  }

  async function deliver(
    envelope: Envelope,
    message: Message,
    recipients: readonly DeliveryRecipient[],
    marker?: string,
  ): Promise<readonly DeliveryOutcome[]> {
    const all = (outcome: DeliveryOutcome): readonly DeliveryOutcome[] => recipients.map(() => outcome)
    if (message.size > maxMessageSize) {
      const cause = new StreamError(`${key} takes messages of up to ${maxMessageSize} octets`)
      return all({ kind: 'refused', reply: TOO_BIG, cause })
    }
    const asked = performance.now()
    return inTurn(async () => {
      if (performance.now() - asked > turnTimeoutMs) {
        return all({ kind: 'failed', cause: new StreamError(`${key}: waited too long for a turn`) })
      }
      try {
        // Asked without the message first: Redis learns the script, and nothing is sent that has no room.
        if ((await add(await server(), marker, [])) === null) return all(full())
        const octets = await wholeOf(message)
        const outcomes: DeliveryOutcome[] = []
        for (const to of recipients) outcomes.push(await put(envelope, octets, to, marker))
        return outcomes
      } catch (cause) {
        return all({ kind: 'failed', cause })
      }
    })
  }

  /** What is under way is waited for at the end. */
  async function keptInSight<T>(work: Promise<T>): Promise<T> {
    underWay.add(work)
    try {
      return await work
    } finally {
      underWay.delete(work)
    }
  }

  return {
    name,
    deliver: (envelope, message, recipients) => keptInSight(deliver(envelope, message, recipients)),
    async deliverOnce(envelope, message, to, { key: copy }) {
      const [outcome] = await keptInSight(deliver(envelope, message, [to], markerKey(key, copy)))
      return outcome ?? { kind: 'failed', cause: new StreamError(`${key}: nothing was said of the copy`) }
    },
    async close() {
      await Promise.all(underWay)
      const redis = await connecting?.catch(() => undefined)
      await redis?.close()
    },
  }
}
