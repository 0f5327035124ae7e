/**
 * Lists whose addresses meet: `team-owner@` beside `team@`. Both may exist, and the list wins over the service address;
 * whoever makes such a list should know what it takes away.
 */
import type { Address } from '../../core/address.ts'
import { type Flavour, SETTINGS } from '../../core/list.ts'
import { candidatesOf, SERVICES } from '../../core/recipient.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { Directory } from '../ports.ts'

/** The list `taker` has an address that would be `giver`'s: of the service named, or `giver` with a detail. */
export interface Overlap {
  readonly taker: ListAddress
  readonly giver: ListAddress
  readonly service: string | undefined
}

async function flavourOf(directory: Directory, list: ListAddress): Promise<Flavour | undefined> {
  const record = await directory.getList(list)
  if (record === undefined) return undefined
  return record.settings.ok ? record.settings.value.flavour : SETTINGS.flavour.initial
}

/** The overlaps of a list with the others. A bounded number of look-ups, whatever the number of lists. */
export async function overlapsOf(
  directory: Directory,
  list: Address,
  flavour: Flavour,
): Promise<readonly Overlap[]> {
  const taken = candidatesOf(list)
    .filter(candidate => candidate.list !== list.key)
    .map(async ({ list: giver, flavour: needed, service }): Promise<readonly Overlap[]> => {
      const found = await flavourOf(directory, giver)
      return found === undefined || found !== needed ? [] : [{ taker: list.key, giver, service }]
    })
  const { separator, names } = SERVICES[flavour]
  const local = list.key.slice(0, list.key.lastIndexOf('@'))
  const given = names.map(async (service): Promise<readonly Overlap[]> => {
    const taker = `${local}${separator}${service}@${list.domain}` as ListAddress
    return (await directory.getList(taker)) === undefined ? [] : [{ taker, giver: list.key, service }]
  })
  return (await Promise.all([...taken, ...given])).flat()
}

/** An overlap in one sentence without a full stop. */
export function overlapInWords({ taker, giver, service }: Overlap): string {
  return service === undefined
    ? `${taker} is a list of its own now, and no longer ${giver} with a detail`
    : `mail to ${taker} goes to that list, and no longer to the ${service} address of ${giver}`
}
