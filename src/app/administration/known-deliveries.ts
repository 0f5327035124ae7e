/** The deliveries that may be chosen: those that the configuration at hand has, or any where that cannot be known. */
import { done, type Outcome, refused } from './problem.ts'

/** Names of deliveries; `undefined` is any. */
export type KnownDeliveries = readonly string[] | undefined

/** Refuses settings, as text, that choose a delivery which is not known: the list's mail would wait until it is. */
export function checkDelivery(
  texts: Readonly<Record<string, string>> | undefined,
  known: KnownDeliveries,
): Outcome<undefined> {
  const name = texts?.['delivery'] ?? ''
  if (name === '' || known === undefined || known.includes(name)) return done(undefined)
  return refused('delivery-unknown', `the configuration has no delivery ${name}, only ${known.join(', ')}`)
}
