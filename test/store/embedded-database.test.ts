/** The embedded store on its disk: several processes, crashes, damage, and what is left behind. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MAX_ADMISSIONS, type Store } from '../../src/app/ports.ts'
import { factsNeeded, INITIAL_SITE } from '../../src/core/facts.ts'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import { parseMtaKey } from '../../src/core/mta.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { makePerson } from '../../src/core/person.ts'
import { parseWho, type Who } from '../../src/core/who.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { Admissions } from '../../src/store/embedded-admissions.ts'
import { EmbeddedDatabase } from '../../src/store/embedded-database.ts'
import { findFacts } from '../../src/store/embedded-facts.ts'
import { Groups, SITE_GROUPS } from '../../src/store/embedded-groups.ts'
import { Posts } from '../../src/store/embedded-posts.ts'
import { TABLE_NAMES } from '../../src/store/embedded-tables.ts'
import { address, must, reversePath } from '../support/vectors.ts'

const TEAM = address('team@lists.example.org').key
const ALICE = must(parseWho('alice@example.net'))
const MEMBER = must(makePerson(['member']))
const PROCESS = fileURLToPath(new URL('embedded-process.ts', import.meta.url))
const NODE = ['--import', 'tsx', PROCESS]

let directory: string
let path: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-store-'))
  path = join(directory, 'store')
})

afterEach(() => rmSync(directory, { recursive: true }))

async function withStore(use: (store: Store) => Promise<void>, clock?: () => number): Promise<void> {
  const store = await openEmbeddedStore({ path, clock })
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

async function withDatabase(use: (database: EmbeddedDatabase) => Promise<void>): Promise<void> {
  const database = await EmbeddedDatabase.acquire(path)
  try {
    await use(database)
  } finally {
    await database.release()
  }
}

/** The number of rows of every table that has some, but for the bookkeeping of `meta`. */
async function rows(): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  await withDatabase(async ({ tables }) => {
    for (const name of TABLE_NAMES) {
      const count = [...tables[name].getKeys()].length
      if (count > 0 && name !== 'meta') found[name] = count
    }
  })
  return found
}

const members = (count: number, prefix = 'p') =>
  Array.from({ length: count }, (_, i) => ({
    who: must(parseWho(`${prefix}${i}@x.example`)),
    person: MEMBER,
  }))

const query = (who: Who) => ({
  ...factsNeeded(
    {
      phase: 'RCPT',
      front: 'policy',
      client: {},
      sender: reversePath('someone@example.net'),
      recipient: address('team@lists.example.org'),
      recipientsBefore: 0,
    },
    INITIAL_SITE,
  ),
  sender: [who],
})

/** A process that prints numbers, once it has printed `upTo`; killed by the caller. */
async function printing(mode: string, upTo: number): Promise<{ child: ChildProcess; lines: string[] }> {
  const child = spawn(process.execPath, [...NODE, path, mode, TEAM], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout })
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('it ended')))
    reader.on('line', line => {
      lines.push(line)
      if (Number(line) >= upTo) resolve()
    })
  })
  return { child, lines }
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

