/**
 * Delivery to a program: one process for each copy, which gets the message on its standard input and says with its exit
 * status what became of it.
 */
import { stat } from 'node:fs/promises'
import { type Argument, fillArgument } from '../app/argument.ts'
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import { atMost } from './at-most.ts'
import { unixLineEnds } from './line-ends.ts'
import { PipeError } from './pipe-error.ts'
import { outcomeOfExit } from './pipe-exit.ts'
import type { ProgramOutput } from './pipe-output.ts'
import { runProgram } from './pipe-program.ts'
import { environmentOf, placeholderValues } from './pipe-values.ts'
import { traceFields } from './trace-fields.ts'

export interface PipeSettings {
  /** Its name in the configuration. */
  readonly name: string
  /** The program's path. */
  readonly program: string
  readonly args: readonly Argument[]
  /** Its working directory. */
  readonly directory: string
  /** What is in its environment beside what the message puts there. */
  readonly environment: Readonly<Record<string, string>>
  readonly lineEnds: 'lf' | 'crlf'
  /** Whether the message gets Return-Path, Delivered-To and Received. */
  readonly traceFields: boolean
  /** How long a copy may wait for its turn, and how long a program may then run. */
  readonly timeoutMs: number
  /** Processes at a time. */
  readonly maxProcesses: number
  /** What this system calls itself. */
  readonly hostname: string
  /** Between SIGTERM and SIGKILL; 5 seconds if not given. */
  readonly graceMs?: number
}

const GRACE_MS = 5000

function failed(message: string, cause?: unknown): DeliveryOutcome {
  return { kind: 'failed', cause: new PipeError(message, { cause }) }
}

/** What of it the program gets. */
async function* contentOf(head: string, message: Message): AsyncGenerator<Uint8Array> {
  if (head !== '') yield Buffer.from(head)
  yield* message.read()
}

/** The system says ENOENT of the program where its working directory is what is missing. */
async function whyNotStarted(directory: string): Promise<string> {
  const there = await stat(directory).catch(() => undefined)
  return there?.isDirectory() === true ? '' : `: there is no directory ${directory}`
}

function saying(output: ProgramOutput): string {
  return output.lastLines === '' ? '' : `, and said: ${output.lastLines}`
}

export function createPipeDelivery(settings: PipeSettings): Delivery {
  const { name, program, directory, timeoutMs, graceMs = GRACE_MS } = settings
  const inTurn = atMost(settings.maxProcesses)
  const underWay = new Set<Promise<unknown>>()

  async function deliverNow(
    envelope: Envelope,
    message: Message,
    to: DeliveryRecipient,
  ): Promise<DeliveryOutcome> {
    const values = placeholderValues(envelope, to)
    const args: string[] = []
    for (const [index, argument] of settings.args.entries()) {
      const filled = fillArgument(argument, values)
      if (!filled.ok) return failed(`${program}: argument ${index + 1}: ${filled.problem}`)
      args.push(filled.value)
    }
    const head = settings.traceFields ? traceFields(envelope, to, settings.hostname) : ''
    const content = contentOf(head, message)
    const end = await runProgram(
      {
        command: [program, ...args],
        directory,
        environment: environmentOf(envelope, to, settings.environment),
        timeoutMs,
        graceMs,
      },
      settings.lineEnds === 'lf' ? unixLineEnds(content) : content,
    )
    switch (end.kind) {
      case 'exited':
        return outcomeOfExit(program, end.status, end.output)
      case 'killed':
        return failed(`${program} was ended by ${end.signal}${saying(end.output)}`)
      case 'late':
        return failed(`${program} did not end in ${timeoutMs / 1000} s${saying(end.output)}`)
      case 'unread':
        return failed(`${program} was ended: the message could not be read`, end.cause)
      case 'not-started':
        return failed(`${program} could not be started${await whyNotStarted(directory)}`, end.cause)
    }
  }

  async function deliver(
    envelope: Envelope,
    message: Message,
    to: DeliveryRecipient,
  ): Promise<DeliveryOutcome> {
    const asked = performance.now()
    return inTurn(async () => {
      // The MTA does not wait for ever, and what it has given up comes twice.
      if (performance.now() - asked > timeoutMs) {
        return failed(
          `${program}: all ${settings.maxProcesses} processes were busy for ${timeoutMs / 1000} s`,
        )
      }
      try {
        return await deliverNow(envelope, message, to)
      } catch (cause) {
        return { kind: 'failed', cause }
      }
    })
  }

  return {
    name,
    async deliver(envelope, message, recipients) {
      const copies = Promise.all(recipients.map(to => deliver(envelope, message, to)))
      underWay.add(copies)
      try {
        return await copies
      } finally {
        underWay.delete(copies)
      }
    },
    async close() {
      await Promise.all(underWay)
    },
  }
}
