/**
 * One LMTP session (RFC 2033) as a state machine: what comes in, one event at a time, and what is to be done about
 * it. Pure and synchronous: it opens nothing, waits for nothing and knows no clock.
 *
 * Commands are obeyed strictly in order. After an `ask` or a `settle` the session takes nothing but the answer, so
 * whoever drives it leaves pipelined input where it is until then.
 */
import type { Address } from '../core/address.ts'
import type { Reply } from '../core/reply.ts'
import type { Verdict } from '../core/verdict.ts'
import type { LineProblem } from './codec.ts'
import { type MailArguments, parseMail, parseRcpt, splitCommand } from './command.ts'
import { lhloReply, REPLIES, replyLine, START_DATA } from './replies.ts'
import type {
  AskedTransaction,
  Effect,
  EndReason,
  SessionEvent,
  SessionSettings,
  Wanted,
} from './session-events.ts'
import {
  type AcceptedAtRcpt,
  isAccepting,
  type Mail,
  mailTransaction,
  rcptTransaction,
  replyTo,
} from './translate.ts'
import { clientOf, type Forwarded, parseXforward } from './xforward.ts'

interface Transaction extends Omit<Mail, 'recipients'> {
  readonly smtputf8: boolean
  readonly recipients: AcceptedAtRcpt[]
  /** RCPT commands that the gate was asked about. */
  asked: number
}

/** What an answer is waited for. */
type Question =
  | { readonly phase: 'MAIL'; readonly arguments: MailArguments }
  | { readonly phase: 'RCPT'; readonly transaction: Transaction; readonly recipient: Address }
  | { readonly phase: 'END-OF-MESSAGE'; readonly recipients: number }

/** A message whose data is coming in. */
interface Incomplete {
  readonly transaction: Transaction
  size: number
}

/** Faults of one session, since the last sender that was taken, before it is closed. */
const MAX_ERRORS = 20

const LINE_FAULTS: { readonly [P in LineProblem]: Reply } = {
  'too-long': REPLIES.lineTooLong,
  endless: REPLIES.lineTooLong,
  'bare-line-feed': REPLIES.bareLineFeed,
  'control-character': REPLIES.controlCharacter,
  'not-utf8': REPLIES.notUtf8,
}

/** An address is the sender's fault, not the MTA's. */
const ADDRESS_FAULTS: ReadonlySet<Reply> = new Set<Reply>([
  REPLIES.badRecipient,
  REPLIES.postmaster,
  REPLIES.misrouted,
])

const END_REPLIES: { readonly [R in EndReason]: Reply } = {
  shutdown: REPLIES.shuttingDown,
  idle: REPLIES.idle,
  'data-too-slow': REPLIES.dataTooSlow,
  fault: REPLIES.sessionFault,
}

/** Commands of SMTP and its extensions that LMTP or this sink does not have. */
const NOT_OFFERED = new Set(['EXPN', 'ETRN', 'TURN', 'AUTH', 'STARTTLS', 'XCLIENT', 'SEND', 'SOML', 'SAML'])

export class LmtpSession {
  readonly #settings: SessionSettings
  #mtaName: string | undefined
  #forwarded: Forwarded = {}
  #transaction: Transaction | undefined
  #incomplete: Incomplete | undefined
  #question: Question | undefined
  #errors = 0
  #closed = false

  constructor(settings: SessionSettings) {
    this.#settings = settings
  }