describe('the path', () => {
  test('is made for its owner only, with those above it', async () => {
    path = join(directory, 'a', 'b.d', 'store.v1')
    await withStore(async store => {
      expect(store.description).toBe(`embedded store in ${path}`)
    })
    expect(statSync(path).mode & 0o777).toBe(0o700)
    expect(statSync(join(path, 'data.mdb')).mode & 0o777).toBe(0o600)
    expect(statSync(join(path, 'lock.mdb')).mode & 0o777).toBe(0o600)
    expect(statSync(join(directory, 'a')).mode & 0o077).not.toBe(0)
  })

  test('may be there already', async () => {
    mkdirSync(path, { mode: 0o750 })
    await withStore(store => store.check())
    expect(statSync(path).mode & 0o777).toBe(0o750)
  })

  test.each([
    ['is a file', () => file(), /not a directory/],
    ['lies below a file', () => join(file(), 'store'), /ENOTDIR/],
    ['cannot be made', () => '/proc/postern/store', /ENOENT|EACCES|EPERM/],
    ['holds something else', () => garbage('not a database at all. '.repeat(1000)), /not an LMDB file/],
    ['holds a broken beginning', () => garbage('\0'.repeat(100)), /not an LMDB file/],
    ['has a directory for its data', () => directoryForData(), /EISDIR/],
  ])('that %s is refused, and says so', async (_, prepare, message) => {
    path = prepare()
    await expect(openEmbeddedStore({ path })).rejects.toMatchObject({
      code: 'POSTERN_STORE_UNUSABLE',
      message: expect.stringMatching(message),
    })
    await expect(openEmbeddedStore({ path })).rejects.toThrow(path)
  })

  function file(): string {
    writeFileSync(path, 'x')
    return path
  }

  function directoryForData(): string {
    mkdirSync(join(path, 'data.mdb'), { recursive: true })
    return path
  }

  function garbage(content: string): string {
    mkdirSync(path)
    writeFileSync(join(path, 'data.mdb'), content)
    return path
  }

  test('that holds another program’s data is refused, and the data stay', async () => {
    const theirs = open({ path, noSubdir: false, overlappingSync: false })
    await theirs.put('key', 'value')
    await theirs.close()
    await expect(openEmbeddedStore({ path })).rejects.toThrow(/another program/)
    const again = open({ path, noSubdir: false, overlappingSync: false })
    expect(again.get('key')).toBe('value')
    expect([...again.getKeys()]).toEqual(['key'])
    await again.close()
  })

  test.each([
    [2, /schema version 2.*too old/],
    ['one', /should be 1 and is "one"/],
  ])('with the schema %j is refused', async (version, message) => {
    await withDatabase(async ({ tables }) => {
      await tables.meta.put('schema', version as number)
    })
    for (const _ of [1, 2]) {
      await expect(openEmbeddedStore({ path })).rejects.toMatchObject({
        code: 'POSTERN_STORE_SCHEMA',
        message: expect.stringMatching(message),
      })
    }
  })

  test('cut short by a copy that was broken off, it fails and does not end the process', async () => {
    await withStore(async store => {
      const staged = await store.stagePeople(TEAM)
      await staged.add(members(5000))
      await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
    })
    const file = join(path, 'data.mdb')
    const whole = statSync(file).size
    truncateSync(file, 4 * 4096)
    const read = async (): Promise<void> => {
      await withStore(async store => {
        store.load(query(ALICE))
        for await (const _ of store.people(TEAM));
      })
    }
    await expect(read()).rejects.toThrow(/MDB_/)
    expect(statSync(file).size).toBe(whole)
  })
})

describe('several handles of one process', () => {
  test('share what is open, and do not wait for each other', async () => {
    const one = await openEmbeddedStore({ path })
    const changing = one.createList(TEAM, INITIAL_SETTINGS)
    const [two, three] = await Promise.all([
      openEmbeddedStore({ path }),
      openEmbeddedStore({ path: `${path}/.` }),
    ])
    await changing
    await one.close()
    await one.close()
    expect(await two.getList(TEAM)).toBeDefined()
    await two.close()
    const last = three.addForbidden(ALICE)
    const closing = three.close()
    const again = await openEmbeddedStore({ path })
    await closing
    expect(await last).toBe('added')
    expect(await again.getList(TEAM)).toBeDefined()
    await again.close()
    expect(() => again.load(query(ALICE))).toThrow(/closed/)
    await expect(again.addForbidden(ALICE)).rejects.toMatchObject({ code: 'POSTERN_STORE_UNAVAILABLE' })
  })

  test('closing waits for the changes that are under way', async () => {
    const store = await openEmbeddedStore({ path })
    const changes = Array.from({ length: 50 }, (_, i) =>
      store.addForbidden(must(parseWho(`p${i}@x.example`))),
    )
    await store.close()
    expect(await Promise.all(changes)).toEqual(changes.map(() => 'added'))
    expect(await rows()).toEqual({ entries: 50, counts: 1 })
  })
})

