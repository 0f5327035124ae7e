/** The session's properties, over random commands in random chunks. */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { LmtpSession } from '../../src/lmtp/session.ts'
import type { SessionEvent } from '../../src/lmtp/session-events.ts'
import { type Judge, lawOver, linesOf, SETTINGS, speak } from './drive.ts'

let law: Judge

beforeAll(async () => {
  law = await lawOver()
})

const senders = ['alice@example.net', 'held@example.net', 'eve@example.com', '', 'root', '"a b"@example.net']
const recipients = [
  'team@lists.example.org',
  'TEAM@lists.example.org',
  'open@lists.example.org',
  'author@lists.example.org',
  'nolist@lists.example.org',
  'team-owner@lists.example.org',
  'bob@elsewhere.example',
  'bad',
]
const body = fc
  .array(
    fc.constantFrom('From: alice@example.net', 'Subject: x', '', '..', '..two', 'MAIL FROM:<>', 'text'),
    {
      maxLength: 8,
    },
  )
  .map(lines => [...lines, '.'].map(line => `${line}\r\n`).join(''))

/** What a client may say: commands in any order, and now and then a whole transaction. */
const command = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...senders).map(sender => `MAIL FROM:<${sender}>\r\n`) },
  { weight: 6, arbitrary: fc.constantFrom(...recipients).map(to => `RCPT TO:<${to}>\r\n`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('RSET\r\n', 'NOOP\r\n', 'LHLO x\r\n', 'VRFY x\r\n', 'X\r\n', 'NOOP\n'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('MAIL FROM:<a@b> SIZE=9999\r\n', 'EHLO x\r\n', 'XFORWARD NAME=x\r\n'),
  },
  { weight: 3, arbitrary: body.map(text => `DATA\r\n${text}`) },
)
const conversation = fc
  .array(command, { maxLength: 30 })
  .map(commands => Buffer.from(`LHLO mx.example.org\r\n${commands.join('')}QUIT\r\n`))

describe('any conversation', () => {
  test('is answered alike in any chunks', () => {
    fc.assert(
      fc.property(conversation, fc.array(fc.nat({ max: 1500 }), { maxLength: 20 }), (bytes, cuts) => {
        const whole = speak(law, bytes)
        const cut = speak(law, bytes, cuts)
        expect(cut.output).toBe(whole.output)
        expect(cut.mails).toEqual(whole.mails)
      }),
      { numRuns: 300 },
    )
  })

  test('is answered alike octet by octet', () => {
    fc.assert(
      fc.property(conversation, bytes => {
        const everywhere = Array.from({ length: bytes.length }, (_, index) => index)
        expect(speak(law, bytes, everywhere).output).toBe(speak(law, bytes).output)
      }),
      { numRuns: 50 },
    )
  })

  test('has as many final replies as accepted recipients, in their order', () => {
    fc.assert(
      fc.property(conversation, bytes => {
        const { output, mails } = speak(law, bytes)
        const lines = linesOf(output)
        // After each 354 come the replies to the recipients that were accepted since the last MAIL.
        let accepted: string[] = []
        let awaited: number | undefined
        let settled = 0
        for (const line of lines) {
          if (line.startsWith('250 2.1.0')) accepted = []
          else if (line.startsWith('250 2.1.5')) accepted.push(line)
          else if (line.startsWith('354')) awaited = accepted.length
          else if (awaited !== undefined && awaited > 0) {
            expect(line).toMatch(/^(?:250 2\.0\.0 <|550 5\.7\.2 )/)
            awaited--
            if (awaited === 0) settled++
          }
        }
        expect(settled).toBe(mails.length)
        for (const { mail } of mails) expect(mail.recipients.length).toBeGreaterThan(0)
        const named = lines.flatMap(line => /^250 2\.0\.0 <([^>]*)>/.exec(line)?.[1] ?? [])
        expect(named).toEqual(mails.flatMap(({ mail }) => mail.recipients.map(to => to.recipient.text)))
      }),
      { numRuns: 300 },
    )
  })

  test('has one enhanced code of the right class on every reply but greeting, LHLO and 354', () => {
    fc.assert(
      fc.property(conversation, bytes => {
        for (const line of linesOf(speak(law, bytes).output)) {
          if (/^(?:220|354) /.test(line) || line.startsWith('250-') || line.startsWith('250 SIZE')) continue
          expect(line).toMatch(/^([245])\d\d \1\.\d{1,3}\.\d{1,3} (?!\d\.\d)\S/)
          expect(line.length).toBeLessThanOrEqual(510)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('even one that is noise is answered or closed, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), noise => {
        const { output, mails } = speak(law, Buffer.from(noise))
        expect(output.startsWith('220 ')).toBe(true)
        expect(mails).toEqual([])
      }),
    )
  })
})

describe('what must not be', () => {
  const mail = 'LHLO x\r\nMAIL FROM:<alice@example.net>\r\nRCPT TO:<team@lists.example.org>\r\n'

  test('fewer replies than recipients', () => {
    const session = new LmtpSession(SETTINGS)
    const step = (event: SessionEvent) => session.step(event)
    for (const text of mail.split('\r\n').slice(0, -1)) {
      for (const effect of step({ kind: 'line', text })) {
        if (effect.kind === 'ask') step({ kind: 'verdict', verdict: law(effect.tx) })
      }
    }
    for (const effect of step({ kind: 'line', text: 'DATA' })) {
      if (effect.kind === 'ask') step({ kind: 'verdict', verdict: law(effect.tx) })
    }
    step({ kind: 'data', data: [Buffer.from('x\r\n')] })
    expect(step({ kind: 'data-end' }).map(effect => effect.kind)).toEqual(['settle'])
    expect(session.wanted).toBe('answer')
    expect(() => step({ kind: 'settled', replies: [] })).toThrow('not one reply for each recipient')
  })

  test('an answer that nobody waits for', () => {
    const session = new LmtpSession(SETTINGS)
    expect(() => session.step({ kind: 'settled', replies: [] })).toThrow()
    expect(() => session.step({ kind: 'data-end' })).toThrow()
  })

  test('anything after the end', () => {
    const session = new LmtpSession(SETTINGS)
    session.step({ kind: 'line', text: 'QUIT' })
    expect(session.wanted).toBe('nothing')
    expect(session.step({ kind: 'line', text: 'NOOP' })).toEqual([])
  })

  test('octets kept once there are too many', () => {
    const session = new LmtpSession({ ...SETTINGS, maxSize: 10 })
    for (const text of [...mail.split('\r\n').slice(0, -1), 'DATA']) {
      for (const effect of session.step({ kind: 'line', text })) {
        if (effect.kind === 'ask') session.step({ kind: 'verdict', verdict: law(effect.tx) })
      }
    }
    const kinds = (octets: number): readonly string[] =>
      session.step({ kind: 'data', data: [Buffer.alloc(octets)] }).map(effect => effect.kind)
    expect([kinds(10), kinds(1), kinds(1)]).toEqual([['append'], ['drop-message'], []])
  })

  test('octets kept beyond the limit', () => {
    const { mails, output } = speak(law, Buffer.from(`${mail}DATA\r\n${'x'.repeat(5000)}\r\n.\r\nQUIT\r\n`))
    expect(mails.map(({ mail: { kept, size }, bytes }) => [kept, size, bytes])).toEqual([[false, 5002, '']])
    expect(linesOf(output).slice(-2)).toEqual([
      '250 2.0.0 <team@lists.example.org> taken as ID',
      '221 2.0.0 Bye',
    ])
  })

  test('a message for others, read as commands', () => {
    const smuggled = 'one\n.\nMAIL FROM:<eve@example.com>\r\n.\rRCPT TO:<open@lists.example.org>\r\n'
    const { mails } = speak(law, Buffer.from(`${mail}DATA\r\n${smuggled}.\r\nQUIT\r\n`))
    expect(mails.map(({ bytes }) => bytes)).toEqual([smuggled.replace('\r\n.\r', '\r\n\r')])
  })
})
