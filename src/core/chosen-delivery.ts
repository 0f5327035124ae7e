/** Which delivery a list's mail goes to: the list's own, or else its domain's, or else the site's. */
import type { ListSettings } from './list.ts'
import type { ListDomain } from './list-domain.ts'

/** A delivery, and who has chosen it. */
export interface ChosenDelivery {
  readonly name: string
  readonly by: 'list' | 'domain'
}

/** The delivery of a list; `undefined` if neither the list nor its domain has chosen one: it is then the site's. */
export function chosenDelivery(
  list: Pick<ListSettings, 'delivery'>,
  domain: ListDomain | undefined,
): ChosenDelivery | undefined {
  if (list.delivery !== undefined) return { name: list.delivery, by: 'list' }
  return domain?.delivery === undefined ? undefined : { name: domain.delivery, by: 'domain' }
}
