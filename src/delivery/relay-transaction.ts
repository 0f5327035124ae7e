/**
 * One LMTP transaction (RFC 2033): the envelope, in one piece where the next hop offers PIPELINING, the message, and a
 * reply for each recipient that was taken, in order.
 *
 * A copy is delivered by a 250 that is its own and comes after the final dot, and by nothing else. Whatever cannot be
 * understood leaves those without a reply undecided: their mail stays with the MTA.
 */
import type { DeliveryOutcome, Envelope, Message } from '../app/message.ts'
import type { Address } from '../core/address.ts'
import type { RelayConnection, Until } from './relay-connection.ts'
import { asFault, RelayFault } from './relay-fault.ts'
import { type Traits, WireWriter } from './relay-message.ts'
import { enhancedOf, type NextHopReply, passedOn, replyInWords } from './relay-replies.ts'
import { xforwardCommands } from './relay-xforward.ts'
import { receivedField } from './trace-fields.ts'

/** A message that is to be handed over. */
export interface Outgoing {
  readonly envelope: Envelope
  readonly message: Message
  readonly traits: Traits
  /** What we call ourselves in the Received field. */
  readonly hostname: string
  /** Whether the next hop is told who the client was. */
  readonly xforward: boolean
}

/** What became of one recipient. `again` is not settled: the next hop takes no more recipients in this transaction. */
export type Fate = DeliveryOutcome | { readonly kind: 'again' }

export interface Transacted {
  /** In the recipients' order. */
  readonly fates: readonly Fate[]
  /** What ended the transaction before its time, if something did. */
  readonly fault: RelayFault | undefined
  /** Whether the final dot was sent: after it the next hop may have taken the message, whatever we heard of it. */
  readonly isFinished: boolean
}

/** Octets that are put together before they are sent. */
const PIECE_OCTETS = 65_536

const FINAL_DOT = Buffer.from('.\r\n')

/** Replies that speak of the conversation and not of the mail: 502, 503, and "authentication required" (RFC 4954). */
const OF_THE_CONVERSATION: ReadonlySet<number> = new Set([502, 503, 530])

type ReplyClass = 'good' | 'go-on' | 'bad'

function classOf({ code }: NextHopReply): ReplyClass {
  return code < 300 ? 'good' : code < 400 ? 'go-on' : 'bad'
}

function nonsense(command: string, reply: NextHopReply): RelayFault {
  return new RelayFault('nonsense', `its answer to ${command} was ${replyInWords(reply)}`)
}

/** The outcome for a recipient that was told no. */
function refused(reply: NextHopReply): DeliveryOutcome {
  if (!OF_THE_CONVERSATION.has(reply.code)) return { kind: 'refused', reply: passedOn(reply) }
  return { kind: 'failed', cause: new RelayFault('nonsense', `it said ${replyInWords(reply)}`) }
}

/** Whether a recipient was refused for being one too many (RFC 5321 §4.5.3.1.10, where 552 is an old way to say 452). */
function isOneTooMany(reply: NextHopReply): boolean {
  const enhanced = enhancedOf(reply)
  return (
    (reply.code === 452 || reply.code === 552) && (enhanced === undefined || /^[45]\.5\.3$/.test(enhanced))
  )
}

const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text)

/** The whole of a transaction, while it lasts. */
class Transaction {
  readonly #connection: RelayConnection
  readonly #mail: Outgoing
  readonly #recipients: readonly Address[]
  readonly #until: Until
  readonly fates: Fate[] = []
  isFinished = false
  /** The field that goes before the message. */
  #head: Buffer = Buffer.alloc(0)

  constructor(connection: RelayConnection, mail: Outgoing, recipients: readonly Address[], until: Until) {
    this.#connection = connection
    this.#mail = mail
    this.#recipients = recipients
    this.#until = until
  }

  /** @throws RelayFault; what was settled before stays settled */
  async run(): Promise<void> {
    const places = this.#reachable()
    if (places.length === 0) return
    this.#head = this.#headFor(places)
    const taken = await this.#envelope(places)
    if (taken.length === 0) return
    await this.#content(taken.length)
    for (const place of taken) this.fates[place] = await this.#verdict()
  }

