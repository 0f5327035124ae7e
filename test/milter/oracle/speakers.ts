/** How conversations are held with a filter: as an MTA that hears the answers, and as a peer that sends all at once. */
import { connect } from 'node:net'
import type { Endpoint } from '../../../src/app/endpoint.ts'
import { SMFIP } from '../../../src/milter/negotiate.ts'
import { MtaClient } from '../mta-client.ts'
import { type Answer, command, ResponseReader } from '../mta-wire.ts'
import type { Step } from './conversations.ts'

/** Sends everything, ends, and gives what came back until the filter closed the connection. */
export async function exchange(endpoint: Endpoint, bytes: Buffer): Promise<readonly Answer[]> {
  const socket = connect(
    endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port },
  )
  const reader = new ResponseReader()
  const answers: Answer[] = []
  socket.on('data', chunk => void answers.push(...reader.push(chunk as Buffer)))
  socket.on('error', () => {})
  socket.end(bytes)
  // A filter that closes with commands unread resets the connection; what it had said before is there.
  await new Promise<void>(resolve => {
    socket.on('close', () => resolve())
  })
  return answers
}

/** What each step was answered, found by ending the conversation after each. */
export async function answersByStep(
  endpoint: Endpoint,
  steps: readonly Step[],
): Promise<readonly (readonly Answer[])[]> {
  const found: (readonly Answer[])[] = []
  let before = 0
  for (let end = 1; end <= steps.length; end++) {
    const answers = await exchange(endpoint, Buffer.concat(steps.slice(0, end).map(({ bytes }) => bytes)))
    found.push(answers.slice(before))
    before = answers.length
  }
  return found
}

/** Commands that are never answered once so much was agreed on as all filters here ask for. */
const NEVER_ANSWERED = 'LAUK'

/**
 * Leads a conversation as an MTA does: a message that is over is not gone on with, nor one that has no recipient. Gives
 * each command with its answers. Bodies are answered if the filter wants it so; their answers are left out.
 */
export async function lead(endpoint: Endpoint, steps: readonly Step[]): Promise<readonly string[]> {
  const client = await MtaClient.open(endpoint)
  const heard: string[] = []
  let answersBodies = false
  let over = false
  let recipients = 0
  for (const { text, bytes } of steps) {
    const code = text[0] ?? ''
    if (code === 'M') {
      over = false
      recipients = 0
    } else if (over && code !== 'A') continue
    else if ('TLNBE'.includes(code) && recipients === 0) continue
    if (NEVER_ANSWERED.includes(code)) {
      client.send(bytes)
      continue
    }
    if (code === 'B' && !answersBodies) {
      client.send(bytes)
      continue
    }
    const answers = await client.ask(bytes)
    if (code === 'B') continue
    const last = answers.at(-1) ?? ''
    heard.push(`${text}: ${code === 'O' ? '' : answers.join(', ')}`)
    if (code === 'O') answersBodies = (Number.parseInt(last.split(' ')[3] ?? '0', 16) & SMFIP.NR_BODY) === 0
    if (code === 'R' && last === 'c' && !text.endsWith('error')) recipients++
    if (code === 'C' && last !== 'c') break
    if ('MTN'.includes(code) && last !== 'c') {
      over = true
      if (code !== 'M') client.send(command.abort())
    }
    if (code === 'E') over = true
    if (last === 'closed') break
  }
  client.send(command.quit())
  await client.closed()
  return heard
}
