/**
 * Whether the process that has claimed a held message is still there. A claim is signed `PID-START-PLACE`: the
 * process, when it was started, so that another of the same number is not taken for it, and a word for the running
 * system and its process numbers, so that a container does not judge another's processes.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process of another place is given up when its claim was not touched for so long; in milliseconds. */
export const FOREIGN_PATIENCE_MS = 600_000

/** How often a claim is touched. */
export const TOUCH_MS = 60_000

function textOf(read: () => string): string {
  try {
    return read().trim()
  } catch {
    return ''
  }
}

/** In clock ticks since the system was started; 0 where the system does not tell (proc(5)). */
function startOf(pid: number): string {
  const stat = textOf(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  // The second field is the program's name, and may hold spaces and brackets.
  return /^\d+$/.exec(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '')?.[0] ?? '0'
}

function place(): string {
  const parts = [
    textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')),
    textOf(() => readlinkSync('/proc/self/ns/pid')),
    hostname(),
  ]
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 8)
}

const HERE = place()

/** This process. */
export const OWNER = `${process.pid}-${startOf(process.pid)}-${HERE}`

/** The pattern of an owner in a file's name. */
export const OWNER_PATTERN = '\\d{1,10}-\\d{1,20}-[0-9a-f]{8}'

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Whether a claim's owner is gone. `untouchedMs`: for how long nobody has touched the claim. */
export function isGone(owner: string, untouchedMs: number): boolean {
  const [pid = '', start = '', at = ''] = owner.split('-')
  if (at !== HERE) return untouchedMs > FOREIGN_PATIENCE_MS
  if (!isThere(Number(pid))) return true
  const now = startOf(Number(pid))
  return start !== '0' && now !== '0' && now !== start
}
