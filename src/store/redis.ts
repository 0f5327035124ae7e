/**
 * The store in Redis, which is an interface of its own: `docs/redis-schema.md` describes every key, and what other
 * programs write there counts with the next question.
 */
import { type Admission, type CountedPost, MAX_ADMISSIONS, type Store } from '../app/ports.ts'
import type { Facts, FactsQuery } from '../core/facts.ts'
import { DEFAULT_KEY_PREFIX, Keys } from './keys.ts'
import { ADMIT, COUNT_POST } from './redis/scripts.ts'
import { RedisConnection, type RedisConnectionOptions } from './redis-connection.ts'
import { RedisDirectory } from './redis-directory.ts'
import { checkSchema, planFacts } from './redis-facts.ts'
import { StoredDataError, StoreSchemaError, unavailable } from './store-errors.ts'

export interface RedisStoreOptions extends RedisConnectionOptions {
  /** Begins every key; without braces. */
  readonly prefix?: string | undefined
}

class RedisStore extends RedisDirectory implements Store {
  get description(): string {
    return this.connection.description
  }

  async load(query: FactsQuery): Promise<Facts> {
    const plan = planFacts(this.keys, query)
    const replies = await this.connection.ask(plan.groups)
    try {
      return plan.read(replies)
    } catch (error) {
      if (!(error instanceof StoredDataError || error instanceof StoreSchemaError)) throw error
      // The site's own keys, or the schema, make no sense to us: nothing can be judged until they do.
      throw unavailable(this.description, error)
    }
  }

  async countPost({ list, sender, message, posts, seconds }: CountedPost): Promise<void> {
    await this.prepare()
    const keys = this.keys.list(list)
    await this.connection.run(
      COUNT_POST,
      [keys.list, keys.postsOf(sender), keys.posts],
      [sender, message, posts, seconds],
    )
  }

  async admit({ list, sender, seconds }: Admission): Promise<void> {
    await this.prepare()
    const keys = this.keys.list(list)
    await this.connection.run(ADMIT, [keys.list, keys.admitted], [sender, seconds, MAX_ADMISSIONS])
  }

  async check(): Promise<void> {
    checkSchema(await this.connection.one('GET', this.keys.site.schema))
  }

  close(): Promise<void> {
    return this.connection.close()
  }
}

/**
 * Opens the store in Redis. Returns at once, whether Redis is there or not: the connection is made in the background,
 * and made again whenever it is lost.
 */
export function openRedisStore(options: RedisStoreOptions): Store {
  const keys = new Keys(options.prefix ?? DEFAULT_KEY_PREFIX)
  return new RedisStore(new RedisConnection(options), keys)
}