describe('several processes', () => {
  test('what another one has changed is seen by the very next question, in the same turn', async () => {
    await withStore(async store => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      const find = (): unknown => {
        const facts = store.load(query(ALICE))
        if (facts instanceof Promise) throw new Error('the embedded store answers at once')
        return facts.lists.get(TEAM)?.people.get(ALICE)
      }
      expect(find()).toBeUndefined()
      const printed = execFileSync(process.execPath, [...NODE, path, 'put', TEAM, ALICE], {
        encoding: 'utf8',
      })
      expect(printed).toBe('added\n')
      expect(find()).toEqual({ ok: true, value: MEMBER })
    })
  })

  test('killed at any time, one leaves what it has promised, and keeps nobody waiting', async () => {
    await withStore(async store => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      const { child, lines } = await printing('count', 40)
      const mine = await Promise.all(members(20, 'mine').map(entry => store.putPerson(TEAM, entry)))
      await kill(child)
      expect(mine).toEqual(mine.map(() => 'added'))
      const promised = lines.length
      const found = new Set<string>()
      for await (const { who } of store.people(TEAM)) found.add(who)
      for (let i = 0; i < promised; i++) expect(found).toContain(`p${i}@x.example`)
      for (const { who } of members(20, 'mine')) expect(found).toContain(who)
      expect(found.size).toBe(await store.countPeople(TEAM))
      expect(found.size).toBeLessThanOrEqual(promised + 21)
      expect(await store.putPerson(TEAM, { who: ALICE, person: MEMBER })).toBe('added')
    })
  })

  test('an import that was killed leaves nothing that counts, and its rows go with a later one', async () => {
    let now = Date.now()
    await withStore(
      async store => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        const { child } = await printing('stage', 3000)
        await kill(child)
        expect(await store.countPeople(TEAM)).toBe(0)
        expect(store.load(query(must(parseWho('p1@x.example'))))).toMatchObject({
          lists: new Map([[TEAM, { people: new Map() }]]),
        })
        expect((await rows())['entries']).toBeGreaterThanOrEqual(3000)
        await (await store.stagePeople(TEAM)).abandon()
        expect((await rows())['entries']).toBeGreaterThanOrEqual(3000)
        now += 4_000_000
        await (await store.stagePeople(TEAM)).abandon()
        expect(await rows()).toEqual({ lists: 1 })
      },
      () => now,
    )
  })
})

describe('a full disk', () => {
  /** Runs `fill` where no file can grow beyond some blocks of 512 bytes. */
  function fill(blocks: number): {
    readonly status: number | null
    readonly stdout: string
    readonly stderr: string
  } {
    const script = `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$@"`
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' }
    const args = ['-c', script, process.execPath, ...NODE, path, 'fill', TEAM]
    return spawnSync('/bin/sh', args, { encoding: 'utf8', env })
  }

  test('from the start: there is no store, and it says why', () => {
    const { status, stderr } = fill(20)
    expect(status).toBe(1)
    expect(stderr).toMatch(/StoreUnusable.*cannot use .*EFBIG/)
  })

  test('fails the change and no more: what was there stays, and the process lives', () => {
    const { stdout } = fill(200)
    const { people, results } = JSON.parse(stdout) as { people: number; results: string[] }
    for (const result of results) expect(result).toMatch(/^StoreUnavailable: .*(?:output error|too large)/i)
    expect(people).toBeGreaterThan(100)
    return withStore(async store => {
      expect(await store.countPeople(TEAM)).toBe(people)
      expect(await store.putPerson(TEAM, { who: ALICE, person: MEMBER })).toBe('added')
    })
  })
})

describe('changes', () => {
  test('that throw change nothing, and the error comes through', async () => {
    await withDatabase(async database => {
      const { lists, counts } = database.tables
      const failing = database.change(() => {
        counts.put(7, 1)
        lists.remove('x')
        throw new RangeError('in the middle')
      })
      await expect(failing).rejects.toThrow(RangeError)
      expect(database.read(() => counts.get(7))).toBeUndefined()
      await database.change(() => counts.put(8, 1))
      expect(database.read(() => [...counts.getKeys()])).toEqual([8])
    })
  })

  test('a key that LMDB does not take changes nothing either', async () => {
    await withDatabase(async database => {
      const { entries, counts } = database.tables
      const failing = database.change(() => {
        counts.put(7, 1)
        entries.put([7, 'x'.repeat(3000)], '')
      })
      await expect(failing).rejects.toThrow(/maximum key size/)
      expect(database.read(() => counts.get(7))).toBeUndefined()
    })
  })
})

