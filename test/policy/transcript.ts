/**
 * Golden transcripts, `test/transcripts/policy/*.txt`: what an MTA sends and what it is answered, word for word.
 *
 *     state: lists               the state of world.json; `away` is a store that cannot be reached
 *     on_store_failure: pass
 *     # a comment
 *     > name=value               sent, with \xNN for a byte; `>` alone is the empty line
 *     >.                         the client closes its sending side
 *     < action=DUNNO             answered; `<` alone is the empty line
 *     ! what the log says        the server closed the connection
 *     ---                        another connection
 *
 * Playing one gives its text with the answers that came, to be compared with what was expected.
 */
import type { OnStoreFailure } from '../../src/policy/session.ts'
import type { StateName } from './stores.ts'

export interface Settings {
  readonly state: StateName | 'away'
  readonly onStoreFailure: OnStoreFailure
}

/** Somebody who sends bytes on one connection. */
export interface Speaker {
  /** Sends, and gives what comes: as much as is expected, or less and a closed connection. */
  say(bytes: Buffer, expected: Expected): Promise<Said>
}

export interface Expected {
  readonly answers: number
  /** Whether the server is expected to close the connection. */
  readonly closed: boolean
  /** Whether the client closes its sending side. */
  readonly last: boolean
}

export interface Said {
  readonly answers: readonly string[]
  /** What the log says, or `closed`, if the connection was closed. */
  readonly closed: string | undefined
}

/** The settings in the head of a transcript. */
export function settingsOf(text: string): Settings {
  const setting = (name: string): string | undefined => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1]
  return {
    state: (setting('state') ?? 'lists') as Settings['state'],
    onStoreFailure: (setting('on_store_failure') ?? 'defer') as OnStoreFailure,
  }
}

function bytesOf(line: string): Buffer {
  const parts = line.split(/(\\x[0-9a-f]{2})/)
  return Buffer.concat(
    parts.map(part => (/^\\x..$/.test(part) ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))),
  )
}

function render({ answers, closed }: Said): string[] {
  const lines = answers.flatMap(answer =>
    answer
      .replace(/\n$/, '')
      .split('\n')
      .map(line => `< ${line}`.trimEnd()),
  )
  return closed === undefined ? lines : [...lines, `! ${closed}`]
}

/** Plays a transcript, with a speaker for each connection. */
export async function play(text: string, open: () => Promise<Speaker>): Promise<string> {
  const played: string[] = []
  let speaker = await open()
  let sent: Buffer[] = []
  let last = false
  const lines = text.replace(/\n$/, '').split('\n')
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('<') || line.startsWith('!')) {
      if (sent.length === 0 && !last) continue
      const end = lines.findIndex((other, at) => at > index && !/^[<!]/.test(other))
      const said = lines.slice(index, end === -1 ? undefined : end)
      const answers = said.filter(other => other === '<').length
      const closed = said.some(other => other.startsWith('!'))
      played.push(...render(await speaker.say(Buffer.concat(sent), { answers, closed, last })))
      sent = []
      last = false
      continue
    }
    played.push(line)
    if (line === '>.') last = true
    else if (line.startsWith('>')) sent.push(Buffer.concat([bytesOf(line.slice(2)), Buffer.from('\n')]))
    else if (line === '---') speaker = await open()
  }
  return `${played.join('\n')}\n`
}
