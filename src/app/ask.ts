/**
 * A question put by hand: what would an MTA that tells this be answered? The texts of a person are read into a
 * transaction, and what its phase takes for granted from the phases before it is found out by the same law.
 */
import {
  type Address,
  NULL_SENDER,
  parseAddress,
  parseForwardPath,
  type ReversePath,
} from '../core/address.ts'
import { parseIpAddress } from '../core/network.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import type { AcceptedRecipient, Authorship, Client, Front, Phase, Transaction } from '../core/transaction.ts'
import { acceptedKind, type Verdict } from '../core/verdict.ts'
import type { Explanation, Gate } from './gate.ts'
import type { MessageReading } from './message-reader.ts'

/** What is known of a question, as text. */
export interface QuestionTexts {
  readonly phase: Phase
  readonly client: { readonly ip?: string; readonly name?: string; readonly helo?: string }
  /** An address or a path; `<>` and empty are the null sender. */
  readonly sender?: string
  readonly recipients: readonly string[]
  readonly recipientsBefore?: number
  /** In octets. */
  readonly size?: number
  /** The mailboxes of From:. */
  readonly authors?: readonly string[]
  /** Those of Sender: and Reply-To:. */
  readonly otherAuthors?: readonly string[]
  /** At END-OF-MESSAGE: what the message says, and how many lists it goes to. */
  readonly reading?: MessageReading
  readonly lists?: number
  readonly afterAcceptance?: boolean
}

/** A question whose parts have been understood. */
export interface Question {
  readonly phase: Phase
  readonly client: Client
  readonly sender: ReversePath
  readonly recipients: readonly Address[]
  readonly recipientsBefore: number
  readonly size: number | undefined
  /** As told, or else as the message says. */
  readonly authorship: Authorship
  readonly reading: MessageReading | undefined
  readonly lists: number | undefined
  readonly afterAcceptance: boolean
}

/** A recipient whom RCPT would have refused, so that the later phase does not come to be asked about them. */
export interface RefusedBefore {
  readonly recipient: Address
  readonly verdict: Verdict
}

export interface Answer extends Explanation {
  readonly refusedBefore: readonly RefusedBefore[]
}

function readMailbox(text: string): Parsed<Address> {
  const address = text.startsWith('<') ? parseForwardPath(text) : parseAddress(text)
  return address.ok ? address : problem(`${JSON.stringify(text)}: ${address.problem}`)
}

function readAll(texts: readonly string[]): Parsed<readonly Address[]> {
  const addresses: Address[] = []
  for (const text of texts) {
    const address = readMailbox(text)
    if (!address.ok) return address
    addresses.push(address.value)
  }
  return parsed(addresses)
}

function readClient({ ip, name, helo }: QuestionTexts['client']): Parsed<Client> {
  const address = ip === undefined ? undefined : parseIpAddress(ip)
  if (address?.ok === false) return problem(`${JSON.stringify(ip)}: ${address.problem}`)
  return parsed({
    ...(address === undefined ? {} : { ip: address.value }),
    ...(name === undefined ? {} : { name }),
    ...(helo === undefined ? {} : { helo }),
  })
}

/** What each phase has to be told. */
function missing({ phase, sender, recipients }: QuestionTexts): string | undefined {
  if (phase === 'CONNECT' || phase === 'EHLO') return undefined
  if (sender === undefined) return `${phase} needs a sender; the null sender is written <>`
  if (phase === 'MAIL') return undefined
  if (recipients.length === 0) return `${phase} needs a list`
  return phase !== 'DATA' && recipients.length > 1 ? `${phase} is about one recipient` : undefined
}

