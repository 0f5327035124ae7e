/**
 * The policy front alone, for the policy benchmark: everything but the decision, which is always the same. Takes what
 * was built, as `postern serve` is run.
 */
import { NO_LOG } from '../src/app/log.ts'
import { replyFor } from '../src/core/reason.ts'
import type { Verdict } from '../src/core/verdict.ts'

const reason = 'nothing-to-object'
const verdict: Verdict = { kind: 'accept', reason, rule: 'no-rule', reply: replyFor(reason) }

const built = new URL('../dist/policy/server.js', import.meta.url).href
const { createPolicyFront } = (await import(built)) as typeof import('../src/policy/server.ts')

const [path, port] = process.argv.slice(2)
const front = createPolicyFront({
  gate: { ask: () => verdict },
  log: NO_LOG,
  onStoreFailure: 'defer',
  maxConnections: 1000,
})
for (const endpoint of [{ path }, { host: '127.0.0.1', port: Number(port) }])
  front.newServer().listen(endpoint)
