/** Verdicts and what becomes of them: the table, and the conversation that keeps to it. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Reason, replyFor } from '../../src/core/reason.ts'
import { PHASES, type Phase, type Transaction } from '../../src/core/transaction.ts'
import { VERDICT_KINDS, type Verdict, type VerdictKind } from '../../src/core/verdict.ts'
import { Connection } from '../../src/milter/connection.ts'
import type { Conduct, Work } from '../../src/milter/question.ts'
import { clientOf, declaredSize, FIDELITY, overall } from '../../src/milter/translate.ts'

const REASONS: Record<VerdictKind, Reason> = {
  accept: 'sender-permitted',
  hold: 'sender-moderated',
  discard: 'sender-discarded',
  reject: 'sender-not-permitted',
  defer: 'list-paused',
  later: 'author-decides',
  none: 'recipient-elsewhere',
}

function verdict(kind: VerdictKind, reason: Reason = REASONS[kind]): Verdict {
  return { kind, reason, rule: 'test', reply: replyFor(reason) } as Verdict
}

const CONDUCT: Conduct = { hold: 'sink', traceHeader: false, countBodies: true, onStoreFailure: 'defer' }
const NO_MACROS = { get: () => undefined }

/** What the law says of each question. */
type Law = (tx: Transaction) => Verdict

function drive<A>(work: Work<A>, law: Law): A {
  let step = work.next()
  while (step.done !== true) step = work.next(law(step.value.tx))
  return step.value
}

/** A whole message under a law: the first answer that is not to go on, with its phase, and what is changed at the end. */
function converse(law: Law, recipients: readonly string[], conduct: Partial<Conduct> = {}): string[] {
  const counts = { connections: 0, messages: 0, otherMessages: 0, refusedByMta: 0 }
  const connection = new Connection({ id: 'test', conduct: { ...CONDUCT, ...conduct }, counts })
  const said: string[] = []
  const say = (phase: string, { kind }: { kind: string }): boolean => {
    if (kind !== 'continue') said.push(`${phase} ${kind}`)
    return kind === 'continue'
  }
  if (
    !say(
      'CONNECT',
      drive(connection.connect({ host: 'mx.example.net', address: '192.0.2.1' }, NO_MACROS), law),
    )
  )
    return said
  if (!say('EHLO', drive(connection.helo('mx.example.net'), law))) return said
  if (!say('MAIL', drive(connection.mail('<a@x.example>', [], NO_MACROS), law))) return said
  const taken = recipients.filter(path => say('RCPT', drive(connection.rcpt(path, NO_MACROS), law)))
  if (taken.length === 0) return said
  if (!say('DATA', drive(connection.data(NO_MACROS), law))) return said
  if (!say('header', drive(connection.endOfHeaders(NO_MACROS), law))) return said
  const { answer, modifications } = drive(connection.endOfMessage(0, NO_MACROS), law)
  for (const change of modifications) said.push(`END-OF-MESSAGE ${change.kind}`)
  say('END-OF-MESSAGE', answer)
  return said
}

/** The law that says `kind` in one phase (of the recipient `one@`), and accepts otherwise. */
function lawOf(phase: Phase, kind: VerdictKind): Law {
  return tx => {
    const about = 'recipient' in tx ? tx.recipient.localPart === 'one' : true
    if (tx.phase === phase && about) return verdict(kind)
    return verdict('accept', tx.phase === 'END-OF-MESSAGE' ? 'nothing-to-object' : 'sender-permitted')
  }
}

const ONE = ['<one@x.example>']
const TWO = ['<one@x.example>', '<two@x.example>']

