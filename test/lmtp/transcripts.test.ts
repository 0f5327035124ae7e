/**
 * The golden transcripts, `test/transcripts/lmtp/*.txt`: what an MTA sends and what it is answered, word for word,
 * through the parts that touch no socket and over real sockets. `vitest -u` writes the answers anew.
 *
 * `>` is a line sent, CR LF added; consecutive ones go in one packet. `>|` is sent without a line end, and `\xNN` and
 * `\n` are octets. `<` is a line received, `!` is the server closing, and `---` begins another connection, at the door that
 * it names, or else the usual one. A line `settings:` at the top holds what differs from the usual.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import type { FactsStore } from '../../src/app/ports.ts'
import type { Door } from '../../src/lmtp/door.ts'
import type { SessionSettings } from '../../src/lmtp/session-events.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { LISTS, type Sink, startSink } from '../support/lmtp-sink.ts'
import type { MemoryStore } from '../support/memory-store.ts'
import type { StateDocument } from '../support/vectors.ts'
import { Driven, lawOver, linesOf, SETTINGS } from './drive.ts'

const FOLDER = fileURLToPath(new URL('../transcripts/lmtp/', import.meta.url))
const files = readdirSync(FOLDER).filter(name => name.endsWith('.txt'))

/** The usual lists, and MTAs of which some are refused. */
const STATE: StateDocument = { ...LISTS, mtas: { refused: ['192.0.2.66', '.bad.example'] } }

/** Says bytes to a new connection, or hears its greeting; gives what comes, and whether it was the end. */
interface Speaker {
  say(bytes: Buffer, expected: { readonly lines: number; readonly closed: boolean }): Promise<string>
  closed(): boolean
}

function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.concat(
    lines.map(line => {
      const raw = line.startsWith('>|')
      const text = Buffer.from(line.slice(raw ? 3 : 2), 'utf8').toString('latin1')
      const unescaped = text
        .replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
        .replaceAll('\\n', '\n')
      return Buffer.from(raw ? unescaped : `${unescaped}\r\n`, 'latin1')
    }),
  )
}

/** Plays a transcript, and gives it back with what was said in truth. */
async function play(text: string, connect: (door: Door) => Promise<Speaker>): Promise<string> {
  const lines = text.split('\n')
  const usual = settingsOf(text).door ?? 'delivery'
  const out: string[] = []
  let speaker: Speaker | undefined
  let at = 0
  const hear = async (bytes: Buffer): Promise<void> => {
    const start = at
    while (lines[at]?.startsWith('< ') || lines[at] === '!') at++
    const expected = lines.slice(start, at)
    const closed = expected.includes('!')
    if (speaker === undefined) throw new Error('nobody speaks')
    const said = await speaker.say(bytes, { lines: expected.length - Number(closed), closed })
    out.push(...linesOf(said).map(line => `< ${line}`), ...(speaker.closed() ? ['!'] : []))
  }
  while (at < lines.length) {
    const line = lines[at] ?? ''
    const begins = /^---(?: (delivery|callout))?$/.exec(line)
    if (begins !== null || (speaker === undefined && line === '')) {
      out.push(line)
      at++
      speaker = await connect((begins?.[1] as Door | undefined) ?? usual)
      await hear(Buffer.alloc(0))
    } else if (line.startsWith('>')) {
      const start = at
      while (lines[at]?.startsWith('>')) at++
      out.push(...lines.slice(start, at))
      await hear(bytesOf(lines.slice(start, at)))
    } else {
      out.push(line)
      at++
    }
  }
  return out.join('\n')
}

function settingsOf(text: string): Partial<SessionSettings> {
  const line = /^settings: (.*)$/m.exec(text)?.[1] ?? '{}'
  return JSON.parse(line) as Partial<SessionSettings>
}

async function pureSpeakers(settings: Partial<SessionSettings>): Promise<(door: Door) => Promise<Speaker>> {
  const judge = await lawOver(STATE)
  return async door => {
    const driven = new Driven(judge, { ...settings, door })
    const greeting = driven.output
    return {
      say: async bytes => (bytes.length === 0 ? greeting : driven.push(bytes)),
      closed: () => driven.closed,
    }
  }
}

function socketSpeakers(sink: Sink, clients: LmtpClient[]): (door: Door) => Promise<Speaker> {
  return async door => {
    const client = await LmtpClient.connect(door === 'callout' ? sink.callout : sink.address)
    clients.push(client)
    return {
      async say(bytes, expected) {
        client.write(bytes)
        let said = ''
        while (linesOf(said).length < expected.lines)
          said += `${(await client.reply()).lines.join('\r\n')}\r\n`
        return expected.closed ? said + (await client.rest()) : said
      },
      closed: () => client.ended,
    }
  }
}

/** Facts that come a little later, as from a store that is not in memory. */
function late(store: MemoryStore): FactsStore {
  return {
    load: async query => {
      await new Promise(resolve => setImmediate(resolve))
      return store.load(query)
    },
    countPost: post => store.countPost(post),
    admit: admission => store.admit(admission),
  }
}

describe.each(files)('%s', file => {
  const text = readFileSync(FOLDER + file, 'utf8')
  const settings = settingsOf(text)
  const clients: LmtpClient[] = []
  let sink: Sink | undefined

  async function playOver(
    listen: 'tcp' | 'unix',
    facts?: (store: MemoryStore) => FactsStore,
  ): Promise<string> {
    const { xforward = true, door: _, ...rest } = { ...SETTINGS, ...settings }
    sink = await startSink({
      state: STATE,
      listen,
      newId: () => 'ID',
      settings: { ...rest, ...(!xforward && { xforward: [] }) },
      ...(facts !== undefined && { facts }),
    })
    return play(text, socketSpeakers(sink, clients))
  }

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    await sink?.close()
    sink = undefined
  })

  test('through the session alone', async () => {
    await expect(await play(text, await pureSpeakers(settings))).toMatchFileSnapshot(FOLDER + file)
  })

  test('over TCP, with facts at hand', async () => {
    expect(await playOver('tcp')).toBe(text)
  })

  // Clients of a unix socket are all believed, so XFORWARD cannot be switched off for them.
  if (settings.xforward !== false) {
    test('over a unix socket, with facts that come late', async () => {
      expect(await playOver('unix', late)).toBe(text)
    })
  }
})
