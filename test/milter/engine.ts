/** The milter on either engine, in the world of the transcripts: what a test needs that is to be the same for both. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { freePort } from '../support/ports.ts'
import { Host } from './libmilter-host.ts'
import { startMilter } from './milter-server.ts'
import { gateOf } from './world.ts'

export type EngineName = 'native' | 'libmilter'

/** A place for a milter that stays the same while milters come and go. */
export interface Place {
  readonly endpoint: Endpoint
  remove(): void
}

/** A place that the users of this machine may come to. */
export async function placeFor(kind: Endpoint['kind']): Promise<Place> {
  if (kind === 'tcp') {
    return { endpoint: { kind, host: '127.0.0.1', port: await freePort() }, remove: () => {} }
  }
  const directory = mkdtempSync(join(tmpdir(), 'postern-milter-'))
  chmodSync(directory, 0o755)
  return {
    endpoint: { kind, path: join(directory, 'milter.sock') },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** The milter on one of its engines, serving one endpoint. */
export interface Engine {
  /** All log lines so far, without those of level debug. */
  lines(): readonly unknown[]
  /** Messages so far that were none of ours. */
  otherMessages(): Promise<number>
  /** Ends it in order, but waits for nobody. */
  stop(): Promise<void>
}

export async function startEngine(
  name: EngineName,
  endpoint: Endpoint,
  choices: Partial<Conduct> = {},
): Promise<Engine> {
  switch (name) {
    case 'native': {
      const milter = await startMilter(endpoint.kind, {
        gate: await gateOf('lists'),
        settings: choices,
        ...(endpoint.kind === 'unix' ? { path: endpoint.path } : { port: endpoint.port }),
      })
      return {
        lines: () => milter.lines,
        otherMessages: async () => milter.front.counts.otherMessages,
        stop: () => milter.stop(),
      }
    }
    case 'libmilter': {
      const host = new Host(endpoint, mkdtempSync(join(tmpdir(), 'postern-libmilter-')))
      await host.word()
      host.order({ kind: 'start', options: { endpoint, conduct: choices } })
      const word = await host.word()
      if (word.kind !== 'started') throw new Error(JSON.stringify(word))
      if (endpoint.kind === 'unix') chmodSync(endpoint.path, 0o666)
      await host.judgeBy({ kind: 'named', state: 'lists', when: 'at once' })
      return {
        lines: () => host.lines,
        otherMessages: () => host.otherMessages(),
        stop: async () => {
          host.order({ kind: 'drain', graceMs: 0 })
          await host.word()
          await host.kill()
        },
      }
    }
  }
}
