/** Frames as lines: what is read back is what was there. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { answerBytesOf, answerLineOf, bytesOf, FrameSplitter, lineOf } from './lines.ts'
import { frame } from './mta-wire.ts'

test.each([
  '> O 6 1ff 1fffff',
  '> C mx.example.net | 4 | 192.0.2.1',
  '> C mx.example.net | 6 | IPv6:2001:db8::1 | 25',
  '> C localhost | L | /run/x | 0',
  '> C localhost | U',
  '> D R | {rcpt_addr} | "a b"@x | i | ',
  '> D H',
  '> M <a\\t@b> | SIZE=1',
  '> L X | a\\n b \\x7c c',
  '> L Subject | ',
  '> U NOSUCH',
  '> N',
  '> B 65535',
  '> B 1000 "\\x0d\\n"',
  '> B "Hello\\x0d\\n"',
  '> E',
  '> E "x\\\\"',
  '? 000000024865',
])('a command: %s', line => {
  const bytes = bytesOf(line)
  expect(lineOf(String.fromCharCode(bytes[4]!), bytes.subarray(5))).toBe(line)
})

test.each([
  '< c',
  '< O 6 109 a0980 | 0 _ {client_resolve} | 4 i',
  '< y 550 5.7.1 No, by 100%%',
  '< y 550-5.7.1 No // 550 5.7.1 No: never',
  '< i 0 X-Postern: accept (sender-permitted): so',
  '< - <a@b>',
  '< q Postern: held',
  '< ? 000000056161616161',
  '< ? 0000000179',
])('an answer: %s', line => {
  const bytes = answerBytesOf(line)
  expect(answerLineOf(String.fromCharCode(bytes[4]!), bytes.subarray(5))).toBe(line)
})

const codes = fc.constantFrom(...'OCDHMRTLNBEUAQKZ')
const some = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc
    .array(fc.constantFrom('a', '\0', ' ', '|', ' | ', '\\', '\n', '\r', '"', 'x', 'é'), { maxLength: 30 })
    .map(parts => Buffer.from(parts.join(''))),
)

test('whatever an MTA sends stands on one line, from which it can be read', () => {
  fc.assert(
    fc.property(codes, some, (code, data) => {
      const line = lineOf(code, Buffer.from(data))
      expect(line).toMatch(/^[>?] [^\r\n]*$/)
      expect(bytesOf(line)).toEqual(frame(code, data))
    }),
  )
})

test('so does whatever a milter answers', () => {
  fc.assert(
    fc.property(fc.constantFrom(...'cyOiqh-d+m2'), some, (code, data) => {
      const line = answerLineOf(code, Buffer.from(data))
      expect(line).toMatch(/^< [^\r\n]*$/)
      expect(answerBytesOf(line)).toEqual(frame(code, data))
    }),
  )
})

test('frames are found however they are cut', () => {
  const bytes = Buffer.concat([frame('c'), frame('y', 'x\0'), frame('c')])
  const splitter = new FrameSplitter()
  const found = [...bytes].flatMap(byte => splitter.push(Buffer.from([byte])))
  expect(found.map(({ code, data }) => `${code} ${data}`)).toEqual(['c ', 'y x\0', 'c '])
  expect(splitter.rest).toHaveLength(0)
})
