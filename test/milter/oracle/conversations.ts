/** Milter conversations from a seed: as MTAs lead them, and with commands that are missing, doubled or out of place. */
import { command } from '../mta-wire.ts'

/** One command. `text` is for a failing test to show. */
export interface Step {
  readonly text: string
  readonly bytes: Buffer
}

/** A small generator of numbers (mulberry32): the same seed, the same conversations. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Random = ReturnType<typeof random>

const HOSTS = ['mx.example.net', 'mx.example.net', 'mx.example.net', 'no.example.net', 'wait.example.net']
const SENDERS = ['ok', 'ok', 'ok', 'no', 'wait', 'stop-at-data', 'stop-at-end', 'late-at-end', '']
const RECIPIENTS = ['ok', 'list', 'no', 'wait', 'drop', 'Drop-2', 'else', 'else-2']

const one = <T>(next: Random, of: readonly T[]): T => of[next(of.length)] as T
const some = <T>(next: Random, most: number, make: () => readonly T[]): T[] =>
  Array.from({ length: next(most + 1) }, make).flat()

/** Makers of steps, each with its macros before it, as MTAs send them. */
const make = {
  negotiate: (): Step => ({ text: 'O', bytes: command.negotiate() }),
  connect: (next: Random): Step => {
    const host = one(next, HOSTS)
    return { text: `C ${host}`, bytes: command.connect(host, '192.0.2.1') }
  },
  helo: (next: Random): Step => {
    const host = one(next, HOSTS)
    return { text: `H ${host}`, bytes: command.helo(host) }
  },
  mail: (next: Random): Step => {
    const sender = one(next, SENDERS)
    const path = sender === '' ? '<>' : `<${sender}@example.net>`
    return {
      text: `M ${path}`,
      bytes: Buffer.concat([command.macros('M', { i: '4ABC' }), command.mail(path)]),
    }
  },
  rcpt: (next: Random): Step => {
    const path = `<${one(next, RECIPIENTS)}@lists.example.org>`
    const mailer = next(8) === 0 ? 'error' : 'local'
    return {
      text: `R ${path} ${mailer}`,
      bytes: Buffer.concat([command.macros('R', { '{rcpt_mailer}': mailer }), command.rcpt(path)]),
    }
  },
  data: (): Step => ({ text: 'T', bytes: command.data() }),
  header: (next: Random): Step => {
    const value = one(next, ['x', 'folded\n once', '<ok@example.net>'])
    return { text: `L ${JSON.stringify(value)}`, bytes: command.header('From', value) }
  },
  endOfHeaders: (): Step => ({ text: 'N', bytes: command.endOfHeaders() }),
  body: (next: Random): Step => {
    const size = 1 + next(2000)
    return { text: `B ${size}`, bytes: command.body(Buffer.alloc(size, 0x78)) }
  },
  endOfMessage: (next: Random): Step => {
    const size = next(4) === 0 ? 10 : 0
    return { text: `E ${size}`, bytes: command.endOfMessage(Buffer.alloc(size, 0x78)) }
  },
  unknown: (): Step => ({ text: 'U', bytes: command.unknown('NOSUCH') }),
  abort: (): Step => ({ text: 'A', bytes: command.abort() }),
  quitNewConnection: (): Step => ({ text: 'K', bytes: command.quitNewConnection() }),
} as const

function message(next: Random): Step[] {
  return [
    make.mail(next),
    ...some(next, 4, () => [make.rcpt(next)]),
    ...(next(5) === 0 ? [] : [make.data()]),
    ...some(next, 3, () => [make.header(next)]),
    make.endOfHeaders(),
    ...some(next, 3, () => [make.body(next)]),
    make.endOfMessage(next),
  ]
}

/** Commands as an MTA may send them that hears no answer: what it would not send after one is left out by `asMta`. */
export function legal(seed: number): Step[] {
  const next = random(seed)
  return [
    make.negotiate(),
    make.connect(next),
    make.helo(next),
    ...some(next, 3, () =>
      next(6) === 0 ? [...message(next).slice(0, 1 + next(6)), make.abort()] : message(next),
    ),
  ]
}

/** A legal conversation with a few commands taken out, doubled, put in or exchanged. */
export function illegal(seed: number): Step[] {
  const next = random(seed)
  const [first, ...steps] = legal(seed)
  const all = Object.values(make).slice(1)
  for (let changes = 1 + next(4); changes > 0; changes--) {
    const at = next(steps.length + 1)
    const kind = next(3)
    if (kind === 0) steps.splice(at, 1)
    else steps.splice(at, kind === 1 ? 0 : 1, one(next, all)(next))
  }
  return first === undefined ? steps : [first, ...steps]
}
