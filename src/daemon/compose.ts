/**
 * The one place where adapters are made and put together. What depends on settings that may change while the daemon
 * runs reads them when it needs them. What only the daemon needs is loaded when it is made: the command line opens
 * stores here, and is to be quick.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../app/endpoint.ts'
import type { FrontServer } from '../app/front.ts'
import { Gate, type Recorder } from '../app/gate.ts'
import type { HeldQueue } from '../app/held.ts'
import type { Log } from '../app/log.ts'
import { Lookup } from '../app/lookup.ts'
import type { Delivery } from '../app/message.ts'
import type { Clock, Store } from '../app/ports.ts'
import type { Config, DeliverySettings, StreamConfig } from '../config/config.ts'
import type { Site } from '../core/facts.ts'
import { createDiscardDelivery } from '../delivery/discard.ts'
import { FileHeldQueue } from '../delivery/held-queue.ts'
import { withHeldQueue } from '../delivery/holding.ts'
import { createMaildirDelivery } from '../delivery/maildir.ts'
import { createPipeDelivery } from '../delivery/pipe.ts'
import { createRelayDelivery } from '../delivery/relay.ts'
import { createStreamDelivery } from '../delivery/stream.ts'
import type { LibmilterFront } from '../milter/libmilter/front.ts'
import type { TrialMta } from '../trial/mta.ts'
import { Deliveries } from './deliveries.ts'

/**
 * Opens the store that the configuration names. Redis need not be there yet.
 * @throws the embedded store's errors, whose messages are for the operator
 */
export async function openStore(config: Config): Promise<Store> {
  const { store } = config
  switch (store.kind) {
    case 'embedded': {
      const { openEmbeddedStore } = await import('../store/embedded.ts')
      return openEmbeddedStore({ path: store.path })
    }
    case 'redis': {
      const { openRedisStore } = await import('../store/redis.ts')
      return openRedisStore({ ...store, password: store.password?.reveal() })
    }
  }
}

/** The settings in force. */
export interface Settings {
  config: Config
}

export interface ComposeParts {
  readonly settings: Settings
  readonly store: Store
  readonly recorder: Recorder
  readonly log: Log
  readonly clock: Clock
}

/** The gate and its fronts, which do not listen yet. */
export interface Composition {
  readonly gate: Gate
  readonly policy: FrontServer
  readonly milter: FrontServer
  readonly lmtp: FrontServer
  readonly socketmap: FrontServer
  /** Where the sink hands on what passes; closed when the fronts have ended. */
  readonly deliveries: Pick<Deliveries, 'refresh' | 'close'>
}

/** Replicas that keep up have an entry in a moment. */
const REPLICA_TIMEOUT_MS = 5000

function createStream({ redis, timeoutMs, ...delivery }: StreamConfig, name: string): Delivery {
  return createStreamDelivery({
    ...delivery,
    name,
    // What is asked behind it on the connection has to be answered in time as well.
    replicaTimeoutMs: Math.min(REPLICA_TIMEOUT_MS, Math.floor(timeoutMs / 2)),
    connect: async () => {
      const { RedisConnection } = await import('../store/redis-connection.ts')
      return new RedisConnection({ ...redis, timeoutMs, password: redis.password?.reveal() })
    },
  })
}

function createDelivery(delivery: DeliverySettings, { lmtp: { hostname } }: Config, name: string): Delivery {
  switch (delivery.kind) {
    case 'maildir':
      return createMaildirDelivery({ root: delivery.path, hostname })
    case 'discard':
      return createDiscardDelivery()
    case 'relay':
      return createRelayDelivery({ ...delivery, name, hostname })
    case 'pipe':
      return createPipeDelivery({ ...delivery, name, hostname })
    case 'stream':
      return createStream(delivery, name)
  }
}

/** The queue of messages that wait for a moderator. */
function createHeldQueue(settings: Settings): HeldQueue {
  return new FileHeldQueue({
    path: settings.config.held.path,
    get maxMessages() {
      return settings.config.held.maxMessages
    },
    get maxSize() {
      return settings.config.held.maxSize
    },
  })
}

/** Puts the gate and the fronts together. */
export async function compose(parts: ComposeParts): Promise<Composition> {
  const { createPolicyFront } = await import('../policy/server.ts')
  const { createMilterFront } = await import('../milter/server.ts')
  const { createLmtpFront } = await import('../lmtp/server.ts')
  const { createSocketmapFront } = await import('../socketmap/server.ts')
  const { settings, store, recorder, log, clock } = parts
  const gate = new Gate({
    store,
    recorder,
    clock,
    get site(): Site {
      return settings.config.site
    },
  })
  const held = createHeldQueue(settings)
  const deliveries = new Deliveries(
    () => settings.config,
    (delivery, config, name) => withHeldQueue(createDelivery(delivery, config, name), held),
    (delivery, cause) => log.error('delivery not closed in order', { delivery, cause }),
  )
  return {
    gate,
    deliveries,
    policy: createPolicyFront({
      gate,
      log,
      clock,
      get onStoreFailure() {
        return settings.config.policy.onStoreFailure
      },
      get maxConnections() {
        return settings.config.policy.maxConnections
      },
    }),
    milter: createMilterFront({
      gate,
      log,
      get onStoreFailure() {
        return settings.config.milter.onStoreFailure
      },
      get settings() {
        return settings.config.milter
      },
    }),
    lmtp: createLmtpFront({
      gate,
      log,
      clock,
      deliveryFor: name => deliveries.named(name),
      settings: {
        spoolDirectory: join(tmpdir(), 'postern-spool'),
        get hostname() {
          return settings.config.lmtp.hostname
        },
        get maxSize() {
          return settings.config.lmtp.maxSize
        },
        get maxRecipients() {
          return settings.config.lmtp.maxRecipients
        },
        get maxConnections() {
          return settings.config.lmtp.maxConnections
        },
        get idleTimeoutMs() {
          return settings.config.lmtp.idleTimeoutMs
        },
        get allow() {
          return settings.config.lmtp.allow
        },
        get xforward() {
          return settings.config.lmtp.xforward
        },
      },
    }),
    socketmap: createSocketmapFront({
      lookup: new Lookup({ store, recorder }),
      log,
      get settings() {
        const { socketmap, lmtp } = settings.config
        return { ...socketmap, sink: lmtp.listen }
      },
      get maxConnections() {
        return settings.config.socketmap.maxConnections
      },
    }),
  }
}

/** Starts the milter on Sendmail's libmilter, which listens by itself. @throws LibmilterError */
export async function startLibmilter(
  { gate, settings, log }: Pick<ComposeParts, 'settings' | 'log'> & Pick<Composition, 'gate'>,
  endpoint: Endpoint,
  failed: (error: Error) => void,
): Promise<LibmilterFront> {
  const { createLibmilterFront } = await import('../milter/libmilter/front.ts')
  const { milter } = settings.config
  const { onStoreFailure } = milter
  const front = createLibmilterFront({ gate, log, onStoreFailure, settings: milter, failed })
  await front.start(endpoint)
  return front
}

/** Starts the trial MTA in front of fronts that listen. @throws the system's error if it cannot listen */
export async function startTrial(
  config: Config,
  fronts: { readonly policy: Endpoint; readonly lmtp: Endpoint },
  log: Log,
): Promise<TrialMta> {
  const { startTrialMta } = await import('../trial/mta.ts')
  return startTrialMta({ ...fronts, listen: config.trial.listen, hostname: config.lmtp.hostname, log })
}
