/** Documents put into a store and written again: whole lists replaced, everything else added, nothing half done. */
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { exportDocument, Unexportable } from '../../src/app/document-export.ts'
import { ImportInterrupted, type ImportNews, importDocument } from '../../src/app/document-import.ts'
import { DocumentError } from '../../src/app/document-text.ts'
import { type Directory, type StagedPeople, StoreUnavailable } from '../../src/app/ports.ts'
import type { Domain } from '../../src/core/domain.ts'
import { problem } from '../../src/core/parsed.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { anyDocument, exported, imported } from './documents.ts'

const DOCUMENT = {
  postern: 1,
  domains: [{ domain: 'lists.example.org', flavour: 'mlmmj' }],
  lists: [
    {
      address: 'team@lists.example.org',
      settings: { max_size: 1000, nonmember_action: 'hold' },
      bans: ['@spam.example', 'mallory@example.net'],
      people: [
        { who: 'alice@example.net', roles: ['member', 'owner'] },
        { who: 'bob@example.net', roles: ['member'], action: 'hold' },
      ],
    },
    { address: 'news@lists.example.org' },
  ],
  bans: ['@evil.example'],
  forbidden: ['trudy@example.net'],
  mtas: { known: ['192.0.2.0/24'], refused: ['.bad.example'] },
} as const

let store: MemoryStore

beforeEach(() => {
  store = new MemoryStore(() => 0)
})

function listsIn(news: readonly ImportNews[]) {
  return news.filter(each => each.kind === 'list')
}

/** A store whose staging is watched, or fails. */
function watched(staging: Partial<StagedPeople>): {
  readonly directory: Directory
  readonly abandoned: () => number
} {
  let abandoned = 0
  const directory = new Proxy<Directory>(store, {
    get: (target, name) => {
      const part: unknown = Reflect.get(target, name)
      if (name !== 'stagePeople') return typeof part === 'function' ? part.bind(target) : part
      return async (address: Parameters<Directory['stagePeople']>[0]): Promise<StagedPeople> => {
        const staged = await target.stagePeople(address)
        const abandon = (): Promise<void> => {
          abandoned++
          return staged.abandon()
        }
        return { add: staged.add, commit: staged.commit, abandon, ...staging }
      }
    },
  })
  return { directory, abandoned: () => abandoned }
}

