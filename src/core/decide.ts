/**
 * The decision: the rules of the transaction's phase, in order, first match wins. Explaining is the same code with
 * a trace kept.
 */
import type { Facts, Site } from './facts.ts'
import { type Parsed, parsed } from './parsed.ts'
import { replyFor } from './reason.ts'
import {
  CONNECT_RULES,
  DATA_RULES,
  EHLO_RULES,
  END_OF_MESSAGE_RULES,
  MAIL_RULES,
  RCPT_RULES,
} from './rules/index.ts'
import type { Case, RecipientCase, Rule } from './rules/rule.ts'
import { type Position, positionOf } from './standing.ts'
import { type Target, targetOf } from './target.ts'
import type { EndOfMessageTransaction, RcptTransaction, Transaction } from './transaction.ts'
import type { Verdict } from './verdict.ts'
import { whoKeysOf } from './who.ts'

/** One rule as it was tried: its name, what it looked at, and whether it settled the case. */
export interface TraceStep {
  readonly rule: string
  readonly saw: string
  readonly verdict: Verdict['kind'] | undefined
}

const NOTHING_TO_OBJECT: Verdict = Object.freeze({
  kind: 'accept',
  reason: 'nothing-to-object',
  rule: 'no-rule',
  reply: replyFor('nothing-to-object'),
})

function apply<C extends Case>(rules: readonly Rule<C>[], c: C, trace: TraceStep[] | undefined): Verdict {
  for (const rule of rules) {
    const ruling = rule.judge(c)
    trace?.push({ rule: rule.name, saw: rule.sees(c), verdict: ruling?.kind })
    if (ruling !== undefined) return { ...ruling, rule: rule.name }
  }
  return NOTHING_TO_OBJECT
}

const STRICTNESS = { accept: 0, defer: 0, hold: 1, discard: 2, reject: 3 } as const

/** At the end of the message: the position of those whom the list goes by. */
function authorPosition(
  tx: EndOfMessageTransaction,
  target: Target & { kind: 'posting' },
  facts: Facts,
): Parsed<Position> {
  const { list, settings } = target
  const position = (keys: Parameters<typeof positionOf>[0]): Parsed<Position> =>
    positionOf(keys, list, settings, facts.siteBans)
  const sender = tx.sender.kind === 'address' ? [tx.sender] : []
  if (settings.identity === 'envelope' || tx.settledAtRcpt) return position(sender.flatMap(whoKeysOf))
  const identities =
    settings.identity === 'author' ? (tx.authorship?.from ?? []) : [...sender, ...(tx.authorship?.all ?? [])]
  if (identities.length === 0) return position([])
  let chosen: Position | undefined
  for (const identity of identities) {
    const found = position(whoKeysOf(identity))
    if (!found.ok || found.value.standing === 'banned') return found
    // Several authors: all of them must be permitted. Any identity: the first that the list knows.
    const better =
      chosen === undefined ||
      (settings.identity === 'author'
        ? STRICTNESS[found.value.action] > STRICTNESS[chosen.action]
        : chosen.by === undefined && found.value.by !== undefined)
    if (better) chosen = found.value
  }
  return parsed(chosen as Position)
}

function recipientCase<T extends RcptTransaction | EndOfMessageTransaction>(
  tx: T,
  facts: Facts,
  site: Site,
): RecipientCase<T> {
  const target = targetOf(tx.recipient, facts)
  if (target.kind !== 'posting') return { tx, facts, site, target, position: undefined }
  const keys = tx.sender.kind === 'address' ? whoKeysOf(tx.sender) : []
  const position =
    tx.phase === 'RCPT'
      ? positionOf(keys, target.list, target.settings, facts.siteBans)
      : authorPosition(tx, target, facts)
  return { tx, facts, site, target, position }
}

/** Says with what is taken where it goes. A domain that cannot be understood has no target with settings. */
function withDelivery(verdict: Verdict, { target, facts }: Pick<RecipientCase, 'target' | 'facts'>): Verdict {
  if (!('settings' in target) || verdict.list === undefined) return verdict
  const ofDomain = facts.domain?.ok === true ? facts.domain.value.delivery : undefined
  const delivery = target.settings.delivery ?? ofDomain
  return delivery === undefined ? verdict : { ...verdict, delivery }
}

/** A list in shadow mode takes every post and notes what would have been done. */
function inShadow(verdict: Verdict, target: Target): Verdict {
  if (!('settings' in target) || target.settings.mode !== 'shadow') return verdict
  if (verdict.kind === 'accept' || verdict.kind === 'later' || verdict.kind === 'none') {
    return { ...verdict, shadow: true }
  }
  return {
    kind: 'accept',
    reason: 'shadow',
    rule: verdict.rule,
    reply: replyFor('shadow'),
    list: target.list.address,
    ...(verdict.service === undefined ? {} : { service: verdict.service }),
    shadow: true,
    shadowed: verdict,
  }
}

/**
 * Judges a transaction by the facts that `factsNeeded` asked for. With a `trace`, every rule that was tried is
 * added to it, in order.
 */
export function decide(tx: Transaction, facts: Facts, site: Site, trace?: TraceStep[]): Verdict {
  switch (tx.phase) {
    case 'CONNECT':
      return apply(CONNECT_RULES, { tx, facts, site }, trace)
    case 'EHLO':
      return apply(EHLO_RULES, { tx, facts, site }, trace)
    case 'MAIL':
      return apply(MAIL_RULES, { tx, facts, site }, trace)
    case 'RCPT': {
      const c = recipientCase(tx, facts, site)
      return withDelivery(inShadow(apply(RCPT_RULES, c, trace), c.target), c)
    }
    case 'DATA':
      return apply(DATA_RULES, { tx, facts, site }, trace)
    case 'END-OF-MESSAGE': {
      const c = recipientCase(tx, facts, site)
      return withDelivery(inShadow(apply(END_OF_MESSAGE_RULES, c, trace), c.target), c)
    }
  }
}