describe('what becomes of a verdict', () => {
  const cases = VERDICT_KINDS.flatMap(kind =>
    PHASES.map(phase => [kind, phase, FIDELITY[kind][phase]] as const),
  )

  test.each(cases.filter(([, , fidelity]) => fidelity !== 'never'))(
    '%s at %s: %s',
    (kind, phase, fidelity) => {
      // Whom the end of a message concerns alone hears of it as soon as the header tells.
      const when = phase === 'END-OF-MESSAGE' ? 'header' : phase
      const alone = converse(lawOf(phase, kind), ONE)
      const among = converse(lawOf(phase, kind), TWO)
      switch (fidelity) {
        case 'exact':
          if (kind === 'reject' || kind === 'defer') {
            expect(alone).toEqual([`${phase} refuse`])
            expect(among).toEqual([`${phase} refuse`])
          } else if (kind === 'discard') {
            expect(alone).toEqual([`${when} discard`])
            expect(among).toEqual([`${phase} delete-recipient`])
          } else if (kind === 'none' && phase === 'RCPT') {
            expect(alone).toEqual(['DATA accept'])
            expect(among).toEqual([])
          } else {
            expect([...alone, ...among]).toEqual([])
          }
          return
        case 'at-end':
          expect([...alone, ...among].every(said => !said.startsWith('RCPT'))).toBe(true)
          if (kind === 'discard') {
            expect(alone).toEqual(['header discard'])
            expect(among).toEqual(['END-OF-MESSAGE delete-recipient'])
          } else {
            const settled: Law = tx =>
              tx.phase === 'END-OF-MESSAGE' ? verdict('reject') : lawOf(phase, kind)(tx)
            expect(converse(settled, ONE)).toEqual(['header refuse'])
          }
          return
        case 'widened':
          expect(alone).toEqual([`${when} refuse`])
          // For now: for all of them, so that nobody gets it twice. For good: not at all, and asked again as after acceptance.
          expect(among).toEqual(kind === 'defer' ? [`${when} refuse`] : [])
          return
        case 'by-sink':
          expect([...alone, ...among]).toEqual([])
          expect(converse(lawOf(phase, kind), ONE, { hold: 'quarantine' })).toEqual([
            'END-OF-MESSAGE quarantine',
          ])
          expect(converse(lawOf(phase, kind), TWO, { hold: 'quarantine' })).toEqual([])
      }
    },
  )

  test('the page says the same', () => {
    const page = readFileSync(new URL('../../docs/milter.md', import.meta.url), 'utf8')
    const rows = VERDICT_KINDS.map(
      kind => `| \`${kind}\` | ${PHASES.map(phase => FIDELITY[kind][phase]).join(' | ')} |`,
    )
    for (const row of rows) expect(page).toContain(row)
  })
})

describe('several recipients', () => {
  const at =
    (
      rcpt: Record<string, VerdictKind>,
      end: Record<string, VerdictKind>,
      late: Record<string, VerdictKind> = {},
    ): Law =>
    tx => {
      if (!('recipient' in tx)) return verdict('accept', 'nothing-to-object')
      const name = tx.recipient.localPart
      if (tx.phase === 'RCPT') return verdict(rcpt[name] ?? 'accept')
      const kind = tx.phase === 'END-OF-MESSAGE' && tx.afterAcceptance ? (late[name] ?? end[name]) : end[name]
      return kind === undefined ? verdict('accept', 'nothing-to-object') : verdict(kind)
    }

  test.each<[string, Law, readonly string[]]>([
    ['both refuse', at({}, { one: 'reject', two: 'reject' }), ['header refuse']],
    ['one refuses, one drops', at({ two: 'discard' }, { one: 'reject' }), ['header refuse']],
    [
      'one refuses, one holds',
      at({ two: 'hold' }, { one: 'reject' }, { one: 'discard' }),
      ['END-OF-MESSAGE delete-recipient'],
    ],
    ['one refuses for good even late', at({}, { one: 'reject' }), []],
    ['one refuses, and late for now', at({}, { one: 'reject' }, { one: 'defer' }), ['END-OF-MESSAGE refuse']],
    ['one refuses, one for now', at({}, { one: 'reject', two: 'defer' }), ['header refuse']],
    [
      'one is dropped at RCPT and refuses at the end',
      at({ one: 'discard' }, { one: 'reject' }, { one: 'hold' }),
      ['END-OF-MESSAGE delete-recipient'],
    ],
    [
      'both are left to the author, who is dropped',
      at({ one: 'later', two: 'later' }, { one: 'discard', two: 'discard' }),
      ['header discard'],
    ],
    [
      'both are left to the author, who is refused by one',
      at({ one: 'later', two: 'later' }, { one: 'reject', two: 'accept' }, { one: 'discard' }),
      ['END-OF-MESSAGE delete-recipient'],
    ],
    [
      'one is left to the author, one is dropped',
      at({ one: 'later', two: 'discard' }, { one: 'reject' }),
      ['header refuse'],
    ],
    [
      'one is left to the author, one is none of ours',
      at({ one: 'later', two: 'none' }, { one: 'reject' }, { one: 'discard' }),
      ['END-OF-MESSAGE delete-recipient'],
    ],
    [
      'one is left to the author, who cannot be judged now',
      at({ one: 'later' }, { one: 'defer' }),
      ['header refuse'],
    ],
    ['one vanishes', at({}, { one: 'none' }), []],
  ])('%s', (_, law, want) => {
    expect(converse(law, TWO)).toEqual(want)
  })

  test('what RCPT drops waits for nobody', () => {
    expect(overall(verdict('discard'), verdict('hold')).kind).toBe('discard')
    expect(overall(verdict('hold'), verdict('discard')).kind).toBe('discard')
    expect(overall(verdict('discard'), verdict('reject')).kind).toBe('reject')
  })

  test('a verdict at the end that adds nothing leaves that of RCPT', () => {
    const nothing = verdict('accept', 'nothing-to-object')
    expect(overall(verdict('hold'), nothing).kind).toBe('hold')
    expect(overall(verdict('discard'), verdict('accept', 'service-address')).kind).toBe('discard')
    expect(overall(verdict('hold'), verdict('accept', 'sender-permitted')).kind).toBe('accept')
    expect(overall(verdict('later'), nothing)).toBe(nothing)
    expect(overall(verdict('hold'), verdict('reject')).kind).toBe('reject')
    expect(overall(verdict('hold'), verdict('accept', 'admitted-before')).kind).toBe('hold')
    expect(overall(verdict('later'), verdict('accept', 'admitted-before')).kind).toBe('accept')
  })
})

