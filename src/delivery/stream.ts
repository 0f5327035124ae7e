/**
 * Delivery into a Redis stream: an entry for each copy, with its envelope and its octets as they came
 * (docs/delivery.md has the fields). A stream that is full takes no more: nothing is ever trimmed, for what would go is
 * mail that nobody has read.
 */
import { createHash } from 'node:crypto'
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import { makeReply, type Reply } from '../core/reply.ts'
import { atMost } from './at-most.ts'
import { entryFields } from './stream-entry.ts'

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

const LUA = `
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
if #ARGV == 1 then return '' end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
`

/**
 * Adds an entry if there is room for it.
 * KEYS: stream. ARGV: entries that it may hold, then field, value, …. Returns the entry's id, or nil if it is full.
 * Without fields it only tells whether there is room.
 */
const ADD = { lua: LUA, sha: createHash('sha1').update(LUA).digest('hex') }

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
  async function makeSure(redis: StreamServer, id: string): Promise<void> {
    if (waitReplicas === 0) return
    let have: unknown
    try {
      have = await redis.one('WAIT', waitReplicas, settings.replicaTimeoutMs)
    } catch (cause) {
      throw new StreamError(`${key}: not known whether ${waitReplicas} replicas have the entry`, { cause })
    }
    if (typeof have === 'number' && have >= waitReplicas) return
    await redis.one('XDEL', key, id).catch(() => {})
    throw new StreamError(`${key}: ${String(have)} replicas of ${waitReplicas} have the entry`)
  }

  function full(): DeliveryOutcome {
    const cause = new StreamError(`${key} holds ${maxEntries} entries that nobody has removed`)
    return { kind: 'refused', reply: FULL, cause }
  }

  async function add(envelope: Envelope, octets: Buffer, to: DeliveryRecipient): Promise<DeliveryOutcome> {
    try {
      const redis = await server()
      const id = await redis.run(ADD, [key], [maxEntries, ...entryFields(envelope, octets, to)])
      if (id === null) return full()
      await makeSure(redis, String(id))
      return { kind: 'delivered' }
    } catch (cause) {
      return { kind: 'failed', cause }
    }
  }

  async function deliver(
    envelope: Envelope,
    message: Message,
    recipients: readonly DeliveryRecipient[],
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
        if ((await (await server()).run(ADD, [key], [maxEntries])) === null) return all(full())
        const octets = await wholeOf(message)
        const outcomes: DeliveryOutcome[] = []
        for (const to of recipients) outcomes.push(await add(envelope, octets, to))
        return outcomes
      } catch (cause) {
        return all({ kind: 'failed', cause })
      }
    })
  }

  return {
    name,
    async deliver(envelope, message, recipients) {
      const delivered = deliver(envelope, message, recipients)
      underWay.add(delivered)
      try {
        return await delivered
      } finally {
        underWay.delete(delivered)
      }
    },
    async close() {
      await Promise.all(underWay)
      const redis = await connecting?.catch(() => undefined)
      await redis?.close()
    },
  }
}
