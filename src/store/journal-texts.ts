/** Heartbeats as flat fields, and back. */
import type { Heartbeat } from '../app/journal.ts'

const NUMBERS = ['pid', 'started', 'time', 'written', 'lost', 'waiting'] as const

/** A heartbeat as names and texts, one after the other. */
export function heartbeatFields(heartbeat: Heartbeat): readonly string[] {
  return Object.entries(heartbeat).flatMap(([name, value]) => [name, String(value)])
}

/** Reads what `heartbeatFields` wrote; `undefined` for what is none. */
export function readHeartbeat(fields: readonly string[]): Heartbeat | undefined {
  const texts = new Map<string, string>()
  for (let at = 0; at + 1 < fields.length; at += 2) texts.set(fields[at] ?? '', fields[at + 1] ?? '')
  const [node, version, state] = [texts.get('node'), texts.get('version'), texts.get('state')]
  if (node === undefined || version === undefined) return undefined
  if (state !== 'serving' && state !== 'stopped') return undefined
  const numbers = NUMBERS.map(name => Number(texts.get(name) ?? Number.NaN))
  if (!numbers.every(Number.isSafeInteger)) return undefined
  const [pid = 0, started = 0, time = 0, written = 0, lost = 0, waiting = 0] = numbers
  return { node, pid, version, started, time, state, written, lost, waiting }
}
