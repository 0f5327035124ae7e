/**
 * Ports for servers that cannot be told to choose one themselves. They lie below the range from which the system
 * takes ports for outgoing connections, and each test process has a part of them to itself.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const FIRST = 20_000
const FOR_EACH_PROCESS = 20
const PROCESSES = 600

let next = 0

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < FOR_EACH_PROCESS * PROCESSES; tries++) {
    const port =
      FIRST + (((process.pid % PROCESSES) * FOR_EACH_PROCESS + next++) % (FOR_EACH_PROCESS * PROCESSES))
    const server = createServer()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      server.close()
      await once(server, 'close')
      return port
    } catch {
      // Taken; the next one.
    }
  }
  throw new Error('no free port')
}
