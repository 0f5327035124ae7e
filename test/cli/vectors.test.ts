/** The vectors, through `postern ask`: the state imported, the question as its options, the answer as its JSON. */
import { describe, expect, test } from 'vitest'
import { messageOf } from '../support/messages.ts'
import { loadVectors, putAdmissions, type Question, type StateDocument } from '../support/vectors.ts'
import { Console } from './console.ts'

/** The exit status of each verdict, as the documentation promises. */
const STATUS = { accept: 0, hold: 0, discard: 0, later: 0, none: 0, reject: 1, defer: 75 } as const

function option(name: string, value: string | number | undefined): readonly string[] {
  return value === undefined ? [] : [`--${name}`, String(value)]
}

/** Whether more is to be told of the message than its authors and its size. */
const hasMessage = ({ header, parts }: Question): boolean => header !== undefined || parts !== undefined

function argumentsFor(question: Question): readonly string[] {
  const { client = {}, recipients = [], authors = [], otherAuthors = [] } = question
  const [list, ...others] = recipients
  return [
    ...option('phase', question.phase),
    ...option('client', client.ip),
    ...option('client-name', client.name),
    ...option('helo', client.helo),
    // Absent is the null sender in a vector, where the phase knows senders at all.
    ...(['CONNECT', 'EHLO'].includes(question.phase) ? [] : option('sender', question.sender ?? '')),
    ...option('list', list),
    ...others.flatMap(recipient => option('recipient', recipient)),
    ...option('recipients-before', question.recipientsBefore),
    ...option('size', question.size),
    ...(hasMessage(question) ? ['--message', '-'] : []),
    ...option('lists', question.lists),
    ...authors.flatMap(author => option('author', author)),
    ...otherAuthors.flatMap(author => option('other-author', author)),
    ...(question.afterAcceptance === true ? ['--after-acceptance'] : []),
  ]
}

interface AnswerJson {
  readonly verdict: string
  readonly reason: string
  readonly reply: { readonly code: number; readonly enhanced: string; readonly text: string } | null
}

async function consoleIn(state: StateDocument, site: ReturnType<typeof loadVectors>[number]['site']) {
  const console = new Console({ site })
  const imported = await console.run(['import', '-'], JSON.stringify(state))
  if (imported.status !== 0) throw new Error(imported.stderr)
  return console
}

describe('vectors through the command line', () => {
  test.each(loadVectors())('$name', async ({ state, site, ask, expect: want }) => {
    const console = await consoleIn(state, site)
    await putAdmissions(console.store, ask)
    const { status, stdout } = await console.run(['ask', ...argumentsFor(ask), '--json'], messageOf(ask))
    const { verdict, reason, reply } = JSON.parse(stdout) as AnswerJson
    expect({ verdict, reason }).toEqual({ verdict: want.verdict, reason: want.reason })
    if (want.reply !== undefined) {
      expect(reply === null ? null : `${reply.code} ${reply.enhanced} ${reply.text}`).toBe(want.reply)
    }
    expect(status).toBe(STATUS[want.verdict])
  })
})
