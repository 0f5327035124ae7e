/** A Postfix or a Sendmail whose milter is wherever a test says, and that hands all lists' mail to a sink. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../../src/app/endpoint.ts'
import { startPostfix, whyNoPostfix } from '../../support/postfix.ts'
import { startSendmail, whyNoSendmail } from '../../support/sendmail.ts'
import { startTrap, type Trap } from '../../support/trap.ts'

type TcpEndpoint = Extract<Endpoint, { kind: 'tcp' }>

export interface Mta {
  readonly endpoint: Endpoint
  stop(): Promise<void>
}

/** As much of an MTA's version as its conversations may depend on. */
const POSTFIX_VERSION = '3.7'

/** Postfix waits for its milter so long, in seconds. */
const PATIENCE = 3

const MAIN_CF = (sink: Trap, directory: string): string => `
milter_command_timeout = ${PATIENCE}s
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = lists.example.org
virtual_mailbox_maps =
virtual_transport = lmtp:inet:127.0.0.1:${sink.endpoint.port}
local_header_rewrite_clients =
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${directory}/cert.pem
smtpd_tls_key_file = ${directory}/key.pem
smtpd_tls_loglevel = 1
`

function makeCertificate(directory: string): void {
  const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, '-subj', '/CN=mx.example.org', ...files], {
    stdio: 'ignore',
  })
}

async function postfix(milter: TcpEndpoint): Promise<Mta> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-recorded-'))
  chmodSync(directory, 0o755)
  makeCertificate(directory)
  const sink = await startTrap({ lmtp: true })
  const running = await startPostfix({
    snippets: ['main.cf.milter'],
    replace: { 'inet:127.0.0.1:10041': `inet:${milter.host}:${milter.port}` },
    mainCf: MAIN_CF(sink, directory),
  })
  return {
    endpoint: running.endpoint,
    stop: async () => {
      await running.stop()
      await sink.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function sendmail(milter: TcpEndpoint): Promise<Mta> {
  const sink = await startTrap({ lmtp: true })
  const running = await startSendmail({ milter, lmtp: sink.endpoint })
  return {
    endpoint: running.endpoint,
    stop: async () => {
      await running.stop()
      await sink.stop()
    },
  }
}

function whyNotThisPostfix(): string | undefined {
  const why = whyNoPostfix()
  if (why !== undefined) return why
  const version = execFileSync('/usr/sbin/postconf', ['-dh', 'mail_version'], { encoding: 'utf8' }).trim()
  return version.startsWith(`${POSTFIX_VERSION}.`) ? undefined : `this is Postfix ${version}`
}

/** The MTAs whose conversations are recorded; `folder` is where, and names the version. */
export const MTAS = {
  postfix: { folder: `postfix-${POSTFIX_VERSION}`, whyNot: whyNotThisPostfix, start: postfix },
  // The only one that the tests have, and the only one that is said to be tried.
  sendmail: { folder: 'sendmail-8.17', whyNot: whyNoSendmail, start: sendmail },
} as const

export type MtaName = keyof typeof MTAS
