/**
 * The golden transcripts and the vectors, through libmilter. What is different there is libmilter's own doing: bodies are
 * answered, and so the negotiation says.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SMFIP } from '../../src/milter/negotiate.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { loadVectors } from '../support/vectors.ts'
import { type Host, requireLibmilter, startHost } from './libmilter-host.ts'
import { MtaClient } from './mta-client.ts'
import type { Answer } from './mta-wire.ts'
import { play, type Speaker, settingsOf } from './transcript.ts'
import { ask, expectVerdict, notAsked } from './vector-dialogue.ts'

const missing = requireLibmilter()
const FOLDER = fileURLToPath(new URL('../transcripts/milter/', import.meta.url))

/** `frames`, `negotiation` and `order` are about what libmilter does by itself; see `libmilter-oracle.test.ts`. */
const FILES = [
  'addresses',
  'authors',
  'away-defer',
  'away-disconnect',
  'away-pass',
  'clients',
  'end-of-message',
  'envelope',
  'postfix-3.7.11',
  'quarantine',
  'refuse-at-connect',
]

/** What libmilter does differently in a file, by itself; `docs/milter.md` names it. */
const DIFFERENCES: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  // Macros of an earlier recipient or message last until others come for the same command.
  addresses: [
    [
      /(# What it made of one recipient says nothing of the next\.\n> R .*\n)< c/,
      '$1< y 550 5.1.1 There is no list nosuch@lists.example.org',
    ],
    [/(# The macro was of another message\.\n> M .*\n< c\n> R .*\n)< y .*/, '$1< c'],
  ],
  // A message that was refused at its header, or at DATA, is over: what comes before the abort is not answered.
  authors: [[/(> N\n< y .*\n)> E\n< y .*\n/g, '$1']],
  envelope: [[/(> T\n< y .*\n)(?:(?!> A).*\n)*/g, '$1']],
  'postfix-3.7.11': [[/(> T\n< y .*\n)(?:(?!> A).*\n)*/g, '$1']],
  // CONNECT comes once; each of these clients has a connection to itself.
  clients: [
    [/^((?:> D C.*\n)*> C )/gm, '> Q\n! closed\n---\n> O 6 1ff 1fffff\n< O 6 108 a0980 | MACROS\n$1'],
    [/^> Q\n! closed\n---\n/m, ''],
    [/^> O.*\n< O.*\n((?:#.*\n)*)(?=> O)/m, '$1'],
  ],
}

const OPTIONS = /^< O (\S+) (\S+) (\S+) \| .*$/gm
const MACROS =
  '0 _ {client_resolve} {client_addr} | 2 i {auth_authen} {mail_addr} | 3 i {rcpt_mailer} {rcpt_addr} | 4 i | 5 i'

/** A transcript as it is with libmilter: bodies are answered, and the log knows of no problems. */
function withLibmilter(file: string, text: string): string {
  let different = text
  for (const [pattern, replacement] of DIFFERENCES[file] ?? []) {
    const next = different.replace(pattern, replacement)
    if (next === different) throw new Error(`${file}: nothing is different at ${pattern}`)
    different = next
  }
  return different
    .replace(OPTIONS, (_, version: string, actions: string, protocol: string) => {
      const bits = (Number.parseInt(protocol, 16) & ~SMFIP.NR_BODY).toString(16)
      return `< O ${version} ${actions} ${bits} | ${MACROS}`
    })
    .replace(/^> B .*$/gm, '$&\n< c')
    .replace(/^! .*$/gm, '! closed')
}

async function speaker(host: Host): Promise<Speaker> {
  const client = await MtaClient.open(host.endpoint)
  return {
    say: async (bytes, expected) => {
      const answers: Answer[] = []
      client.send(bytes)
      while (answers.length < expected) {
        const answer = await client.answer()
        if (answer === undefined) return { answers, closed: 'closed' }
        answers.push(answer)
      }
      return { answers, closed: undefined }
    },
  }
}

describe.skipIf(missing !== undefined)('transcripts through libmilter', () => {
  const hosts = new Map<string, Host>()

  /** One process for each way to conduct oneself. */
  async function hostFor(conduct: Conduct): Promise<Host> {
    const key = JSON.stringify(conduct)
    const host = hosts.get(key) ?? (await startHost('unix', { conduct }))
    hosts.set(key, host)
    return host
  }

  afterAll(async () => {
    for (const host of hosts.values()) await host.kill()
  })

  test.each(FILES)('%s', async file => {
    const text = readFileSync(`${FOLDER}${file}.txt`, 'utf8')
    const { state, conduct } = settingsOf(text)
    const host = await hostFor(conduct)
    const want = withLibmilter(file, text)
    for (const when of ['at once', 'late'] as const) {
      await host.judgeBy({ kind: 'named', state, when })
      expect(await play(want, () => speaker(host), { lineByLine: false })).toBe(want)
    }
  })
})

const vectors = loadVectors().filter(vector => notAsked(vector) === undefined)

describe.skipIf(missing !== undefined).each(['tcp', 'unix'] as const)(
  'vectors through libmilter, %s',
  kind => {
    let host: Host

    beforeAll(async () => {
      host = await startHost(kind)
    })

    afterAll(async () => {
      await host.kill()
    })

    test.each(vectors)('$name', async ({ state, site, ...vector }) => {
      await host.judgeBy({ kind: 'given', state, site, when: kind === 'unix' ? 'late' : 'at once' })
      const client = await MtaClient.negotiated(host.endpoint)
      const answers = await ask(client, vector.ask, true)
      client.destroy()
      // Words of the process come in order: it has said what it decided before it is ready again.
      const decisions = await host.decisionsSoFar()
      expectVerdict({ state, site, ...vector }, decisions, answers)
    })
  },
)
