/** The memory store of the other tests keeps the promises that the real ones keep. */

import { describeStore } from '../conformance/store-conformance.ts'
import { MemoryStore } from '../support/memory-store.ts'

describeStore('memory', async () => {
  let now = 1_000_000
  const store = new MemoryStore(() => now)
  return {
    store,
    other: store,
    advance: ms => {
      now += ms
    },
    close: () => store.close(),
  }
})
