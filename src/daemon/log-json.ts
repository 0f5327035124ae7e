/**
 * Log lines as JSON, one object a line, for programs: level, time (ISO 8601), message, and the same fields as in the
 * text. A decision's message is `decision`; its action is the verdict.
 */
import { pino } from 'pino'
import type { LogRecord } from './log-record.ts'

function fieldsOf(record: LogRecord): Record<string, unknown> {
  const time = new Date(record.time).toISOString()
  const fields = Object.fromEntries(record.fields)
  if (record.kind === 'event') {
    const causes = record.causes.length === 0 ? undefined : record.causes
    return { time, queue_id: record.queueId, ...fields, causes }
  }
  return {
    time,
    queue_id: record.queueId,
    phase: record.phase,
    action: record.action,
    reply: record.reply,
    client_name: record.clientName,
    client_address: record.clientAddress,
    ...fields,
    latency_ms: record.latency,
  }
}

/** Makes an encoder of records: each one as a line with its LF. */
export function jsonEncoder(): (record: LogRecord) => string {
  let line = ''
  const logger = pino(
    {
      base: null,
      level: 'debug',
      timestamp: false,
      messageKey: 'message',
      formatters: { level: label => ({ level: label }) },
    },
    {
      write: (text: string) => {
        line = text
      },
    },
  )
  return record => {
    logger[record.level](fieldsOf(record), record.kind === 'event' ? record.message : 'decision')
    return line
  }
}