  /** The places of the recipients that the next hop can be told of. @throws RelayFault if it cannot have the message */
  #reachable(): readonly number[] {
    const { traits, envelope } = this.#mail
    const { offer } = this.#connection
    if (traits.isEightBit && !offer.eightBit) {
      throw new RelayFault('unsuited', 'the message is not ASCII and the next hop does not offer 8BITMIME')
    }
    const needsUtf8 = !isAscii(envelope.sender.text) || (envelope.smtputf8 && traits.hasUtf8Header)
    if (needsUtf8 && !offer.smtputf8) {
      throw new RelayFault('unsuited', 'the message needs SMTPUTF8 and the next hop does not offer it')
    }
    const places: number[] = []
    for (const [place, { text }] of this.#recipients.entries()) {
      if (offer.smtputf8 || isAscii(text)) places.push(place)
      else {
        const cause = new RelayFault(
          'unsuited',
          'the recipient needs SMTPUTF8 and the next hop does not offer it',
        )
        this.fates[place] = { kind: 'failed', cause }
      }
    }
    return places
  }

  #mailCommand(places: readonly number[]): string {
    const { envelope, traits } = this.#mail
    const { offer } = this.#connection
    const texts = [envelope.sender.text, ...places.map(place => this.#recipients[place]?.text ?? '')]
    if (texts.some(text => /[\x00-\x1f\x7f]/.test(text)))
      throw new Error('an address holds a control character')
    const utf8 = offer.smtputf8 && (envelope.smtputf8 || !texts.every(isAscii))
    return [
      `MAIL FROM:<${envelope.sender.text}>`,
      ...(offer.size ? [`SIZE=${traits.octets + this.#head.length}`] : []),
      ...(traits.isEightBit ? ['BODY=8BITMIME'] : []),
      ...(utf8 ? ['SMTPUTF8'] : []),
    ].join(' ')
  }

  /** Says who it is from and for, and DATA. Gives the places of those whom the next hop takes, if it wants the message. */
  async #envelope(places: readonly number[]): Promise<readonly number[]> {
    const connection = this.#connection
    const { pipelining, xforward } = connection.offer
    const preamble = [
      ...(connection.needsReset ? ['RSET'] : []),
      ...(this.#mail.xforward ? xforwardCommands(this.#mail.envelope.client, xforward) : []),
    ]
    const mail = this.#mailCommand(places)
    const rcpts = places.map(place => `RCPT TO:<${this.#recipients[place]?.text}>`)
    if (pipelining) connection.say([...preamble, mail, ...rcpts, 'DATA'])
    const answer = (command: string): Promise<NextHopReply> => {
      if (!pipelining) connection.say([command])
      return this.#reply()
    }

    for (const command of preamble) await answer(command)
    connection.needsReset = true
    const toMail = await answer(mail)
    if (classOf(toMail) === 'go-on') throw nonsense('MAIL', toMail)
    if (classOf(toMail) === 'bad') {
      for (const place of places) this.fates[place] = refused(toMail)
      if (pipelining) await this.#nobodyTaken(rcpts.length)
      return []
    }

    const taken: number[] = []
    const refusals = new Map<number, NextHopReply>()
    for (const [index, place] of places.entries()) {
      const reply = await answer(rcpts[index] ?? '')
      if (classOf(reply) === 'go-on') throw nonsense('RCPT', reply)
      if (classOf(reply) === 'good') taken.push(place)
      else refusals.set(place, reply)
    }
    for (const [place, reply] of refusals) {
      this.fates[place] = taken.length > 0 && isOneTooMany(reply) ? { kind: 'again' } : refused(reply)
    }
    if (taken.length === 0) {
      if (pipelining) await this.#nobodyTaken(0)
      return []
    }

    const toData = await answer('DATA')
    if (toData.code === 354) return taken
    if (classOf(toData) !== 'bad') throw nonsense('DATA', toData)
    for (const place of taken) this.fates[place] = refused(toData)
    return []
  }

  /** Hears out the answers to what was sent ahead. A next hop that waits for a message to nobody gets none. */
  async #nobodyTaken(rcpts: number): Promise<void> {
    for (let heard = 0; heard < rcpts; heard++) await this.#reply()
    const toData = await this.#reply()
    if (classOf(toData) !== 'bad') throw nonsense('DATA', toData)
  }

  /** An answer to a command. 421 ends the connection, whatever it is the answer to (RFC 5321 §3.8). */
  async #reply(): Promise<NextHopReply> {
    const reply = await this.#connection.reply(this.#until)
    if (reply.code === 421) throw new RelayFault('lost', `it said ${replyInWords(reply)}`)
    return reply
  }

  #headFor(places: readonly number[]): Buffer {
    const [only, ...others] = places
    const recipient = only === undefined || others.length > 0 ? undefined : this.#recipients[only]
    return Buffer.from(receivedField(this.#mail.envelope, recipient, this.#mail.hostname))
  }

  /** Sends the message, a piece at a time, and the final dot with the last piece. */
  async #content(taken: number): Promise<void> {
    const writer = new WireWriter()
    let waiting: Uint8Array[] = [this.#head]
    let length = this.#head.length
    for await (const piece of this.#mail.message.read()) {
      for (const part of writer.take(piece)) {
        waiting.push(part)
        length += part.length
      }
      if (length < PIECE_OCTETS) continue
      await this.#connection.write(Buffer.concat(waiting), this.#until)
      waiting = []
      length = 0
    }
    const last = Buffer.concat([...waiting, ...writer.end(), FINAL_DOT])
    this.#connection.finish(last, taken)
    this.isFinished = true
    this.#connection.needsReset = false
  }

  /** The reply for the next one of those who were taken. */
  async #verdict(): Promise<DeliveryOutcome> {
    const reply = await this.#connection.reply(this.#until, { patience: true })
    if (classOf(reply) === 'bad') return refused(reply)
    // Not any 2xx: a 221, say, tells of the connection's end and of no delivery.
    if (reply.code >= 250 && reply.code <= 252) return { kind: 'delivered', reply: passedOn(reply) }
    throw nonsense('the message', reply)
  }
}

/**
 * Hands a message to a next hop for some recipients, of whom no two should be the same. Does not reject. A
 * connection that is out of step afterwards is closed.
 */
export async function transact(
  connection: RelayConnection,
  mail: Outgoing,
  recipients: readonly Address[],
  until: Until,
): Promise<Transacted> {
  const transaction = new Transaction(connection, mail, recipients, until)
  let fault: RelayFault | undefined
  try {
    await transaction.run()
  } catch (error) {
    fault = asFault(error)
    if (fault.kind !== 'unsuited') connection.destroy()
  }
  const fates = recipients.map(
    (_, place): Fate => transaction.fates[place] ?? { kind: 'failed', cause: fault },
  )
  return { fates, fault, isFinished: transaction.isFinished }
}
