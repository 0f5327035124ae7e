/**
 * What Postfix and Sendmail said to a filter in C on libmilter, said again to that filter, to the engine on libmilter and to
 * the native one. Each answers as was recorded, frame by frame, or differs as `docs/milter.md` says.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { requireFilter } from './oracle/filter.ts'
import { DIFFERENCES } from './recorded/differences.ts'
import { FILTERS, type Filters, startFilters } from './recorded/filters.ts'
import { asWith, recordingOf, recordings } from './recorded/recordings.ts'
import { replay } from './replay.ts'

const missing = requireFilter()

describe.skipIf(missing !== undefined)('recorded conversations', () => {
  let filters: Filters

  beforeAll(async () => {
    filters = await startFilters()
  })

  afterAll(async () => {
    await filters?.stop()
  })

  afterEach(() => {
    expect(filters.problems()).toEqual([])
  })

  describe.each(FILTERS)('filter %s', filter => {
    test.each(recordings())('%s, %s', async (folder, name) => {
      const want = asWith(filter, recordingOf(folder, name))
      expect(await replay(want, filters.endpoints[filter])).toBe(want)
    })
  })
})

test('there are recordings of both MTAs, with nothing of the machine in them', () => {
  const folders = new Set(recordings().map(([folder]) => folder))
  expect([...folders].sort()).toEqual(['postfix-3.7', 'sendmail-8.17'])
  for (const [folder, name] of recordings()) {
    expect(recordingOf(folder, name)).not.toMatch(
      /\/(?:tmp|root|home|run|work)\/|^> C .* \| [46] \| \S+ \| /m,
    )
  }
})

const docs = readFileSync(fileURLToPath(new URL('../../docs/milter.md', import.meta.url)), 'utf8').replace(
  /\s+/g,
  ' ',
)

test.each(DIFFERENCES)('$name is a difference that is there, and that is named', ({ name, apply }) => {
  const different = recordings().filter(([folder, file]) => {
    const recording = recordingOf(folder, file)
    return apply(recording) !== recording
  })
  expect(different.length).toBeGreaterThan(0)
  expect(docs).toContain(name)
})