describe('import', () => {
  test('says what is new', async () => {
    const none = { added: 0, changed: 0, removed: 0, unchanged: 0 }
    expect(await imported(store, DOCUMENT)).toEqual([
      { kind: 'domain', domain: 'lists.example.org', record: { flavour: 'mlmmj' }, change: 'added' },
      {
        kind: 'list',
        address: 'team@lists.example.org',
        isNew: true,
        settings: undefined,
        people: { ...none, added: 2 },
        repeated: 0,
        bans: { added: 2, removed: 0 },
        overlaps: [],
      },
      {
        kind: 'list',
        address: 'news@lists.example.org',
        isNew: true,
        settings: undefined,
        people: none,
        repeated: 0,
        bans: { added: 0, removed: 0 },
        overlaps: [],
      },
      { kind: 'site-entries', of: 'ban', added: 1, unchanged: 0 },
      { kind: 'site-entries', of: 'forbidden', added: 1, unchanged: 0 },
      { kind: 'site-entries', of: 'known-mta', added: 1, unchanged: 0 },
      { kind: 'site-entries', of: 'refused-mta', added: 1, unchanged: 0 },
    ])
  })

  test('a second time changes nothing', async () => {
    await imported(store, DOCUMENT)
    const before = await exported(store)
    const news = await imported(store, DOCUMENT)
    expect(await exported(store)).toBe(before)
    expect(listsIn(news)[0]).toMatchObject({
      isNew: false,
      settings: [],
      people: { added: 0, changed: 0, removed: 0, unchanged: 2 },
      bans: { added: 0, removed: 0 },
    })
    expect(
      news.filter(each => each.kind === 'site-entries').map(({ added, unchanged }) => [added, unchanged]),
    ).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
      [0, 1],
    ])
  })

  test('a list is replaced whole, what is not named stays, what holds for the site is added', async () => {
    await imported(store, DOCUMENT)
    const [list] = listsIn(
      await imported(store, {
        postern: 1,
        lists: [
          {
            address: 'TEAM@lists.example.org',
            bans: ['@spam.example'],
            people: [
              { who: 'bob@example.net', roles: ['member'] },
              { who: 'carol@example.net', roles: ['member'] },
            ],
          },
        ],
        bans: ['@worse.example'],
      }),
    )
    expect(list).toMatchObject({
      people: { added: 1, changed: 1, removed: 1, unchanged: 0 },
      bans: { added: 0, removed: 1 },
      settings: [
        { name: 'nonmember_action', from: 'hold', to: 'reject' },
        { name: 'max_size', from: '1000', to: '0' },
      ],
    })
    const now = JSON.parse(await exported(store)) as typeof DOCUMENT
    expect(now.lists.map(({ address }) => address)).toEqual([
      'news@lists.example.org',
      'team@lists.example.org',
    ])
    expect(now.bans).toEqual(['@evil.example', '@worse.example'])
    expect(now.forbidden).toEqual(['trudy@example.net'])
  })

  test("a list without a flavour has its domain's, of the document or of the store", async () => {
    await imported(store, DOCUMENT)
    await imported(store, { postern: 1, lists: [{ address: 'x@lists.example.org' }] })
    const now = JSON.parse(await exported(store)) as { lists: { settings: { flavour: string } }[] }
    expect(now.lists.map(({ settings }) => settings.flavour)).toEqual(['mlmmj', 'mlmmj', 'mlmmj'])
  })

  test('somebody who stands twice is counted once, as what they are last', async () => {
    const people = [
      { who: 'a@example.net', roles: ['member'] },
      { who: 'A@Example.net', roles: ['owner'] },
    ]
    const document = { ...DOCUMENT, lists: [{ address: 'team@lists.example.org', people }] }
    const [list] = listsIn(await imported(store, document))
    expect(list).toMatchObject({ people: { added: 1 }, repeated: 1 })
    expect(await exported(store)).toContain('"roles": ["owner"]')
  })

  test('more people than one batch', async () => {
    const people = Array.from({ length: 2_345 }, (_, i) => ({ who: `p${i}@example.net`, roles: ['member'] }))
    const document = { ...DOCUMENT, lists: [{ address: 'team@lists.example.org', people }] }
    const progress: number[] = []
    const report = (news: ImportNews): void => {
      if (news.kind === 'progress') progress.push(news.people)
    }
    await imported(store, document, { report })
    expect(progress).toEqual([1_000, 2_000, 2_345])
    expect(await store.countPeople('team@lists.example.org' as never)).toBe(2_345)
  })

  test('overlapping lists are said', async () => {
    const lists = [{ address: 'team@lists.example.org' }, { address: 'team+owner@lists.example.org' }]
    const told = listsIn(await imported(store, { ...DOCUMENT, lists }))
    expect(told.map(({ overlaps }) => overlaps.length)).toEqual([0, 1])
  })
})

describe('settings of a domain', () => {
  const domain = (settings: object): object => ({
    postern: 1,
    domains: [{ domain: 'a.example', ...settings }],
  })

  test('are changed where they are named, and stay where they are not', async () => {
    await imported(store, domain({ flavour: 'sympa', delivery: 'archive' }))
    expect(await imported(store, domain({ flavour: 'mlmmj' }))).toEqual([
      {
        kind: 'domain',
        domain: 'a.example',
        record: { flavour: 'mlmmj', delivery: 'archive' },
        change: 'changed',
      },
    ])
    const none = await imported(store, domain({ delivery: '' }), { dryRun: true })
    expect(none).toMatchObject([{ change: 'changed' }])
    expect(await imported(store, domain({ delivery: '' }))).toEqual(none)
    expect(await store.getDomain('a.example' as Domain)).toEqual({ flavour: 'mlmmj' })
  })

  test('are exported, all of them, and put back', async () => {
    await imported(store, domain({ flavour: 'sympa', delivery: 'archive' }))
    const before = await exported(store)
    expect(JSON.parse(before)).toMatchObject({
      domains: [{ domain: 'a.example', flavour: 'sympa', delivery: 'archive' }],
    })
    const news = await imported(store, JSON.parse(before) as object)
    expect(news[0]).toMatchObject({ change: 'unchanged' })
    const other = new MemoryStore(() => 0)
    await imported(other, JSON.parse(before) as object)
    expect(await exported(other)).toBe(before)
  })
})