describe('what is left', () => {
  test('of a list that was removed: nothing', async () => {
    await withStore(async store => {
      const staged = await store.stagePeople(TEAM)
      await staged.add(members(4500))
      await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [ALICE] }, { dryRun: false })
      const post = { list: TEAM, posts: 9, seconds: 3600 }
      for (const { who: sender } of members(30)) {
        await store.countPost({ ...post, sender, message: 'm1' })
        await store.countPost({ ...post, sender, message: 'm2' })
        await store.admit({ list: TEAM, sender, seconds: 3600 })
      }
      const left = { lists: 1, entries: 4561, windows: 30, expiring: 30, admissions: 30, admittedUntil: 30 }
      expect(await rows()).toMatchObject(left)
      await store.removeList(TEAM)
      expect(await rows()).toEqual({})
    })
  })

  test('of people who were replaced, abandoned or only tried: nothing', async () => {
    const replacement = { address: TEAM, settings: INITIAL_SETTINGS, bans: [ALICE] }
    await withStore(async store => {
      for (const prefix of ['a', 'b', 'c']) {
        const staged = await store.stagePeople(TEAM)
        await staged.add(members(2500, prefix))
        await staged.commit(replacement, { dryRun: false })
      }
      const tried = await store.stagePeople(TEAM)
      await tried.add(members(2500, 'd'))
      await tried.commit(replacement, { dryRun: true })
      const abandoned = await store.stagePeople(TEAM)
      await abandoned.add(members(2500, 'e'))
      await abandoned.abandon()
      expect(await rows()).toEqual({ lists: 1, entries: 2501, counts: 2 })
    })
  })

  test('of admissions that have ended: nothing that grows', async () => {
    let now = 1_000_000
    await withStore(
      async store => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        for (const { who: sender } of members(200)) {
          for (let again = 0; again < 2; again++) await store.admit({ list: TEAM, sender, seconds: 60 })
          now += 10_000
        }
        const left = await rows()
        expect(left['admissions']).toBeLessThanOrEqual(7)
        expect(left['admittedUntil']).toBe(left['admissions'])
      },
      () => now,
    )
  })

  test('of too many admissions: the one that would have ended first is gone', async () => {
    await withDatabase(async database => {
      const admissions = new Admissions(database.tables, () => 1_000_000)
      const most = members(3)
      await database.change(() => {
        database.tables.counts.put(700, MAX_ADMISSIONS - 2)
        for (const [i, { who: sender }] of most.entries()) {
          admissions.add(700, { list: TEAM, sender, seconds: 60 + i })
        }
      })
      const known = most.map(({ who: sender }) => database.read(() => admissions.has(700, sender)))
      expect(known).toEqual([false, true, true])
      expect(database.read(() => database.tables.counts.get(700))).toBe(MAX_ADMISSIONS)
    })
  })

  test('of posts whose period has passed: nothing that grows', async () => {
    let now = 1_000_000
    await withStore(
      async store => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        for (const { who: sender } of members(200)) {
          await store.countPost({ list: TEAM, sender, message: 'm1', posts: 9, seconds: 60 })
          await store.countPost({ list: TEAM, sender, message: 'm2', posts: 9, seconds: 60 })
          now += 10_000
        }
        const left = await rows()
        expect(left['windows']).toBeLessThanOrEqual(7)
        expect(left['expiring']).toBe(left['windows'])
        expect(left['entries']).toBeLessThanOrEqual(20)
        expect(left['garbage'] ?? 0).toBeLessThanOrEqual(10)
      },
      () => now,
    )
  })

  test('staged people that nobody has touched for an hour are not put in place', async () => {
    let now = 1_000_000
    await withStore(
      async store => {
        const replacement = { address: TEAM, settings: INITIAL_SETTINGS, bans: [] }
        const slow = await store.stagePeople(TEAM)
        await slow.add(members(10))
        now += 3_600_001
        const other = await store.stagePeople(TEAM)
        for (const late of [() => slow.add(members(1)), () => slow.commit(replacement, { dryRun: false })]) {
          await expect(late()).rejects.toMatchObject({ code: 'POSTERN_STAGING_LOST' })
        }
        await slow.abandon()
        expect(await store.getList(TEAM)).toBeUndefined()
        now += 3_000_000
        await other.add(members(10))
        now += 3_000_000
        await (await store.stagePeople(TEAM)).abandon()
        await other.commit(replacement, { dryRun: false })
        expect(await store.countPeople(TEAM)).toBe(10)
      },
      () => now,
    )
  })
})

