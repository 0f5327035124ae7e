/**
 * The forms of an address under which a sender may be found: the address itself, then what wrappings of envelopes hide
 * (BATV, SRS, VERP), then other names of the same mailbox (`+detail`, alias domains), each with the steps that led to
 * it. At most 20 forms, in time linear in the address's length; an ordinary address has one.
 *
 * Everything that a step reveals is a claim of whoever wrote the address. A form therefore counts fully only where the
 * site trusts its steps; what it does not trust counts against the sender, and never for them.
 */
import { type Address, addressOf } from './address.ts'
import { withoutBatv } from './sender-forms/batv.ts'
import { withoutDetail } from './sender-forms/detail.ts'
import { rulesOf, type SenderRules, type SenderSettings } from './sender-forms/settings.ts'
import { withoutSrs } from './sender-forms/srs.ts'
import { withoutVerp } from './sender-forms/verp.ts'
import { type Who, whoIs, whoKeysOf } from './who.ts'

/** One step from an address to another. `text` says it in words: `SRS0 of alice@example.net`. */
export interface FormStep {
  readonly kind: 'batv' | 'srs' | 'verp' | 'detail' | 'alias-domain'
  readonly from: Address
  readonly to: Address
  readonly text: string
}

/** A form of an address. */
export interface SenderForm {
  readonly form: Address
  /** None for the address itself. */
  readonly steps: readonly FormStep[]
  /** Whether records under it count like the address's own, or only bans and prohibitions do. */
  readonly counts: 'fully' | 'against'
}

/** All forms of an address, and the keys of entries about any of them. */
export interface SenderForms {
  /** The address itself first. */
  readonly forms: readonly SenderForm[]
  /** Every key, for the look-up and for bans. */
  readonly keys: readonly Who[]
  /** The keys whose records give a standing; the first that has one counts. */
  readonly standing: readonly Who[]
  /** Under which name posts are counted: the same for every detail, tag and name of one mailbox. */
  readonly poster: Who | undefined
}

/** The forms of nobody. */
export const NO_FORMS: SenderForms = Object.freeze({ forms: [], keys: [], standing: [], poster: undefined })

const NO_STEPS: readonly FormStep[] = []

/** How far wrappings in wrappings are followed. */
const MAX_UNWRAPPED = 4

/** A step, and whether the site trusts it. */
type Unwrapped = FormStep & { readonly trusted: boolean }

/** What the outermost wrapping of an envelope's address hides. */
function unwrapped(from: Address, rules: SenderRules): Unwrapped | undefined {
  if (!from.localPart.includes('=')) return undefined
  const untagged = withoutBatv(from)
  if (untagged !== undefined) {
    return { kind: 'batv', from, to: untagged, text: `BATV of ${untagged.text}`, trusted: rules.batv }
  }
  const forwarded = withoutSrs(from)
  if (forwarded !== undefined) {
    const { scheme, to } = forwarded
    return { kind: 'srs', from, to, text: `${scheme} of ${to.text}`, trusted: rules.srs(from.domain) }
  }
  const to = rules.verp(from.domain) ? withoutVerp(from) : undefined
  return to === undefined ? undefined : { kind: 'verp', from, to, text: `VERP of ${to.text}`, trusted: true }
}

function after(before: SenderForm, step: FormStep, trusted: boolean): SenderForm {
  const counts = trusted ? before.counts : 'against'
  return { form: step.to, steps: [...before.steps, step], counts }
}

function detailDropped(before: SenderForm, rules: SenderRules): SenderForm | undefined {
  const from = before.form
  const cut = withoutDetail(from, rules.detail(from.domain))
  if (cut === undefined) return undefined
  const step = { kind: 'detail', from, to: cut.to, text: `detail ${cut.detail} dropped` } as const
  return after(before, step, !cut.forwarded)
}

