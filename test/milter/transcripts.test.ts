/** The golden transcripts, through the parts that touch no socket, and over TCP and unix sockets. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gate } from '../../src/app/gate.ts'
import { COMMAND_FAULTS, decodeCommand } from '../../src/milter/command.ts'
import { Session } from '../../src/milter/session.ts'
import { FRAME_FAULTS, FrameReader } from '../../src/milter/wire.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { MtaClient } from './mta-client.ts'
import { type Answer, ResponseReader } from './mta-wire.ts'
import { play, type Said, type Speaker, settingsOf } from './transcript.ts'
import { gateOf } from './world.ts'

const FOLDER = fileURLToPath(new URL('../transcripts/milter/', import.meta.url))
const files = readdirSync(FOLDER).filter(name => name.endsWith('.txt'))

/** Frames, commands and a session, with no socket. */
function pureSpeaker(gate: Gate, conduct: ReturnType<typeof settingsOf>['conduct']): Speaker {
  const counts = { connections: 0, messages: 0, otherMessages: 0, refusedByMta: 0 }
  const session = new Session({ id: 'test', conduct, counts })
  const reader = new FrameReader()
  const responses = new ResponseReader()
  const say = (bytes: Buffer): Said => {
    const answers: Answer[] = []
    reader.push(bytes)
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      if (typeof next === 'string') return { answers, closed: FRAME_FAULTS[next] }
      const command = decodeCommand(next)
      if (typeof command === 'string') return { answers, closed: COMMAND_FAULTS[command] }
      let effect = session.take(command)
      while (effect.kind === 'ask') {
        const verdict = gate.ask(effect.question.tx)
        if (verdict instanceof Promise) throw new Error('a store in memory has its answers at hand')
        effect = session.verdict(verdict)
      }
      if (effect.kind === 'close') return { answers, closed: effect.problem ?? 'closed' }
      if (effect.kind === 'send') answers.push(...responses.push(effect.bytes))
    }
    return { answers, closed: undefined }
  }
  return { say: async bytes => say(bytes) }
}

async function socketSpeaker(server: RunningMilter): Promise<Speaker> {
  const client = await MtaClient.open(server.endpoint)
  return {
    say: async (bytes, expected) => {
      const before = server.problems().length
      const answers: Answer[] = []
      client.send(bytes)
      while (answers.length < expected) {
        const answer = await client.answer()
        if (answer === undefined) return { answers, closed: String(server.problems()[before] ?? 'closed') }
        answers.push(answer)
      }
      return { answers, closed: undefined }
    },
  }
}

describe.each(files)('%s', file => {
  const text = readFileSync(FOLDER + file, 'utf8')
  const { state, conduct } = settingsOf(text)
  let server: RunningMilter | undefined

  afterEach(async () => {
    await server?.stop()
    server = undefined
  })

  test('with no socket', async () => {
    const gate = await gateOf(state)
    const played = await play(text, async () => pureSpeaker(gate, conduct), { lineByLine: true })
    await expect(played).toMatchFileSnapshot(FOLDER + file)
  })

  test('over TCP, with facts at hand', async () => {
    const running = await startMilter('tcp', { gate: await gateOf(state), ...conduct, settings: conduct })
    server = running
    expect(await play(text, () => socketSpeaker(running), { lineByLine: false })).toBe(text)
  })

  test('over a unix socket, with facts that come late', async () => {
    const running = await startMilter('unix', {
      gate: await gateOf(state, 'late'),
      ...conduct,
      settings: conduct,
    })
    server = running
    expect(await play(text, () => socketSpeaker(running), { lineByLine: false })).toBe(text)
  })
})
