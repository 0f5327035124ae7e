/**
 * What clients say to an MTA, so that it leads a conversation with its milter that is worth a record. Names are those of
 * `oracle/scripted-gate.ts`; recipients stand for `…@lists.example.org`.
 */
import type { Endpoint } from '../../../src/app/endpoint.ts'
import { SmtpClient } from '../../support/smtp-client.ts'

export interface Conversation {
  readonly name: string
  /** Of what it is a record. */
  readonly about: string
  /** The only MTA that can lead it. */
  readonly only?: 'postfix'
  /** The filters that it is led with, if not all: what the MTA says depends on the answer. */
  readonly endsWith?: 'libmilter'
  lead(mta: Endpoint): Promise<void>
}

const HEAD =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nSubject: Hello\r\n'
const MESSAGE = `${HEAD}\r\nHello.\r\n`

async function greeted(mta: Endpoint): Promise<SmtpClient> {
  const client = await SmtpClient.connect(mta)
  await client.command('EHLO client.example.net')
  return client
}

const mail = (sender: string): string => `MAIL FROM:<${sender === '' ? '' : `${sender}@example.net`}>`
const rcpt = (recipient: string): string => `RCPT TO:<${recipient}@lists.example.org>`

/** One message; gives the last reply. */
async function send(
  client: SmtpClient,
  sender: string,
  recipients: readonly string[],
  message = MESSAGE,
): Promise<string> {
  await client.dialogue(mail(sender), ...recipients.map(rcpt))
  return client.data(message)
}

/** One client that says all of it, and QUIT. */
const byOne =
  (say: (client: SmtpClient) => Promise<unknown>) =>
  async (mta: Endpoint): Promise<void> => {
    const client = await greeted(mta)
    await say(client)
    await client.quit()
  }

