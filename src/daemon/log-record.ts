/**
 * What a log line says, before it is text or JSON: an event, or a decision. Field names are the same in both forms,
 * in snake case.
 */
import type { Decided } from '../app/gate.ts'
import type { LogFields } from '../app/log.ts'
import type { LogLevel } from '../config/config.ts'
import { formatReply } from '../core/reply.ts'
import type { Transaction } from '../core/transaction.ts'
import type { AddressCloak } from './address-cloak.ts'

/** One thing that was thrown. `stack` is there where it helps to find a bug. */
export interface CauseRecord {
  readonly name: string
  readonly code: string | undefined
  readonly message: string
  readonly stack: string | undefined
}

export interface EventRecord {
  readonly kind: 'event'
  readonly level: LogLevel
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly message: string
  readonly queueId: string | undefined
  readonly fields: ReadonlyMap<string, unknown>
  /** The chain of causes, the outermost first. */
  readonly causes: readonly CauseRecord[]
}

export interface DecisionRecord {
  readonly kind: 'decision'
  readonly level: LogLevel
  readonly time: number
  readonly queueId: string | undefined
  readonly phase: Transaction['phase']
  readonly action: string
  /** As on the wire; `undefined` where there is nothing to say. */
  readonly reply: string | undefined
  readonly clientName: string | undefined
  readonly clientAddress: string | undefined
  /** The remaining fields, by name. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly latency: number
}

export type LogRecord = EventRecord | DecisionRecord

/** Most causes of one error that are shown. */
const MAX_CAUSES = 8

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}

/** Node gives an error without a message where a host name has several addresses and none answers. */
function messageOf(error: Error): string {
  return error.message === '' && error instanceof AggregateError
    ? error.errors.map(String).join('; ')
    : error.message
}

/** The chain of causes of what was thrown. An error without a code is a bug, and comes with its stack. */
export function causesOf(thrown: unknown, options: { readonly stacks: boolean }): readonly CauseRecord[] {
  const causes: CauseRecord[] = []
  for (let next = thrown; next !== undefined && causes.length < MAX_CAUSES; ) {
    if (!(next instanceof Error)) {
      causes.push({ name: 'thrown', code: undefined, message: String(next), stack: undefined })
      break
    }
    const code = 'code' in next ? String(next.code) : undefined
    const isBug = code === undefined && causes.every(cause => cause.stack !== undefined)
    const stack = options.stacks && isBug ? next.stack : undefined
    causes.push({ name: next.name, code, message: messageOf(next), stack })
    next = next.cause
  }
  return causes
}

/** The record of an event. Fields that are `undefined` are left out. */
export function eventRecord(
  level: LogLevel,
  message: string,
  { cause, ...fields }: LogFields,
  { time, cloak }: { readonly time: number; readonly cloak: AddressCloak },
): EventRecord {
  const queueId = fields['queueId']
  const shown = Object.entries(fields).filter(([name, value]) => value !== undefined && name !== 'queueId')
  const causes = causesOf(cause, { stacks: level === 'error' })
  return {
    kind: 'event',
    level,
    time,
    message,
    queueId: typeof queueId === 'string' ? queueId : undefined,
    fields: new Map(shown.map(([name, value]) => [snakeCase(name), cloak.field(name, value)])),
    causes: causes.map(each => ({
      ...each,
      message: cloak.text(each.message),
      stack: each.stack === undefined ? undefined : cloak.text(each.stack),
    })),
  }
}

/** The level at which a decision is logged: nothing was decided about most mail that is not for a list. */
export function decisionLevel({ verdict }: Decided): LogLevel {
  return verdict.kind === 'none' || verdict.reason === 'nothing-to-object' ? 'debug' : 'info'
}

/** The record of a decision. */
export function decisionRecord(decided: Decided, cloak: AddressCloak): DecisionRecord {
  const { tx, verdict, at, latency, queueId } = decided
  const fields: [string, string][] = []
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) fields.push([name, value])
  }
  add('reason', verdict.reason)
  add('rule', verdict.rule)
  add('would', verdict.shadowed?.kind)
  add('would_reason', verdict.shadowed?.reason)
  add('instead_of', verdict.inPlaceOf?.reason)
  add('list', verdict.list)
  add('service', verdict.service)
  if ('sender' in tx) add('sender', cloak.address(tx.sender.text))
  if ('recipient' in tx) add('recipient', cloak.address(tx.recipient.text))
  add('front', tx.front)
  add('helo', tx.client.helo ?? '')
  add('user', tx.client.user === undefined ? undefined : cloak.address(tx.client.user))
  return {
    kind: 'decision',
    level: decisionLevel(decided),
    time: at,
    queueId,
    phase: tx.phase,
    action: verdict.kind,
    reply: verdict.kind === 'none' ? undefined : cloak.text(formatReply(verdict.reply), verdict.list),
    clientName: tx.client.name,
    clientAddress: tx.client.ip?.text,
    fields,
    latency,
  }
}
