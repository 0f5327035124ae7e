/**
 * The three that are held against each other: a filter in C on libmilter, and the milter on either engine. All judge as
 * `oracle/scripted-gate.ts` says, add a trace field, and quarantine what is held.
 */
import type { Endpoint } from '../../../src/app/endpoint.ts'
import { startHost } from '../libmilter-host.ts'
import { startMilter } from '../milter-server.ts'
import { startFilter } from '../oracle/filter.ts'
import { scriptedGate } from '../oracle/scripted-gate.ts'

export const FILTERS = ['in C', 'libmilter', 'native'] as const
export type FilterName = (typeof FILTERS)[number]

export interface Filters {
  readonly endpoints: Readonly<Record<FilterName, Endpoint>>
  /** What the log says of peers. */
  problems(): readonly unknown[]
  stop(): Promise<void>
}

const CONDUCT = { hold: 'quarantine', traceHeader: true } as const

export async function startFilters(): Promise<Filters> {
  const inC = await startFilter('changes')
  const libmilter = await startHost('unix', { conduct: CONDUCT })
  await libmilter.judgeBy({ kind: 'scripted' })
  const native = await startMilter('unix', { gate: scriptedGate, settings: CONDUCT })
  return {
    endpoints: { 'in C': inC.endpoint, libmilter: libmilter.endpoint, native: native.endpoint },
    problems: () => [...libmilter.lines, ...native.lines],
    stop: async () => {
      inC.kill()
      await libmilter.kill()
      await native.stop()
    },
  }
}
