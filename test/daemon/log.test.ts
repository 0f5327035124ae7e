import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { Gate } from '../../src/app/gate.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'
import type { LogConfig } from '../../src/config/config.ts'
import { internalReversePath, parseAddress } from '../../src/core/address.ts'
import { INITIAL_SITE } from '../../src/core/facts.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import type { Parsed } from '../../src/core/parsed.ts'
import { replyFor } from '../../src/core/reason.ts'
import type { Client, ListAddress, RcptTransaction, Transaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { loadCloakKey } from '../../src/daemon/address-cloak.ts'
import { DaemonLog, readsJournal } from '../../src/daemon/log.ts'
import { DaemonRecorder } from '../../src/daemon/recorder.ts'
import { MemoryStore } from '../support/memory-store.ts'

const directory = mkdtempSync(join(tmpdir(), 'postern-log-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const AT = Date.UTC(2026, 10, 22, 10, 30, 0, 5)
const CONFIG: LogConfig = {
  format: 'text',
  level: 'debug',
  addresses: 'full',
  keyFile: join(directory, 'key'),
}

function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(result.problem)
  return result.value
}

/** A log and what it has written. */
function logging(
  config: Partial<LogConfig> = {},
  { journal = false } = {},
): { log: DaemonLog; written: () => string } {
  let text = ''
  const target = {
    write: (more: string) => {
      text += more
    },
  }
  const log = new DaemonLog({ ...CONFIG, ...config }, { target, journal, clock: () => AT })
  return {
    log,
    written: () => {
      log.flush()
      return text
    },
  }
}

const CLIENT: Client = {
  ip: must(parseIpAddress('192.0.2.1')),
  name: 'mx.example.net',
  helo: 'mx.example.net',
}
const LIST = 'team@lists.example' as ListAddress

function rcpt(changes: Partial<RcptTransaction> = {}): RcptTransaction {
  return {
    front: 'policy',
    phase: 'RCPT',
    client: CLIENT,
    sender: internalReversePath('alice@example.net'),
    recipient: must(parseAddress('Team@lists.example')),
    recipientsBefore: 0,
    ...changes,
  }
}

function decided(tx: Transaction, verdict: Verdict, queueId?: string) {
  return { tx, verdict, at: AT, latency: 3, queueId }
}

const REJECT: Verdict = {
  kind: 'reject',
  reason: 'sender-not-permitted',
  rule: 'sender-permitted',
  reply: replyFor('sender-not-permitted', { list: LIST }),
  list: LIST,
}
const ACCEPT: Verdict = {
  kind: 'accept',
  reason: 'sender-permitted',
  rule: 'action-taken',
  reply: replyFor('sender-permitted'),
  list: LIST,
}
const UNKNOWN: Verdict = {
  kind: 'reject',
  reason: 'list-unknown',
  rule: 'list-exists',
  reply: replyFor('list-unknown', { list: 'bob@lists.example' }),
}

const NOW = '2026-11-22T10:30:00.005Z'

describe('a decision is one line', () => {
  test.each<[string, ReturnType<typeof decided>, string]>([
    [
      'refused',
      decided(rcpt(), REJECT, '4ABC12'),
      '4ABC12: reject: RCPT from mx.example.net[192.0.2.1]: 550 5.7.2 You are not permitted to post to team@lists.example; reason=sender-not-permitted rule=sender-permitted list=<team@lists.example> from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'accepted, before there is a queue id',
      decided(rcpt(), ACCEPT),
      'NOQUEUE: accept: RCPT from mx.example.net[192.0.2.1]: 250 2.1.5 Ok; reason=sender-permitted rule=action-taken list=<team@lists.example> from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'the null sender of an unknown client, with a login',
      decided(rcpt({ client: { user: 'bob' }, sender: internalReversePath('') }), UNKNOWN),
      'NOQUEUE: reject: RCPT from unknown[unknown]: 550 5.1.1 There is no list bob@lists.example; reason=list-unknown rule=list-exists from=<> to=<Team@lists.example> front=policy helo=<> user=<bob>',
    ],
    [
      'a service address',
      decided(rcpt(), { ...ACCEPT, reason: 'service-address', rule: 'service-address', service: 'bounces' }),
      'NOQUEUE: accept: RCPT from mx.example.net[192.0.2.1]: 250 2.1.5 Ok; reason=service-address rule=service-address list=<team@lists.example> service=bounces from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'in shadow mode',
      decided(rcpt(), { ...ACCEPT, reason: 'shadow', rule: 'sender-permitted', shadowed: REJECT }),
      'NOQUEUE: accept: RCPT from mx.example.net[192.0.2.1]: 250 2.1.5 Ok; reason=shadow rule=sender-permitted would=reject would_reason=sender-not-permitted list=<team@lists.example> from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'held because a refusal would be a bounce',
      decided(rcpt(), { ...ACCEPT, kind: 'hold', reason: 'late-refusal-held', inPlaceOf: REJECT }),
      'NOQUEUE: hold: RCPT from mx.example.net[192.0.2.1]: 250 2.1.5 Ok; reason=late-refusal-held rule=action-taken instead_of=sender-not-permitted list=<team@lists.example> from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'not ours',
      decided(rcpt(), { kind: 'none', reason: 'recipient-elsewhere', rule: 'recipient-is-ours' }),
      'NOQUEUE: none: RCPT from mx.example.net[192.0.2.1]: not ours to judge; reason=recipient-elsewhere rule=recipient-is-ours from=<alice@example.net> to=<Team@lists.example> front=policy helo=<mx.example.net>',
    ],
    [
      'a phase without sender and recipient',
      decided(
        { front: 'policy', phase: 'EHLO', client: CLIENT },
        { kind: 'reject', reason: 'mta-unknown', rule: 'mta-known', reply: replyFor('mta-unknown') },
      ),
      'NOQUEUE: reject: EHLO from mx.example.net[192.0.2.1]: 550 5.7.1 This host is not known here as a mail server; reason=mta-unknown rule=mta-known front=policy helo=<mx.example.net>',
    ],
    [
      'with lines, marks and escapes from the network',
      decided(
        rcpt({
          client: { helo: 'x>\r\nreject: \x1b[2J\u202e' },
          sender: internalReversePath('a> reason=<b\n'),
        }),
        REJECT,
        'A: B',
      ),
      'NOQUEUE: reject: RCPT from unknown[unknown]: 550 5.7.2 You are not permitted to post to team@lists.example; reason=sender-not-permitted rule=sender-permitted list=<team@lists.example> from=<a\\x{3E} reason=\\x{3C}b\\x{A}> to=<Team@lists.example> front=policy helo=<x\\x{3E}\\x{D}\\x{A}reject: \\x{1B}[2J\\x{202E}>',
    ],
  ])('%s', (_, decision, line) => {
    const { log, written } = logging()
    log.decided(decision)
    expect(written()).toBe(`${NOW} ${line}\n`)
  })

  test('whatever the network sends', () => {
    const hostile = fc.string({ unit: 'binary', maxLength: 1500 })
    fc.assert(
      fc.property(
        hostile,
        hostile,
        hostile,
        fc.constantFrom('full', 'hashed'),
        (sender, helo, queueId, addresses) => {
          const { log, written } = logging({ addresses })
          log.decided(
            decided(
              rcpt({ client: { helo, name: helo }, sender: internalReversePath(sender) }),
              REJECT,
              queueId,
            ),
          )
          log.warn('disconnected', { helo, queueId, sender, list: [helo], cause: new Error(sender) })
          const lines = written().split('\n')
          expect(lines).toHaveLength(3)
          expect(lines[0]!.match(/ from=<[^<>]*> to=<[^<>]*> front=policy helo=<[^<>]*>$/)).not.toBeNull()
          expect(written()).toMatch(/^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]*$/)
        },
      ),
    )
  })

  test('as JSON', () => {
    const { log, written } = logging({ format: 'json' })
    log.decided(decided(rcpt(), REJECT, '4ABC12'))
    log.decided(decided(rcpt(), { kind: 'none', reason: 'postmaster', rule: 'recipient-is-ours' }))
    const [first, second] = written().trimEnd().split('\n')
    expect(JSON.parse(first!)).toEqual({
      level: 'info',
      time: NOW,
      message: 'decision',
      queue_id: '4ABC12',
      phase: 'RCPT',
      action: 'reject',
      reply: '550 5.7.2 You are not permitted to post to team@lists.example',
      client_name: 'mx.example.net',
      client_address: '192.0.2.1',
      reason: 'sender-not-permitted',
      rule: 'sender-permitted',
      list: 'team@lists.example',
      sender: 'alice@example.net',
      recipient: 'Team@lists.example',
      front: 'policy',
      helo: 'mx.example.net',
      latency_ms: 3,
    })
    expect(JSON.parse(second!)).toMatchObject({ level: 'debug', action: 'none' })
  })
})

describe('an event is one line', () => {
  const down = new StoreUnavailable('redis at 127.0.0.1:6379 does not answer', {
    cause: Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' }),
  })
  test.each<[string, (log: DaemonLog) => void, string]>([
    ['without fields', log => log.info('stopped'), 'stopped'],
    [
      'with fields',
      log =>
        log.debug('listening', {
          front: 'policy',
          socketMode: 432,
          on: true,
          off: undefined,
          at: ['a', 'b'],
        }),
      'debug: listening; front=<policy> socket_mode=432 on=true at=<a, b>',
    ],
    [
      'about a message',
      log => log.warn('too big', { queueId: '4ABC12', size: 3n }),
      '4ABC12: warning: too big; size=3',
    ],
    [
      'with its causes',
      log => log.error('store unavailable', { cause: down }),
      'error: store unavailable; cause=<redis at 127.0.0.1:6379 does not answer (POSTERN_STORE_UNAVAILABLE): connect ECONNREFUSED 127.0.0.1:6379>',
    ],
    [
      'with causes that repeat each other',
      log =>
        log.error('store unavailable', {
          cause: new StoreUnavailable('redis: connect ECONNREFUSED', {
            cause: new Error('connect ECONNREFUSED'),
          }),
        }),
      'error: store unavailable; cause=<redis: connect ECONNREFUSED (POSTERN_STORE_UNAVAILABLE)>',
    ],
    ['with something thrown', log => log.warn('odd', { cause: 'a\nb' }), 'warning: odd; cause=<a\\x{A}b>'],
  ])('%s', (_, act, line) => {
    const { log, written } = logging()
    act(log)
    expect(written()).toBe(`${NOW} ${line}\n`)
  })

  test('a bug comes with its stack, still on one line', () => {
    const { log, written } = logging()
    log.error('decision failed', { cause: new TypeError('x is not a function') })
    expect(written()).toMatch(
      /; cause=<x is not a function> stack=<TypeError: x is not a function \| at .*log\.test\.ts[^\n]*>\n$/,
    )
  })

  test('as JSON', () => {
    const { log, written } = logging({ format: 'json' })
    log.warn('policy client disconnected', { queueId: 'Q', clientPort: 1, cause: down })
    expect(JSON.parse(written())).toEqual({
      level: 'warn',
      time: NOW,
      message: 'policy client disconnected',
      queue_id: 'Q',
      client_port: 1,
      causes: [
        {
          name: 'StoreUnavailable',
          code: 'POSTERN_STORE_UNAVAILABLE',
          message: 'redis at 127.0.0.1:6379 does not answer',
        },
        { name: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:6379' },
      ],
    })
  })
})

describe('levels and places', () => {
  test('in the journal a priority stands in place of the time', () => {
    const { log, written } = logging({}, { journal: true })
    log.debug('d')
    log.info('i')
    log.warn('w')
    log.error('e')
    log.decided(decided({ front: 'lmtp', phase: 'CONNECT', client: {} }, UNKNOWN))
    expect(
      written()
        .split('\n')
        .map(line => line.slice(0, 12)),
    ).toEqual(['<7>debug: d', '<6>i', '<4>warning: ', '<3>error: e', '<6>NOQUEUE: ', ''])
  })

  test('only the journal itself is taken for the journal', () => {
    const file = openSync(join(directory, 'journal'), 'w')
    const { dev, ino } = fstatSync(file)
    expect(readsJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, file)).toBe(true)
    expect(readsJournal({ JOURNAL_STREAM: `${dev}:${ino + 1}` }, file)).toBe(false)
    expect(readsJournal({}, file)).toBe(false)
    closeSync(file)
    expect(readsJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, file)).toBe(false)
  })

  test('what is below the level is left out, and the level can change', () => {
    const { log, written } = logging({ level: 'info' })
    log.debug('hidden')
    log.decided(decided(rcpt(), { kind: 'none', reason: 'recipient-elsewhere', rule: 'recipient-is-ours' }))
    log.decided(
      decided(rcpt(), {
        kind: 'accept',
        reason: 'nothing-to-object',
        rule: 'no-rule',
        reply: replyFor('nothing-to-object'),
      }),
    )
    log.info('shown')
    log.configure({ ...CONFIG, level: 'error', format: 'json' })
    log.warn('hidden')
    log.error('shown')
    expect(written()).toBe(`${NOW} shown\n{"level":"error","time":"${NOW}","message":"shown"}\n`)
  })

  test('lines are written together, after the work at hand', async () => {
    const writes: string[] = []
    const log = new DaemonLog(CONFIG, {
      target: { write: text => writes.push(text) },
      journal: false,
      clock: () => AT,
    })
    log.info('one')
    log.info('two')
    expect(writes).toEqual([])
    await new Promise(resolve => setImmediate(resolve))
    expect(writes).toEqual([`${NOW} one\n${NOW} two\n`])
  })
})

