/**
 * The end of a message: asks the gate once more for each recipient, hands what is to be kept to its deliveries, and
 * gives exactly one reply for each recipient, in order (RFC 2033 §4.2). Whatever fails here is temporary.
 */
import type { Gate } from '../app/gate.ts'
import type { Log, LogFields } from '../app/log.ts'
import type { Delivery, Envelope, HoldGrounds } from '../app/message.ts'
import { MessageReader, type MessageReading } from '../app/message-reader.ts'
import type { CopyOutcome } from '../app/meters.ts'
import type { Reason } from '../core/reason.ts'
import { formatReply, type Reply } from '../core/reply.ts'
import type { Verdict } from '../core/verdict.ts'
import { type Copy, deliverCopies, type Outcome } from './copies.ts'
import { REPLIES, takenReply } from './replies.ts'
import type { CompleteMail } from './session-events.ts'
import type { Spool } from './spool.ts'
import { endOfMessageTransaction, fateOf } from './translate.ts'

/** What became of recipients' copies since the front was made. */
export interface LmtpCounts {
  messages: number
  delivered: number
  held: number
  discarded: number
  refused: number
  failed: number
  /** Of those that were held and discarded: what the law would have let pass, and the next hop or their size did not. */
  late: number
}

/** Where the sink's work is counted for others. */
export interface SinkMeter {
  /** A message was taken in. */
  message(): void
  /** What became of a recipient's copy, and by which delivery, if by any. */
  copy(delivery: string | undefined, outcome: CopyOutcome): void
}

export interface SettleParts {
  readonly gate: Pick<Gate, 'ask'>
  /** The delivery of a name, or the site's for none; `undefined` if the configuration has none of that name. */
  readonly deliveryFor: (name: string | undefined) => Delivery | undefined
  readonly log: Log
  readonly counts: LmtpCounts
  readonly meter?: SinkMeter
}

/**
 * What the message says, read once: its header, and the body only if one of its lists looks at parts. Nothing is read of
 * a message that goes to service addresses alone.
 */
async function readMessage({ recipients }: CompleteMail, spool: Spool): Promise<MessageReading | undefined> {
  if (recipients.every(({ verdict }) => verdict.service !== undefined)) return undefined
  const parts = recipients.some(({ verdict }) => verdict.looksAtParts === true)
  const reader = new MessageReader({ parts })
  for await (const chunk of spool.read()) {
    reader.push(chunk)
    if (!reader.wantsMore) break
  }
  return reader.end()
}

/** The verdicts at the end of the message, in the recipients' order. */
async function judge(
  gate: SettleParts['gate'],
  mail: CompleteMail,
  spool: Spool,
): Promise<readonly Verdict[]> {
  const reading = await readMessage(mail, spool)
  return Promise.all(
    mail.recipients.map(accepted =>
      gate.ask(endOfMessageTransaction(mail, accepted, mail.size, reading), { queueId: mail.queueId }),
    ),
  )
}

/** Why a copy is held: by the end of the message, or else by RCPT. */
function groundsOf({ client }: CompleteMail, atRcpt: Verdict, atEnd: Verdict): HoldGrounds {
  const { reason, rule, inPlaceOf } = atEnd.kind === 'hold' ? atEnd : atRcpt
  const admitted = atRcpt.admitted === true || atEnd.admitted === true
  return {
    reason,
    rule,
    ...(inPlaceOf !== undefined && { inPlaceOf: inPlaceOf.reason }),
    returnPath: client.user !== undefined ? 'authenticated' : admitted ? 'admitted' : 'unproven',
  }
}

type Found = { readonly ok: true; readonly value: Delivery } | { readonly ok: false; readonly cause: unknown }

/** The delivery of a name. One that cannot be had fails for its own recipients only. */
function deliveryOf(parts: Pick<SettleParts, 'deliveryFor'>, name: string | undefined): Found {
  try {
    const value = parts.deliveryFor(name)
    if (value !== undefined) return { ok: true, value }
    return { ok: false, cause: new Error(`the configuration has no delivery ${name}`) }
  } catch (cause) {
    return { ok: false, cause }
  }
}

/**
 * A message that is too large to be taken. Nothing of it was kept, so it cannot be held either: who may not be refused
 * has lost it.
 */
function tooBig({ recipients }: CompleteMail): readonly Outcome[] {
  return recipients.map(({ verdict: { kind, list, lateRefusal } }) => {
    if (kind === 'discard') return { kind: 'discarded', list }
    if (lateRefusal === undefined) return { kind: 'refused', reply: REPLIES.tooBig, list }
    return { kind: 'discarded', list, insteadOf: REPLIES.tooBig }
  })
}

