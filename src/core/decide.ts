/**
 * The decision: the rules of the transaction's phase, in order, first match wins. Explaining is the same code with
 * a trace kept.
 */
import { admittedBefore, afterAcceptance, honoursAdmission } from './after-acceptance.ts'
import { chosenDelivery } from './chosen-delivery.ts'
import { type Facts, type Site, senderForms } from './facts.ts'
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
import { looksAtParts } from './rules/parts-permitted.ts'
import type { Case, RecipientCase, Rule } from './rules/rule.ts'
import { formsOf, NO_FORMS } from './sender-forms.ts'
import { type Position, positionOf } from './standing.ts'
import { type Target, targetOf } from './target.ts'
import type { EndOfMessageTransaction, RcptTransaction, Transaction } from './transaction.ts'
import type { Verdict } from './verdict.ts'

type AnyRecipientCase = RecipientCase<RcptTransaction | EndOfMessageTransaction>

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
  site: Site,
): Parsed<Position> {
  const { list, settings } = target
  const position = (forms: Parameters<typeof positionOf>[0]): Parsed<Position> =>
    positionOf(forms, list, settings, facts.siteBans)
  const sender = senderForms(tx.sender, site)
  if (settings.identity === 'envelope' || tx.settledAtRcpt) return position(sender)
  const authors = (settings.identity === 'author' ? tx.authorship?.from : tx.authorship?.all) ?? []
  const authorForms = authors.map(author => formsOf(author, site.senders, 'author'))
  const envelope = settings.identity === 'author' || sender === NO_FORMS ? [] : [sender]
  const identities = [...envelope, ...authorForms]
  if (identities.length === 0) return position(NO_FORMS)
  let chosen: Position | undefined
  for (const identity of identities) {
    const found = position(identity)
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
  const position =
    tx.phase === 'RCPT'
      ? positionOf(senderForms(tx.sender, site), target.list, target.settings, facts.siteBans)
      : authorPosition(tx, target, facts, site)
  return { tx, facts, site, target, position }
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
 * Says with what is taken where it goes, and what has to be looked at before it is there. A domain that cannot be
 * understood has no target with settings.
 */
function withList(verdict: Verdict, { target, facts }: AnyRecipientCase): Verdict {
  if (!('settings' in target) || verdict.list === undefined) return verdict
  const { settings } = target
  const delivery = chosenDelivery(settings, facts.domain?.ok === true ? facts.domain.value : undefined)?.name
  const parts = target.kind === 'posting' && looksAtParts(settings)
  const admitted = facts.lists.get(target.list.address)?.admitted === true
  if (delivery === undefined && !parts && !admitted) return verdict
  return {
    ...verdict,
    ...(delivery !== undefined && { delivery }),
    ...(parts && { looksAtParts: true }),
    ...(admitted && { admitted: true }),
  }
}

/** The case of somebody who was let in before: as it would be if they might still post. */
function asPermitted<C extends AnyRecipientCase>(c: C): C {
  const position: Position = {
    standing: 'nonmember',
    by: undefined,
    action: 'accept',
    found: 'literal',
    steps: [],
    seen: true,
  }
  return { ...c, position: parsed(position), facts: { ...c.facts, forbidden: new Set() } }
}

/** What the rules say, as far as the list is to act on it and the message can still be refused. */
function judged<C extends AnyRecipientCase>(
  rules: readonly Rule<C>[],
  c: C,
  trace: TraceStep[] | undefined,
): Verdict {
  const { tx, target } = c
  const verdict = inShadow(apply(rules, c, trace), target)
  const settled = honoursAdmission(verdict, tx, target, c)
    ? admittedBefore(verdict, apply(rules, asPermitted(c), trace))
    : verdict
  return withList(afterAcceptance(settled, tx, target, c), c)
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
    case 'RCPT':
      return judged(RCPT_RULES, recipientCase(tx, facts, site), trace)
    case 'DATA':
      return apply(DATA_RULES, { tx, facts, site }, trace)
    case 'END-OF-MESSAGE':
      return judged(END_OF_MESSAGE_RULES, recipientCase(tx, facts, site), trace)
  }
}
