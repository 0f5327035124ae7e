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
import { Health, type HealthParts } from '../app/health.ts'
import type { HeldQueue } from '../app/held.ts'
import type { JournalStore } from '../app/journal.ts'
import type { Log } from '../app/log.ts'
import { Lookup } from '../app/lookup.ts'
import type { Delivery } from '../app/message.ts'
import type { Meters } from '../app/meters.ts'
import { Moderation } from '../app/moderation.ts'
import type { Clock, Store } from '../app/ports.ts'
import type { Config, DeliverySettings, StreamConfig } from '../config/config.ts'
import type { Site } from '../core/facts.ts'
import { createDiscardDelivery } from '../delivery/discard.ts'
import { createNoticeSender } from '../delivery/held-notices.ts'
import { FileHeldQueue } from '../delivery/held-queue.ts'
import { withHeldQueue } from '../delivery/holding.ts'
import { createMaildirDelivery } from '../delivery/maildir.ts'
import { createPipeDelivery } from '../delivery/pipe.ts'
import { createRelayDelivery } from '../delivery/relay.ts'
import { createStreamDelivery } from '../delivery/stream.ts'
import type { LibmilterFront } from '../milter/libmilter/front.ts'
import type { TrialMta } from '../trial/mta.ts'
import type { Web, WebParts } from '../web/web.ts'
import { Deliveries } from './deliveries.ts'
import { version } from './version.ts'

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

/**
 * Opens the journal where the store is, on a connection of its own. Redis need not be there yet.
 * @throws the embedded store's errors, whose messages are for the operator
 */
export async function openJournal({ store }: Config): Promise<JournalStore> {
  switch (store.kind) {
    case 'embedded': {
      const { openEmbeddedJournal } = await import('../store/embedded-journal.ts')
      return openEmbeddedJournal({ path: store.path })
    }
    case 'redis': {
      const { openRedisJournal } = await import('../store/redis-journal.ts')
      return openRedisJournal({ ...store, password: store.password?.reveal() })
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
  readonly meters: Meters
}

/** The gate and its fronts, which do not listen yet. */
export interface Composition {
  readonly gate: Gate
  readonly policy: FrontServer
  readonly milter: FrontServer
  readonly lmtp: FrontServer
  /** The sink's other door. */
  readonly callout: FrontServer
  readonly socketmap: FrontServer
  readonly moderation: Moderation
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

/** Moderation over a queue, handing on what is accepted to the deliveries that the sink has. */
function createModeration(
  settings: Settings,
  store: Store,
  queue: HeldQueue,
  deliveries: Pick<Deliveries, 'named'>,
): Moderation {
  return new Moderation({
    queue,
    directory: store,
    deliveryFor: name => deliveries.named(name),
    get site(): Site {
      return settings.config.site
    },
    get sendNotice() {
      const { held, lmtp } = settings.config
      return held.notices && createNoticeSender({ mta: held.notices, hostname: lmtp.hostname })
    },
  })
}

/** Moderation for a command: with deliveries of its own, which `close` lets go of. */
export interface OpenModeration {
  readonly moderation: Moderation
  close(): Promise<void>
}

/** Opens the queue of held messages that the configuration names. */
export function openModeration(config: Config, store: Store): OpenModeration {
  const settings: Settings = { config }
  const failures: unknown[] = []
  const deliveries = new Deliveries(
    () => config,
    (delivery, _config, name) => createDelivery(delivery, config, name),
    (_name, cause) => failures.push(cause),
  )
  return {
    moderation: createModeration(settings, store, createHeldQueue(settings), deliveries),
    async close() {
      await deliveries.close()
      if (failures.length > 0) throw failures[0]
    },
  }
}

/** Puts the gate and the fronts together. */
export async function compose(parts: ComposeParts): Promise<Composition> {
  const { createPolicyFront } = await import('../policy/server.ts')
  const { createMilterFront } = await import('../milter/server.ts')
  const { createLmtpFront } = await import('../lmtp/server.ts')
  const { createSocketmapFront } = await import('../socketmap/server.ts')
  const { settings, store, recorder, log, clock, meters } = parts
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
  const lmtp = createLmtpFront({
    gate,
    log,
    clock,
    deliveryFor: name => deliveries.named(name),
    connections: meters.connections.lmtp,
    meter: {
      message: () => {
        meters.sink.messages++
      },
      copy: (delivery, outcome) => meters.copies.add([delivery ?? '', outcome]),
    },
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
  })
  return {
    gate,
    deliveries,
    moderation: createModeration(settings, store, held, deliveries),
    policy: createPolicyFront({
      gate,
      log,
      clock,
      connections: meters.connections.policy,
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
      connections: meters.connections.milter,
      counts: meters.milter,
      get onStoreFailure() {
        return settings.config.milter.onStoreFailure
      },
      get settings() {
        return settings.config.milter
      },
    }),
    lmtp,
    callout: { ...lmtp, newServer: () => lmtp.newServer('callout') },
    socketmap: createSocketmapFront({
      lookup: new Lookup({ store, recorder }),
      log,
      connections: meters.connections.socketmap,
      lookups: meters.lookups,
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

/** What the web front tells of the daemon. */
export interface DaemonState extends Pick<HealthParts, 'isStopping' | 'deaf'> {
  /** How all processes are, where there are several. */
  readonly gather?: WebParts['gather']
}

/** Makes the web front, which does not listen yet; `state` is what it tells of the daemon. */
export async function composeWeb(
  { settings, store, recorder, log, clock, meters }: ComposeParts,
  { gather, ...state }: DaemonState,
): Promise<Web> {
  const { createWeb } = await import('../web/web.ts')
  const { MAPS } = await import('../socketmap/maps.ts')
  return createWeb({
    health: new Health({ store, recorder, meters, clock, ...state }),
    gather,
    meters,
    held: createHeldQueue(settings),
    deliveries: () => Object.keys(settings.config.delivery.named),
    maps: Object.keys(MAPS),
    version: version(),
    log,
    get settings() {
      return settings.config.web
    },
  })
}

/** Starts the milter on Sendmail's libmilter, which listens by itself. @throws LibmilterError */
export async function startLibmilter(
  {
    gate,
    settings,
    log,
    meters,
  }: Pick<ComposeParts, 'settings' | 'log' | 'meters'> & Pick<Composition, 'gate'>,
  endpoint: Endpoint,
  failed: (error: Error) => void,
): Promise<LibmilterFront> {
  const { createLibmilterFront } = await import('../milter/libmilter/front.ts')
  const { milter } = settings.config
  const { onStoreFailure } = milter
  const counting = { connections: meters.connections.milter, counts: meters.milter }
  const front = createLibmilterFront({ gate, log, onStoreFailure, settings: milter, failed, ...counting })
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
