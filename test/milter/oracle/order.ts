/**
 * What libmilter does with commands that are out of its order, as a model of its own. What does not follow
 * from the state it is in ends the message and is tried again as after HELO; if it does not follow from that either, it is
 * passed over without a word. Once a filter has said that it does not want to hear of unknown commands, what may follow
 * one of those may also follow an abort.
 */
import type { Answer } from '../mta-wire.ts'
import type { Step } from './conversations.ts'

/** What may follow each command. */
const FOLLOWS: Readonly<Record<string, string>> = {
  '': 'O',
  O: 'CU',
  C: 'HMU',
  H: 'HMU',
  M: 'RAU',
  R: 'LNTBERAU',
  T: 'NLA',
  L: 'NLA',
  N: 'BEA',
  B: 'EBA',
  E: 'QMUK',
  A: 'HMRATBUQK',
  U: 'HMRATBUQK',
  K: 'CU',
}

/** Commands that do not end the message when they are refused. */
const GOES_ON = 'RU'

const follows = (state: string, code: string): boolean => (FOLLOWS[state] ?? '').includes(code)

/**
 * What libmilter makes of a command: it is in its place; or passed over; or let through after another was out of its place,
 * and libmilter has ended the message that it would belong to.
 */
export type Place = 'in place' | 'passed over' | 'astray'

/** The place of each command; `answers` are those that libmilter gave. */
export function placesOf(steps: readonly Step[], answers: readonly (readonly Answer[])[]): readonly Place[] {
  let state = ''
  let isAstray = false
  return steps.map(({ text }, at) => {
    const code = text[0] ?? ''
    if (!follows(state, code)) {
      state = 'H'
      isAstray = true
      if (!follows(state, code)) return 'passed over'
    }
    state = code
    if (code === 'M') isAstray = false
    const last = answers[at]?.at(-1)?.[0] ?? ''
    if (last === 'a' || ('rtdy'.includes(last) && last !== '' && !GOES_ON.includes(code))) state = 'H'
    return isAstray ? 'astray' : 'in place'
  })
}