export const CONVERSATIONS: readonly Conversation[] = [
  {
    name: 'recipients',
    about: 'Recipients that are refused, refused for now, taken, and none of ours, of one message.',
    lead: byOne(client => send(client, 'ok', ['no', 'ok', 'wait', 'else', 'Ok-2'])),
  },
  {
    name: 'pipelined',
    about: 'The same, by a client that does not wait for replies.',
    lead: byOne(async client => {
      await client.pipeline(mail('ok'), ...['no', 'ok', 'wait', 'else', 'Ok-2'].map(rcpt))
      await client.data(MESSAGE)
    }),
  },
  {
    name: 'none-taken',
    about: 'No recipient is taken, and another message follows.',
    lead: byOne(async client => {
      await client.dialogue(mail('ok'), rcpt('no'), rcpt('wait'), 'DATA', 'RSET')
      await send(client, 'ok', ['ok'])
    }),
  },
  {
    name: 'several',
    about:
      'Several messages on one connection: taken, refused at the end, refused for now at the end, none of ours, and taken.',
    lead: byOne(async client => {
      await send(client, 'ok', ['ok'])
      await send(client, 'stop-at-end', ['ok', 'ok-2'])
      await send(client, 'late-at-end', ['ok'])
      await send(client, 'ok', ['else'])
      await send(client, 'ok', ['ok', 'else'])
    }),
  },
  {
    name: 'reset',
    about: 'RSET after each command, and EHLO in the midst of a transaction.',
    lead: byOne(async client => {
      await client.dialogue('RSET', mail('ok'), 'RSET', mail('ok'), rcpt('ok'), 'RSET')
      await client.dialogue(mail('ok'), rcpt('no'), 'RSET', mail('ok'), rcpt('ok'), 'EHLO again.example.net')
      await client.dialogue('NOSUCH', 'NOOP')
      await send(client, 'ok', ['ok'])
      await client.dialogue('RSET')
    }),
  },
  {
    name: 'refused-early',
    about: 'Senders that are refused, and hosts that are, from EHLO on.',
    lead: async mta => {
      const client = await greeted(mta)
      await client.dialogue(mail('no'), mail('wait'))
      await send(client, 'ok', ['ok'])
      await client.quit()
      for (const name of ['no.example.net', 'wait.example.net']) {
        const refused = await SmtpClient.connect(mta)
        await refused.dialogue(`EHLO ${name}`, mail('ok'), rcpt('ok'))
        await refused.quit()
      }
    },
  },
  {
    name: 'null-sender',
    about: 'The null sender.',
    lead: byOne(client => send(client, '', ['ok'])),
  },
  {
    name: 'refused-at-data',
    about: 'A message that is refused at DATA, and one after it.',
    lead: byOne(async client => {
      await client.dialogue(mail('stop-at-data'), rcpt('ok'), 'DATA', 'RSET')
      await send(client, 'ok', ['ok'])
    }),
  },
  {
    name: 'rcpt-after-refused-data',
    about: 'A recipient after a refused DATA, in the same transaction.',
    only: 'postfix',
    endsWith: 'libmilter',
    lead: byOne(client =>
      client.dialogue(mail('stop-at-data'), rcpt('ok'), 'DATA', rcpt('ok-2'), 'RSET', mail('ok')),
    ),
  },
  {
    name: 'break-off',
    about: 'Clients that are gone, after each command and in the midst of a message.',
    lead: async mta => {
      const script = [mail('ok'), rcpt('ok'), 'DATA']
      for (let length = 0; length <= script.length; length++) {
        const client = await greeted(mta)
        await client.dialogue(...script.slice(0, length))
        if (length === script.length) client.send('Subject: half a mess')
        client.destroy()
      }
    },
  },
  {
    name: 'hold',
    about: 'Held for all, held for one of two, held for one and another that is none of ours.',
    lead: byOne(async client => {
      await send(client, 'ok', ['hold', 'hold-2'])
      await send(client, 'ok', ['hold', 'ok'])
      await send(client, 'ok', ['hold', 'else'])
    }),
  },
  {
    name: 'discard',
    about:
      'Dropped for all, for one of two, for one of two in capitals, beside one that is none of ours, and held.',
    lead: byOne(async client => {
      await send(client, 'ok', ['drop', 'drop-2'])
      await send(client, 'ok', ['drop', 'ok'])
      await client.dialogue(mail('ok'), 'RCPT TO:<Drop@LISTS.example.org>', rcpt('ok'))
      await client.data(MESSAGE)
      await send(client, 'ok', ['drop', 'else'])
      await send(client, 'ok', ['drop', 'hold'])
    }),
  },
  {
    name: 'content',
    about: 'Folded fields, empty ones, ones of eight bits, and a body of more than one piece.',
    lead: byOne(async client => {
      const fields =
        'X-Folded: one\r\n two\r\n\tthree\r\nX-Empty:\r\nX-Tight:a | b \\ c\r\nX-Bytes: Grüße\r\n'
      await client.dialogue(`${mail('ok')} BODY=8BITMIME`, rcpt('ok'))
      await client.data(`${HEAD}${fields}\r\n${'x'.repeat(70)}\r\n.dots\r\n\tGrüße\r\n`)
      await client.dialogue(`${mail('ok')} SIZE=150000`, rcpt('ok'))
      await client.data(`${HEAD}\r\n${'x'.repeat(150_000)}\r\n`)
      await send(client, 'ok', ['ok'], HEAD)
    }),
  },
  {
    name: 'names',
    about: 'A client by IPv6, with a name, with a SASL login, and one whose name is refused.',
    only: 'postfix',
    lead: async mta => {
      for (const attributes of [
        'ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE]',
        'ADDR=192.0.2.1 NAME=mx.example.net LOGIN=alice',
        'ADDR=192.0.2.1 NAME=no.example.net',
      ]) {
        const client = await greeted(mta)
        await client.command(`XCLIENT ${attributes}`)
        await client.command('EHLO client.example.net')
        await send(client, 'ok', ['ok'])
        await client.quit()
      }
    },
  },
  {
    name: 'starttls',
    about: 'A client that goes over to TLS.',
    only: 'postfix',
    lead: byOne(async client => {
      await client.startTls()
      await client.command('EHLO client.example.net')
      await send(client, 'ok', ['ok'])
    }),
  },
]
