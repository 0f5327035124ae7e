/**
 * A gate that does as it is told by the names in its questions. `filter.c` is the same in C:
 *
 *     CONNECT, EHLO      a host's name that begins with `no` is refused, with `wait` refused for now
 *     MAIL, RCPT         the same with local parts; of recipients `drop` is discarded, `hold` held, and `else` none of ours
 *     DATA               the sender `stop-at-data` is refused
 *     END-OF-MESSAGE     the sender `stop-at-end` is refused, `late-at-end` for now
 *
 * Everything else is accepted. Recipients count as service addresses, so that a message is settled at its end and not by its
 * header. The words hold a percent sign, which must be doubled.
 */
import type { Gate } from '../../../src/app/gate.ts'
import { makeReply, type Reply } from '../../../src/core/reply.ts'
import type { Transaction } from '../../../src/core/transaction.ts'
import type { Verdict } from '../../../src/core/verdict.ts'
import { must } from '../../support/vectors.ts'

const REFUSED = must(makeReply(550, '5.7.1', 'No, by 100%'))
const LATER = must(makeReply(451, '4.7.1', 'Not now, by 100%'))
const TAKEN = must(makeReply(250, '2.0.0', 'OK'))

const RULE = { rule: 'script' } as const
const taken = (kind: 'accept' | 'discard' | 'hold'): Verdict => ({
  kind,
  reason: 'nothing-to-object',
  ...RULE,
  reply: TAKEN,
})
const refused = (kind: 'reject' | 'defer', reply: Reply): Verdict => ({
  kind,
  reason: 'sender-not-permitted',
  ...RULE,
  reply,
})

const REJECT = refused('reject', REFUSED)
const DEFER = refused('defer', LATER)

function byName(name: string): Verdict {
  if (name.startsWith('no')) return REJECT
  if (name.startsWith('wait')) return DEFER
  return taken('accept')
}

function nameOf(text: string): string {
  return text.slice(0, text.lastIndexOf('@')).toLowerCase()
}

function senderOf(tx: Transaction): string {
  return 'sender' in tx && tx.sender?.kind === 'address' ? nameOf(tx.sender.text) : ''
}

function judge(tx: Transaction): Verdict {
  switch (tx.phase) {
    case 'CONNECT':
      return byName(tx.client.name ?? '')
    case 'EHLO':
      return byName(tx.client.helo ?? '')
    case 'MAIL':
      return byName(senderOf(tx))
    case 'RCPT': {
      const service = { service: 'owner' } as const
      const name = nameOf(tx.recipient.text)
      if (name.startsWith('drop')) return { ...taken('discard'), ...service }
      if (name.startsWith('hold')) return { ...taken('hold'), ...service }
      return name.startsWith('else')
        ? { kind: 'none', reason: 'recipient-elsewhere', ...RULE }
        : { ...byName(name), ...service }
    }
    case 'DATA':
      return senderOf(tx) === 'stop-at-data' ? REJECT : taken('accept')
    case 'END-OF-MESSAGE':
      if (senderOf(tx) === 'late-at-end') return DEFER
      return senderOf(tx) === 'stop-at-end' ? REJECT : taken('accept')
  }
}

export const scriptedGate: Pick<Gate, 'ask'> = { ask: judge }
