/**
 * What a site says of its senders' addresses: which wrappings are taken apart, and which addresses are one mailbox. Comes
 * from the configuration's `[senders]`.
 *
 * On by default is what stays within the sender's own domain. What takes the name of another domain out of a local
 * part is off: whoever owns the outer domain can write any name there, and passes SPF with it.
 */
import { type Domain, parentDomains } from '../domain.ts'

/** Plain data. Domains are in canonical form. */
export interface SenderSettings {
  /** Whether `prvs=…=alice@example.net` may have the standing of alice@example.net. */
  readonly batv: boolean
  /** Forwarders who are trusted to write the true sender into an SRS address: `domain`, `.domain` (and below it), `*`. */
  readonly srs: readonly string[]
  /** Services that write the sender, and not the recipient, into a VERP address; spelled like `srs`. */
  readonly verp: readonly string[]
  /** By domain, or `*` for all others: the characters of which the first one in a local part begins a detail. */
  readonly detail: Readonly<Record<string, string>>
  /** By domain: the domain whose mailboxes it has. No chains: a value is no key. */
  readonly aliasDomains: Readonly<Record<string, string>>
}

/** The settings of a site that has none of its own. */
export const INITIAL_SENDERS: SenderSettings = Object.freeze({
  batv: true,
  srs: [],
  verp: [],
  detail: {},
  aliasDomains: {},
})

/** How many domains may be other names of one: each of them is looked up. */
export const MAX_ALIASES = 7

/** The settings, as they are asked. */
export interface SenderRules {
  readonly batv: boolean
  /** Whether the domain's SRS addresses are trusted. */
  srs(domain: Domain): boolean
  /** Whether the domain's VERP addresses name the sender. */
  verp(domain: Domain): boolean
  /** The characters that begin a detail in the domain; empty if none does. */
  detail(domain: Domain): string
  /** Domains with the same mailboxes, the one that counts first; undefined if it has no other name. */
  namesOf(domain: Domain): readonly Domain[] | undefined
}

function covering(texts: readonly string[]): (domain: Domain) => boolean {
  const set = new Set(texts)
  if (set.size === 0) return () => false
  if (set.has('*')) return () => true
  return domain => set.has(domain) || [domain, ...parentDomains(domain)].some(level => set.has(`.${level}`))
}

function compile(settings: SenderSettings): SenderRules {
  const detail = new Map(Object.entries(settings.detail))
  const others = detail.get('*') ?? ''
  const groups = new Map<string, Domain[]>()
  for (const [alias, main] of Object.entries(settings.aliasDomains)) {
    const group = groups.get(main) ?? [main as Domain]
    if (group.length <= MAX_ALIASES) group.push(alias as Domain)
    groups.set(main, group)
  }
  const names = new Map([...groups.values()].flatMap(group => group.map(domain => [domain, group] as const)))
  return {
    batv: settings.batv,
    srs: covering(settings.srs),
    verp: covering(settings.verp),
    detail:
      detail.size === 0
        ? () => ''
        : domain => detail.get(domain) ?? detail.get(names.get(domain)?.[0] ?? '') ?? others,
    namesOf: names.size === 0 ? () => undefined : domain => names.get(domain),
  }
}

/** Settings are asked for every sender, and made once. */
const compiled = new WeakMap<SenderSettings, SenderRules>()

/** The settings in the form in which they are asked. */
export function rulesOf(settings: SenderSettings): SenderRules {
  let rules = compiled.get(settings)
  if (rules === undefined) {
    rules = compile(settings)
    compiled.set(settings, rules)
  }
  return rules
}
