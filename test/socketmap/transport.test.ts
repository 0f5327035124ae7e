/** The way to the sink, as Postfix writes it. */
import { expect, test } from 'vitest'
import { parseEndpoint } from '../../src/app/endpoint.ts'
import { transportTo } from '../../src/socketmap/transport.ts'
import { must } from '../support/vectors.ts'

test.each<[string[], string | undefined]>([
  [['127.0.0.1:10042'], 'lmtp:inet:127.0.0.1:10042'],
  [['localhost:24'], 'lmtp:inet:localhost:24'],
  [['[::1]:10042'], 'lmtp:inet:[::1]:10042'],
  [['0.0.0.0:10042'], 'lmtp:inet:127.0.0.1:10042'],
  [['[::]:10042'], 'lmtp:inet:[::1]:10042'],
  [['unix:/run/postern/lmtp'], 'lmtp:unix:/run/postern/lmtp'],
  [['unix:/var/spool/postfix/postern/lmtp'], 'lmtp:unix:postern/lmtp'],
  [['unix:/var/spool/postfix-out/postern/lmtp'], 'lmtp:unix:/var/spool/postfix-out/postern/lmtp'],
  [['127.0.0.1:0', '127.0.0.1:24', 'unix:/lmtp'], 'lmtp:inet:127.0.0.1:24'],
  [['127.0.0.1:0'], undefined],
  [[], undefined],
])('%j: %s', (endpoints, want) => {
  expect(transportTo(endpoints.map(text => must(parseEndpoint(text))))).toBe(want)
})
