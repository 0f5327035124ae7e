/** List domains as people read of them. */
import type { Change } from '../app/ports.ts'
import type { Domain } from '../core/domain.ts'
import type { ListDomain } from '../core/list-domain.ts'

/** A domain, what was done to it, and what it has. */
export function domainInWords(domain: Domain, change: Change, { flavour, delivery }: ListDomain): string {
  return `${domain}: domain ${change}, flavour ${flavour}${delivery === undefined ? '' : `, delivery ${delivery}`}`
}
