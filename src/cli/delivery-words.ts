/** Deliveries as people read of them: what each does, and that a name is none of this host's. */
import { formatEndpoint } from '../app/endpoint.ts'
import type { Config, DeliverySettings } from '../config/config.ts'
import type { Session } from './session.ts'

/** What a delivery does with mail. */
export function deliveryInWords(settings: DeliverySettings): string {
  switch (settings.kind) {
    case 'maildir':
      return `maildirs in ${settings.path}`
    case 'relay':
      return `by LMTP to ${formatEndpoint(settings.to)}`
    case 'pipe':
      return `to the program ${settings.program}`
    case 'stream':
      return `into the stream ${settings.key} of Redis at ${formatEndpoint(settings.redis.endpoint)}`
    case 'discard':
      return 'counted and dropped'
  }
}

/** What the delivery of a name does, if the configuration has one. */
export function namedDelivery({ delivery }: Config, name: string): string | undefined {
  const settings = Object.hasOwn(delivery.named, name) ? delivery.named[name] : undefined
  return settings && deliveryInWords(settings)
}

/** That somebody's mail is to go to a delivery which the configuration at hand does not have. */
export function unknownDeliveryInWords(whose: string, name: string): string {
  return `${whose}: the configuration here has no delivery ${name}; a sink that has none either defers the mail`
}

/** Warns that a delivery was chosen which the configuration at hand does not have. `whose` is a list or a domain. */
export async function warnOfUnknownDelivery(
  session: Session,
  whose: string,
  name: string | undefined,
): Promise<void> {
  const config = await session.config()
  if (name === undefined || namedDelivery(config, name) !== undefined) return
  await session.warn(unknownDeliveryInWords(whose, name))
}
