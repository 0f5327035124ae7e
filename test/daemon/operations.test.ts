/** docs/operations.md and contrib/systemd/ against the code. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Decided } from '../../src/app/gate.ts'
import { parseAddress } from '../../src/core/address.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import type { Parsed } from '../../src/core/parsed.ts'
import { replyFor } from '../../src/core/reason.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { VERDICT_KINDS } from '../../src/core/verdict.ts'
import { NO_CLOAK } from '../../src/daemon/address-cloak.ts'
import { SOCKET_NAMES } from '../../src/daemon/inherited-sockets.ts'
import { jsonEncoder } from '../../src/daemon/log-json.ts'
import { decisionRecord } from '../../src/daemon/log-record.ts'
import { encodeText } from '../../src/daemon/log-text.ts'

const ROOT = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8')
const page = read('docs/operations.md')

function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(result.problem)
  return result.value
}

const list = 'team@lists.example' as ListAddress
const DECIDED: Decided = {
  tx: {
    front: 'policy',
    phase: 'RCPT',
    client: { ip: must(parseIpAddress('192.0.2.1')), name: 'mx.example.net', helo: 'mx.example.net' },
    sender: must(parseAddress('alice@example.net')),
    recipient: must(parseAddress('team@lists.example')),
    recipientsBefore: 0,
  },
  verdict: {
    kind: 'reject',
    reason: 'sender-not-permitted',
    rule: 'sender-permitted',
    reply: replyFor('sender-not-permitted', { list }),
    list,
  },
  at: Date.UTC(2026, 10, 22, 10, 30, 0, 5),
  latency: 1,
  queueId: '4ABC12',
}

describe('docs/operations.md', () => {
  test('its decision is logged in these very words', () => {
    expect(page).toContain(`\n${encodeText(decisionRecord(DECIDED, NO_CLOAK), { journal: false })}`)
  })

  test('every part of a decision is explained by its name in JSON, and every verdict', () => {
    const { verdict, tx } = DECIDED
    const full: Decided = {
      ...DECIDED,
      tx: { ...tx, client: { ...tx.client, user: 'u' } },
      verdict: { ...verdict, service: 'owner', shadowed: verdict } as Decided['verdict'],
    }
    const line = JSON.parse(jsonEncoder()(decisionRecord(full, NO_CLOAK))) as object
    const rows = page.split('\n').filter(row => row.startsWith('| '))
    const explained = new Set(
      rows.flatMap(row => [...(row.split(' | ')[1] ?? '').matchAll(/`(\w+)`/g)].map(m => m[1])),
    )
    const common = ['level', 'time', 'message']
    expect(Object.keys(line).filter(name => !explained.has(name) && !common.includes(name))).toEqual([])
    const verdicts = rows.find(row => row.includes('`action`')) ?? ''
    for (const kind of VERDICT_KINDS) expect(verdicts).toContain(`\`${kind}\``)
  })
})

describe('contrib/systemd', () => {
  const service = read('contrib/systemd/postern.service')

  test('does what kills Node nowhere, and waits for the end', () => {
    expect(service).not.toMatch(/^MemoryDenyWriteExecute/m)
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(service)?.[1])).toBeGreaterThan(25)
    // Programs that mail is handed to are not signalled beside Postern, which waits for them.
    expect(service).toMatch(/^KillMode=mixed$/m)
    expect(service).toMatch(/^ExecReload=\/bin\/kill -HUP \$MAINPID$/m)
    expect(service).toMatch(/^RestartPreventExitStatus=64 78$/m)
  })

  test('has a socket for each front, by the name that the daemon looks for', () => {
    const sockets = readdirSync(new URL('contrib/systemd', ROOT)).filter(name => name.endsWith('.socket'))
    const names = sockets.map(name => /^FileDescriptorName=(.*)$/m.exec(read(`contrib/systemd/${name}`))?.[1])
    expect(names.sort()).toEqual([...SOCKET_NAMES].sort())
  })
})