describe('a dry run', () => {
  test('changes nothing, and says what an import then does', async () => {
    await imported(store, { ...DOCUMENT, lists: [DOCUMENT.lists[0]], forbidden: [] })
    const before = await exported(store)
    const document = {
      ...DOCUMENT,
      domains: [{ domain: 'lists.example.org', flavour: 'sympa' }, { domain: 'new.example' }],
      lists: [
        { ...DOCUMENT.lists[0], people: [] },
        { address: 'x@new.example', people: DOCUMENT.lists[0].people },
      ],
      bans: ['@evil.example', '@new.example', '@new.example'],
    }
    const would = await imported(store, document, { dryRun: true })
    expect(await exported(store)).toBe(before)
    expect(would).toEqual(await imported(store, document))
    expect(would).toContainEqual({ kind: 'site-entries', of: 'ban', added: 1, unchanged: 2 })
  })
})

describe('an import that fails', () => {
  test('leaves the list that was being read as it was, and keeps what stands before it', async () => {
    await imported(store, DOCUMENT)
    const { directory, abandoned } = watched({})
    const document = {
      postern: 1,
      bans: ['@first.example'],
      lists: [
        { address: 'new@lists.example.org' },
        {
          address: 'team@lists.example.org',
          people: [{ who: 'zoe@example.net', roles: ['member'] }, { who: 'nobody' }],
        },
      ],
      forbidden: ['@last.example'],
    }
    const told: ImportNews[] = []
    const importing = imported(directory, document, { report: news => told.push(news) })
    await expect(importing).rejects.toThrow(DocumentError)
    expect(abandoned()).toBe(1)
    expect(listsIn(told).map(({ address }) => address)).toEqual(['new@lists.example.org'])
    expect(told).toContainEqual({ kind: 'site-entries', of: 'ban', added: 1, unchanged: 0 })
    const now = JSON.parse(await exported(store)) as typeof DOCUMENT
    expect(now.lists.find(({ address }) => address === 'team@lists.example.org')).toMatchObject({
      people: [{ who: 'alice@example.net' }, { who: 'bob@example.net' }],
    })
    expect(now.forbidden).toEqual(['trudy@example.net'])
  })

  test('a list in no domain is wrong, and the document is said to be so at its place', async () => {
    const document = '{"postern": 1,\n "lists": [\n  {"address": "x@nowhere.example"}]}'
    await expect(imported(store, document)).rejects.toMatchObject({
      place: { path: '$.lists[0].address', line: 3, column: 15 },
    })
  })

  test('a domain that comes with the document is there for its lists, in a dry run, too', async () => {
    await imported(
      store,
      { postern: 1, domains: [{ domain: 'a.example' }], lists: [{ address: 'x@a.example' }] },
      { dryRun: true },
    )
    await expect(imported(store, { postern: 1, lists: [{ address: 'x@a.example' }] })).rejects.toThrow(
      DocumentError,
    )
  })

  test("the store's own error is what is thrown, even if it cannot abandon either", async () => {
    const away = async (): Promise<never> => {
      throw new StoreUnavailable('away')
    }
    for (const staging of [{ add: away, abandon: away }, { commit: away }]) {
      await expect(imported(watched(staging).directory, DOCUMENT)).rejects.toThrow(StoreUnavailable)
    }
    expect(JSON.parse(await exported(store))).toMatchObject({ lists: [] })
  })

  test("the store's error at an entry that holds for the site, met while something else is waited for", async () => {
    const domain = { domain: 'a.example' as Domain, flavour: 'mailman' } as const
    const directory = new Proxy<Directory>(store, {
      get: (target, name) => {
        if (name === 'addBan') return async () => Promise.reject(new StoreUnavailable('away'))
        if (name === 'getDomain') return () => setTimeout(20, domain)
        const part: unknown = Reflect.get(target, name)
        return typeof part === 'function' ? part.bind(target) : part
      },
    })
    const document = { postern: 1, bans: ['@a.example'], lists: [{ address: 'x@a.example' }] }
    await expect(imported(directory, document)).rejects.toThrow(StoreUnavailable)
  })

  test('an interrupt ends it, and the list that was being read stays as it was', async () => {
    const stop = new AbortController()
    const { directory, abandoned } = watched({})
    const people = Array.from({ length: 5_000 }, (_, i) => ({ who: `p${i}@example.net`, roles: ['member'] }))
    const document = { ...DOCUMENT, lists: [{ address: 'team@lists.example.org', people }] }
    const report = (news: ImportNews): void => {
      if (news.kind === 'progress') stop.abort()
    }
    await expect(imported(directory, document, { report, signal: stop.signal })).rejects.toThrow(
      ImportInterrupted,
    )
    expect(abandoned()).toBe(1)
    expect(JSON.parse(await exported(store))).toMatchObject({ lists: [] })
  })
})

