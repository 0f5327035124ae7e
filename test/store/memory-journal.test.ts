/** The memory journal of the other tests keeps the promises that the real ones keep. */
import { describeJournal } from '../conformance/journal-conformance.ts'
import { MemoryJournal } from '../support/memory-journal.ts'

describeJournal('memory', async () => {
  const journal = new MemoryJournal()
  return { journal, other: journal, close: () => journal.close() }
})
