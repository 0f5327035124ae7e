import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { describeStore } from '../conformance/store-conformance.ts'

describeStore('embedded', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-store-'))
  let now = 1_000_000
  const options = { path: join(directory, 'store'), clock: () => now }
  const store = await openEmbeddedStore(options)
  const other = await openEmbeddedStore(options)
  return {
    store,
    other,
    advance: ms => {
      now += ms
    },
    close: async () => {
      await store.close()
      await other.close()
      rmSync(directory, { recursive: true })
    },
  }
})
