/**
 * A command line with messages that wait: the same ones each time, under names that do not change. It is January 10th,
 * and they came a day apart.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HeldPost } from '../../src/app/held.ts'
import type { DeliveryOutcome } from '../../src/app/message.ts'
import { makeReply } from '../../src/core/reply.ts'
import { formatHead } from '../../src/delivery/held-format.ts'
import { formatHeldName, idMaker } from '../../src/delivery/held-names.ts'
import { summaryOf } from '../../src/delivery/held-summary.ts'
import { message } from '../delivery/mail.ts'
import { address, reversePath } from '../support/vectors.ts'
import { Console } from './console.ts'

const DAY = 86_400_000
const NOW = Date.UTC(2026, 0, 10, 12)

const directories: string[] = []

interface Waiting {
  readonly list: string
  readonly sender: string
  readonly days: number
  readonly content: string
  readonly grounds: HeldPost['grounds']
}

const UNPROVEN = { reason: 'first-post', rule: 'first-post-seen', returnPath: 'unproven' } as const

const WAITING: readonly Waiting[] = [
  {
    list: 'team@lists.example.org',
    sender: 'ann@example.net',
    days: 3,
    content:
      'From: =?utf-8?q?Ann_M=C3=BCller?= <ann@example.net>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\u001b[2J\r\n\r\nHello.\r\n',
    grounds: UNPROVEN,
  },
  {
    list: 'team@lists.example.org',
    sender: 'ben@example.net',
    days: 2,
    content:
      'From: ben@example.net\r\nTo: team@lists.example.org\r\nSubject: hello\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n',
    grounds: { reason: 'sender-moderated', rule: 'action-taken', returnPath: 'admitted' },
  },
  {
    list: 'team@lists.example.org',
    sender: '',
    days: 1,
    content: 'Subject: bounce\r\n\r\nHello.\r\n',
    grounds: {
      reason: 'late-refusal-held',
      rule: 'sender-permitted',
      inPlaceOf: 'sender-not-permitted',
      returnPath: 'unproven',
    },
  },
  {
    list: 'refused@lists.example.org',
    sender: 'cid@spam.example',
    days: 1,
    content: 'From: cid@spam.example\r\n\r\nHello.\r\n',
    grounds: UNPROVEN,
  },
]

/** Puts a message into the queue as the sink does, but for its name. */
async function put(
  root: string,
  place: number,
  { list, sender, days, content, grounds }: Waiting,
): Promise<void> {
  const heldAt = NOW - days * DAY
  const id = idMaker(() => heldAt)().slice(0, -4) + String(place).padStart(4, '0')
  const recipient = address(list)
  const post: HeldPost = {
    envelope: {
      sender: reversePath(sender),
      client: { name: 'mx.example.net', helo: 'mx' },
      id: `ID${place}`,
      receivedAt: heldAt,
      smtputf8: false,
    },
    to: { recipient, list: recipient.key, service: undefined },
    grounds,
    heldAt,
    size: Buffer.byteLength(content),
    summary: await summaryOf(message(content)),
  }
  const directory = join(root, 'lists/lists.example.org', recipient.localPart)
  mkdirSync(directory, { recursive: true })
  const name = formatHeldName({ id, size: post.size, state: 'waiting', owner: undefined, noted: false })
  writeFileSync(join(directory, name), Buffer.concat([formatHead(post), Buffer.from(content)]))
}

/** The reply of a next hop that does not want anything to the list `refused@`. */
function refusal(): DeliveryOutcome {
  const reply = makeReply(550, '5.7.1', 'Not here')
  if (!reply.ok) throw new Error(reply.problem)
  return { kind: 'refused', reply: reply.value }
}

export async function heldConsole(): Promise<Console> {
  const heldPath = mkdtempSync(join(tmpdir(), 'postern-held-console-'))
  directories.push(heldPath)
  for (const [place, waiting] of WAITING.entries()) await put(heldPath, place, waiting)
  return new Console({
    heldPath,
    clock: () => NOW,
    delivery: {
      name: 'hop',
      deliver: async (_envelope, _message, recipients) =>
        recipients.map(({ list }) => (list.startsWith('refused@') ? refusal() : { kind: 'delivered' })),
    },
    sendNotice: async () => {},
  })
}

/** Removes the queues of all consoles. */
export function removeHeld(): void {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}
