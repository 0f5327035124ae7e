/**
 * Which commands libmilter does not answer because they are out of its order, as a model of its own. What does not follow
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

/** For each command whether libmilter passes it over; `answers` are those that it gave. */
export function passedOver(
  steps: readonly Step[],
  answers: readonly (readonly Answer[])[],
): readonly boolean[] {
  let state = ''
  return steps.map(({ text }, place) => {
    const code = text[0] ?? ''
    if (!follows(state, code)) {
      state = 'H'
      if (!follows(state, code)) return true
    }
    state = code
    const last = answers[place]?.at(-1)?.[0] ?? ''
    if (last === 'a' || ('rtdy'.includes(last) && last !== '' && !GOES_ON.includes(code))) state = 'H'
    return false
  })
}
