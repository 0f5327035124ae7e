/**
 * The deliveries in force, by name: each made when it is first needed, kept as long as its settings are the same, and
 * let go of when they change.
 */
import type { Delivery } from '../app/message.ts'
import type { Config, DeliverySettings } from '../config/config.ts'
import { Secret } from '../config/secret.ts'

/** Makes one delivery. */
export type MakeDelivery = (settings: DeliverySettings, config: Config, name: string) => Delivery

interface Made {
  readonly delivery: Delivery
  /** What it was made by; another text is another delivery. */
  readonly by: string
}

/** Settings as a text that is another one where anything in them is, a password too. Never shown. */
function identityOf(settings: DeliverySettings, hostname: string): string {
  return JSON.stringify([settings, hostname], function (this: Record<string, unknown>, key, value) {
    // A secret has shown its cover already.
    const own = this[key]
    return own instanceof Secret ? own.reveal() : (value as unknown)
  })
}

export class Deliveries {
  readonly #config: () => Config
  readonly #make: MakeDelivery
  readonly #failed: (name: string, cause: unknown) => void
  readonly #made = new Map<string, Made>()

  /** `config` gives the configuration in force; `failed` hears of a delivery that could not be let go of in order. */
  constructor(config: () => Config, make: MakeDelivery, failed: (name: string, cause: unknown) => void) {
    this.#config = config
    this.#make = make
    this.#failed = failed
  }

  /** The delivery of a name, or the site's default for none; `undefined` if the configuration has none of that name. */
  named(name: string | undefined): Delivery | undefined {
    const config = this.#config()
    const wanted = name ?? config.delivery.default
    const settings = Object.hasOwn(config.delivery.named, wanted) ? config.delivery.named[wanted] : undefined
    const by = settings && identityOf(settings, config.lmtp.hostname)
    const made = this.#made.get(wanted)
    if (made !== undefined && made.by !== by) this.#release(wanted, made)
    if (settings === undefined || by === undefined) return undefined
    if (made?.by === by) return made.delivery
    const delivery = this.#make(settings, config, wanted)
    this.#made.set(wanted, { delivery, by })
    return delivery
  }

  /** Lets go of all of them, when nothing is delivered any more. */
  async close(): Promise<void> {
    await Promise.all([...this.#made].map(([name, made]) => this.#release(name, made)))
  }

  async #release(name: string, { delivery }: Made): Promise<void> {
    this.#made.delete(name)
    try {
      await delivery.close?.()
    } catch (cause) {
      this.#failed(name, cause)
    }
  }
}
