/**
 * Golden transcripts, `test/transcripts/milter/*.txt`: what an MTA sends and what it is answered.
 *
 *     state: lists               the state of world.json; `away` is a store that cannot be reached
 *     hold: quarantine           and other settings of the front
 *     # a comment
 *     > M <a@b.example> | SIZE=1 a command by its letter, its strings parted by ` | `; \n, \\ and \xNN are bytes
 *     > B 1000                   a body of so many bytes x; `> B 1000 "a"` and then an a; `> B "a"`
 *     ? 00000001                 bytes in hex, as they are
 *     < c                        answered; `< ? 0000000163` with bytes that are no answer
 *     ! what the log says        the milter closed the connection; `! closed` without a word
 *     ---                        another connection; where the milter did not close this one, the MTA does
 *
 * Playing one gives its text with the answers that came, to be compared with what was expected.
 */
import type { Conduct } from '../../src/milter/question.ts'
import { bytesOf } from './lines.ts'
import type { Answer } from './mta-wire.ts'
import type { StateName } from './world.ts'

export interface Settings {
  readonly state: StateName | 'away'
  readonly conduct: Conduct
}

export interface Said {
  readonly answers: readonly Answer[]
  /** What the log says, or `closed`, if the connection was closed. */
  readonly closed: string | undefined
}

/** Somebody who sends bytes on one connection. */
export interface Speaker {
  /** Sends, and gives the answers that come: as many as are said to be expected, or fewer and a closed connection. */
  say(bytes: Buffer, expected: number): Promise<Said>
  /** Hangs up, and gives what comes still. */
  hangUp?(): Promise<readonly Answer[]>
}

/** The settings in the head of a transcript. */
export function settingsOf(text: string): Settings {
  const setting = (name: string): string | undefined => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1]
  return {
    state: (setting('state') ?? 'lists') as Settings['state'],
    conduct: {
      hold: setting('hold') === 'quarantine' ? 'quarantine' : 'sink',
      traceHeader: setting('trace_header') === 'on',
      countBodies: setting('count_bodies') !== 'off',
      onStoreFailure: (setting('on_store_failure') ?? 'defer') as Conduct['onStoreFailure'],
    },
  }
}

/**
 * Plays a transcript, with a speaker for each connection. Line by line every answer is found where it was given; otherwise
 * commands are sent together up to the next answer that is expected.
 */
export async function play(
  text: string,
  open: () => Promise<Speaker>,
  options: { readonly lineByLine: boolean },
): Promise<string> {
  const played: string[] = []
  let speaker = await open()
  let sent: Buffer[] = []
  let isOpen = true
  const lines = text.replace(/\n$/, '').split('\n')
  const speak = async (at: number): Promise<void> => {
    if (sent.length === 0) return
    let end = at
    while (/^[<!]/.test(lines[end] ?? '')) end++
    const expected = lines.slice(at, end).filter(line => line.startsWith('<')).length
    const closes = lines.slice(at, end).some(line => line.startsWith('!'))
    const { answers, closed } = await speaker.say(Buffer.concat(sent), closes ? expected + 1 : expected)
    played.push(...answers.map(answer => `< ${answer}`))
    if (closed !== undefined) played.push(`! ${closed}`)
    isOpen = closed === undefined
    sent = []
  }
  const leave = async (): Promise<void> => {
    if (isOpen) played.push(...((await speaker.hangUp?.()) ?? []).map(answer => `< ${answer}`))
  }
  for (const [index, line] of lines.entries()) {
    if (/^[<!]/.test(line)) {
      await speak(index)
      continue
    }
    if (line === '---') {
      await speak(index)
      await leave()
      speaker = await open()
      isOpen = true
    }
    played.push(line)
    if (/^[>?]/.test(line)) sent.push(bytesOf(line))
    if (options.lineByLine) await speak(index + 1)
  }
  await speak(lines.length)
  await leave()
  return `${played.join('\n')}\n`
}