  get wanted(): Wanted {
    if (this.#closed) return 'nothing'
    if (this.#question !== undefined) return 'answer'
    return this.#incomplete === undefined ? 'line' : 'data'
  }

  step(event: SessionEvent): readonly Effect[] {
    if (this.#closed) return []
    switch (event.kind) {
      case 'connected':
        return [{ kind: 'reply', text: `220 ${this.#settings.hostname} LMTP Postern\r\n` }]
      case 'line':
        return this.#command(event.text)
      case 'bad-line':
        return this.#badLine(event.problem, event.text)
      case 'data':
        return this.#data(event.data)
      case 'data-end':
        return this.#dataEnd()
      case 'verdict':
        return this.#answered(event.verdict)
      case 'settled':
        return this.#settled(event.replies)
      case 'end': {
        const drop: readonly Effect[] = this.#incomplete === undefined ? [] : [{ kind: 'drop-message' }]
        return [...drop, ...this.#goodbye(END_REPLIES[event.reason])]
      }
    }
  }

  #command(line: string): readonly Effect[] {
    const { verb, rest } = splitCommand(line)
    switch (verb) {
      case 'LHLO':
        return this.#lhlo(rest)
      case 'MAIL':
        return this.#mail(rest)
      case 'RCPT':
        return this.#rcpt(rest)
      case 'DATA':
        return rest === '' ? this.#dataCommand() : this.#fault(REPLIES.argumentUnwanted)
      case 'RSET':
        if (rest !== '') return this.#fault(REPLIES.argumentUnwanted)
        this.#reset()
        return say(REPLIES.ok)
      case 'QUIT':
        return rest === '' ? this.#goodbye(REPLIES.bye) : this.#fault(REPLIES.argumentUnwanted)
      case 'NOOP':
        return say(REPLIES.ok)
      case 'HELP':
        return say(REPLIES.help)
      case 'VRFY':
        return rest === '' ? this.#fault(REPLIES.argumentMissing) : say(REPLIES.cannotVerify)
      case 'XFORWARD':
        return this.#xforward(rest)
      case 'HELO':
      case 'EHLO':
        return this.#fault(REPLIES.notLmtp)
      case 'BDAT':
        // What follows it is not commands but a message, whatever is answered.
        return this.#goodbye(REPLIES.notImplemented)
      default:
        return this.#fault(NOT_OFFERED.has(verb) ? REPLIES.notImplemented : REPLIES.unknownCommand)
    }
  }

  #badLine(problem: LineProblem, text = ''): readonly Effect[] {
    if (problem === 'endless') return this.#goodbye(REPLIES.lineTooLong)
    // An MTA took these addresses long ago. They are nobody's; refusing them here would make a bounce of each.
    const takenBefore = this.#settings.door === 'delivery' && /^(?:MAIL|RCPT) /i.test(text)
    return takenBefore ? this.#command(text) : this.#fault(LINE_FAULTS[problem])
  }

  #lhlo(name: string): readonly Effect[] {
    if (name === '' || name.includes(' ')) return this.#fault(REPLIES.lhloSyntax)
    this.#reset()
    this.#mtaName = name
    return [{ kind: 'reply', text: lhloReply(this.#settings) }]
  }

  #xforward(rest: string): readonly Effect[] {
    if (!this.#settings.xforward) return this.#fault(REPLIES.xforwardRefused)
    if (this.#transaction !== undefined) return this.#fault(REPLIES.notInTransaction)
    const told = parseXforward(rest, this.#forwarded)
    if (!told.ok) return this.#fault(REPLIES.xforwardSyntax)
    this.#forwarded = told.value
    return say(REPLIES.ok)
  }

  #mail(rest: string): readonly Effect[] {
    if (this.#mtaName === undefined) return this.#fault(REPLIES.lhloFirst)
    if (this.#transaction !== undefined) return this.#fault(REPLIES.nested)
    const mail = parseMail(rest)
    if (!mail.ok) return this.#fault(mail.fault)
    const { sender, size } = mail.value
    // What there is to say about the sender of a message that was taken is said of each recipient.
    if (this.#settings.door === 'delivery') return this.#begin(mail.value)
    if (size !== undefined && size > this.#settings.maxSize) return say(REPLIES.tooBig)
    this.#question = { phase: 'MAIL', arguments: mail.value }
    return this.#ask(mailTransaction(clientOf(this.#forwarded), sender))
  }

  #begin({ sender, size, smtputf8 }: MailArguments): readonly Effect[] {
    const client = clientOf(this.#forwarded)
    this.#transaction = { client, sender, declaredSize: size, smtputf8, recipients: [], asked: 0 }
    this.#errors = 0
    return say(REPLIES.senderOk)
  }

  #rcpt(rest: string): readonly Effect[] {
    const transaction = this.#transaction
    if (transaction === undefined) return this.#fault(REPLIES.mailFirst)
    const { door } = this.#settings
    const recipient = parseRcpt(rest, door)
    if (!recipient.ok) {
      return ADDRESS_FAULTS.has(recipient.fault) ? say(recipient.fault) : this.#fault(recipient.fault)
    }
    if (transaction.asked >= this.#settings.maxRecipients) return say(REPLIES.tooManyRecipients)
    transaction.asked++
    this.#question = { phase: 'RCPT', transaction, recipient: recipient.value }
    return this.#ask(rcptTransaction(transaction, recipient.value, door))
  }

  #dataCommand(): readonly Effect[] {
    const transaction = this.#transaction
    if (transaction === undefined) return this.#fault(REPLIES.mailFirst)
    if (transaction.recipients.length === 0) return this.#fault(REPLIES.rcptFirst)
    if (this.#settings.door === 'callout') return say(REPLIES.questionsOnly)
    this.#incomplete = { transaction, size: 0 }
    return [{ kind: 'begin-message' }, { kind: 'reply', text: START_DATA }]
  }

  #ask(tx: AskedTransaction): readonly Effect[] {
    return [{ kind: 'ask', tx, queueId: this.#forwarded.IDENT }]
  }

  #answered(verdict: Verdict): readonly Effect[] {
    const question = this.#question
    if (question === undefined || question.phase === 'END-OF-MESSAGE') throw new Error('nothing was asked')
    this.#question = undefined
    const reply = replyTo(question.phase, verdict, this.#settings.door)
    switch (question.phase) {
      case 'MAIL':
        return reply === undefined ? this.#begin(question.arguments) : say(reply)
      case 'RCPT': {
        const { transaction, recipient } = question
        if (isAccepting(verdict)) transaction.recipients.push({ recipient, verdict })
        return say(reply ?? REPLIES.ok)
      }
    }
  }

  #data(data: readonly Uint8Array[]): readonly Effect[] {
    const incomplete = this.#incomplete
    if (incomplete === undefined) throw new Error('no data was wanted')
    const before = incomplete.size
    for (const piece of data) incomplete.size += piece.length
    const { maxSize } = this.#settings
    if (incomplete.size <= maxSize) return [{ kind: 'append', data }]
    return before <= maxSize ? [{ kind: 'drop-message' }] : []
  }

  #dataEnd(): readonly Effect[] {
    const incomplete = this.#incomplete
    if (incomplete === undefined) throw new Error('no data was wanted')
    const { transaction, size } = incomplete
    this.#incomplete = undefined
    this.#question = { phase: 'END-OF-MESSAGE', recipients: transaction.recipients.length }
    const { client, sender, declaredSize, smtputf8, recipients } = transaction
    const mtaName = this.#mtaName ?? ''
    const queueId = this.#forwarded.IDENT
    const kept = size <= this.#settings.maxSize
    const mail = { client, sender, declaredSize, recipients, size, kept, smtputf8, mtaName, queueId }
    return [{ kind: 'settle', mail }]
  }

  /** A reply too few would make the MTA take the answer to its next command for a recipient's. */
  #settled(replies: readonly Reply[]): readonly Effect[] {
    const question = this.#question
    if (question?.phase !== 'END-OF-MESSAGE') throw new Error('no message was to be settled')
    if (replies.length !== question.recipients) throw new Error('not one reply for each recipient')
    this.#question = undefined
    this.#reset()
    return [{ kind: 'reply', text: replies.map(replyLine).join('') }]
  }

  /** Forgets the transaction, and whom it is from: the next message may be somebody else's. */
  #reset(): void {
    this.#transaction = undefined
    this.#forwarded = {}
  }

  #fault(reply: Reply): readonly Effect[] {
    this.#errors++
    return this.#errors < MAX_ERRORS ? say(reply) : this.#goodbye(REPLIES.tooManyErrors)
  }

  #goodbye(reply: Reply): readonly Effect[] {
    this.#closed = true
    return [...say(reply), { kind: 'close' }]
  }
}

function say(reply: Reply): readonly Effect[] {
  return [{ kind: 'reply', text: replyLine(reply) }]
}
