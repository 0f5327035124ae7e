/**
 * The negotiation that opens a milter connection (SMFIC_OPTNEG; mfapi.h, mfdef.h): what the MTA offers, what is asked of
 * it, and what follows from the two. Only what is used is asked for, and never what was not offered: Postfix gives up on a
 * filter that asks for an action it cannot do, and Sendmail on one that sets a bit it does not know.
 */
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { encodeFrame } from './wire.ts'

/** What a filter may do to a message (SMFIF_*). */
export const SMFIF = {
  ADDHDRS: 0x1,
  CHGBODY: 0x2,
  ADDRCPT: 0x4,
  DELRCPT: 0x8,
  CHGHDRS: 0x10,
  QUARANTINE: 0x20,
  CHGFROM: 0x40,
  ADDRCPT_PAR: 0x80,
  SETSYMLIST: 0x100,
} as const

/** What an MTA need not send (NO*), what a filter will not answer (NR_*), and a few abilities (SMFIP_*). */
export const SMFIP = {
  NOCONNECT: 0x1,
  NOHELO: 0x2,
  NOMAIL: 0x4,
  NORCPT: 0x8,
  NOBODY: 0x10,
  NOHDRS: 0x20,
  NOEOH: 0x40,
  NR_HDR: 0x80,
  NOUNKNOWN: 0x100,
  NODATA: 0x200,
  SKIP: 0x400,
  RCPT_REJ: 0x800,
  NR_CONN: 0x1000,
  NR_HELO: 0x2000,
  NR_MAIL: 0x4000,
  NR_RCPT: 0x8000,
  NR_DATA: 0x10000,
  NR_UNKN: 0x20000,
  NR_EOH: 0x40000,
  NR_BODY: 0x80000,
  HDR_LEADSPC: 0x100000,
} as const

/** SMFI_PROT_VERSION, and the oldest version that libmilter still speaks. */
export const VERSION = 6
export const OLDEST_VERSION = 2

/** What an MTA can do that offers nothing: it was there before offers were (SMFI_V1_ACTS, SMFI_V1_PROT). */
const UNSAID_ACTIONS = 0x0f
const UNSAID_PROTOCOL = 0x3f

/** The commands whose macros can be chosen (SMFIM_*). */
const SMFIM = { CONNECT: 0, ENVFROM: 2, ENVRCPT: 3, DATA: 4, EOM: 5 } as const

/**
 * The macros that are looked at. `_` and `{client_resolve}` tell whether the client's name is proven; what RCPT resolved
 * to tells what the MTA makes of a recipient, and which ones it has refused itself.
 */
export const MACROS: readonly (readonly [number, string])[] = [
  [SMFIM.CONNECT, '_ {client_resolve} {client_addr}'],
  [SMFIM.ENVFROM, 'i {auth_authen} {mail_addr}'],
  [SMFIM.ENVRCPT, 'i {rcpt_mailer} {rcpt_addr}'],
  [SMFIM.DATA, 'i'],
  [SMFIM.EOM, 'i'],
]

/** What the site's settings make of the conversation. */
export interface Wishes {
  /** What must be possible, and what for. */
  readonly needed: readonly (readonly [keyof typeof SMFIF, string])[]
  /** Whether bodies are counted. */
  readonly bodies: boolean
}

export interface Offer {
  readonly version: number
  readonly actions: number
  readonly protocol: number
}

/** What both sides go by from now on. */
export interface Agreement {
  readonly version: number
  readonly actions: number
  readonly protocol: number
  /** Which commands are to be answered; all others are, but for those that have no answer. */
  readonly answers: { readonly header: boolean; readonly body: boolean; readonly unknownCommand: boolean }
  /** What would be of use and is not offered, in the names of mfapi.h. */
  readonly missed: readonly string[]
}

/** Never SMFIP_NODATA: an MTA that has no DATA to send keeps its end of message back by a delayed acknowledgement. */
const USEFUL = ['NR_HDR', 'NR_BODY', 'RCPT_REJ'] as const