describe('an interrupt', () => {
  test('ends an import that waits for more of the document', async () => {
    const stop = new AbortController()
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode('{"postern": 1, "bans": ["@a.example"')
      stop.abort()
      await new Promise(() => {})
    }
    const told: ImportNews[] = []
    const options = { dryRun: false, signal: stop.signal, report: (news: ImportNews) => void told.push(news) }
    await expect(importDocument(store, chunks(), options)).rejects.toThrow(ImportInterrupted)
    expect(told).toEqual([{ kind: 'site-entries', of: 'ban', added: 1, unchanged: 0 }])
  })
})

describe('export', () => {
  test('what was exported and imported elsewhere is the same there', async () => {
    await fc.assert(
      fc.asyncProperty(anyDocument, async document => {
        const [one, other] = [new MemoryStore(() => 0), new MemoryStore(() => 0)]
        await imported(one, document)
        const text = await exported(one)
        await imported(other, text)
        expect(await exported(other)).toBe(text)
        const again = await imported(one, text)
        expect(again.filter(news => news.kind === 'domain' && news.change !== 'unchanged')).toEqual([])
        for (const { isNew, settings, people, bans } of listsIn(again)) {
          expect({ isNew, settings, bans }).toEqual({
            isNew: false,
            settings: [],
            bans: { added: 0, removed: 0 },
          })
          expect(people).toMatchObject({ added: 0, changed: 0, removed: 0 })
        }
      }),
      { numRuns: 150 },
    )
  })

  test('holds no more than what it is told to', async () => {
    await imported(store, { ...DOCUMENT, domains: [...DOCUMENT.domains, { domain: 'other.example' }] })
    let text = ''
    const address = { key: 'news@lists.example.org', domain: 'lists.example.org' } as never
    for await (const piece of exportDocument(store, [address])) text += piece
    const document = JSON.parse(text) as Record<string, unknown>
    expect(Object.keys(document)).toEqual(['postern', 'domains', 'lists'])
    expect(document['domains']).toEqual([{ domain: 'lists.example.org', flavour: 'mlmmj', delivery: '' }])
    expect(document['lists']).toMatchObject([{ address: 'news@lists.example.org' }])
  })

  test.each(['people', 'lists'] as const)('%s that cannot be understood end it', async what => {
    await imported(store, DOCUMENT)
    const address = 'team@lists.example.org'
    const parts = {
      people: async function* () {
        yield { who: 'x@example.net', person: problem('nonsense') }
      },
      lists: async function* () {
        yield { address, settings: problem('nonsense') }
      },
    }
    const directory = new Proxy<Directory>(store, {
      get: (target, name) => {
        const part: unknown = name === what ? parts[what] : Reflect.get(target, name)
        return typeof part === 'function' ? part.bind(target) : part
      },
    })
    await expect(exported(directory)).rejects.toThrow(Unexportable)
  })
})
