/**
 * The trial MTA: just enough of a mail server (RFC 5321) to see the gate work without Postfix. At each phase it asks
 * the running policy server over its socket, as Postfix does, and passes the answer on; what it takes it hands to the
 * LMTP sink before it says so. It has no queue and sends no bounces. Not for production, as its greeting says.
 */
import { once } from 'node:events'
import type { Endpoint } from '../app/endpoint.ts'
import type { Log } from '../app/log.ts'
import { PolicyClient } from './policy-client.ts'
import { TrialServer } from './server.ts'
import { take } from './take.ts'

export interface TrialOptions {
  /** Where SMTP is spoken. Port 0 lets the system choose. */
  readonly listen: Endpoint
  /** The policy server that is asked. */
  readonly policy: Endpoint
  /** The sink that gets what was taken. */
  readonly lmtp: Endpoint
  /** What the MTA calls itself. */
  readonly hostname: string
  readonly log: Log
  /** Milliseconds for each of two tries to get an answer from the policy server. */
  readonly policyTimeout?: number
}

export interface TrialMta {
  /** Where it listens, with the port that the system chose. */
  readonly endpoint: Endpoint
  /** Ends: no new connections; idle ones are closed, and a message under way gets a few seconds. */
  close(): Promise<void>
}

const POLICY_TIMEOUT = 10_000

/** Starts a trial MTA; rejects with the system's error if it cannot listen. */
export async function startTrialMta(options: TrialOptions): Promise<TrialMta> {
  const { listen, policy, lmtp, hostname, log, policyTimeout = POLICY_TIMEOUT } = options
  const server = new TrialServer({
    hostname,
    log,
    newPolicyClient: () => new PolicyClient(policy, policyTimeout),
    take: taken => take({ sink: lmtp, hostname, log }, taken),
  })
  const listening = server.listen(listen.kind === 'unix' ? { path: listen.path } : listen)
  await once(listening, 'listening')
  const bound = listening.address()
  const endpoint: Endpoint =
    listen.kind === 'tcp' && bound !== null && typeof bound === 'object'
      ? { ...listen, port: bound.port }
      : listen
  return { endpoint, close: () => server.shutDown() }
}