/** Reads a question. */
export function readQuestion(texts: QuestionTexts): Parsed<Question> {
  const lacking = missing(texts)
  if (lacking !== undefined) return problem(lacking)
  const client = readClient(texts.client)
  if (!client.ok) return client
  const isNull = texts.sender === undefined || texts.sender === '' || texts.sender === '<>'
  const sender: Parsed<ReversePath> = isNull ? parsed(NULL_SENDER) : readMailbox(texts.sender ?? '')
  if (!sender.ok) return sender
  const recipients = readAll(texts.recipients)
  if (!recipients.ok) return recipients
  const authors = readAll(texts.authors ?? [])
  if (!authors.ok) return authors
  const otherAuthors = readAll(texts.otherAuthors ?? [])
  if (!otherAuthors.ok) return otherAuthors
  return parsed({
    phase: texts.phase,
    client: client.value,
    sender: sender.value,
    recipients: recipients.value,
    recipientsBefore: texts.recipientsBefore ?? 0,
    size: texts.size,
    authorship:
      texts.reading !== undefined && authors.value.length + otherAuthors.value.length === 0
        ? texts.reading.authorship
        : { from: authors.value, all: [...authors.value, ...otherAuthors.value] },
    reading: texts.reading,
    lists: texts.lists,
    afterAcceptance: texts.afterAcceptance ?? false,
  })
}

/** Asks the gate, noting and counting nothing. */
export class Asker {
  readonly #gate: Gate
  readonly #front: Front
  /** Names a message that was never posted, so that rates are judged and this one is not among them. */
  readonly #message: string

  constructor(gate: Gate, front: Front, message: string) {
    this.#gate = gate
    this.#front = front
    this.#message = message
  }

  /** Answers a question. Rejects with `StoreUnavailable` if the store is away. */
  async ask(question: Question): Promise<Answer> {
    const refusedBefore: RefusedBefore[] = []
    const tx = await this.#transaction(question, refusedBefore)
    return { ...(await this.#gate.explain(tx)), refusedBefore }
  }

  #rcpt(question: Question, recipient: Address): Transaction {
    // Only RCPT itself is told of a declared size; what was counted later may never have been declared.
    const { phase } = question
    const size = phase !== 'RCPT' || question.size === undefined ? {} : { size: question.size }
    const { client, sender, recipientsBefore, afterAcceptance } = question
    const front = this.#front
    return {
      phase: 'RCPT',
      front,
      client,
      sender,
      recipient,
      recipientsBefore,
      ...size,
      message: this.#message,
      ...(afterAcceptance && { afterAcceptance }),
    }
  }

  async #transaction(question: Question, refusedBefore: RefusedBefore[]): Promise<Transaction> {
    const { phase, client, sender } = question
    const situation = { front: this.#front, client }
    switch (phase) {
      case 'CONNECT':
      case 'EHLO':
        return { phase, ...situation }
      case 'MAIL':
        return { phase, ...situation, sender }
      case 'RCPT':
        return this.#rcpt(question, oneRecipient(question))
      case 'DATA': {
        const recipients: AcceptedRecipient[] = []
        for (const recipient of question.recipients) {
          const verdict = await this.#atRcpt(question, recipient, refusedBefore)
          if (verdict.kind === 'reject' || verdict.kind === 'defer') continue
          recipients.push({ recipient, kind: acceptedKind(verdict) })
        }
        return { phase, ...situation, sender, recipients }
      }
      case 'END-OF-MESSAGE': {
        const recipient = oneRecipient(question)
        const verdict = await this.#atRcpt(question, recipient, refusedBefore)
        const { authorship, reading, lists, afterAcceptance } = question
        return {
          phase,
          ...situation,
          sender,
          recipient,
          size: question.size ?? 0,
          settledAtRcpt: verdict.kind !== 'later',
          authorship,
          ...(reading !== undefined && { content: reading.content }),
          ...(lists !== undefined && { lists }),
          afterAcceptance,
        }
      }
    }
  }

  async #atRcpt(question: Question, recipient: Address, refusedBefore: RefusedBefore[]): Promise<Verdict> {
    const { verdict } = await this.#gate.explain(this.#rcpt(question, recipient))
    if (verdict.kind === 'reject' || verdict.kind === 'defer') refusedBefore.push({ recipient, verdict })
    return verdict
  }
}

function oneRecipient({ recipients, phase }: Question): Address {
  const [recipient] = recipients
  if (recipient === undefined) throw new Error(`a question about ${phase} without a recipient`)
  return recipient
}
