/** The byte stream cut into lines and data. */
import { describe, expect, test } from 'vitest'
import { type Incoming, LmtpReader, MAX_COMMAND_LINE } from '../../src/lmtp/codec.ts'

function linesOf(chunks: readonly (string | Buffer)[]): readonly Incoming[] {
  const reader = new LmtpReader()
  const lines: Incoming[] = []
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk as string, 'latin1'))
    for (let line = reader.readLine(); line !== undefined; line = reader.readLine()) lines.push(line)
  }
  return lines
}

const line = (text: string): Incoming => ({ kind: 'line', text })
const bad = (problem: string, text?: string): unknown => ({
  kind: 'bad-line',
  problem,
  ...(text !== undefined && { text }),
})
const utf8 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

const CASES: readonly (readonly [name: string, input: string, want: readonly unknown[]])[] = [
  ['one line', 'NOOP\r\n', [line('NOOP')]],
  ['two lines and a beginning', 'A\r\nB\r\nC', [line('A'), line('B')]],
  ['an empty line', '\r\n', [line('')]],
  ['a bare LF', 'NOOP\nRSET\r\n', [bad('bare-line-feed'), line('RSET')]],
  ['a bare LF at the beginning', '\nRSET\r\n', [bad('bare-line-feed'), line('RSET')]],
  ['a bare CR inside', 'NO\rOP\r\n', [bad('control-character', 'NO\ufffdOP')]],
  ['CR CR LF', 'NOOP\r\r\n', [bad('control-character', 'NOOP\ufffd')]],
  ['NUL', 'NO\0OP\r\n', [bad('control-character', 'NO\ufffdOP')]],
  ['TAB', 'MAIL\tFROM:<>\r\n', [bad('control-character', 'MAIL\ufffdFROM:<>')]],
  ['DEL', 'NOOP \x7f\r\n', [bad('control-character', 'NOOP \ufffd')]],
  ['UTF-8', utf8('RCPT TO:<jürgen@x>\r\n'), [line('RCPT TO:<jürgen@x>')]],
  ['not UTF-8', 'RCPT TO:<j\xfcrgen@x>\r\n', [bad('not-utf8', 'RCPT TO:<j\ufffdrgen@x>')]],
  ['as long as may be', `${'a'.repeat(MAX_COMMAND_LINE - 2)}\r\n`, [line('a'.repeat(MAX_COMMAND_LINE - 2))]],
  ['one octet longer', `${'a'.repeat(MAX_COMMAND_LINE - 1)}\r\nNOOP\r\n`, [bad('too-long'), line('NOOP')]],
  ['endless', 'a'.repeat(70_000), [bad('endless')]],
]

describe('command lines', () => {
  test.each(CASES)('%s', (_, input, want) => {
    expect(linesOf([input])).toEqual(want)
    expect(linesOf([...input]).slice(0, want.length)).toEqual(want)
  })

  test('no more of an over-long line is kept than a command may have', () => {
    const reader = new LmtpReader()
    for (let count = 0; count < 6; count++) {
      reader.push(Buffer.alloc(10_000, 'a'))
      expect(reader.readLine()).toBeUndefined()
      expect(reader.pending).toBe(0)
    }
    reader.push(Buffer.from('\r\nNOOP\r\n'))
    expect(reader.readLine()).toEqual(bad('too-long'))
    expect(reader.readLine()).toEqual(line('NOOP'))
  })
})

describe('data', () => {
  test('begins where the commands end, and ends where they begin again', () => {
    const reader = new LmtpReader()
    reader.push(Buffer.from('DATA\r\n.dot\r\nmore\r\n.\r\nQUIT\r\nNO'))
    expect(reader.readLine()).toEqual(line('DATA'))
    const data = reader.readData()
    expect(data?.kind === 'data' && Buffer.concat(data.data).toString()).toBe('dot\r\nmore\r\n')
    expect(reader.readData()).toEqual({ kind: 'data-end' })
    expect(reader.readLine()).toEqual(line('QUIT'))
    expect(reader.readLine()).toBeUndefined()
    expect(reader.pending).toBe(2)
  })

  test('two messages in one session start afresh', () => {
    const reader = new LmtpReader()
    for (const body of ['one', 'two']) {
      reader.push(Buffer.from(`${body}\r\n.`))
      const data = reader.readData()
      expect(data?.kind === 'data' && Buffer.concat(data.data).toString()).toBe(`${body}\r\n`)
      expect(reader.readData()).toBeUndefined()
      reader.push(Buffer.from('\r\n'))
      expect(reader.readData()).toEqual({ kind: 'data-end' })
    }
  })
})