describe('hashed addresses', () => {
  test('the same mailbox has the same hash, and nothing tells the address', () => {
    const { log, written } = logging({ addresses: 'hashed' })
    const user = { ...CLIENT, user: 'Alice@Example.NET' }
    log.decided(decided(rcpt({ client: user }), REJECT))
    log.decided(decided(rcpt({ sender: internalReversePath('') }), UNKNOWN))
    log.info('message stored', {
      sender: 'alice@example.net',
      list: LIST,
      note: 'for <"b c"@x.example>',
      ms: 4,
    })
    const hash = /from=<(#[0-9a-f]{16})>/.exec(written())?.[1]
    expect(hash).toBeDefined()
    const lines = written().split('\n')
    expect(lines[0]).toContain(`list=<team@lists.example> from=<${hash}> to=<#`)
    expect(lines[0]).toContain(`user=<${hash}>`)
    expect(lines[0]).toContain('You are not permitted to post to team@lists.example;')
    expect(lines[1]).toMatch(/There is no list #[0-9a-f]{16}; .* from=<> to=<#/)
    expect(lines[2]).toMatch(
      new RegExp(`from=<${hash}> list=<team@lists.example> note=<for .*#[0-9a-f]{16}.*> ms=4$`),
    )
    expect(written()).not.toMatch(/alice|bob|b c/i)
  })

  test('the key is made once, for its owner only, and kept', () => {
    const file = join(directory, 'state/log-key')
    const key = loadCloakKey(file)
    expect(key).toHaveLength(32)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(loadCloakKey(file)).toEqual(key)
    expect(readFileSync(file, 'latin1')).toMatch(/^[0-9a-f]{64}\n$/)
  })

  test('a damaged key is not replaced in silence', () => {
    const file = join(directory, 'damaged')
    writeFileSync(file, 'abc')
    expect(() => loadCloakKey(file)).toThrow('expected 64 hexadecimal digits')
    expect(readFileSync(file, 'latin1')).toBe('abc')
  })
})

describe('the recorder', () => {
  test('says once that the store is away, and once that it is back', async () => {
    let now = AT
    const { log, written } = logging()
    const recorder = new DaemonRecorder({
      log: Object.assign(log, { decided: () => {} }),
      clock: () => now,
      store: 'redis at h:1',
    })
    const store = new MemoryStore()
    let away = false
    const gate = new Gate({
      store: {
        load: query => {
          if (away) throw new StoreUnavailable('no answer')
          return store.load(query)
        },
        countPost: async () => {},
        admit: async () => {},
      },
      site: INITIAL_SITE,
      recorder,
      clock: () => now,
    })
    gate.ask(rcpt())
    away = true
    gate.ask(rcpt())
    gate.ask({ front: 'policy', phase: 'DATA', client: {}, sender: internalReversePath(''), recipients: [] })
    gate.ask(rcpt())
    now += 5400
    away = false
    gate.ask(rcpt())
    gate.ask(rcpt())
    expect(written()).toBe(
      `${NOW} error: store unavailable; store=<redis at h:1> cause=<no answer (POSTERN_STORE_UNAVAILABLE)>\n` +
        `${NOW} store available again; store=<redis at h:1> seconds=5 failures=2\n`,
    )
  })

  test('counts by verdict and reason, and describes a repeated bug once', () => {
    const { log, written } = logging()
    const recorder = new DaemonRecorder({ log, clock: () => AT, store: '' })
    for (const verdict of [ACCEPT, REJECT, REJECT]) recorder.decided(decided(rcpt(), verdict))
    expect(recorder.counts()).toEqual([
      { verdict: 'reject', reason: 'sender-not-permitted', count: 2 },
      { verdict: 'accept', reason: 'sender-permitted', count: 1 },
    ])
    for (const message of ['a', 'a', 'b']) recorder.internalError(new TypeError(message), rcpt())
    expect(written().match(/decision failed; front=<policy> phase=<RCPT> cause=<[ab]>/g)).toHaveLength(2)
  })
})
