/** `why`, `status` and `journal` over decisions that a gate made, with everything in memory. */
import { describe, expect, test } from 'vitest'
import { Gate } from '../../src/app/gate.ts'
import { JournalWriter } from '../../src/app/journal-writer.ts'
import { NO_LOG } from '../../src/app/log.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { Transaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { NO_CLOAK } from '../../src/daemon/address-cloak.ts'
import { KEEP } from '../conformance/journal-conformance.ts'
import { MemoryJournal } from '../support/memory-journal.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, must, reversePath } from '../support/vectors.ts'
import { Console } from './console.ts'

const NOW = Date.UTC(2026, 10, 22, 14, 25, 3)
const SITE: Site = { ...INITIAL_SITE, reasonIds: { url: undefined } }

/** A gate with a journal, and a command line to both. */
class World {
  now = NOW
  readonly store = new MemoryStore(() => this.now)
  readonly journal = new MemoryJournal(() => this.now)
  readonly console = new Console({
    store: this.store,
    journal: this.journal,
    site: SITE,
    clock: () => this.now,
  })
  readonly writer = new JournalWriter({
    sink: this.journal,
    node: 'mx1',
    version: '0.1.0',
    pid: 7,
    writer: 'w',
    retention: KEEP,
    addresses: NO_CLOAK,
    clock: () => this.now,
    log: NO_LOG,
  })
  readonly gate = new Gate({
    store: this.store,
    site: SITE,
    clock: () => this.now,
    recorder: {
      decided: decided => this.writer.record(decided),
      storeState: () => {},
      internalError: error => {
        throw error
      },
    },
  })

  async withList(...settings: string[]): Promise<this> {
    await this.console.must('domain', 'add', 'lists.example.org')
    await this.console.must('list', 'add', 'team@lists.example.org', ...settings)
    return this
  }

  async rcpt(sender: string, recipient = 'team@lists.example.org', message?: string): Promise<Verdict> {
    const tx: Transaction = {
      phase: 'RCPT',
      front: 'policy',
      client: { ip: must(parseIpAddress('192.0.2.1')), name: 'mx.example.net', helo: 'mx.example.net' },
      sender: reversePath(sender === '<>' ? '' : sender),
      recipient: address(recipient),
      recipientsBefore: 0,
      ...(message !== undefined && { message }),
    }
    return this.gate.ask(tx, { queueId: undefined })
  }

  /** Writes what was decided. */
  written(): Promise<void> {
    return this.writer.close()
  }
}

function refOf(verdict: Verdict): string {
  if (verdict.kind === 'none') throw new Error('there is no reply')
  return /\(ref ([0-9A-Z]{8})\)$/.exec(formatReply(verdict.reply))?.[1] ?? ''
}

