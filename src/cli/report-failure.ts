/** Failures as the operator sees them: one sentence, why, and what to do next; and the exit status of each. */
import { EXIT, type ExitStatus, Failure } from './exit.ts'
import { OutputClosed } from './output.ts'
import type { World } from './world.ts'

interface Kind {
  readonly status: ExitStatus
  /** Stands before what the error says itself. */
  readonly sentence?: string
  readonly advice?: string
}

/** Errors by their codes: those of this program, and the system's. */
const KINDS: Readonly<Record<string, Kind>> = {
  POSTERN_STORE_UNAVAILABLE: {
    status: EXIT.unavailable,
    sentence: 'the store cannot be reached',
    advice: 'postern check-config shows which store is configured',
  },
  POSTERN_STORE_SCHEMA: { status: EXIT.configuration, sentence: 'the store is not one of this version' },
  POSTERN_STORE_UNUSABLE: {
    status: EXIT.configuration,
    sentence: 'the store cannot be used',
    advice: 'postern check-config shows which store is configured',
  },
  POSTERN_STORED_DATA: { status: EXIT.data, sentence: 'what is stored cannot be understood' },
  POSTERN_STAGING_LOST: { status: EXIT.deferred, sentence: 'the import took too long' },
  POSTERN_EXPORT_UNREADABLE: {
    status: EXIT.data,
    sentence: 'the export ends here, unfinished',
    advice: 'put the record right or remove it; an unfinished document cannot be imported',
  },
  POSTERN_DOCUMENT_INVALID: { status: EXIT.data },
  POSTERN_IMPORT_INTERRUPTED: { status: EXIT.interrupted },
  POSTERN_OUTPUT_FAILED: { status: EXIT.io },
  EACCES: { status: EXIT.noPermission },
  EPERM: { status: EXIT.noPermission },
  EIO: { status: EXIT.io },
  ENOSPC: { status: EXIT.io },
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function causesOf(error: unknown): string[] {
  const causes: string[] = []
  let cause: unknown = error instanceof Error ? error.cause : undefined
  for (let depth = 0; cause !== undefined && depth < 5; depth++) {
    causes.push(cause instanceof Error ? cause.message : String(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return causes
}

/** The lines for a failure, and how the program ends. Nothing is said about a reader who has gone away. */
function describe(error: unknown): {
  readonly status: ExitStatus
  readonly lines: readonly string[]
  readonly advice: string | undefined
} {
  if (error instanceof OutputClosed) return { status: EXIT.ok, lines: [], advice: undefined }
  if (error instanceof Failure) {
    const lines = [error.message, ...error.details, ...causesOf(error)]
    return { status: error.status, lines, advice: error.advice }
  }
  const kind = KINDS[codeOf(error)]
  if (kind === undefined) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const lines = ['this is a bug in Postern; please report it with these lines', ...stack.split('\n')]
    return { status: EXIT.bug, lines, advice: undefined }
  }
  const message = error instanceof Error ? error.message : String(error)
  const own = kind.sentence === undefined ? [message] : [kind.sentence, message]
  const causes = causesOf(error).filter(cause => !own.some(line => line.includes(cause)))
  return { status: kind.status, lines: [...own, ...causes], advice: kind.advice }
}

/** Tells the operator, and gives the exit status. */
export async function reportFailure(error: unknown, { stderr }: Pick<World, 'stderr'>): Promise<ExitStatus> {
  const { status, lines, advice } = describe(error)
  const [first, ...rest] = lines
  if (first !== undefined) {
    const told = [`${stderr.styled('red', 'postern:')} ${first}`, ...rest.map(line => `  ${line}`)]
    if (advice !== undefined) told.push(`  next: ${advice}`)
    await stderr.line(told.join('\n'))
  }
  return status
}
