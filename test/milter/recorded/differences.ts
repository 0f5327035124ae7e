/**
 * Where the native engine differs from libmilter in conversations that were recorded, each by the words in which
 * `docs/milter.md` names it. libmilter itself differs nowhere: the engine on it is the same as the filter in C.
 */
import { SMFIP } from '../../../src/milter/negotiate.ts'

export interface Difference {
  /** As it stands in `docs/milter.md`. */
  readonly name: string
  /** A recording on libmilter as it is with the native engine. */
  apply(recording: string): string
}

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'the bit `SMFIP_NR_BODY` in the negotiation',
    apply: text =>
      text.replace(/^(< O \S+ \S+ )([0-9a-f]+)/gm, (_, before: string, bits: string) => {
        return before + (Number.parseInt(bits, 16) | SMFIP.NR_BODY).toString(16)
      }),
  },
  {
    name: 'the answers to bodies',
    apply: text => text.replace(/^(> B .*\n)< c\n/gm, '$1'),
  },
  {
    name: 'RCPT after a refused DATA',
    apply: text => text.replace(/^(> T\n< y .*\n(?:> D .*\n)*> R .*\n)(?![<>!])/gm, '$1< c\n'),
  },
]
