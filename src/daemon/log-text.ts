/**
 * Log lines as text, in the shape that mail administrators know from Postfix: the queue id first, then what was done,
 * to whom, with which reply, and the details as `name=<value>`. One line each; nothing that came from the network can
 * break or forge one.
 */
import type { LogLevel } from '../config/config.ts'
import type { CauseRecord, DecisionRecord, EventRecord, LogRecord } from './log-record.ts'

/** Priorities of syslog(3), for systemd's journal. */
const PRIORITY: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 }
const LEVEL_WORDS: Readonly<Record<LogLevel, string>> = {
  debug: 'debug: ',
  info: '',
  warn: 'warning: ',
  error: 'error: ',
}
/** Short names that Postfix has made familiar. */
const SHORT_NAMES: Readonly<Record<string, string>> = { sender: 'from', recipient: 'to' }
/** Fields whose values are words of ours, shown bare. */
const BARE = new Set(['reason', 'rule', 'would', 'would_reason', 'instead_of', 'service', 'front'])

/** Characters of one value that are shown. */
const MAX_VALUE = 500
const MAX_STACK = 4000

/** Control, format and separator characters, halves of characters, and the marks that end a value. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}<>]/gu

/** Nearly every value: ASCII that nothing has to be done to. */
const PLAIN = /^[ -;=?-~]*$/

/** A value on one line. */
export function printable(text: string, limit: number = MAX_VALUE): string {
  if (text.length <= limit && PLAIN.test(text)) return text
  const cut = text.length > limit ? `${text.slice(0, limit)}...` : text
  return cut.replace(UNSAFE, char => `\\x{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`)
}

function queueIdOf({ queueId }: LogRecord): string | undefined {
  return queueId !== undefined && /^[!-9;-~]{1,100}$/.test(queueId) ? queueId : undefined
}

function shown(value: unknown): string {
  switch (typeof value) {
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'string':
      return `<${printable(value)}>`
    default:
      return Array.isArray(value) && value.every(each => typeof each === 'string')
        ? `<${printable(value.join(', '))}>`
        : `<${printable(JSON.stringify(value) ?? String(value))}>`
  }
}

function causeText({ name, code, message }: CauseRecord): string {
  const what = message === '' ? name : message
  return code === undefined || what.includes(code) ? what : `${what} (${code})`
}

function eventText(record: EventRecord): string {
  const details = [...record.fields].map(([name, value]) => `${SHORT_NAMES[name] ?? name}=${shown(value)}`)
  if (record.causes.length > 0) {
    // Errors often repeat the one that they wrap.
    const telling = record.causes.filter(({ message }, i) => !record.causes[i - 1]?.message.includes(message))
    details.push(`cause=<${printable(telling.map(causeText).join(': '), 2 * MAX_VALUE)}>`)
  }
  const stack = record.causes.find(cause => cause.stack !== undefined)?.stack
  if (stack !== undefined) details.push(`stack=<${printable(stack.replace(/\s*\n\s*/g, ' | '), MAX_STACK)}>`)
  const id = queueIdOf(record)
  const head = `${id === undefined ? '' : `${id}: `}${LEVEL_WORDS[record.level]}${printable(record.message)}`
  return details.length === 0 ? head : `${head}; ${details.join(' ')}`
}

function decisionText(record: DecisionRecord): string {
  const client = `${printable(record.clientName ?? 'unknown')}[${record.clientAddress ?? 'unknown'}]`
  let details = ''
  for (const [name, value] of record.fields) {
    const text = printable(value)
    details += ` ${SHORT_NAMES[name] ?? name}=${BARE.has(name) ? text : `<${text}>`}`
  }
  const reply = record.reply === undefined ? 'not ours to judge' : printable(record.reply)
  const id = queueIdOf(record) ?? 'NOQUEUE'
  return `${id}: ${record.action}: ${record.phase} from ${client}: ${reply};${details}`
}

/** Where lines are read. The journal keeps time and priority itself, the latter from a prefix. */
export interface TextOptions {
  readonly journal: boolean
}

/** A record as a line with its LF. */
export function encodeText(record: LogRecord, { journal }: TextOptions): string {
  const prefix = journal ? `<${PRIORITY[record.level]}>` : `${new Date(record.time).toISOString()} `
  return `${prefix}${record.kind === 'event' ? eventText(record) : decisionText(record)}\n`
}
