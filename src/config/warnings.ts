/**
 * What a configuration may say and an operator should know: sockets and secrets that are open to more people than
 * was perhaps meant, and settings without an effect.
 */
import { accessSync, constants, statSync } from 'node:fs'
import { formatEndpoint } from '../app/endpoint.ts'
import type { Config, DeliverySettings } from './config.ts'
import type { KeyPath, Positions } from './positions.ts'
import { type ConfigProblem, formatKey } from './problems.ts'
import { parseRedisUrl } from './redis-url.ts'
import { type ConfigFile, isLocal } from './schema.ts'

function othersMayRead(path: string): boolean {
  try {
    return (statSync(path).mode & 0o004) !== 0
  } catch {
    return false
  }
}

function mayExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function hasPassword(text: string | undefined): boolean {
  const url = text === undefined ? undefined : parseRedisUrl(text)
  return url?.ok === true && url.value.password !== undefined
}

function holdsPassword({ redis, delivery }: ConfigFile): KeyPath | undefined {
  if (redis?.password !== undefined) return ['redis', 'password']
  if (hasPassword(redis?.url)) return ['redis', 'url']
  const stream = Object.entries(delivery.stream).find(([, { url }]) => hasPassword(url))
  return stream && ['delivery', 'stream', stream[0], 'url']
}

/** What Postfix waits at the end of a message, in seconds. */
const POSTFIX_WAITS = 600

/** A delivery that may take longer than the MTA waits for it: what its timeout is called, and what to say of it. */
function impatience(
  name: string,
  delivery: DeliverySettings,
): { path: KeyPath; message: string } | undefined {
  if (delivery.kind !== 'relay' && delivery.kind !== 'pipe') return undefined
  // A copy waits for its turn as long as it may take then.
  const isTwice = delivery.kind === 'pipe'
  if (delivery.timeoutMs * (isTwice ? 2 : 1) < POSTFIX_WAITS * 1000) return undefined
  const message = `Postfix waits for ${POSTFIX_WAITS} s at the end of a message (lmtp_data_done_timeout), and sends again what takes longer`
  return {
    path: ['delivery', delivery.kind, name, 'timeout'],
    message: isTwice ? `${message}; a copy may take twice this` : message,
  }
}

/** Finds what to warn of in a configuration that is all right. */
export function findWarnings(
  file: ConfigFile,
  config: Omit<Config, 'warnings'>,
  source: string,
  positions: Positions,
): readonly ConfigProblem[] {
  const found: ConfigProblem[] = []
  const warn = (path: KeyPath, message: string): void => {
    found.push({ source, position: positions.ofValue(path), key: formatKey(path), message })
  }
  for (const [front, what] of [
    ['policy', 'who may post'],
    ['socketmap', 'which lists there are'],
  ] as const) {
    for (const [index, endpoint] of config[front].listen.entries()) {
      if (isLocal(endpoint)) continue
      warn(
        [front, 'listen', index],
        `${formatEndpoint(endpoint)} can be reached from other hosts, and whoever reaches it may ask ${what}`,
      )
    }
  }
  for (const [index, endpoint] of config.web.listen.entries()) {
    if (isLocal(endpoint)) continue
    warn(
      ['web', 'listen', index],
      `${formatEndpoint(endpoint)} can be reached from other hosts, and whoever reaches it may read how the gate is`,
    )
  }
  for (const front of ['policy', 'milter', 'lmtp', 'socketmap', 'web'] as const) {
    const { socketMode } = config[front]
    const listen =
      front === 'lmtp' ? [...config.lmtp.listen, ...config.lmtp.calloutListen] : config[front].listen
    if ((socketMode & 0o002) === 0 || !listen.some(endpoint => endpoint.kind === 'unix')) continue
    warn([front, 'socket_mode'], 'every user of this host may connect to the socket')
  }
  const password = holdsPassword(file)
  if (password !== undefined && config.file !== undefined && othersMayRead(config.file)) {
    warn(password, 'every user of this host may read this file and the password in it')
  }
  const passwordFile = file.redis?.password_file
  if (passwordFile !== undefined && othersMayRead(passwordFile)) {
    warn(['redis', 'password_file'], 'every user of this host may read the file')
  }
  for (const [name, delivery] of Object.entries(config.delivery.named)) {
    const late = impatience(name, delivery)
    if (late !== undefined) warn(late.path, late.message)
    if (delivery.kind !== 'pipe' || mayExecute(delivery.program)) continue
    warn(['delivery', 'pipe', name, 'command', 0], 'there is no such program, or it may not be executed')
  }
  if (file.site.why_url !== '' && !file.site.reason_ids) {
    warn(['site', 'why_url'], 'has no effect without reason_ids = true')
  }
  if (file.site.reason_ids && !file.journal.enabled) {
    warn(['site', 'reason_ids'], 'there is no journal in which the ids could be found')
  }
  if (config.store.kind === 'redis' && positions.has(['store'])) {
    warn(['store'], 'has no effect: the store is Redis')
  }
  return found
}
