/**
 * mlmmj lists of the test's own: made by mlmmj's own program in a directory of their own, with a trap for all the mail
 * that mlmmj sends.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requirePart } from './parts.ts'
import { startTrap, type TrappedMessage } from './trap.ts'

/** The program that takes a list's mail. */
export const MLMMJ_RECEIVE = '/usr/bin/mlmmj-receive'
const MAKE_LIST = '/usr/bin/mlmmj-make-ml'

/** Why a suite that needs mlmmj cannot run here; `undefined` if it can. For `describe.skipIf`. */
export function mlmmjMissing(suite: string): string | undefined {
  return requirePart(suite, MLMMJ_RECEIVE)
}

export interface Mlmmj {
  /** Holds a directory for each domain, in it one for each list. */
  readonly spool: string
  /** What mlmmj has sent. */
  readonly sent: readonly TrappedMessage[]
  makeList(name: string, domain: string, list: { owner: string; subscribers: readonly string[] }): void
  /** The files in a directory of a list, as text, by name. */
  files(name: string, domain: string, directory: string): Readonly<Record<string, string>>
  stop(): Promise<void>
}

export async function startMlmmj(): Promise<Mlmmj> {
  const spool = mkdtempSync(join(tmpdir(), 'postern-mlmmj-'))
  const trap = await startTrap()
  return {
    spool,
    sent: trap.messages,
    makeList(name, domain, { owner, subscribers }) {
      const of = join(spool, domain)
      mkdirSync(of, { recursive: true })
      // It asks for the domain, the owner and the language of the list's texts.
      execFileSync(MAKE_LIST, ['-s', of, '-L', name], { input: `${domain}\n${owner}\nen\n` })
      const write = (file: string, text: string): void => writeFileSync(join(of, name, file), `${text}\n`)
      write('control/relayhost', trap.endpoint.host)
      write('control/smtpport', String(trap.endpoint.port))
      write('subscribers.d/x', subscribers.join('\n'))
    },
    files(name, domain, directory) {
      const path = join(spool, domain, name, directory)
      const found = readdirSync(path, { withFileTypes: true }).filter(entry => entry.isFile())
      return Object.fromEntries(
        found.map(entry => [entry.name, readFileSync(join(path, entry.name), 'utf8')]),
      )
    },
    async stop() {
      await trap.stop()
      rmSync(spool, { recursive: true, force: true })
    },
  }
}
