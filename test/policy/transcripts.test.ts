/** The golden transcripts, through the parts that touch no socket, and over TCP and unix sockets. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import type { FactsStore } from '../../src/app/ports.ts'
import { formatAnswer } from '../../src/policy/action.ts'
import { FAULTS, RequestReader } from '../../src/policy/codec.ts'
import { Messages } from '../../src/policy/messages.ts'
import { PolicySession } from '../../src/policy/session.ts'
import { gateOf, type RunningPolicy, startPolicy } from './policy-server.ts'
import { away, late, storeOf } from './stores.ts'
import { play, type Said, type Settings, type Speaker, settingsOf } from './transcript.ts'

const FOLDER = fileURLToPath(new URL('../transcripts/policy/', import.meta.url))
const files = readdirSync(FOLDER).filter(name => name.endsWith('.txt'))

async function storeFor(settings: Settings, when: 'at once' | 'late'): Promise<FactsStore> {
  if (settings.state === 'away') return away(when)
  const store = await storeOf(settings.state)
  return when === 'late' ? late(store) : store
}

/** The codec and a session, with no socket. */
async function pureSpeakers(settings: Settings): Promise<() => Promise<Speaker>> {
  const gate = gateOf(await storeFor(settings, 'at once'))
  const messages = new Messages(Date.now)
  return async () => {
    const session = new PolicySession({ gate, onStoreFailure: settings.onStoreFailure }, messages)
    const reader = new RequestReader()
    const say = (bytes: Buffer, last: boolean): Said => {
      const answers: string[] = []
      reader.feed(bytes)
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        if (next.kind === 'violation') return { answers, closed: FAULTS[next.fault] }
        const action = session.answer(next)
        if (action instanceof Promise) throw new Error('a store in memory has its answers at hand')
        if (action === undefined) return { answers, closed: 'closed' }
        answers.push(formatAnswer(action))
      }
      const left = reader.unread > 0 ? 'it left in the middle of a request' : 'closed'
      return { answers, closed: last ? left : undefined }
    }
    return { say: async (bytes, expected) => say(bytes, expected.last) }
  }
}

function socketSpeakers(server: RunningPolicy): () => Promise<Speaker> {
  return async () => {
    const client = await server.connect()
    return {
      say: async (bytes, expected) => {
        const before = server.problems().length
        const answers: string[] = []
        client.send(bytes)
        if (expected.last) client.halfClose()
        while (answers.length < expected.answers || expected.closed) {
          const answer = await client.answer()
          if (answer === undefined) return { answers, closed: String(server.problems()[before] ?? 'closed') }
          answers.push(answer)
        }
        return { answers, closed: undefined }
      },
    }
  }
}

describe.each(files)('%s', file => {
  const text = readFileSync(FOLDER + file, 'utf8')
  const settings = settingsOf(text)
  let server: RunningPolicy | undefined

  afterEach(async () => {
    await server?.stop()
    server = undefined
  })

  test('through codec and session', async () => {
    const played = await play(text, await pureSpeakers(settings))
    await expect(played).toMatchFileSnapshot(FOLDER + file)
  })

  test('over TCP, with facts at hand', async () => {
    server = await startPolicy('tcp', {
      gate: gateOf(await storeFor(settings, 'at once')),
      onStoreFailure: settings.onStoreFailure,
    })
    expect(await play(text, socketSpeakers(server))).toBe(text)
  })

  test('over a unix socket, with facts that come late', async () => {
    server = await startPolicy('unix', {
      gate: gateOf(await storeFor(settings, 'late')),
      onStoreFailure: settings.onStoreFailure,
    })
    expect(await play(text, socketSpeakers(server))).toBe(text)
  })
})
