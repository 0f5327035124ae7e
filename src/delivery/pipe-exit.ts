/**
 * What the exit status of a program says of the message that it was given: sysexits(3), as MTAs read it.
 *
 * A status about the message or its recipient is the recipient's answer, and permanent. One about the program, its
 * command line or this system is a fault of ours, and temporary, where Postfix's pipe(8) would bounce for all but
 * EX_TEMPFAIL: here the mail has been taken by an MTA already, and each 5xx is a bounce to somebody who can do nothing.
 */
import type { DeliveryOutcome } from '../app/message.ts'
import { makeReply, type Reply } from '../core/reply.ts'
import { PipeError } from './pipe-error.ts'
import type { ProgramOutput } from './pipe-output.ts'

interface ExitMeaning {
  readonly name: string
  readonly code: number
  readonly enhanced: string
  readonly text: string
}

/** The meanings of sysexits(3), by status. */
export const EXIT_MEANINGS: Readonly<Record<number, ExitMeaning>> = {
  64: {
    name: 'EX_USAGE',
    code: 451,
    enhanced: '4.3.5',
    text: 'The delivery program was called wrongly; try again later',
  },
  65: { name: 'EX_DATAERR', code: 554, enhanced: '5.6.0', text: 'The message is not in order' },
  66: {
    name: 'EX_NOINPUT',
    code: 451,
    enhanced: '4.3.0',
    text: 'The delivery program lacks a file; try again later',
  },
  67: { name: 'EX_NOUSER', code: 550, enhanced: '5.1.1', text: 'There is no such recipient' },
  68: { name: 'EX_NOHOST', code: 550, enhanced: '5.1.2', text: 'There is no such host' },
  69: { name: 'EX_UNAVAILABLE', code: 554, enhanced: '5.3.0', text: 'The message was not taken' },
  70: {
    name: 'EX_SOFTWARE',
    code: 451,
    enhanced: '4.3.0',
    text: 'The delivery program has failed; try again later',
  },
  71: { name: 'EX_OSERR', code: 451, enhanced: '4.3.0', text: 'The system has failed; try again later' },
  72: { name: 'EX_OSFILE', code: 451, enhanced: '4.3.0', text: 'The system lacks a file; try again later' },
  73: {
    name: 'EX_CANTCREAT',
    code: 451,
    enhanced: '4.2.0',
    text: 'The message could not be written; try again later',
  },
  74: { name: 'EX_IOERR', code: 451, enhanced: '4.3.0', text: 'Reading or writing failed; try again later' },
  75: { name: 'EX_TEMPFAIL', code: 451, enhanced: '4.3.0', text: 'Temporary failure; try again later' },
  76: { name: 'EX_PROTOCOL', code: 554, enhanced: '5.5.0', text: 'A protocol was not kept' },
  77: { name: 'EX_NOPERM', code: 550, enhanced: '5.7.1', text: 'Delivery is not permitted' },
  78: {
    name: 'EX_CONFIG',
    code: 451,
    enhanced: '4.3.5',
    text: 'The delivery program is not set up; try again later',
  },
}

const WITH_CODE = /^([45])(\.\d{1,3}\.\d{1,3})\s+(\S.*)$/

/**
 * The reply. Where the status is permanent it has the program's own first line, which may begin with an enhanced code
 * that is better, or temporary; the words to a temporary status may be about this system, whose insides are nobody's
 * business.
 */
function replyOf({ code, enhanced, text }: ExitMeaning, firstLine: string): Reply {
  const [, kind, detail, said] = WITH_CODE.exec(firstLine) ?? []
  const own =
    kind === undefined
      ? makeReply(code, enhanced, firstLine)
      : makeReply(kind === '5' ? code : 451, `${kind}${detail}`, said ?? '')
  const reply = code >= 500 && own.ok ? own : makeReply(code, enhanced, text)
  if (!reply.ok) throw new Error(`the reply ${code} ${enhanced}: ${reply.problem}`)
  return reply.value
}

/** What became of a copy whose program has ended with a status. */
export function outcomeOfExit(program: string, status: number, output: ProgramOutput): DeliveryOutcome {
  if (status === 0) return { kind: 'delivered' }
  const meaning = EXIT_MEANINGS[status]
  const said = output.lastLines === '' ? '' : `: ${output.lastLines}`
  const named = meaning === undefined ? `${status}, which sysexits(3) does not have` : meaning.name
  const cause = new PipeError(`${program} ended with ${named}${said}`)
  return meaning === undefined
    ? { kind: 'failed', cause }
    : { kind: 'refused', reply: replyOf(meaning, output.firstLine), cause }
}
