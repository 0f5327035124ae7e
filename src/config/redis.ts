/**
 * How to reach Redis, put together from the `[redis]` section, the password's file and the environment.
 * `POSTERN_REDIS_URL` comes before what the section says of the place; a password that it lacks is still the section's.
 */
import { readFileSync, statSync } from 'node:fs'
import type { Endpoint } from '../app/endpoint.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import type { RedisStoreConfig } from './config.ts'
import { parseRedisUrl, REDIS_PORT, type RedisAddress } from './redis-url.ts'
import type { ConfigFile } from './schema.ts'
import { Secret } from './secret.ts'

type RedisSection = NonNullable<ConfigFile['redis']>

/** What came of it. `environment` problems are about `POSTERN_REDIS_URL`, others about a key of the section. */
export type RedisResolution =
  | RedisStoreConfig
  | { readonly kind: 'problem'; readonly source: 'environment'; readonly message: string }
  | {
      readonly kind: 'problem'
      readonly source: 'file'
      readonly key: keyof RedisSection
      readonly message: string
    }

const MAX_PASSWORD_FILE_SIZE = 4096

function readPassword(path: string): Parsed<Secret> {
  try {
    if (statSync(path).size > MAX_PASSWORD_FILE_SIZE) return problem('the file is too large to be a password')
    const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '')
    return text === '' ? problem('the file is empty') : parsed(new Secret(text))
  } catch (error) {
    return problem(`cannot read the file: ${error instanceof Error && 'code' in error ? error.code : error}`)
  }
}

function sectionEndpoint(section: RedisSection): Endpoint {
  if (section.socket !== undefined) return { kind: 'unix', path: section.socket }
  return { kind: 'tcp', host: section.host ?? '127.0.0.1', port: section.port ?? REDIS_PORT }
}

function addressOf(section: RedisSection, url: string | undefined): Parsed<RedisAddress> {
  if (url !== undefined) return parseRedisUrl(url)
  const { tls = false, db = 0 } = section
  return parsed({ endpoint: sectionEndpoint(section), tls, db, username: undefined, password: undefined })
}

function passwordOf(section: RedisSection): Parsed<Secret | undefined> {
  if (section.password !== undefined) return parsed(new Secret(section.password))
  return section.password_file === undefined ? parsed(undefined) : readPassword(section.password_file)
}

/** Puts the Redis configuration together. */
export function resolveRedis(section: RedisSection, environmentUrl: string | undefined): RedisResolution {
  const address = addressOf(section, environmentUrl ?? section.url)
  if (!address.ok) {
    return environmentUrl === undefined
      ? { kind: 'problem', source: 'file', key: 'url', message: address.problem }
      : { kind: 'problem', source: 'environment', message: address.problem }
  }
  const { endpoint, tls, db, username } = address.value
  const password = address.value.password === undefined ? passwordOf(section) : parsed(address.value.password)
  if (!password.ok) {
    return { kind: 'problem', source: 'file', key: 'password_file', message: password.problem }
  }
  return {
    kind: 'redis',
    endpoint,
    tls,
    username: username ?? section.username,
    password: password.value,
    db,
    prefix: section.prefix,
    timeoutMs: section.timeout,
  }
}
