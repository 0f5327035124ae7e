/**
 * What the sink itself says, beside the law's replies: each with its basic code (RFC 5321 §4.2.3) and its enhanced
 * code (RFC 3463), in the order in which a session comes to them.
 */
import { formatReply, makeReply, type Reply } from '../core/reply.ts'
import type { Door } from './door.ts'
import { XFORWARD_ATTRIBUTES } from './xforward.ts'

function made(code: number, enhanced: string, text: string): Reply {
  const reply = makeReply(code, enhanced, text)
  if (!reply.ok) throw new Error(`the reply ${code} ${enhanced} ${text}: ${reply.problem}`)
  return reply.value
}

export const REPLIES = {
  ok: made(250, '2.0.0', 'Ok'),
  senderOk: made(250, '2.1.0', 'Ok'),
  help: made(214, '2.0.0', 'LHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT; see RFC 2033'),
  cannotVerify: made(252, '2.0.0', 'Ask with RCPT, which tells what a list would say to the sender'),
  bye: made(221, '2.0.0', 'Bye'),

  notLmtp: made(500, '5.5.1', 'This is LMTP: say LHLO'),
  unknownCommand: made(500, '5.5.1', 'There is no such command'),
  notImplemented: made(502, '5.5.1', 'This command is not offered here'),
  lineTooLong: made(500, '5.5.2', 'The line is too long'),
  bareLineFeed: made(500, '5.5.2', 'A line ends in CR LF, not in LF alone'),
  controlCharacter: made(500, '5.5.2', 'A command holds no control characters'),
  notUtf8: made(500, '5.5.2', 'A command is in ASCII or UTF-8'),
  tooManyErrors: made(421, '4.7.0', 'Too many errors'),

  lhloFirst: made(503, '5.5.1', 'Say LHLO first'),
  nested: made(503, '5.5.1', 'There is a sender already'),
  mailFirst: made(503, '5.5.1', 'Name a sender with MAIL first'),
  rcptFirst: made(503, '5.5.1', 'No recipient was accepted'),
  notInTransaction: made(503, '5.5.1', 'Not between MAIL and the end of the message'),

  argumentMissing: made(501, '5.5.4', 'An argument is missing'),
  argumentUnwanted: made(501, '5.5.4', 'This command takes no argument'),
  lhloSyntax: made(501, '5.5.4', 'Syntax: LHLO host'),
  mailSyntax: made(501, '5.5.4', 'Syntax: MAIL FROM:<sender> [SIZE=n] [BODY=7BIT|8BITMIME] [SMTPUTF8]'),
  rcptSyntax: made(501, '5.5.4', 'Syntax: RCPT TO:<recipient>'),
  badRecipient: made(501, '5.1.3', 'The recipient is not a valid address'),
  badParameter: made(501, '5.5.4', 'A parameter is malformed or given twice'),
  unknownParameter: made(555, '5.5.4', 'A parameter is not known here'),

  xforwardSyntax: made(501, '5.5.4', 'Syntax: XFORWARD NAME=value ...'),
  xforwardRefused: made(550, '5.7.1', 'This host may not use XFORWARD'),

  tooBig: made(552, '5.3.4', 'The message is larger than this system takes'),
  tooManyRecipients: made(452, '4.5.3', 'Too many recipients; send to the rest in another transaction'),
  recipientElsewhere: made(
    550,
    '5.1.2',
    'This is not a list domain here; the mail server should not send its mail to this port',
  ),
  postmaster: made(
    550,
    '5.1.1',
    'The postmaster is no list; the mail server should deliver to the postmaster itself',
  ),
  misrouted: made(
    451,
    '4.3.5',
    'This is no address of a list; the mail server should not send its mail to this port',
  ),
  questionsOnly: made(
    451,
    '4.3.5',
    'This port answers questions only; the mail server should send its mail to the other one',
  ),

  systemFull: made(451, '4.3.1', 'There is no room for the message at the moment; try again later'),
  ownFault: made(451, '4.3.0', 'Temporary failure; try again later'),
  sessionFault: made(421, '4.3.0', 'Temporary failure; try again later'),
  shuttingDown: made(421, '4.3.2', 'Shutting down; try again later'),
  idle: made(421, '4.4.2', 'Nothing was heard for too long'),
  dataTooSlow: made(421, '4.4.2', 'The message took too long'),
} as const satisfies Record<string, Reply>

/** The answer to DATA; 3xx replies have no enhanced code (RFC 2034 §4). */
export const START_DATA = '354 End the message with <CR><LF>.<CR><LF>\r\n'

/** What LHLO tells of a server. */
export interface Offer {
  /** What it calls itself. */
  readonly hostname: string
  /** In octets. */
  readonly maxSize: number
  readonly door: Door
  /** Whether this MTA's XFORWARD is offered and believed. */
  readonly xforward: boolean
}

/**
 * The answer to LHLO (RFC 5321 §4.1.1.1); it has no enhanced codes, either. Where mail is delivered no limit is told
 * (RFC 1870 §3: a SIZE of 0): MTAs that know of one make a bounce of what is larger by themselves.
 */
export function lhloReply({ hostname, maxSize, door, xforward }: Offer): string {
  const lines = [
    hostname,
    'PIPELINING',
    'ENHANCEDSTATUSCODES',
    '8BITMIME',
    'SMTPUTF8',
    ...(xforward ? [`XFORWARD ${XFORWARD_ATTRIBUTES.join(' ')}`] : []),
  ]
  return `${lines.map(line => `250-${line}\r\n`).join('')}250 SIZE ${door === 'callout' ? maxSize : 0}\r\n`
}

/** A reply as on the wire. */
export function replyLine(reply: Reply): string {
  return `${formatReply(reply)}\r\n`
}

/** The end of a message for one recipient: RFC 2033 §4.2 asks for one of these each. */
export function takenReply(recipient: string, id: string, held: boolean): Reply {
  const ending = held ? ' and waits for a moderator' : ''
  return made(250, '2.0.0', `<${recipient}> taken as ${id}${ending}`)
}
