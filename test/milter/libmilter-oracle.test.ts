/**
 * A filter in C on libmilter, the engine on libmilter and the native one, led through the same conversations. What is on
 * the wire is the same, or differs as `docs/milter.md` says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { type Host, startHost } from './libmilter-host.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { type Answer, isFinal } from './mta-wire.ts'
import { illegal, legal, type Step } from './oracle/conversations.ts'
import { type Filter, requireFilter, startFilter } from './oracle/filter.ts'
import { ODDITIES } from './oracle/oddities.ts'
import { type Place, placesOf } from './oracle/order.ts'
import { scriptedGate } from './oracle/scripted-gate.ts'
import { answersByStep, exchange, lead } from './oracle/speakers.ts'

const missing = requireFilter()

const SEED = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 1_000_000))
const CONVERSATIONS = 60

let filter: Filter
let host: Host
let native: RunningMilter
let inC: Endpoint

beforeAll(async () => {
  if (missing !== undefined) return
  filter = await startFilter()
  inC = filter.endpoint
  host = await startHost('unix')
  await host.judgeBy({ kind: 'scripted' })
  native = await startMilter('unix', { gate: scriptedGate })
})

afterAll(async () => {
  if (missing !== undefined) return
  filter.kill()
  await host.kill()
  await native.stop()
})

/** What the native engine answers where libmilter answers `theirs`; `ours` only where it may be anything. */
function nativeAnswers(
  code: string,
  theirs: readonly Answer[],
  place: Place,
  ours: readonly Answer[],
): readonly Answer[] {
  // libmilter answers bodies for this engine's sake.
  if (code === 'B') return []
  if (code === 'O') return theirs.map(answer => answer.replace(' 20980 ', ' a0980 '))
  if (place === 'in place') return theirs
  // One answer to what is owed one; of a message that libmilter has ended it lets nothing through to us.
  expect(ours.filter(isFinal)).toHaveLength('CHMRTNE'.includes(code) ? 1 : 0)
  if (place === 'passed over') expect(theirs).toEqual([])
  else if (theirs.length > 0) expect([ours, ['t']]).toContainEqual(theirs)
  return ours
}

const bytesOf = (steps: readonly Step[]): Buffer => Buffer.concat(steps.map(({ bytes }) => bytes))

describe.skipIf(missing !== undefined)(`conversations from seed ${SEED}`, () => {
  test('as an MTA leads them, all three are the same', async () => {
    for (let seed = SEED; seed < SEED + CONVERSATIONS; seed++) {
      const steps = legal(seed)
      const want = await lead(inC, steps)
      expect({ seed, engine: 'libmilter', heard: await lead(host.endpoint, steps) }).toEqual({
        seed,
        engine: 'libmilter',
        heard: want,
      })
      expect({ seed, engine: 'native', heard: await lead(native.endpoint, steps) }).toEqual({
        seed,
        engine: 'native',
        heard: want,
      })
    }
  })

  test('with anything anywhere, both on libmilter are the same to the byte', async () => {
    for (let seed = SEED; seed < SEED + CONVERSATIONS; seed++) {
      const steps = illegal(seed)
      const heard = await exchange(host.endpoint, bytesOf(steps))
      expect({ seed, heard }).toEqual({ seed, heard: await exchange(inC, bytesOf(steps)) })
    }
  })

  test('with anything anywhere, the native engine differs where libmilter passes over a command, and nowhere else', async () => {
    let passed = 0
    for (let seed = SEED; seed < SEED + CONVERSATIONS; seed++) {
      const steps = illegal(seed)
      const theirs = await answersByStep(inC, steps)
      const ours = await answersByStep(native.endpoint, steps)
      const places = placesOf(steps, theirs)
      const want = steps.map(({ text }, place) => ({
        seed,
        text,
        answers: nativeAnswers(
          text[0] ?? '',
          theirs[place] ?? [],
          places[place] ?? 'in place',
          ours[place] ?? [],
        ),
      }))
      expect(steps.map(({ text }, place) => ({ seed, text, answers: ours[place] }))).toEqual(want)
      passed += places.filter(kind => kind === 'passed over').length
    }
    expect(passed).toBeGreaterThan(CONVERSATIONS)
  })
})

const letters = (answers: readonly Answer[]): string => answers.map(([letter]) => letter).join('')

describe.skipIf(missing !== undefined)('oddities', () => {
  test.each(ODDITIES)('$name', async ({ bytes, libmilter, native: other }) => {
    const theirs = await exchange(inC, bytes)
    expect(letters(theirs)).toBe(libmilter)
    expect(await exchange(host.endpoint, bytes)).toEqual(theirs)
    expect(letters(await exchange(native.endpoint, bytes))).toBe(other)
  })
})
