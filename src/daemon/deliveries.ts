/**
 * The deliveries in force, by name: each made when it is first needed, kept as long as its settings are the same, and
 * let go of when they change, after what is under way.
 */
import type { Delivery } from '../app/message.ts'
import type { Config, DeliverySettings } from '../config/config.ts'
import { Secret } from '../config/secret.ts'

/** Makes one delivery. */
export type MakeDelivery = (settings: DeliverySettings, config: Config, name: string) => Delivery

/** A delivery that knows when nothing is under way in it. */
class Kept implements Delivery {
  /** What it is called in the configuration. */
  readonly key: string
  /** What it was made by; another text is another delivery. */
  readonly by: string
  readonly #delivery: Delivery
  #underWay = 0
  #isClosing = false
  #idle: () => void = () => {}

  constructor(key: string, by: string, delivery: Delivery) {
    this.key = key
    this.by = by
    this.#delivery = delivery
  }

  get name(): string {
    return this.#delivery.name
  }

  /** Messages that it has been handed and has not told the fate of. */
  get underWay(): number {
    return this.#underWay
  }

  deliver(...args: Parameters<Delivery['deliver']>): ReturnType<Delivery['deliver']> {
    return this.#busy(() => this.#delivery.deliver(...args))
  }

  /** There only if the delivery has it. */
  get deliverOnce(): Delivery['deliverOnce'] {
    const once = this.#delivery.deliverOnce
    return once && ((...copy) => this.#busy(() => once(...copy)))
  }

  async #busy<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosing) throw new Error(`the delivery ${this.name} has been let go of`)
    this.#underWay++
    try {
      return await work()
    } finally {
      this.#underWay--
      if (this.#underWay === 0) this.#idle()
    }
  }

  /** Takes nothing more, and lets go when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#underWay > 0) {
      await new Promise<void>(resolve => {
        this.#idle = resolve
      })
    }
    await this.#delivery.close?.()
  }
}

/** How long the end waits for what is under way, in milliseconds: nobody is there any more to be told of it. */
const LAST_WAIT_MS = 5000

export class Deliveries {
  readonly #config: () => Config
  readonly #make: MakeDelivery
  readonly #failed: (name: string, cause: unknown) => void
  readonly #kept = new Map<string, Kept>()
  readonly #closing = new Map<Promise<void>, Kept>()
  /** The configuration that the deliveries were last compared with. */
  #seen: Config | undefined

  /** `config` gives the configuration in force; `failed` hears of a delivery that could not be let go of in order. */
  constructor(config: () => Config, make: MakeDelivery, failed: (name: string, cause: unknown) => void) {
    this.#config = config
    this.#make = make
    this.#failed = failed
  }

  /**
   * The delivery of a name, or the site's default for none; `undefined` if the configuration has none of that name. To
   * be used at once: after the next change of the configuration it may take nothing more.
   */
  named(name: string | undefined): Delivery | undefined {
    const config = this.#config()
    this.#compare(config)
    const wanted = name ?? config.delivery.default
    const kept = this.#kept.get(wanted)
    if (kept !== undefined) return kept
    const settings = settingsOf(config, wanted)
    if (settings === undefined) return undefined
    const made = new Kept(wanted, identityOf(settings, config), this.#make(settings, config, wanted))
    this.#kept.set(wanted, made)
    return made
  }

  /** Lets go of what the configuration in force has no more, or has otherwise. */
  refresh(): void {
    this.#compare(this.#config())
  }

  /**
   * Lets go of all of them, after what is under way, and waits for those that have been let go of before; but not longer
   * than `waitMs`. What is under way still is told of, and to be ended with the process: the MTA sends it again.
   */
  async close(waitMs = LAST_WAIT_MS): Promise<void> {
    for (const kept of [...this.#kept.values()]) this.#release(kept)
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>(resolve => {
      timer = setTimeout(resolve, waitMs)
    })
    await Promise.race([Promise.all(this.#closing.keys()), enough])
    clearTimeout(timer)
    for (const { key, underWay } of this.#closing.values()) {
      this.#failed(key, new Error(`given up with ${underWay} under way, which will come again`))
    }
  }

  #compare(config: Config): void {
    if (config === this.#seen) return
    this.#seen = config
    for (const kept of [...this.#kept.values()]) {
      const settings = settingsOf(config, kept.key)
      if (settings === undefined || identityOf(settings, config) !== kept.by) this.#release(kept)
    }
  }

  #release(kept: Kept): void {
    this.#kept.delete(kept.key)
    const closing = kept
      .close()
      .catch((cause: unknown) => this.#failed(kept.key, cause))
      .finally(() => this.#closing.delete(closing))
    this.#closing.set(closing, kept)
  }
}

function settingsOf({ delivery }: Config, name: string): DeliverySettings | undefined {
  return Object.hasOwn(delivery.named, name) ? delivery.named[name] : undefined
}

/** Settings as a text that is another one where anything in them is, a password too. Never shown. */
function identityOf(settings: DeliverySettings, { lmtp }: Config): string {
  return JSON.stringify([settings, lmtp.hostname], function (this: Record<string, unknown>, key, value) {
    // A secret has shown its cover already.
    const own = this[key]
    return own instanceof Secret ? own.reveal() : (value as unknown)
  })
}
