/** Events of the journal for people: what stands in them came from the network, and may not reach a terminal as it is. */
import type { StoredEvent } from '../app/journal.ts'
import type { TraceStep } from '../core/decide.ts'
import { formatReply } from '../core/reply.ts'
import type { Verdict } from '../core/verdict.ts'

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** A text on one line, without what moves the cursor or turns the direction of reading. */
export function shown(text: string): string {
  return text.replace(UNSAFE, char => `\\x{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`)
}

/** The envelope sender: `<>` is the null sender, `-` one that is not kept. */
export function senderOf({ sender }: Pick<StoredEvent, 'sender'>): string {
  if (sender === undefined) return '-'
  return sender === '' ? '<>' : shown(sender)
}

/** The client as in a mail log. */
export function clientOf({ client, clientName }: Pick<StoredEvent, 'client' | 'clientName'>): string {
  return `${shown(clientName ?? 'unknown')}[${shown(client ?? 'unknown')}]`
}

/** An event as a line, with tabs between. */
export function eventLine(event: StoredEvent): string {
  const { time, verdict, reason, list, front, phase, reply, would, wouldReason } = event
  const shadow = would === undefined ? '' : ` (would ${would}: ${wouldReason})`
  const cells = [
    new Date(time).toISOString(),
    `${verdict}${shadow}`,
    reason,
    list ?? '-',
    senderOf(event),
    `${front} ${phase}`,
    clientOf(event),
    reply ?? '-',
  ]
  return cells.map(shown).join('\t')
}

/** A verdict and its reply. */
export function verdictInWords(verdict: Verdict): string {
  return verdict.kind === 'none' ? 'none' : `${verdict.kind}, ${formatReply(verdict.reply)}`
}

/** The rules that were tried, one row each. */
export function traceRows(trace: readonly TraceStep[]): readonly (readonly string[])[] {
  return trace.map(({ rule, saw, verdict }) => [rule, verdict ?? '·', shown(saw)])
}

const UNITS = [
  { ms: 86_400_000, name: 'd' },
  { ms: 3_600_000, name: 'h' },
  { ms: 60_000, name: 'min' },
  { ms: 1000, name: 's' },
] as const

/** How long something is ago: `3 min`. */
export function durationInWords(ms: number): string {
  const unit = UNITS.find(each => ms >= each.ms) ?? UNITS[3]
  return `${Math.max(0, Math.floor(ms / unit.ms))} ${unit.name}`
}