describe('a listing', () => {
  test('shows one moment, whatever is changed and swept meanwhile', async () => {
    await withStore(async store => {
      const replacement = { address: TEAM, settings: INITIAL_SETTINGS, bans: [] }
      const staged = await store.stagePeople(TEAM)
      await staged.add(members(4000, 'old'))
      await staged.commit(replacement, { dryRun: false })
      const seen: string[] = []
      for await (const { who } of store.people(TEAM)) {
        seen.push(who)
        if (seen.length === 1000) {
          const next = await store.stagePeople(TEAM)
          await next.add(members(10, 'new'))
          await next.commit(replacement, { dryRun: false })
          expect(await store.countPeople(TEAM)).toBe(10)
        }
        if (seen.length === 2000) await store.removeList(TEAM)
      }
      expect(seen.sort()).toEqual(
        members(4000, 'old')
          .map(entry => entry.who)
          .sort(),
      )
      expect(await store.getList(TEAM)).toBeUndefined()
    })
  })

  test('many at once, left open, hold nobody up', async () => {
    await withStore(async store => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.putPerson(TEAM, { who: ALICE, person: MEMBER })
      const listings = Array.from({ length: 300 }, () => store.people(TEAM)[Symbol.asyncIterator]())
      for (const [index, listing] of listings.entries()) {
        await listing.next()
        if (index % 10 === 0) await store.addForbidden(must(parseWho(`p${index}@x.example`)))
      }
      expect(await store.addBan(TEAM, ALICE)).toBe('added')
      for (const listing of listings) await listing.return?.()
    })
  })
})

describe('the work of a decision', () => {
  const tx = {
    phase: 'RCPT',
    front: 'policy',
    client: { ip: must(parseIpAddress('2001:db8::7')), name: 'mx.example.net' },
    sender: reversePath('alice@example.net'),
    recipient: address('team@lists.example.org'),
    recipientsBefore: 0,
    message: 'm1',
  } as const

  test('is the same for ten members and for a hundred thousand', async () => {
    await withStore(async store => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.addMta('known', must(parseMtaKey('::/0')))
      await withDatabase(async database => {
        const groups = new Groups(database.tables)
        const reads = async (): Promise<string[]> => {
          const calls: string[] = []
          const watched = Object.fromEntries(
            TABLE_NAMES.map(name => [
              name,
              watch(database.tables[name], method => calls.push(`${name}.${method}`)),
            ]),
          ) as unknown as typeof database.tables
          const parts = {
            tables: watched,
            groups: new Groups(watched),
            posts: new Posts(watched, groups, Date.now),
            admissions: new Admissions(watched, Date.now),
          }
          const facts = database.read(() => findFacts(parts, factsNeeded(tx, INITIAL_SITE)))
          expect(facts).toMatchObject({ knownMta: '::/0' })
          expect(facts.lists.get(TEAM)?.people.get(ALICE)).toEqual({ ok: true, value: MEMBER })
          return calls
        }
        const fill = async (count: number): Promise<void> => {
          const staged = await store.stagePeople(TEAM)
          await staged.add([{ who: ALICE, person: MEMBER }, ...members(count)])
          await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
        }
        await fill(9)
        const small = await reads()
        await fill(100_000)
        expect(await store.countPeople(TEAM)).toBe(100_001)
        expect(await reads()).toEqual(small)
        expect(new Set(small)).toEqual(
          new Set(['counts.get', 'entries.get', 'entries.doesExist', 'lists.get', 'windows.get']),
        )
      })
    })
  }, 60_000)

  function watch<T extends object>(table: T, called: (method: string) => void): T {
    return new Proxy(table, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          called(String(name))
          return Reflect.apply(value, target, args)
        }
      },
    })
  }

  test('without lists of MTAs, no client is looked up', async () => {
    await withDatabase(async database => {
      const groups = new Groups(database.tables)
      let lookups = 0
      const entries = watch(database.tables.entries, () => lookups++)
      const watched = { ...database.tables, entries }
      const parts = {
        tables: watched,
        groups: new Groups(watched),
        posts: new Posts(watched, groups, Date.now),
        admissions: new Admissions(watched, Date.now),
      }
      database.read(() =>
        findFacts(parts, factsNeeded({ phase: 'EHLO', front: 'policy', client: tx.client }, INITIAL_SITE)),
      )
      expect(lookups).toBe(0)
      expect(groups.count(SITE_GROUPS.known)).toBe(0)
    })
  })
})
