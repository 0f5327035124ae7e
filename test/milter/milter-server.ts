/** A running milter front for tests, on TCP or a unix socket in a directory of its own. */
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { Log, LogFields } from '../../src/app/log.ts'
import { createMilterFront, type MilterFront, type MilterParts } from '../../src/milter/server.ts'

/** One line of the log. */
export interface Line extends LogFields {
  readonly level: keyof Log
  readonly message: string
}

export interface RunningMilter {
  readonly endpoint: Endpoint
  readonly front: MilterFront
  /** All lines so far, without those of level debug. */
  readonly lines: readonly Line[]
  /** What peers were found to do wrong. */
  problems(): readonly unknown[]
  stop(graceMs?: number): Promise<void>
}

export const SETTINGS = {
  hold: 'sink',
  traceHeader: false,
  countBodies: true,
  maxConnections: 100,
} as const

export async function startMilter(
  kind: Endpoint['kind'],
  given: Partial<Omit<MilterParts, 'gate' | 'settings'>> &
    Pick<MilterParts, 'gate'> & {
      readonly settings?: Partial<MilterParts['settings']>
      /** Of TCP; any that is free, if not given. */
      readonly port?: number
      /** Of a unix socket; in a directory of its own, if not given. */
      readonly path?: string
    },
): Promise<RunningMilter> {
  const lines: Line[] = []
  const note =
    (level: keyof Log) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, ...fields })
  const log: Log = { debug: () => {}, info: note('info'), warn: note('warn'), error: note('error') }
  const front = createMilterFront({
    onStoreFailure: 'defer',
    log,
    ...given,
    settings: { ...SETTINGS, ...given.settings },
  })
  const server = front.newServer()
  const directory = mkdtempSync(join(tmpdir(), 'postern-milter-'))
  chmodSync(directory, 0o755)
  const path = given.path ?? join(directory, 'milter.sock')
  server.listen(kind === 'unix' ? { path } : { host: '127.0.0.1', port: given.port ?? 0 })
  await once(server, 'listening')
  if (kind === 'unix') chmodSync(path, 0o666)
  const endpoint: Endpoint =
    kind === 'unix'
      ? { kind, path }
      : { kind, host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  return {
    endpoint,
    front,
    lines,
    problems: () => lines.flatMap(line => (line['problem'] === undefined ? [] : [line['problem']])),
    stop: async (graceMs = 0) => {
      server.close()
      await front.drain(graceMs)
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