async function outcomesOf(
  parts: SettleParts,
  envelope: Envelope,
  mail: CompleteMail,
  spool: Spool | undefined,
): Promise<readonly Outcome[]> {
  if (spool === undefined) return tooBig(mail)
  if (spool.failure !== undefined) {
    return mail.recipients.map(() => ({ kind: 'failed', cause: spool.failure }))
  }
  const outcomes: Outcome[] = []
  const copies = new Map<Delivery, Copy[]>()
  const verdicts = await judge(parts.gate, mail, spool)
  for (const [place, { recipient, verdict }] of mail.recipients.entries()) {
    const atEnd = verdicts[place]
    if (atEnd === undefined) continue
    const fate = fateOf(verdict, atEnd)
    const { list, service, delivery: name } = atEnd.list === undefined ? verdict : atEnd
    if (fate.kind === 'refuse') outcomes[place] = { kind: 'refused', reply: fate.reply, list }
    else if (fate.kind === 'drop') outcomes[place] = { kind: 'discarded', list }
    else if (list === undefined) {
      outcomes[place] = { kind: 'failed', cause: new Error(`${atEnd.rule} takes a post and names no list`) }
    } else {
      const delivery = deliveryOf(parts, name)
      if (!delivery.ok) {
        outcomes[place] = { kind: 'failed', list, cause: delivery.cause }
        continue
      }
      const { disposition } = fate
      const grounds = disposition === 'hold' ? groundsOf(mail, verdict, atEnd) : undefined
      const to = { recipient, list, service, disposition, ...(grounds !== undefined && { grounds }) }
      const copy = { place, to, lateRefusal: atEnd.lateRefusal }
      copies.set(delivery.value, [...(copies.get(delivery.value) ?? []), copy])
    }
  }
  await Promise.all(
    [...copies].map(async ([delivery, batch]) => {
      const delivered = await deliverCopies(delivery, envelope, spool, batch)
      for (const [index, { place }] of batch.entries()) {
        const outcome = delivered[index]
        if (outcome !== undefined) outcomes[place] = outcome
      }
    }),
  )
  return outcomes
}

/** Storage that is full has a code of its own. */
function failureReply(cause: unknown): Reply {
  const code = (cause as { code?: unknown } | undefined)?.code
  return code === 'ENOSPC' || code === 'EDQUOT' ? REPLIES.systemFull : REPLIES.ownFault
}

/** What the log says of a copy that was held or dropped because its refusal would have been a bounce. */
function lateFields(kind: Outcome['kind'], insteadOf: Reply): LogFields {
  const reason: Reason = kind === 'held' ? 'late-refusal-held' : 'late-refusal-discarded'
  return { reason, insteadOf: formatReply(insteadOf) }
}

/** Notes what became of a copy, and says it to the MTA. */
function report(
  parts: SettleParts,
  about: { readonly id: string; readonly recipient: string },
  outcome: Outcome,
): Reply {
  parts.counts[outcome.kind]++
  parts.meter?.copy('delivery' in outcome ? outcome.delivery : undefined, outcome.kind)
  const { kind } = outcome
  const late = 'insteadOf' in outcome ? lateFields(kind, outcome.insteadOf) : {}
  if ('insteadOf' in outcome) parts.counts.late++
  switch (outcome.kind) {
    case 'refused': {
      const { code, enhanced } = outcome.reply
      const { list, delivery, cause } = outcome
      if (delivery === undefined) {
        parts.log.info('message refused', { ...about, list, reply: `${code} ${enhanced}` })
      } else {
        const said = formatReply(outcome.reply)
        parts.log.warn('message refused by the next hop', { ...about, list, delivery, reply: said, cause })
      }
      return outcome.reply
    }
    case 'failed': {
      const { list, delivery, cause } = outcome
      parts.log.error('message not delivered', {
        ...about,
        ...(list !== undefined && { list }),
        ...(delivery !== undefined && { delivery }),
        cause,
      })
      return failureReply(cause)
    }
    case 'discarded':
      parts.log.info('message discarded', { ...about, list: outcome.list, ...late })
      return takenReply(about.recipient, about.id, false)
    case 'delivered':
    case 'held':
      parts.log.info(`message ${kind}`, {
        ...about,
        list: outcome.list,
        delivery: outcome.delivery,
        ...(outcome.reply !== undefined && { reply: formatReply(outcome.reply) }),
        ...late,
      })
      return takenReply(about.recipient, about.id, kind === 'held')
  }
}

/**
 * Settles a message that has come to its end: one reply for each recipient, in order. Without a spool it was larger than
 * what is taken. Does not reject.
 */
export async function settle(
  parts: SettleParts,
  envelope: Envelope,
  mail: CompleteMail,
  spool: Spool | undefined,
): Promise<readonly Reply[]> {
  parts.counts.messages++
  parts.meter?.message()
  let outcomes: readonly Outcome[]
  try {
    outcomes = await outcomesOf(parts, envelope, mail, spool)
  } catch (cause) {
    outcomes = mail.recipients.map(() => ({ kind: 'failed', cause }))
  }
  const about = { id: envelope.id, queueId: mail.queueId, sender: mail.sender.text, size: mail.size }
  return mail.recipients.map(({ recipient }, place) =>
    report(
      parts,
      { ...about, recipient: recipient.text },
      outcomes[place] ?? { kind: 'failed', cause: undefined },
    ),
  )
}
