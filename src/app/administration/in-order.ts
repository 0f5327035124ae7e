/**
 * Listings in a stable order, in bounded memory. A store lists a million people in whatever order it keeps them, some
 * of them perhaps twice; here they come sorted and once. Entries are held as short texts. What does not fit is read
 * again: each pass keeps the smallest texts that are greater than those already given.
 */

/** How many texts are held at a time, or up to twice as many: some 200 megabytes at the utmost. */
const HELD = 1_000_000

/** Stands between an entry's key and the rest of its text: less than any character of a key. */
const END_OF_KEY = '\u0000'

function keyOf(text: string): string {
  return text.slice(0, text.indexOf(END_OF_KEY))
}

/** Sorted, and one text a key. */
function smallest(texts: string[]): string[] {
  texts.sort()
  let key: string | undefined
  return texts.filter(text => {
    const before = key
    key = keyOf(text)
    return key !== before
  })
}

/** Reads the listing once, and gives the smallest texts whose keys are greater than `after`. */
async function pass(
  list: () => AsyncIterable<string>,
  after: string | undefined,
  held: number,
): Promise<{ readonly texts: readonly string[]; readonly isLast: boolean }> {
  let texts: string[] = []
  let bound: string | undefined
  for await (const text of list()) {
    if ((after !== undefined && keyOf(text) <= after) || (bound !== undefined && text > bound)) continue
    if (texts.push(text) < 2 * held) continue
    // Twice as many are gathered before the greater half is dropped, so that sorting stays cheap.
    texts = smallest(texts)
    if (texts.length <= held) continue
    texts = texts.slice(0, held)
    bound = texts[held - 1]
  }
  texts = smallest(texts)
  return { texts: bound === undefined ? texts : texts.slice(0, held), isLast: bound === undefined }
}

/**
 * Gives the entries of a listing by the code units of their keys, each key once; a key holds no NUL. `read` undoes
 * `write`, which gives what an entry holds beside its key. `list` is called once for each `held` entries or so; an
 * entry that is added or removed meanwhile may be given or not.
 */
export async function* inOrder<T>(
  list: () => AsyncIterable<T>,
  codec: {
    readonly key: (entry: T) => string
    readonly write: (entry: T) => string
    readonly read: (key: string, rest: string) => T
  },
  held: number = HELD,
): AsyncGenerator<T, void, undefined> {
  async function* texts(): AsyncGenerator<string, void, undefined> {
    for await (const entry of list()) yield `${codec.key(entry)}${END_OF_KEY}${codec.write(entry)}`
  }
  for (let after: string | undefined; ; ) {
    const { texts: found, isLast } = await pass(texts, after, held)
    for (const text of found) {
      after = keyOf(text)
      yield codec.read(after, text.slice(after.length + END_OF_KEY.length))
    }
    if (isLast) return
  }
}

/** The same for entries that are their own keys. */
export function keysInOrder<K extends string>(list: () => AsyncIterable<K>): AsyncIterable<K> {
  return inOrder(list, { key: entry => entry, write: () => '', read: key => key as K })
}
