/**
 * What a next hop offers in its answer to LHLO (RFC 2033 §4.1, RFC 5321 §4.1.1.1). What is not offered is not used.
 */
import type { NextHopReply } from './relay-replies.ts'

export interface Offer {
  /** RFC 2920. */
  readonly pipelining: boolean
  /** RFC 1870. */
  readonly size: boolean
  /** RFC 6152. */
  readonly eightBit: boolean
  /** RFC 6531. */
  readonly smtputf8: boolean
  /** The attributes of XFORWARD that it wants to hear of. */
  readonly xforward: ReadonlySet<string>
}

/** Reads the answer to LHLO, whose first line is the next hop's name. */
export function offerOf({ lines }: NextHopReply): Offer {
  const words = lines.slice(1).map(line => line.trim().toUpperCase().split(/\s+/))
  const keywords = new Set(words.map(([keyword]) => keyword))
  return {
    pipelining: keywords.has('PIPELINING'),
    size: keywords.has('SIZE'),
    eightBit: keywords.has('8BITMIME'),
    smtputf8: keywords.has('SMTPUTF8'),
    xforward: new Set(words.find(([keyword]) => keyword === 'XFORWARD')?.slice(1)),
  }
}
