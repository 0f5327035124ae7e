/**
 * The engine on libmilter under load, and how its process ends. Run by itself it does so many times as it is told:
 *
 *     npx tsx test/milter/libmilter-load.ts SIGTERM 20
 */
import { fileURLToPath } from 'node:url'
import { type Host, startHost } from './libmilter-host.ts'
import { MtaClient } from './mta-client.ts'
import { command } from './mta-wire.ts'

const SESSIONS = 40
/** Messages refused before the process is ended. */
const MESSAGES = 400

export interface Ended {
  /** The exit code, or the signal. */
  readonly ended: number | string | null
  readonly messages: number
  /** Recipients that are refused, and were not. */
  readonly wrong: readonly string[]
  readonly stderr: string
}

/** Has many sessions at work, ends the process in their midst, and tells how it ended. */
export async function underLoad(end: (host: Host) => void): Promise<Ended> {
  const host = await startHost('unix', { maxConnections: 1000 })
  const wrong: string[] = []
  let messages = 0
  let over = false
  const talk = async (): Promise<void> => {
    while (!over) {
      let client: MtaClient
      try {
        client = await MtaClient.greeted(host.endpoint)
      } catch {
        return
      }
      for (let i = 0; i < 3; i++) {
        const answers = [
          ...(await client.ask(command.mail('<ok@example.net>'))),
          ...(await client.ask(command.rcpt('<no@lists.example.org>'))),
        ]
        if (answers.includes('closed')) break
        if (!/^c,(?:y 550 5\.7\.1 No, by 100%%|t)$/.test(answers.join())) wrong.push(answers.join())
        client.send(command.abort())
        messages++
        if (messages === MESSAGES) {
          over = true
          end(host)
        }
      }
      client.destroy()
    }
    // The load goes on while the process ends.
    while (!host.hasExited) {
      try {
        const client = await MtaClient.greeted(host.endpoint)
        await client.ask(command.mail('<ok@example.net>'))
        client.destroy()
      } catch {
        return
      }
    }
  }
  try {
    const sessions = Array.from({ length: SESSIONS }, talk)
    const ended = await host.ended()
    await Promise.all(sessions)
    return { ended, messages, wrong, stderr: host.stderr }
  } finally {
    await host.kill()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , how = 'SIGTERM', times = '20'] = process.argv
  for (let run = 1; run <= Number(times); run++) {
    const { ended, messages, wrong } = await underLoad(host =>
      how === 'SIGTERM'
        ? void host.child.kill('SIGTERM')
        : host.order({ kind: how === 'exit' ? 'exit' : 'throw' }),
    )
    console.log(`run ${run}: ended with ${ended} after ${messages} messages, ${wrong.length} wrong answers`)
  }
}