/** Agrees with an MTA, or says why that is not possible: a sentence for the log. */
export function agree(offer: Offer, wishes: Wishes): Parsed<Agreement> {
  if (offer.version < OLDEST_VERSION) {
    return problem(`the MTA speaks version ${offer.version} and no newer one`)
  }
  const offered = {
    actions: offer.actions === 0 ? UNSAID_ACTIONS : offer.actions,
    protocol: offer.protocol === 0 ? UNSAID_PROTOCOL : offer.protocol,
  }
  const lacking = wishes.needed.filter(([action]) => (offered.actions & SMFIF[action]) === 0)
  if (lacking.length > 0) {
    return problem(
      `the MTA does not offer ${lacking.map(([action, what]) => `SMFIF_${action}, which is needed to ${what}`).join(', nor ')}`,
    )
  }
  const needed = wishes.needed.reduce((bits, [action]) => bits | SMFIF[action], 0)
  const actions = (needed | SMFIF.SETSYMLIST) & offered.actions
  const wanted =
    SMFIP.NR_HDR |
    SMFIP.NOUNKNOWN |
    SMFIP.RCPT_REJ |
    SMFIP.NR_UNKN |
    (wishes.bodies ? SMFIP.NR_BODY : SMFIP.NOBODY)
  const protocol = wanted & offered.protocol
  const has = (bit: number): boolean => (protocol & bit) !== 0
  const useful = USEFUL.filter(name => name !== 'NR_BODY' || wishes.bodies)
  return parsed({
    version: Math.min(offer.version, VERSION),
    actions,
    protocol,
    answers: {
      header: !has(SMFIP.NR_HDR),
      body: !has(SMFIP.NR_BODY),
      unknownCommand: !has(SMFIP.NR_UNKN),
    },
    missed: [
      ...useful.filter(name => !has(SMFIP[name])).map(name => `SMFIP_${name}`),
      ...((actions & SMFIF.SETSYMLIST) === 0 ? ['SMFIF_SETSYMLIST'] : []),
    ],
  })
}

/** The choice of macros as on the wire, which is always the same. */
const MACRO_LISTS = Buffer.concat(
  MACROS.map(([command, names]) => {
    const list = Buffer.alloc(4 + names.length + 1)
    list.writeUInt32BE(command, 0)
    list.write(names, 4, 'latin1')
    return list
  }),
)

/** Our side of the agreement as on the wire; the macros are chosen where the MTA lets us. */
export function encodeAgreement(agreement: Agreement): Buffer {
  const numbers = Buffer.alloc(12)
  numbers.writeUInt32BE(agreement.version, 0)
  numbers.writeUInt32BE(agreement.actions, 4)
  numbers.writeUInt32BE(agreement.protocol, 8)
  const choosesMacros = (agreement.actions & SMFIF.SETSYMLIST) !== 0
  return encodeFrame('O', choosesMacros ? Buffer.concat([numbers, MACRO_LISTS]) : numbers)
}

/** What both sides go by, and our side of it as on the wire. */
export interface Agreed {
  readonly agreement: Agreement
  readonly bytes: Buffer
}

/** Agrees with one MTA after another: they mostly offer the same, and then agree on the same. */
export class Negotiator {
  readonly #wishes: Wishes
  #offer: Offer | undefined
  #outcome: Parsed<Agreed> | undefined

  constructor(wishes: Wishes) {
    this.#wishes = wishes
  }

  /** Agrees with an MTA, or says why that is not possible: a sentence for the log. */
  agree(offer: Offer): Parsed<Agreed> {
    const { version, actions, protocol } = offer
    const last = this.#offer
    const isSame = last?.version === version && last.actions === actions && last.protocol === protocol
    if (this.#outcome === undefined || !isSame) {
      const agreement = agree(offer, this.#wishes)
      this.#outcome = agreement.ok
        ? parsed({ agreement: agreement.value, bytes: encodeAgreement(agreement.value) })
        : agreement
      this.#offer = { version, actions, protocol }
    }
    return this.#outcome
  }
}
