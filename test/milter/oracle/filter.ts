/** `filter.c`, compiled and running. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Endpoint } from '../../../src/app/endpoint.ts'
import { requirePart } from '../../support/parts.ts'
import { requireLibmilter } from '../libmilter-host.ts'

const SOURCE = fileURLToPath(new URL('filter.c', import.meta.url))
const PART = 'a filter in C on libmilter'

export interface Filter {
  readonly endpoint: Endpoint
  kill(): void
}

/** Why the filter cannot run here. */
export function requireFilter(): string | undefined {
  return (
    requireLibmilter() ??
    requirePart(PART, '/usr/include/libmilter/mfapi.h') ??
    requirePart(PART, '/usr/bin/cc')
  )
}

/** Starts it on a unix socket of its own; with `changes` it adds a trace field, and quarantines what is held. */
export async function startFilter(...options: readonly 'changes'[]): Promise<Filter> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-oracle-'))
  const program = join(directory, 'filter')
  const compiled = spawnSync('cc', ['-O1', '-Wall', '-o', program, SOURCE, '-lmilter', '-lpthread'], {
    encoding: 'utf8',
  })
  if (compiled.status !== 0) throw new Error(compiled.stderr)
  const endpoint: Endpoint = { kind: 'unix', path: join(directory, 'c.sock') }
  const child = spawn(program, [`unix:${endpoint.path}`, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return {
    endpoint,
    kill: () => {
      child.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
