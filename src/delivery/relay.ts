/**
 * Delivery to a next hop that speaks LMTP (RFC 2033): Mailman's runner, Dovecot, any other. A message goes there once
 * for all its recipients, and each one's own reply is passed back; the next hop's 250 comes before ours, always.
 *
 * It goes more than once where the next hop takes no more recipients at a time, and where a recipient is named twice:
 * some servers answer for two that are the same only once, and nobody could tell whose the next reply is.
 */
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import { RelayConnection, type RelayConnectionSettings, type Until } from './relay-connection.ts'
import { asFault, RelayFault } from './relay-fault.ts'
import { traitsOf } from './relay-message.ts'
import { RelayPool, type RelayPoolSettings } from './relay-pool.ts'
import { type Outgoing, type Transacted, transact } from './relay-transaction.ts'

export interface RelaySettings extends RelayConnectionSettings, RelayPoolSettings {
  /** Its name in the configuration. */
  readonly name: string
  /** Of one transaction. */
  readonly maxRecipients: number
  /** For all of a message. */
  readonly timeoutMs: number
  /** Whether the next hop is told by XFORWARD who the client was, where it offers that. */
  readonly xforward: boolean
}

/** The next transaction's recipients among those that are left: no two the same, and no more than `limit`. */
function batchOf(left: readonly number[], recipients: readonly DeliveryRecipient[], limit: number): number[] {
  const batch = new Map<string, number>()
  for (const place of left) {
    const key = recipients[place]?.recipient.key ?? ''
    if (!batch.has(key)) batch.set(key, place)
    if (batch.size === limit) break
  }
  return [...batch.values()]
}

/** One message on its way: the connection that it uses, which may be another one after a while. */
class Passage {
  readonly #settings: RelaySettings
  readonly #pool: RelayPool
  readonly #mail: Outgoing
  readonly #until: Until
  #connection: RelayConnection | undefined

  constructor(settings: RelaySettings, pool: RelayPool, mail: Outgoing, until: Until) {
    this.#settings = settings
    this.#pool = pool
    this.#mail = mail
    this.#until = until
  }

  /** Hands the message over for all recipients, and gives what became of each. */
  async run(recipients: readonly DeliveryRecipient[]): Promise<readonly DeliveryOutcome[]> {
    const outcomes: DeliveryOutcome[] = []
    let left = recipients.map((_, place) => place)
    let limit = this.#settings.maxRecipients
    try {
      while (left.length > 0) {
        const batch = batchOf(left, recipients, limit)
        const { fates, fault } = await this.#transact(batch.map(place => recipients[place]).filter(isThere))
        const settled = new Set<number>()
        for (const [index, place] of batch.entries()) {
          const fate = fates[index]
          if (fate === undefined || fate.kind === 'again') continue
          outcomes[place] = fate
          settled.add(place)
        }
        left = left.filter(place => !settled.has(place))
        if (fault !== undefined) throw fault
        limit = Math.min(limit, settled.size)
      }
    } catch (error) {
      const cause = asFault(error)
      for (const place of left) outcomes[place] = { kind: 'failed', cause }
    }
    if (this.#connection !== undefined) this.#pool.keep(this.#connection)
    return outcomes
  }

  /**
   * One transaction. A connection that was kept may have died since, which shows when it is used: then another one is
   * tried, but never after the final dot, as the next hop may have taken the message.
   */
  async #transact(recipients: readonly DeliveryRecipient[]): Promise<Transacted> {
    const addresses = recipients.map(({ recipient }) => recipient)
    const kept = this.#connection ?? this.#pool.takeIdle()
    this.#connection = kept ?? (await RelayConnection.open(this.#settings, this.#until))
    const first = await transact(this.#connection, this.#mail, addresses, this.#until)
    if (kept === undefined || first.fault?.kind !== 'lost' || first.isFinished) return first
    // The others were kept as long, and have died of the same cause.
    this.#pool.closeIdle()
    this.#connection = undefined
    this.#connection = await RelayConnection.open(this.#settings, this.#until)
    return transact(this.#connection, this.#mail, addresses, this.#until)
  }
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined
}

/** A delivery to a next hop. It has nowhere to hold copies: those must go elsewhere. */
export function createRelayDelivery(settings: RelaySettings): Delivery {
  const pool = new RelayPool(settings)
  const { name, hostname, xforward, timeoutMs } = settings

  async function handOver(
    envelope: Envelope,
    message: Message,
    recipients: readonly DeliveryRecipient[],
  ): Promise<readonly DeliveryOutcome[]> {
    const until = performance.now() + timeoutMs
    const mail = { envelope, message, hostname, xforward, traits: await traitsOf(message) }
    return pool.inTurn(until, () => new Passage(settings, pool, mail, until).run(recipients))
  }

  return {
    name,
    close: () => pool.close(),
    async deliver(envelope, message, recipients) {
      try {
        return await handOver(envelope, message, recipients)
      } catch (error) {
        const cause =
          error instanceof RelayFault ? error : new RelayFault('ours', 'the message cannot be read', error)
        return recipients.map(() => ({ kind: 'failed', cause }))
      }
    },
  }
}
