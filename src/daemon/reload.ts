/**
 * Going over to another configuration without stopping: what can change at once, and what has to wait for a restart.
 */
import type { Config, StoreConfig } from '../config/config.ts'

/** A part of the configuration that is used at the start only, by its key. */
interface FixedPart {
  readonly key: string
  readonly of: (config: Config) => unknown
}

function storeIdentity(store: StoreConfig): unknown {
  return store.kind === 'redis' ? { ...store, password: store.password?.reveal() } : store
}

const FIXED: readonly FixedPart[] = [
  { key: 'serve.workers', of: config => config.serve.workers },
  { key: 'policy.listen', of: config => config.policy.listen },
  { key: 'policy.socket_mode', of: config => config.policy.socketMode },
  { key: 'milter.listen', of: config => config.milter.listen },
  { key: 'milter.engine', of: config => config.milter.engine },
  { key: 'milter.socket_mode', of: config => config.milter.socketMode },
  { key: 'lmtp.listen', of: config => config.lmtp.listen },
  { key: 'lmtp.callout_listen', of: config => config.lmtp.calloutListen },
  { key: 'lmtp.socket_mode', of: config => config.lmtp.socketMode },
  { key: 'socketmap.listen', of: config => config.socketmap.listen },
  { key: 'socketmap.socket_mode', of: config => config.socketmap.socketMode },
  { key: 'web.listen', of: config => config.web.listen },
  { key: 'web.socket_mode', of: config => config.web.socketMode },
  { key: 'store and redis', of: config => storeIdentity(config.store) },
  { key: 'held.path', of: config => config.held.path },
  { key: 'trial', of: config => config.trial },
  { key: 'journal', of: config => config.journal },
]

/** What becomes of a new configuration. */
export interface Transition {
  /** The new configuration, with the old values where a restart is needed. */
  readonly config: Config
  /** The keys that have changed and need a restart. */
  readonly needRestart: readonly string[]
}

/** Plans the way from the configuration in force to the one that was just read. */
export function transition(old: Config, next: Config): Transition {
  const { policy, milter, lmtp, socketmap, web } = old
  return {
    config: Object.freeze({
      ...next,
      serve: old.serve,
      store: old.store,
      trial: old.trial,
      journal: old.journal,
      held: Object.freeze({ ...next.held, path: old.held.path }),
      policy: Object.freeze({ ...next.policy, listen: policy.listen, socketMode: policy.socketMode }),
      milter: Object.freeze({
        ...next.milter,
        engine: milter.engine,
        listen: milter.listen,
        socketMode: milter.socketMode,
      }),
      lmtp: Object.freeze({
        ...next.lmtp,
        listen: lmtp.listen,
        calloutListen: lmtp.calloutListen,
        socketMode: lmtp.socketMode,
      }),
      socketmap: Object.freeze({
        ...next.socketmap,
        listen: socketmap.listen,
        socketMode: socketmap.socketMode,
      }),
      web: Object.freeze({ ...next.web, listen: web.listen, socketMode: web.socketMode }),
    }),
    needRestart: FIXED.filter(({ of }) => JSON.stringify(of(old)) !== JSON.stringify(of(next))).map(
      ({ key }) => key,
    ),
  }
}