function otherDomains(before: SenderForm, rules: SenderRules): readonly SenderForm[] {
  const from = before.form
  return (rules.namesOf(from.domain) ?? []).flatMap(domain => {
    if (domain === from.domain) return []
    const to = addressOf(from.localPart, domain)
    if (!to.ok) return []
    const text = `${from.domain} is ${domain}`
    return [after(before, { kind: 'alias-domain', from, to: to.value, text }, true)]
  })
}

/** A form with the other names of the same mailbox: itself first, then without its detail, then in other domains. */
function sameMailbox(form: SenderForm, rules: SenderRules): readonly SenderForm[] {
  const plain = detailDropped(form, rules)
  const here = plain === undefined ? [form] : [form, plain]
  const elsewhere = here.map(each => otherDomains(each, rules))
  return [...here, ...(elsewhere[0] ?? []).flatMap((_, i) => elsewhere.flatMap(forms => forms[i] ?? []))]
}

/** The addresses before the domains: nobody's own record is less than their domain's. */
function keysOf(forms: readonly SenderForm[]): readonly Who[] {
  return [...forms.map(({ form }) => whoIs(form)), ...forms.flatMap(({ form }) => whoKeysOf(form).slice(1))]
}

/** The mailbox's one name. */
function posterOf(trusted: SenderForm, rules: SenderRules): Who {
  const plain = withoutDetail(trusted.form, rules.detail(trusted.form.domain))?.to ?? trusted.form
  const main = addressOf(plain.localPart, rules.namesOf(plain.domain)?.[0] ?? plain.domain)
  return whoIs(main.ok ? main.value : plain)
}

/** What the wrappings of an envelope's address hide, the address itself first. */
function unwrappedForms(literal: SenderForm, rules: SenderRules): readonly SenderForm[] {
  const forms = [literal]
  let last = literal
  while (forms.length <= MAX_UNWRAPPED) {
    const step = unwrapped(last.form, rules)
    if (step === undefined) break
    const { trusted, ...plain } = step
    last = after(last, plain, trusted)
    forms.push(last)
  }
  return forms
}

/** Whether nothing about the address asks for a closer look. Most addresses are so, and every message has one. */
function isPlain({ localPart, domain }: Address, rules: SenderRules, from: 'envelope' | 'author'): boolean {
  if (from === 'envelope' && localPart.includes('=')) return false
  if (rules.namesOf(domain) !== undefined) return false
  for (const character of rules.detail(domain)) if (localPart.includes(character)) return false
  return true
}

/**
 * The forms of an address: of an envelope's sender, or of an author, whom no wrapping hides. Among forms that count
 * fully the more literal ones go before what they hide, so that taking an address apart never changes what happens to
 * somebody who has a record under it.
 */
export function formsOf(
  address: Address,
  settings: SenderSettings,
  from: 'envelope' | 'author',
): SenderForms {
  const rules = rulesOf(settings)
  const literal: SenderForm = { form: address, steps: NO_STEPS, counts: 'fully' }
  if (isPlain(address, rules, from)) {
    const keys = whoKeysOf(address)
    return { forms: [literal], keys, standing: keys, poster: whoIs(address) }
  }
  const unwrappings = from === 'envelope' ? unwrappedForms(literal, rules) : [literal]
  const mailbox = sameMailbox(unwrappings[unwrappings.length - 1] ?? literal, rules)
  const wrappings = unwrappings.slice(0, -1)
  const forms = [...wrappings, ...mailbox]
  const rungs = [...wrappings.map(each => [each]), mailbox]
  const standing = rungs.flatMap(rung => keysOf(rung.filter(({ counts }) => counts === 'fully')))
  const trusted = unwrappings.filter(({ counts }) => counts === 'fully')
  return {
    forms,
    keys: [...new Set([...standing, ...keysOf(forms)])],
    standing: [...new Set(standing)],
    poster: posterOf(trusted[trusted.length - 1] ?? literal, rules),
  }
}

/** The form that an entry is about: the first one, if it is about several. */
export function formAt({ forms }: SenderForms, key: Who): SenderForm | undefined {
  return (
    forms.find(({ form }) => whoIs(form) === key) ?? forms.find(({ form }) => whoKeysOf(form).includes(key))
  )
}
