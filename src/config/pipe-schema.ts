/**
 * `[delivery.pipe.NAME]`: a program that mail is handed to. Its command is an argument list, and no shell ever reads
 * it.
 */
import { z } from 'zod'
import { type Argument, parseArgument } from '../app/argument.ts'
import type { PipeConfig } from './config.ts'

/** Names that programs look for. What is in the environment beside them comes from the message. */
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*=/

const argument = z
  .string()
  .max(4096)
  .transform((text, context): Argument => {
    const result = parseArgument(text)
    if (result.ok) return result.value
    context.addIssue({ code: 'custom', message: result.problem, input: text })
    return z.NEVER
  })

const variable = z
  .string()
  .max(4096)
  .regex(VARIABLE, 'expected NAME=value')
  .refine(text => !text.includes('\0'), 'a variable has no NUL')

/** The schema of one program. */
export function pipeSchema({ path }: { readonly path: z.ZodType<string, string> }) {
  return z.strictObject({
    command: z
      .array(argument)
      .min(1, 'expected a program and its arguments')
      .max(100)
      .superRefine((command, context) => {
        const [program, ...rest] = command[0] ?? []
        if (command.length === 0) return
        if (typeof program === 'string' && rest.length === 0 && /^\/.*[^/]$/.test(program)) return
        const message = 'expected the whole path of a program, without placeholders'
        context.addIssue({ code: 'custom', path: [0], message, input: command })
      }),
    directory: path.prefault('/'),
    environment: z.array(variable).max(100).prefault([]),
    line_ends: z.enum(['lf', 'crlf']).prefault('lf'),
    trace_fields: z.boolean().prefault(true),
    timeout: z.int().min(1).max(3600).prefault(120),
    max_processes: z.int().min(1).max(1000).prefault(10),
  })
}

/** The settings of a program that was checked. */
export function pipeSettings(file: z.output<ReturnType<typeof pipeSchema>>): PipeConfig {
  const [program, ...args] = file.command
  return {
    kind: 'pipe',
    program: (program ?? []).join(''),
    args,
    directory: file.directory,
    environment: Object.fromEntries(
      file.environment.map(text => {
        const at = text.indexOf('=')
        return [text.slice(0, at), text.slice(at + 1)]
      }),
    ),
    lineEnds: file.line_ends,
    traceFields: file.trace_fields,
    timeoutMs: file.timeout * 1000,
    maxProcesses: file.max_processes,
  }
}
