/**
 * Real MTAs, a recorder, and a filter: what they say to each other is what was recorded from them, whichever of the three
 * filters it is. `npx vitest run -u test/milter/recorded-live.test.ts` records anew what the filter in C is told.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { leaveOut } from '../support/parts.ts'
import { requireFilter } from './oracle/filter.ts'
import { type Recorder, startRecorder } from './record.ts'
import { CONVERSATIONS } from './recorded/conversations.ts'
import { FILTERS, type Filters, startFilters } from './recorded/filters.ts'
import { MTAS, type Mta, type MtaName } from './recorded/mtas.ts'
import { asWith, pathOf, recordingOf } from './recorded/recordings.ts'

const missing = requireFilter()

for (const name of Object.keys(MTAS) as MtaName[]) {
  const { folder, whyNot, start } = MTAS[name]
  const suite = `what ${folder} says to its milter`
  describe.skipIf((missing ?? leaveOut(suite, whyNot())) !== undefined)(suite, () => {
    let filters: Filters
    let milter: Endpoint
    let recorder: Recorder
    let mta: Mta

    beforeAll(async () => {
      filters = await startFilters()
      milter = filters.endpoints['in C']
      recorder = await startRecorder({ kind: 'tcp', host: '127.0.0.1', port: 0 }, () => milter)
      if (recorder.endpoint.kind !== 'tcp') throw new Error('no TCP endpoint')
      mta = await start(recorder.endpoint)
      await recorder.take()
    }, 60_000)

    afterAll(async () => {
      await mta?.stop()
      await recorder?.stop()
      await filters?.stop()
    })

    afterEach(() => {
      expect(filters.problems()).toEqual([])
    })

    const conversations = CONVERSATIONS.filter(({ only }) => only === undefined || only === name)
    describe.each(FILTERS)('filter %s', filter => {
      const led = conversations.filter(({ endsWith }) => endsWith === undefined || filter !== 'native')

      test.each(led)('$name', async conversation => {
        milter = filters.endpoints[filter]
        await conversation.lead(mta.endpoint)
        const recording = `# ${conversation.about}\n${await recorder.take()}`
        if (filter === 'in C') await expect(recording).toMatchFileSnapshot(pathOf(folder, conversation.name))
        else expect(recording).toBe(asWith(filter, recordingOf(folder, conversation.name)))
      })
    })
  })
}