describe('why', () => {
  test('the event, the law of today, and what would change it', async () => {
    const world = await new World().withList()
    const ref = refOf(await world.rcpt('eve@example.com'))
    expect(ref).toMatch(/^[0-9A-Z]{8}$/)
    await world.written()
    const said = await world.console.must('why', `${ref.slice(0, 4).toLowerCase()}-${ref.slice(4)}`)
    expect(said.replaceAll(ref, 'REF')).toBe(
      `when       2026-11-22T14:25:03.000Z
where      mx1, policy, RCPT
verdict    reject
reply      550 5.7.2 You are not permitted to post to team@lists.example.org (ref REF)
reason     sender-not-permitted
rule       sender-permitted
list       team@lists.example.org
sender     eve@example.com
recipient  team@lists.example.org
client     mx.example.net[192.0.2.1]
helo       mx.example.net
today      reject, 550 5.7.2 You are not permitted to post to team@lists.example.org

${said.split('\n\n')[1]}

What would change the answer:
  make eve@example.com a member:
    postern member add team@lists.example.org eve@example.com
  let this sender post without being a member:
    postern member add team@lists.example.org eve@example.com --role nonmember --action accept
  let everybody post:
    postern list set team@lists.example.org nonmember_action=accept
  let a moderator look at posts of others:
    postern list set team@lists.example.org nonmember_action=hold
`,
    )
    expect(said).toMatch(/^sender-permitted +reject {2}/m)
    await world.console.must('member', 'add', 'team@lists.example.org', 'eve@example.com')
    const today = await world.console.must('why', ref)
    expect(today).toMatch(/^today +accept, 250 2\.1\.5 Ok$/m)
    expect(today).not.toContain('What would change')
  })

  test('as JSON', async () => {
    const world = await new World().withList()
    const ref = refOf(await world.rcpt('eve@example.com'))
    await world.written()
    expect(JSON.parse(await world.console.must('why', ref, '--json'))).toMatchObject([
      {
        event: { ref, verdict: 'reject', sender: 'eve@example.com', id: expect.any(String) },
        today: { verdict: 'reject', reason: 'sender-not-permitted', trace: expect.any(Array) },
        remedies: [{ command: 'postern member add team@lists.example.org eve@example.com' }, {}, {}, {}],
      },
    ])
  })

  test('of what there is not', async () => {
    const world = await new World().withList()
    expect(await world.console.run(['why', 'K7Q2M9XP'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('there is no event K7Q2M9XP'),
    })
    expect(await world.console.run(['why', 'K7Q2M9'])).toMatchObject({ status: 64 })
    expect(await world.console.run(['why', 'K7Q2M9UU'])).toMatchObject({ status: 64 })
  })

  test('of an id that was made long before now', async () => {
    const world = await new World().withList()
    const ref = refOf(await world.rcpt('eve@example.com'))
    await world.written()
    world.now += 200 * 86_400_000
    expect(await world.console.must('why', ref)).toContain('2026-11-22T14:25:03.000Z')
  })

  test('a repeated question has one id and one event', async () => {
    const world = await new World().withList()
    const refs = []
    for (let times = 0; times < 4; times++) {
      refs.push(refOf(await world.rcpt('eve@example.com', 'team@lists.example.org', 'instance')))
      world.now += 1000
    }
    expect(new Set(refs).size).toBe(1)
    expect(refOf(await world.rcpt('eve@example.com', 'team@lists.example.org', 'another'))).not.toBe(refs[0])
    await world.written()
    expect((await world.journal.after(undefined, 10)).map(({ ref }) => ref)).toHaveLength(2)
    const [day] = await world.journal.figures('day', ['2026-11-22'])
    expect([day!.get('decisions'), day!.get('repeated')]).toEqual([2, 3])
  })

  // Whatever is proposed works.
  test.each([
    ['not permitted', [], [], 0],
    ['not permitted, as a nonmember', [], [], 1],
    ['everybody', [], [], 2],
    ['hold', [], [], 3],
    ['banned from the list', [], [['ban', 'add', 'eve@example.com', '--list', 'team@lists.example.org']], 0],
    ['banned everywhere', [], [['ban', 'add', 'eve@example.com']], 1],
    ['banned by domain', [], [['ban', 'add', '@example.com', '--list', 'team@lists.example.org']], 2],
    ['forbidden', [], [['forbid', 'add', 'eve@example.com']], 0],
    ['forbidden by domain', [], [['forbid', 'add', '@example.com']], 1],
    ['paused', ['state=paused'], [], 0],
    ['closed', ['state=closed'], [], 0],
    ['unknown mail server', [], [['mta', 'add', 'known', '198.51.100.1']], 0],
    ['refused mail server', [], [['mta', 'add', 'refused', '192.0.2.1']], 0],
  ] as const)('the remedy for a sender who is: %s', async (_, settings, before, index) => {
    const world = await new World().withList(...settings)
    for (const command of before) await world.console.must(...command)
    const first = await world.rcpt('eve@example.com')
    await world.written()
    const said = await world.console.must('why', refOf(first), '--json')
    const findings = JSON.parse(said) as { remedies: { command: string }[] }[]
    const command = findings[0]!.remedies[index]!.command
    await world.console.must(...command.split(' ').slice(1))
    const reasons = [
      'sender-banned',
      'sender-forbidden',
      'mta-unknown',
      'mta-refused',
      'list-closed',
      'list-paused',
    ]
    const after = await world.rcpt('eve@example.com')
    expect(after.reason).not.toBe(first.reason)
    expect(reasons).not.toContain(after.reason)
  })
})

describe('journal', () => {
  async function filled(): Promise<World> {
    const world = await new World().withList()
    await world.console.must('list', 'add', 'news@lists.example.org', '--preset', 'open')
    for (const [sender, list] of [
      ['eve@example.com', 'team'],
      ['eve@example.com', 'news'],
      ['<>', 'team'],
      ['mallory@example.net', 'team'],
    ] as const) {
      await world.rcpt(sender, `${list}@lists.example.org`)
      world.now += 60_000
    }
    await world.written()
    return world
  }
  const lines = (text: string): string[] =>
    text
      .trimEnd()
      .split('\n')
      .filter(line => line !== '')

  test('the last decisions, the latest last', async () => {
    const world = await filled()
    const said = (await world.console.must('journal')).replace(/ref \w{8}/g, 'ref REF')
    expect(lines(said)).toEqual([
      '2026-11-22T14:25:03.000Z\treject\tsender-not-permitted\tteam@lists.example.org\teve@example.com\tpolicy RCPT\tmx.example.net[192.0.2.1]\t550 5.7.2 You are not permitted to post to team@lists.example.org (ref REF)',
      '2026-11-22T14:26:03.000Z\taccept\tsender-permitted\tnews@lists.example.org\teve@example.com\tpolicy RCPT\tmx.example.net[192.0.2.1]\t250 2.1.5 Ok',
      '2026-11-22T14:27:03.000Z\taccept\texistence-only\tteam@lists.example.org\t<>\tpolicy RCPT\tmx.example.net[192.0.2.1]\t250 2.1.5 Ok',
      '2026-11-22T14:28:03.000Z\treject\tsender-not-permitted\tteam@lists.example.org\tmallory@example.net\tpolicy RCPT\tmx.example.net[192.0.2.1]\t550 5.7.2 You are not permitted to post to team@lists.example.org (ref REF)',
    ])
  })

  test.each([
    [['--list', 'Team@lists.example.org'], 3],
    [['--list', 'news@lists.example.org'], 1],
    [['--sender', 'EVE@example.com'], 2],
    [['--sender', '<>'], 1],
    [['--verdict', 'reject'], 2],
    [['--reason', 'existence-only'], 1],
    [['--since', '2m'], 2],
    [['--since', '2026-11-22T14:26:30Z'], 2],
    [['--since', '1d', '--verdict', 'reject', '--sender', 'eve@example.com'], 1],
    [['--lines', '1'], 1],
    [['-n', '0'], 0],
  ])('%j', async (options, count) => {
    const world = await filled()
    expect(lines(await world.console.must('journal', ...options))).toHaveLength(count)
    const json = lines(await world.console.must('journal', '--json', ...options))
    expect(json.map(line => (JSON.parse(line) as { node: string }).node)).toEqual(Array(count).fill('mx1'))
  })

  test.each([
    ['--verdict', 'no'],
    ['--reason', 'because'],
    ['--since', 'ever'],
    ['--list', 'x'],
    ['-n', '-1'],
  ])('not understood: %s %s', async (...options) => {
    expect(await new World().console.run(['journal', ...options])).toMatchObject({ status: 64 })
  })

  test('goes on with those that come, until interrupted', async () => {
    const world = await filled()
    const end = new AbortController()
    const console = new Console({ store: world.store, journal: world.journal, signal: end.signal })
    const running = console.run(['journal', '-f', '-n', '1', '--verdict', 'reject'])
    const original = world.journal.after.bind(world.journal)
    let asked = 0
    world.journal.after = async (id, limit) => {
      if (asked++ === 0) {
        const event = (await original(undefined, 1))[0]!
        const { id: _, ...fields } = event
        const events = [{ ...fields, sender: 'late@example.net' }, { ...fields, verdict: 'accept' } as const]
        await world.journal.append({ writer: 'x', id: '1', events, tallies: [] }, KEEP)
      } else end.abort()
      return original(id, limit)
    }
    const { status, stdout } = await running
    expect(status).toBe(0)
    expect(lines(stdout).map(line => line.split('\t')[4])).toEqual([
      'mallory@example.net',
      'late@example.net',
    ])
  })

  test('what stands in an event does not reach the terminal as it is', async () => {
    const world = await new World().withList()
    await world.rcpt('eve@example.com')
    await world.written()
    const [event] = await world.journal.after(undefined, 1)
    const { id: _, ...fields } = event!
    const evil = { ...fields, sender: '\u001b[2J@example.com', clientName: 'a\u202eb\tc' }
    await world.journal.append({ writer: 'x', id: '1', events: [evil], tallies: [] }, KEEP)
    const [, line] = lines(await world.console.must('journal'))
    expect(line).toContain('\\x{1B}[2J@example.com')
    expect(line).toContain('a\\x{202E}b\\x{9}c')
  })
})

describe('status', () => {
  test('the figures of this hour and of today', async () => {
    const world = await new World().withList()
    for (const sender of ['eve@example.com', 'eve@example.com', 'mallory@example.net', '<>'])
      await world.rcpt(sender)
    world.now += 3_600_000
    await world.console.must('member', 'add', 'team@lists.example.org', 'alice@example.net')
    await world.rcpt('alice@example.net')
    await world.written()
    world.now += 5000
    expect(await world.console.must('status')).toBe(`store       memory
events      5
last event  5 s ago

mx1  stopped 5 s ago  0.1.0  pid 7  5 written, 0 waiting, 0 lost

                        this hour  today
decisions               1          4
accept                  1          1
  sender-permitted      1          1
reject                  0          3
  sender-not-permitted  0          3
probes                  0          1
senders                 1          3

refused senders, today
  2  eve@example.com
  1  mallory@example.net

refused domains, today
  2  example.com
  1  example.net

refusing lists, today
  3  team@lists.example.org
`)
    const json = JSON.parse(await world.console.must('status', '--json')) as Record<string, unknown>
    expect(json).toMatchObject({
      store: 'memory',
      events: 5,
      nodes: [{ node: 'mx1', silent: false, state: 'stopped' }],
      hour: { figures: { decisions: 1 }, unique_senders: 1 },
      today: { figures: { decisions: 4, 'reject:sender-not-permitted': 3 }, top: { lists: [{ count: 3 }] } },
    })
  })

  test('of a journal with nothing in it', async () => {
    const world = new World()
    expect(await world.console.must('status')).toContain('no node was heard of')
  })

  test('a node that is silent', async () => {
    const world = new World()
    await world.journal.beat({ ...world.writer.heartbeat(), time: world.now - 60_000 })
    expect(await world.console.must('status')).toMatch(/^mx1 {2}silent for 1 min/m)
  })
})
