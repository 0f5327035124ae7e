import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery } from '../../src/app/message.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { end, greeted, inData, start } from './site.ts'

afterEach(end)

describe('what fails', () => {
  test('a store that is away defers, at every phase', async () => {
    let away = false
    const started = await start({
      facts: store => ({
        load: query => {
          if (away) throw new StoreUnavailable('away')
          return store.load(query)
        },
        countPost: post => store.countPost(post),
        admit: admission => store.admit(admission),
      }),
    })
    const client = await inData(started)
    away = true
    client.send('Subject: x', '.', 'MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    expect(await client.replies(3)).toEqual([
      '451 4.3.0 Temporary failure; try again later',
      '250 2.1.0 Ok',
      '451 4.3.0 Temporary failure; try again later',
    ])
    const asking = await LmtpClient.greeted(started.callout)
    expect((await asking.ask('MAIL FROM:<alice@example.net>')).text).toMatch(/^451 4\.3\.0 /)
    asking.destroy()
    expect(started.copies).toEqual([])
  })

  test.each<[string, Delivery['deliver'], string]>([
    ['fails', async (_e, _m, to) => to.map(() => ({ kind: 'failed', cause: new Error('no') })), '451 4.3.0'],
    [
      'is full',
      async (_e, _m, to) =>
        to.map(() => ({ kind: 'failed', cause: Object.assign(new Error('full'), { code: 'ENOSPC' }) })),
      '451 4.3.1',
    ],
    ['throws', () => Promise.reject(new Error('a bug')), '451 4.3.0'],
    ['tells too little', async () => [{ kind: 'delivered' }], '451 4.3.0'],
  ])('a delivery that %s defers each recipient', async (_, deliver, code) => {
    const started = await start({ delivery: { name: 'bad', deliver } })
    const client = await inData(started, ['team', 'open'])
    client.send('Subject: x', '.')
    expect((await client.replies(2)).map(text => text.slice(0, 9))).toEqual([code, code])
    expect(started.log.lines.filter(line => line.message === 'message not delivered').length).toBe(2)
  })

  test('one recipient that cannot be delivered is deferred alone', async () => {
    const started = await start({
      delivery: {
        name: 'half',
        deliver: async (_envelope, _message, to) =>
          to.map(({ list }) =>
            list.startsWith('open') ? { kind: 'failed', cause: new Error('no') } : { kind: 'delivered' },
          ),
      },
    })
    const client = await inData(started, ['team', 'open', 'team'])
    client.send('Subject: x', '.')
    expect((await client.replies(3)).map(text => text.slice(0, 3))).toEqual(['250', '451', '250'])
  })

  test('a bug ends one session, and no other', async () => {
    const started = await start({
      newId: () => {
        throw new Error('a bug')
      },
    })
    const other = await greeted(started)
    const client = await inData(started)
    client.send('Subject: x', '.')
    expect(await client.rest()).toBe('421 4.3.0 Temporary failure; try again later\r\n')
    expect((await other.ask('NOOP')).code).toBe(250)
    expect(started.log.lines).toMatchObject([{ level: 'error', message: 'session failed', mta: '127.0.0.1' }])
    expect(started.copies).toEqual([])
  })

  test('a bug in the law defers', async () => {
    let wild = false
    const started = await start({
      facts: store => ({
        load: query => (wild ? (undefined as never) : store.load(query)),
        countPost: post => store.countPost(post),
        admit: admission => store.admit(admission),
      }),
    })
    const client = await greeted(started)
    await client.ask('MAIL FROM:<alice@example.net>')
    wild = true
    expect((await client.ask('RCPT TO:<team@lists.example.org>')).text).toMatch(/^451 4\.3\.0 /)
    wild = false
    expect((await client.ask('RCPT TO:<team@lists.example.org>')).code).toBe(250)
  })
})