describe('our own failure at the end', () => {
  const failing: Law = tx => {
    if (tx.phase === 'RCPT') return verdict('accept')
    return tx.phase === 'END-OF-MESSAGE' ? verdict('defer', 'store-unavailable') : verdict('accept')
  }
  test.each([
    ['defer', ['header refuse']],
    ['pass', []],
    ['disconnect', ['header disconnect']],
  ] as const)('%s', (onStoreFailure, want) => {
    expect(converse(failing, ONE, { onStoreFailure })).toEqual(want)
  })

  test('at the header, what passes there is asked again at the end', () => {
    const questions: string[] = []
    const law: Law = tx => {
      questions.push(tx.phase)
      if (tx.phase === 'RCPT') return verdict('later')
      return tx.phase === 'END-OF-MESSAGE' ? verdict('defer', 'store-unavailable') : verdict('accept')
    }
    expect(converse(law, ONE, { onStoreFailure: 'pass' })).toEqual([])
    expect(questions.filter(phase => phase === 'END-OF-MESSAGE')).toHaveLength(2)
  })

  test('a failure of ours at DATA, too, does what the site chose', () => {
    const law: Law = tx => (tx.phase === 'DATA' ? verdict('defer', 'internal-error') : verdict('accept'))
    expect(converse(law, ONE)).toEqual(['DATA refuse'])
    expect(converse(law, ONE, { onStoreFailure: 'pass' })).toEqual([])
    expect(converse(law, ONE, { onStoreFailure: 'disconnect' })).toEqual(['DATA disconnect'])
  })
})

describe('what the MTA tells', () => {
  test.each<[string, string | undefined, Record<string, string>, object]>([
    ['mx.example.net', '192.0.2.1', {}, { name: 'mx.example.net', ip: '192.0.2.1' }],
    ['[192.0.2.1]', '192.0.2.1', {}, { ip: '192.0.2.1' }],
    ['unknown', '192.0.2.1', {}, { ip: '192.0.2.1' }],
    [
      'mx.example.net',
      'IPv6:2001:db8::1',
      { '{client_resolve}': 'OK' },
      { name: 'mx.example.net', ip: '2001:db8::1' },
    ],
    ['mx.example.net', '192.0.2.1', { '{client_resolve}': 'TEMP' }, { ip: '192.0.2.1' }],
    ['mx.example.net', '192.0.2.1', { _: 'mx.example.net [192.0.2.1] (may be forged)' }, { ip: '192.0.2.1' }],
    ['localhost', '/run/x.sock', {}, { name: 'localhost' }],
    ['unspec', undefined, { '{client_addr}': 'IPv6:2001:db8::1' }, { name: 'unspec', ip: '2001:db8::1' }],
    ['', undefined, {}, {}],
  ])('of the client: %s %s %j', (host, address, macros, want) => {
    const { ip, ...rest } = clientOf({ host, address }, { get: name => macros[name] })
    expect({ ...rest, ...(ip === undefined ? {} : { ip: ip.text }) }).toEqual(want)
  })

  test.each([
    [['SIZE=100'], 100],
    [['BODY=8BITMIME', 'size=7'], 7],
    [['SIZE=0'], undefined],
    [['SIZE=-1'], undefined],
    [['SIZE=1e3'], undefined],
    [['SIZE=1234567890123456'], undefined],
    [['XSIZE=1'], undefined],
    [[], undefined],
  ])('of the size: %j', (parameters, want) => {
    expect(declaredSize(parameters)).toBe(want)
  })
})
