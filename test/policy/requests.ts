/** Policy requests for tests, as the MTAs write them. */
import { ATTRIBUTE_NAMES, type AttributeName } from '../../src/policy/attributes.ts'

export type Values = Partial<Record<AttributeName, string>>

/** A request of the given attributes, in the given order; `request=` comes first. */
export function request(values: Values): string {
  const all = { request: 'smtpd_access_policy', ...values }
  return `${Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')}\n`
}

/** A RCPT question of a stranger to a members-only list, or with other values. */
export function rcpt(values: Values = {}): string {
  return request({
    protocol_state: 'RCPT',
    client_address: '192.0.2.1',
    sender: 'eve@example.com',
    recipient: 'team@lists.example.org',
    ...values,
  })
}

const POSTFIX_VALUES: Values = {
  request: 'smtpd_access_policy',
  protocol_name: 'ESMTP',
  client_address: '192.0.2.1',
  client_name: 'mx.example.net',
  client_port: '40938',
  reverse_client_name: 'mx.example.net',
  server_address: '198.51.100.7',
  server_port: '25',
  helo_name: 'mx.example.net',
  recipient_count: '0',
  size: '0',
  encryption_keysize: '0',
}

/** Every attribute that Postfix 3.7 sends, in its order; what is not given is as Postfix fills it. */
export function postfix37(values: Values): string {
  const sent = ATTRIBUTE_NAMES.filter(name => name !== 'compatibility_level' && name !== 'mail_version')
  const all = { ...POSTFIX_VALUES, ...values }
  return `${sent.map(name => `${name}=${all[name] ?? ''}\n`).join('')}\n`
}

/** The same of Postfix 3.11, which also says which version it is. */
export function postfix311(values: Values): string {
  const versions = { compatibility_level: '3.11', mail_version: '3.11.6' }
  return postfix37(values).replace(
    /\n\n$/,
    `\n${Object.entries(versions)
      .map(pair => `${pair.join('=')}\n`)
      .join('')}\n`,
  )
}

export const STRANGER_REFUSED = 'action=550 5.7.2 You are not permitted to post to team@lists.example.org\n\n'
export const NO_OBJECTION = 'action=DUNNO\n\n'
