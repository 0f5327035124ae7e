/**
 * Tells systemd how the service is (sd_notify(3)), where systemd asks for it. Node has no datagram sockets of the unix
 * kind, so that systemd's own program carries the word; without it, or without systemd, nothing happens.
 */
import { spawn } from 'node:child_process'
import type { Log } from '../app/log.ts'

export type ServiceState = 'ready' | 'reloading' | 'stopping'

/** Says how the service is, in a word for systemd and one for `systemctl status`. Does not wait. */
export function notify(
  env: NodeJS.ProcessEnv,
  log: Log,
  { state, status }: { readonly state: ServiceState; readonly status: string },
): void {
  if (!env['NOTIFY_SOCKET']) return
  const word = state === 'ready' ? '--ready' : state === 'reloading' ? 'RELOADING=1' : 'STOPPING=1'
  const child = spawn('systemd-notify', ['--no-block', `--status=${status}`, word], { env, stdio: 'ignore' })
  child.on('error', cause => log.warn('systemd not notified', { cause }))
  child.unref()
}
