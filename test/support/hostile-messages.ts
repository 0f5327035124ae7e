/** Messages that are made to cost whoever looks at them: much of everything, and nothing in it. */

export interface HostileMessage {
  readonly name: string
  /** Fields without their line ends. */
  readonly header: readonly string[]
  readonly body: string
  /** The reason of the law for a list that looks at parts and at destinations. */
  readonly reason: 'too-many-parts' | 'header-too-large' | 'too-many-destinations'
}

const MIXED = 'Content-Type: multipart/mixed; boundary=b0.'
const FROM = 'From: alice@example.net'

const nested = (depth: number): string =>
  Array.from(
    { length: depth },
    (_, i) => `--b${i}.\r\nContent-Type: multipart/mixed; boundary=b${i + 1}.\r\n\r\n`,
  ).join('')

/** Fields of a thousand addresses each, no longer than an MTA shows a milter. */
const addresses = (thousands: number): readonly string[] =>
  Array.from(
    { length: thousands },
    (_, i) => `To: ${Array.from({ length: 1000 }, (__, j) => `a${i * 1000 + j}@x.example`).join(',\r\n ')}`,
  )

export const HOSTILE_MESSAGES: readonly HostileMessage[] = [
  {
    name: 'a thousand parts',
    header: [FROM, MIXED],
    body: `${'--b0.\r\nContent-Type: text/plain\r\n\r\nx\r\n'.repeat(1000)}--b0.--\r\n`,
    reason: 'too-many-parts',
  },
  {
    name: 'ten megabytes of empty parts',
    header: [FROM, MIXED],
    body: '--b0.\r\n'.repeat(1_500_000),
    reason: 'too-many-parts',
  },
  {
    name: 'a thousand parts in one another',
    header: [FROM, MIXED],
    body: nested(1000),
    reason: 'too-many-parts',
  },
  {
    name: 'a thousand messages in one another',
    header: [FROM, 'Content-Type: message/rfc822'],
    body: 'Content-Type: message/rfc822\r\n\r\n'.repeat(1000),
    reason: 'too-many-parts',
  },
  {
    name: 'a header of ten megabytes',
    header: [FROM, ...new Array<string>(10_000).fill(`X-Filler: ${'x'.repeat(990)}`)],
    body: '',
    reason: 'header-too-large',
  },
  {
    name: 'a million fields',
    header: [FROM, ...new Array<string>(1_000_000).fill('X: y')],
    body: '',
    reason: 'header-too-large',
  },
  {
    name: 'a million addresses in To:',
    header: [FROM, ...addresses(1000)],
    body: '',
    reason: 'header-too-large',
  },
  {
    name: 'as many addresses in To: as a header has room for',
    header: [FROM, ...addresses(11)],
    body: '',
    reason: 'too-many-destinations',
  },
]
