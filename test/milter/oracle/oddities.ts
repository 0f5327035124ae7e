/**
 * Frames and commands as no MTA sends them, or as old ones do: what filters on libmilter answer, and what the native engine
 * does. Answers by their letters; where a column ends before the commands do, the connection was closed, or what followed
 * is passed over.
 */
import { command, frame } from '../mta-wire.ts'

const connected = (...more: readonly Buffer[]): Buffer =>
  Buffer.concat([command.negotiate(), command.connect('mx.example.net'), ...more])
const inMessage = (...more: readonly Buffer[]): Buffer =>
  connected(command.helo('mx'), command.mail('<ok@x.example>'), command.rcpt('<ok@x.example>'), ...more)
const offering = (
  offer: { version?: number; actions?: number; protocol?: number },
  ...more: readonly Buffer[]
): Buffer =>
  Buffer.concat([
    command.negotiate({ version: 6, actions: 0x1ff, protocol: 0x1fffff, ...offer }),
    command.connect('mx'),
    ...more,
  ])

export interface Oddity {
  readonly name: string
  readonly bytes: Buffer
  readonly libmilter: string
  readonly native: string
}

/** Name, commands, answers of libmilter, and of the native engine where they are others. */
const TABLE: readonly (readonly [string, Buffer, string, string?])[] = [
  ['a frame without a command', connected(Buffer.from([0, 0, 0, 0]), command.helo('mx')), 'Oc'],
  ['a frame with one byte too many', inMessage(command.helo('x'.repeat(65535))), 'Occcc'],
  ['a frame as long as may be', connected(command.helo('x'.repeat(65534))), 'Occ'],
  ['a frame of four gigabytes', connected(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x48])), 'Oc'],
  ['a command that nobody knows', connected(frame('Z'), command.helo('mx')), 'Oc'],
  ['DATA with data', inMessage(frame('T', 'x'), command.endOfHeaders()), 'Occcccc', 'Occcc'],
  ['end of headers with data', inMessage(command.data(), frame('N', 'x')), 'Occcccc', 'Occccc'],
  ['an abort with data', inMessage(frame('A', 'x'), command.mail('<ok@x.example>')), 'Occccc', 'Occcc'],
  ['HELO without a NUL', connected(frame('H', 'mx'), command.mail('<ok@x.example>')), 'Occ', 'Oc'],
  ['HELO with nothing', connected(frame('H'), command.mail('<ok@x.example>')), 'Oc'],
  ['HELO with two names', connected(frame('H', 'mx\0no\0'), command.mail('<ok@x.example>')), 'Occc', 'Oc'],
  ['MAIL without a NUL', connected(frame('M', '<ok@x.example>'), command.rcpt('<ok@x.example>')), 'Oc'],
  [
    'MAIL with a parameter without a NUL',
    connected(frame('M', '<ok@x.example>\0x'), command.rcpt('<ok@x.example>')),
    'Occc',
    'Oc',
  ],
  ['MAIL with nothing', connected(frame('M'), command.rcpt('<ok@x.example>')), 'Oc'],
  [
    'a field without a value',
    inMessage(command.data(), frame('L', 'From\0'), command.endOfHeaders()),
    'Occccc',
  ],
  [
    'a field with an empty value',
    inMessage(command.data(), frame('L', 'From\0\0'), command.endOfHeaders()),
    'Occcccc',
  ],
  [
    'a field without a NUL',
    inMessage(command.data(), frame('L', 'From\0x'), command.endOfHeaders()),
    'Occccc',
  ],
  [
    'a field with a NUL in its value',
    inMessage(command.data(), frame('L', 'From\0x\0y\0'), command.endOfHeaders()),
    'Occcccc',
    'Occccc',
  ],
  [
    'a body of no bytes',
    inMessage(command.data(), command.endOfHeaders(), command.body(''), command.endOfMessage()),
    'Occcccc',
    'Occccccc',
  ],
  [
    'CONNECT with a family that nobody knows',
    Buffer.concat([command.negotiate(), frame('C', 'mx\0X\0\0a\0'), command.helo('mx')]),
    'O',
  ],
  [
    'CONNECT with an IPv4 address that is none',
    Buffer.concat([command.negotiate(), command.connect('mx', '999.1.1.1'), command.helo('mx')]),
    'O',
    'Occ',
  ],
  [
    'CONNECT with an IPv6 address that is none',
    Buffer.concat([command.negotiate(), command.connect('mx', 'zz', '6'), command.helo('mx')]),
    'O',
    'Occ',
  ],
  [
    'CONNECT with an IPv6 address',
    Buffer.concat([command.negotiate(), command.connect('mx', 'IPv6:2001:db8::1', '6'), command.helo('mx')]),
    'Occ',
  ],
  [
    'CONNECT by a unix socket',
    Buffer.concat([command.negotiate(), command.connect('mx', '/run/x', 'L'), command.helo('mx')]),
    'Occ',
  ],
  [
    'CONNECT from nowhere',
    Buffer.concat([command.negotiate(), command.connect('mx', '', 'U'), command.helo('mx')]),
    'Occ',
  ],
  [
    'CONNECT with a name alone',
    Buffer.concat([command.negotiate(), frame('C', 'mx'), command.helo('mx')]),
    'O',
  ],
  ['macros for no command', connected(frame('D'), command.helo('mx')), 'Oc'],
  ['macros with no names', connected(frame('D', 'M'), command.helo('mx')), 'Occ'],
  ['macros without a NUL', connected(frame('D', 'Mi'), command.helo('mx')), 'Occ'],
  ['macros for a command that nobody knows', connected(frame('D', 'Zi\0x\0'), command.helo('mx')), 'Occ'],
  [
    'a second negotiation',
    Buffer.concat([command.negotiate(), command.negotiate(), command.connect('mx')]),
    'O',
  ],
  [
    'CONNECT before the negotiation',
    Buffer.concat([command.connect('mx'), command.negotiate(), command.connect('mx')]),
    '',
  ],
  [
    'a negotiation that is too short',
    Buffer.concat([frame('O', Buffer.alloc(11)), command.connect('mx')]),
    '',
  ],
  [
    'a negotiation with more behind it',
    Buffer.concat([
      frame('O', Buffer.concat([command.negotiate().subarray(5), Buffer.from('more')])),
      command.connect('mx'),
    ]),
    'Oc',
  ],
  ['version 1', offering({ version: 1, actions: 0x1ff, protocol: 0x1fffff }), ''],
  ['version 9', offering({ version: 9, actions: 0x1ff, protocol: 0x1fffff }), 'Oc'],
  ['no SMFIF_DELRCPT', offering({ version: 6, actions: 1, protocol: 0x1fffff }), ''],
  [
    'version 2 with no offers',
    offering(
      { version: 2, actions: 0, protocol: 0 },
      command.helo('mx'),
      command.mail('<ok@x.example>'),
      command.rcpt('<ok@x.example>'),
      command.header('a', 'b'),
      command.endOfHeaders(),
      command.body('x'),
      command.endOfMessage(),
      command.unknown('X'),
    ),
    'Occccccccc',
  ],
  [
    "version 2, and somebody else's message",
    offering(
      { version: 2, actions: 0, protocol: 0 },
      command.helo('mx'),
      command.mail('<ok@x.example>'),
      command.rcpt('<else@x.example>'),
      command.header('a', 'b'),
    ),
    'Occccc',
    'Occcca',
  ],
  ['every bit there is', offering({ version: 6, actions: 0xffffffff, protocol: 0xffffffff }), 'Oc'],
  ['no SMFIF_SETSYMLIST', offering({ version: 6, actions: 0xff, protocol: 0x1fffff }), 'Oc'],
  [
    'RCPT after a refused DATA',
    connected(
      command.helo('mx'),
      command.mail('<stop-at-data@x.example>'),
      command.rcpt('<ok@x.example>'),
      command.data(),
      command.rcpt('<ok@x.example>'),
    ),
    'Occccy',
    'Occccyc',
  ],
  ['HELO after QUIT', connected(command.quit(), command.helo('mx')), 'Oc'],
  ['QUIT with data', connected(frame('Q', 'x'), command.helo('mx')), 'Oc'],
  [
    'another connection after HELO',
    connected(command.helo('mx'), command.quitNewConnection(), command.connect('mx'), command.helo('mx')),
    'Occc',
    'Occcc',
  ],
  [
    'another connection after a message',
    inMessage(
      command.endOfHeaders(),
      command.endOfMessage(),
      command.quitNewConnection(),
      command.connect('mx'),
      command.helo('mx'),
    ),
    'Occcccccc',
  ],
  [
    'another connection after an abort',
    inMessage(command.abort(), command.quitNewConnection(), command.connect('mx'), command.helo('mx')),
    'Occcccc',
  ],
  [
    'RCPT without macros after one with some',
    connected(
      command.helo('mx'),
      command.mail('<ok@x.example>'),
      command.macros('R', { '{rcpt_mailer}': 'error' }),
      command.rcpt('<no@x.example>'),
      command.rcpt('<no@x.example>'),
    ),
    'Occccc',
    'Occccy',
  ],
] as const

export const ODDITIES: readonly Oddity[] = TABLE.map(([name, bytes, libmilter, native = libmilter]) => ({
  name,
  bytes,
  libmilter,
  native,
}))
