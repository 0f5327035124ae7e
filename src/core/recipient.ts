/**
 * What a recipient address may be: a list's posting address, or one of its service addresses as Mailman, mlmmj and
 * Sympa spell them. From the address alone come a few candidates; the first whose list exists, and has the
 * candidate's flavour, is what the recipient is. A list literally named `foo-owner` thus wins over the service
 * address of `foo`.
 *
 * Sources: Mailman 3 `runners/lmtp.py`, mlmmj README.listtexts and TUNABLES, Sympa 6.2 aliases.
 */
import type { Address } from './address.ts'
import type { Flavour } from './list.ts'
import type { ListAddress } from './transaction.ts'

/** One reading of a recipient address. */
export interface Candidate {
  readonly list: ListAddress
  /** The flavour that the list must have for this reading; `undefined` if any will do. */
  readonly flavour: Flavour | undefined
  /** The service's name, or `undefined` for the posting address. */
  readonly service: string | undefined
}

/** The names of the service addresses of each flavour, and what joins them to the list's name. */
export const SERVICES = {
  mailman: {
    separator: '-',
    names: ['bounces', 'confirm', 'join', 'leave', 'owner', 'request', 'subscribe', 'unsubscribe'],
  },
  mlmmj: {
    separator: '+',
    names: [
      'subscribe',
      'unsubscribe',
      'confsub',
      'confunsub',
      'bounces',
      'release',
      'reject',
      'permit',
      'obstruct',
      'moderate',
      'help',
      'faq',
      'get',
      'list',
      'owner',
    ],
  },
  sympa: { separator: '-', names: ['request', 'editor', 'owner', 'subscribe', 'unsubscribe'] },
} as const satisfies Record<Flavour, { readonly separator: string; readonly names: readonly string[] }>

const MAILMAN_SERVICES = new RegExp(`^(.+)-(${SERVICES.mailman.names.join('|')})$`, 's')
const SYMPA_SERVICES = new RegExp(`^(.+)-(${SERVICES.sympa.names.join('|')})$`, 's')
const MLMMJ_SERVICES = new RegExp(`^(${SERVICES.mlmmj.names.join('|')})(?:-.*)?$`, 's')

/** The readings of a recipient's address, the most literal first: at most five, of at most three lists. */
export function candidatesOf(recipient: Address): readonly Candidate[] {
  const at = recipient.key.lastIndexOf('@')
  const local = recipient.key.slice(0, at)
  const listNamed = (name: string): ListAddress => `${name}@${recipient.domain}` as ListAddress
  const candidates: Candidate[] = [{ list: listNamed(local), flavour: undefined, service: undefined }]

  const plus = local.indexOf('+')
  const base = plus > 0 ? local.slice(0, plus) : local
  if (plus > 0) {
    candidates.push({ list: listNamed(base), flavour: 'mailman', service: undefined })
    const mlmmj = MLMMJ_SERVICES.exec(local.slice(plus + 1))
    if (mlmmj !== null) candidates.push({ list: listNamed(base), flavour: 'mlmmj', service: mlmmj[1] })
  }
  const mailman = MAILMAN_SERVICES.exec(base)
  if (mailman !== null) {
    candidates.push({ list: listNamed(mailman[1] ?? ''), flavour: 'mailman', service: mailman[2] })
  }
  const sympa = SYMPA_SERVICES.exec(local)
  if (sympa !== null) {
    candidates.push({ list: listNamed(sympa[1] ?? ''), flavour: 'sympa', service: sympa[2] })
  }
  return candidates
}

/** Finds the reading that holds, given the flavour of each list that exists. */
export function resolveCandidate(
  candidates: readonly Candidate[],
  flavourOf: (list: ListAddress) => Flavour | undefined,
): Candidate | undefined {
  return candidates.find(candidate => {
    const flavour = flavourOf(candidate.list)
    return flavour !== undefined && (candidate.flavour === undefined || candidate.flavour === flavour)
  })
}
