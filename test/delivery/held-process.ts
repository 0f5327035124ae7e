/**
 * A process that works on the queue of held messages and kills itself in the middle: before or after one of its
 * changes to the file system, counted from 1. Says on standard output how many changes there were, if it lives.
 */
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { heldSite } from './held-site.ts'
import { ENVELOPE, message, to } from './mail.ts'

const [, , action = '', directory = '', id = '', point = '0', when = 'before'] = process.argv

let count = 0

/** Ends the process here: nothing more is done, whichever thread takes the signal. */
function die(): void {
  process.kill(process.pid, 'SIGKILL')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000)
}

/** Makes a function count, and the process die at its time. */
function dying<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async (...args) => {
    const isLast = ++count === Number(point)
    if (isLast && when === 'before') die()
    try {
      return await call(...args)
    } finally {
      if (isLast) die()
    }
  }
}

const probe = await fs.open(new URL(import.meta.url), 'r')
const handles = Object.getPrototypeOf(probe) as Record<string, (...args: unknown[]) => Promise<unknown>>
await probe.close()

const site = await heldSite(directory)

for (const name of ['rename', 'unlink', 'mkdir', 'rmdir', 'utimes'] as const) {
  Object.assign(fs, { [name]: dying(fs[name] as (...args: unknown[]) => Promise<unknown>) })
}
const open = fs.open
Object.assign(fs, {
  open: (...args: Parameters<typeof open>) =>
    args[1] === 'r' || args[1] === undefined ? open(...args) : dying(open)(...args),
})
for (const name of ['appendFile', 'writeFile', 'sync']) {
  const real = handles[name]
  if (real === undefined) throw new Error(`a file has no ${name}`)
  handles[name] = function (this: unknown, ...args) {
    return dying(() => real.apply(this, args))()
  }
}
syncBuiltinESMExports()

switch (action) {
  case 'hold':
    await site.queue.hold(
      ENVELOPE,
      message('Subject: x\r\n\r\nHello.\r\n'),
      to('team@lists.example.org', site.hold),
    )
    break
  case 'accept':
  case 'allow':
  case 'reject':
  case 'discard': {
    const outcome = await site.moderation.decide(id, action)
    if (!['accepted', 'rejected', 'discarded'].includes(outcome.kind))
      throw new Error(JSON.stringify(outcome))
    break
  }
  case 'recover':
    for await (const _ of site.moderation.recover());
    break
  default:
    throw new Error(action)
}
process.stdout.write(`${count}\n`)
