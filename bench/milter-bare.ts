/**
 * A filter in bare Node, for the milter benchmark: reads and writes what Postern's milter reads and writes, and
 * understands nothing but where a frame ends. What a milter in Node can come near and not beat. Takes what was built.
 * Usage: milter-bare.ts PATH|PORT [trace]
 */
import { createServer, Socket } from 'node:net'

const dist = new URL('../dist/milter/', import.meta.url)
const { agree, encodeAgreement } = (await import(
  new URL('negotiate.js', dist).href
)) as typeof import('../src/milter/negotiate.ts')
const { Reception } = (await import(
  new URL('receive.js', dist).href
)) as typeof import('../src/milter/receive.ts')
const { encodeFrame } = (await import(
  new URL('wire.js', dist).href
)) as typeof import('../src/milter/wire.ts')

const [where = '', trace] = process.argv.slice(2)
const offer = { version: 6, actions: 0x1ff, protocol: 0x1fffff }
const agreement = agree(offer, {
  needed: [
    ['DELRCPT', 'do as Postern does'],
    ['ADDHDRS', 'do as Postern does'],
  ],
  bodies: true,
})
if (!agreement.ok) throw new Error(agreement.problem)
const AGREED = encodeAgreement(agreement.value)
const GO_ON = encodeFrame('c')
const REFUSED = encodeFrame('y', '550 5.7.2 You are not permitted to post to closed@lists.example.org\0')
const DONE =
  trace === 'trace'
    ? Buffer.concat([encodeFrame('i', '\0\0\0\0X-Postern\0accept (sender-permitted)\0'), GO_ON])
    : GO_ON

/** The answer to a command; `undefined` if it has none. */
function answerTo(code: number, bytes: Buffer, at: number): Buffer | undefined {
  switch (String.fromCharCode(code)) {
    case 'O':
      return AGREED
    case 'C':
    case 'H':
    case 'M':
    case 'T':
    case 'N':
      return GO_ON
    case 'R':
      return bytes.toString('latin1', at + 1, at + 7) === 'closed' ? REFUSED : GO_ON
    case 'E':
      return DONE
    default:
      return undefined
  }
}

/** Answers whole frames, which is what the benchmark's client sends. */
function serve(socket: Socket, bytes: Buffer): void {
  let answer: Buffer | undefined
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    const code = bytes[at + 4] ?? 0
    if (code === 0x51) {
      socket.destroy()
      return
    }
    answer = answerTo(code, bytes, at + 5) ?? answer
  }
  if (answer !== undefined) socket.write(answer)
}

const reception = new Reception(options => new Socket(options))
createServer({ noDelay: true, keepAlive: true }, socket => {
  socket.on('error', () => {})
  reception.receive(socket, bytes => serve(socket, bytes))
}).listen(where.startsWith('/') ? { path: where } : { host: '127.0.0.1', port: Number(where) })
