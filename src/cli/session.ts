/** One run of a command: its world, its configuration and store once they are wanted, and how it ends. */

import { isMalformed, type Outcome, type Problem } from '../app/administration/problem.ts'
import { Administration } from '../app/administration.ts'
import type { JournalStore } from '../app/journal.ts'
import type { Moderation } from '../app/moderation.ts'
import type { Store } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import { adviceFor } from './advice.ts'
import { EXIT, type ExitStatus, Failure } from './exit.ts'
import type { OpenModeration, World } from './world.ts'

function statusOf(problem: Problem): ExitStatus {
  if (isMalformed(problem)) return EXIT.usage
  const unreadable = problem.code === 'list-unreadable' || problem.code === 'person-unreadable'
  return unreadable ? EXIT.data : EXIT.refused
}

export class Session {
  readonly world: World
  /** The configuration file that was named. */
  configFile: string | undefined
  /** How the command ends if nothing is thrown. */
  status: ExitStatus = EXIT.ok
  #config: Config | undefined
  #store: Store | undefined
  #moderation: OpenModeration | undefined
  #journal: JournalStore | undefined

  constructor(world: World) {
    this.world = world
  }

  /**
   * The configuration.
   * @throws Failure with every problem in it
   */
  async config(): Promise<Config> {
    if (this.#config !== undefined) return this.#config
    const { formatProblem } = await import('../config/problems.ts')
    const result = await this.world.loadConfig(this.configFile)
    if (!result.ok) {
      throw new Failure(EXIT.configuration, 'the configuration cannot be used', {
        details: result.problems.map(formatProblem),
      })
    }
    this.#config = result.value
    return result.value
  }

  /** The store, open and seen to be usable. */
  async store(): Promise<Store> {
    if (this.#store !== undefined) return this.#store
    const config = await this.config()
    this.#store = await this.world.openStore(config)
    await this.#store.check()
    return this.#store
  }

  /** The journal in the store, which has been seen to be usable. */
  async journal(): Promise<JournalStore> {
    await this.store()
    this.#journal ??= await this.world.openJournal(await this.config())
    return this.#journal
  }

  /** Administration of the store. With `force` also deliveries may be chosen that the configuration does not have. */
  async administration(options: { readonly force?: true | undefined } = {}): Promise<Administration> {
    const { delivery } = await this.config()
    const deliveries = options.force === true ? undefined : Object.keys(delivery.named)
    return new Administration(await this.store(), deliveries)
  }

  /** Moderation of the messages that wait. */
  async moderation(): Promise<Moderation> {
    this.#moderation ??= await this.world.openModeration(await this.config(), await this.store())
    return this.#moderation.moderation
  }

  /** The value of an outcome. @throws Failure */
  value<T>(outcome: Outcome<T>): T {
    if (outcome.ok) return outcome.value
    const { problem } = outcome
    const advice = adviceFor(problem.code)
    throw new Failure(statusOf(problem), problem.sentence, advice === undefined ? {} : { advice })
  }

  /** Tells that one of several things could not be done, and goes on. */
  async refuse(problem: Problem): Promise<void> {
    this.status = statusOf(problem)
    await this.say(problem.sentence)
  }

  /** Says something to whoever typed the command. */
  say(sentence: string): Promise<void> {
    return this.world.stderr.line(sentence)
  }

  warn(sentence: string): Promise<void> {
    const { stderr } = this.world
    return stderr.line(`${stderr.styled('yellow', 'warning:')} ${sentence}`)
  }

  async close(): Promise<void> {
    await this.#moderation?.close()
    await this.#journal?.close()
    await this.#store?.close()
  }
}
