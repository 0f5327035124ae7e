/**
 * What a newcomer reads at the first start, when there is no configuration file yet: the next commands to type, word
 * for word.
 */
import { basename, isAbsolute, relative, sep } from 'node:path'
import { type Endpoint, formatEndpoint } from '../app/endpoint.ts'

/** How the program was called, for commands that work when they are pasted. */
export interface Invocation {
  /** The script, as Node has it in `process.argv[1]`. */
  readonly script: string
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** The words that call the program again in the same directory. */
export function commandOf({ script, cwd, env }: Invocation): string {
  // npm runs a package's own program by a path that nobody else has.
  if (env['npm_command'] === 'exec') return 'npx postern'
  if (basename(script) === 'postern') return 'postern'
  const path = relative(cwd, script)
  return `node ${quoted(path.startsWith('..') || isAbsolute(path) ? script : path.split(sep).join('/'))}`
}

/** The text, with the trial MTA's endpoint where it runs. */
export function firstSteps(invocation: Invocation, trial: Endpoint | undefined): string {
  const command = commandOf(invocation)
  const lines = [
    '',
    'There is no configuration file, so everything has its default. Next, in a second shell:',
    '',
    `  cd ${quoted(invocation.cwd)}`,
    `  ${command} domain add lists.example`,
    `  ${command} list add team@lists.example --preset members`,
    `  ${command} member add team@lists.example alice@example.net`,
    '',
    'Then ask who may post:',
    '',
    `  ${command} ask --sender alice@example.net --list team@lists.example`,
    `  ${command} ask --sender mallory@example.net --list team@lists.example --explain`,
    '',
  ]
  if (trial?.kind === 'tcp') {
    const sending = `swaks --server ${formatEndpoint(trial)} --to team@lists.example`
    lines.push(
      'or send to the trial MTA, and see the one refused and the other delivered below var/mail:',
      '',
      `  ${sending} --from mallory@example.net`,
      `  ${sending} --from alice@example.net`,
      '',
    )
  }
  return `${lines.join('\n')}\n`
}
