/** The section `[senders]`: what the site says of its senders' addresses. */
import { z } from 'zod'
import { parseDomain } from '../core/domain.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { INITIAL_SENDERS, MAX_ALIASES, type SenderSettings } from '../core/sender-forms/settings.ts'
import { tableOf } from './table-schema.ts'

/** More entries than any site has. */
const MAX_ENTRIES = 10_000

type Entries = Readonly<Record<string, string>>

/** Reads `domain`, `.domain` (and below it) or `*`. */
function parseDomains(text: string): Parsed<string> {
  if (text === '*') return parsed(text)
  const below = text.startsWith('.')
  const domain = parseDomain(below ? text.slice(1) : text)
  if (!domain.ok) return problem(`expected a domain, .domain or *: ${domain.problem}`)
  return parsed(below ? `.${domain.value}` : domain.value)
}

function parseDetail(text: string): Parsed<string> {
  return /^[-+_#]{0,4}$/.test(text) ? parsed(text) : problem('expected characters among + - _ and #, or none')
}

function parseSomeDomain(text: string): Parsed<string> {
  return text === '*' ? parsed(text) : parseDomain(text)
}

const domains = z
  .array(
    z.string().transform((text, context) => {
      const result = parseDomains(text)
      if (result.ok) return result.value
      context.addIssue({ code: 'custom', message: result.problem, input: text })
      return z.NEVER
    }),
  )
  .max(MAX_ENTRIES)

/** A table by domain, with its keys and values in canonical form. */
function byDomain(parseKey: (text: string) => Parsed<string>, parseValue: (text: string) => Parsed<string>) {
  return tableOf(z.string()).transform((table, context): Entries => {
    const entries = new Map<string, string>()
    for (const [key, value] of Object.entries(table)) {
      const fail = (message: string): void => {
        context.addIssue({ code: 'custom', path: [key], message, input: value })
      }
      const domain = parseKey(key)
      const read = parseValue(value)
      if (!domain.ok) fail(domain.problem)
      else if (!read.ok) fail(read.problem)
      else if (entries.has(domain.value)) fail(`${domain.value} stands here twice`)
      else if (entries.size === MAX_ENTRIES) fail(`more than ${MAX_ENTRIES} domains`)
      else entries.set(domain.value, read.value)
    }
    return Object.fromEntries(entries)
  })
}

/** No chains, no domain that is itself, and few enough names of one domain that all can be looked up. */
function checkAliases(table: Entries, context: z.RefinementCtx<Entries>): void {
  const names = new Map<string, number>()
  for (const [alias, main] of Object.entries(table)) {
    const count = (names.get(main) ?? 0) + 1
    names.set(main, count)
    const message =
      alias === main
        ? 'a domain is no other name of itself'
        : Object.hasOwn(table, main)
          ? `${main} is itself another name of ${table[main]}`
          : count > MAX_ALIASES
            ? `${main} has more than ${MAX_ALIASES} other names`
            : undefined
    if (message !== undefined) context.addIssue({ code: 'custom', path: [alias], message, input: main })
  }
}

/** The schema of the section. */
export function sendersSchema() {
  return z
    .strictObject({
      batv: z.boolean().prefault(INITIAL_SENDERS.batv),
      srs: domains.prefault([...INITIAL_SENDERS.srs]),
      verp: domains.prefault([...INITIAL_SENDERS.verp]),
      detail: byDomain(parseSomeDomain, parseDetail).prefault({}),
      alias_domains: byDomain(parseDomain, parseDomain).superRefine(checkAliases).prefault({}),
    })
    .prefault({})
}

/** The section as the law takes it. */
export function senderSettings(section: z.output<ReturnType<typeof sendersSchema>>): SenderSettings {
  const { batv, srs, verp, detail, alias_domains: aliasDomains } = section
  return { batv, srs, verp, detail, aliasDomains }
}
