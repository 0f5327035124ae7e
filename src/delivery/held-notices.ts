/**
 * Sends notices to people whose posts were refused by a moderator: short plain text from the list's owners, marked as
 * automatic (RFC 3834), with the null sender so that nothing ever comes back, handed to an MTA by SMTP.
 */
import type { Endpoint } from '../app/endpoint.ts'
import type { SendNotice } from '../app/moderation/notices.ts'

export interface NoticeSettings {
  readonly mta: Extract<Endpoint, { kind: 'tcp' }>
  /** What this system calls itself. */
  readonly hostname: string
  /** For connecting, and for every answer. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 30_000

export function createNoticeSender({ mta, hostname, timeoutMs = TIMEOUT_MS }: NoticeSettings): SendNotice {
  return async ({ from, to, subject, text, inReplyTo }) => {
    const { createTransport } = await import('nodemailer')
    const transport = createTransport({
      host: mta.host,
      port: mta.port,
      name: hostname,
      // On the host itself or in its own network: a certificate is seldom one that the name is in.
      secure: false,
      tls: { rejectUnauthorized: false },
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
    })
    try {
      await transport.sendMail({
        envelope: { from: '', to: [to.text] },
        from,
        to: to.text,
        subject,
        text,
        ...(inReplyTo !== '' && { inReplyTo, references: inReplyTo }),
        headers: { 'Auto-Submitted': 'auto-replied' },
        disableFileAccess: true,
        disableUrlAccess: true,
      })
    } finally {
      transport.close()
    }
  }
}
