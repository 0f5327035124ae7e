/** Documents for tests: as bytes in chunks of any size, read whole, and made up at random. */
import fc from 'fast-check'
import { type DocumentEntry, readDocument } from '../../src/app/document.ts'
import { exportDocument } from '../../src/app/document-export.ts'
import { type ImportNews, type ImportOptions, importDocument } from '../../src/app/document-import.ts'
import { DocumentError } from '../../src/app/document-text.ts'
import type { Directory } from '../../src/app/ports.ts'
import { ACTIONS, FLAVOURS } from '../../src/core/list.ts'
import { ROLES } from '../../src/core/person.ts'

/** A text or a value as UTF-8, in chunks. */
export async function* bytesOf(document: unknown, chunk = 1 << 16): AsyncGenerator<Uint8Array> {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  const bytes = new TextEncoder().encode(text)
  for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk)
}

/** What reading came to: every entry before the end, or before the error. */
export async function read(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ readonly entries: readonly DocumentEntry[]; readonly error: DocumentError | undefined }> {
  const entries: DocumentEntry[] = []
  try {
    for await (const batch of readDocument(chunks)) entries.push(...batch)
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error
    return { entries, error }
  }
  return { entries, error: undefined }
}

/** Imports a document, and gives what was said except progress. */
export async function imported(
  directory: Directory,
  document: unknown,
  options: Partial<ImportOptions> = {},
): Promise<readonly ImportNews[]> {
  const told: ImportNews[] = []
  const report = (news: ImportNews): void => {
    if (news.kind !== 'progress') told.push(news)
  }
  await importDocument(directory, bytesOf(document), { dryRun: false, report, ...options })
  return told
}

/** Everything in a store, as text. */
export async function exported(directory: Directory): Promise<string> {
  let text = ''
  for await (const piece of exportDocument(directory, 'everything')) text += piece
  return text
}

const label = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/)
const domain = fc.tuple(label, label).map(labels => labels.join('.'))
const atom = fc.stringMatching(/^[a-z0-9+.=_-]{1,8}$/)
const quoted = fc.stringMatching(/^[ -~äßЖ]{1,8}$/).map(text => `"${text.replace(/["\\]/g, '\\$&')}"`)
const mailbox = fc.tuple(fc.oneof(atom, quoted), domain).map(parts => parts.join('@'))
const who = fc.oneof(
  mailbox,
  domain.map(name => `@${name}`),
  domain.map(name => `@.${name}`),
)
const roles = fc.uniqueArray(fc.constantFrom(...ROLES), { minLength: 1 })
const person = fc.oneof(
  fc.record({ who, roles, action: fc.constantFrom(...ACTIONS) }, { requiredKeys: ['who', 'roles'] }),
  fc.record({ who: mailbox, roles, linked: mailbox, seen: fc.boolean() }),
  fc.record({ who: mailbox, roles, seen: fc.boolean() }),
)
const settings = fc.record(
  {
    state: fc.constantFrom('active', 'paused', 'closed'),
    member_action: fc.constantFrom(...ACTIONS),
    identity: fc.constantFrom('envelope', 'author', 'any'),
    max_size: fc.oneof(fc.nat(), fc.nat().map(String)),
    rate: fc.constantFrom('', '10/1h', '3/90s', '1/2d'),
    reply_text: fc.constantFrom('', 'Members "only"', 'a \\ b'),
    reply_url: fc.constantFrom('', 'https://lists.example.org/team'),
    mode: fc.constantFrom('enforce', 'shadow'),
  },
  { requiredKeys: [] },
)
const network = fc.constantFrom('192.0.2.0/24', '2001:db8::/32', 'mx.example.net', '.example.com', '::1')

/** Documents that are in order: few domains, lists in them, anything else. */
export const anyDocument = fc
  .uniqueArray(domain, { minLength: 1, maxLength: 3 })
  .chain(domains =>
    fc.record({
      domains: fc.tuple(
        ...domains.map(name => fc.constantFrom(...FLAVOURS).map(flavour => ({ domain: name, flavour }))),
      ),
      lists: fc.uniqueArray(
        fc.record(
          {
            address: fc
              .tuple(fc.oneof(atom, quoted), fc.constantFrom(...domains))
              .map(parts => parts.join('@')),
            settings,
            bans: fc.array(who, { maxLength: 3 }),
            people: fc.array(person, { maxLength: 5 }),
          },
          { requiredKeys: ['address'] },
        ),
        { maxLength: 4, selector: list => list.address.normalize('NFC').toLowerCase().replaceAll('"', '') },
      ),
      bans: fc.array(who, { maxLength: 3 }),
      forbidden: fc.array(who, { maxLength: 3 }),
      mtas: fc.record({
        known: fc.array(network, { maxLength: 3 }),
        refused: fc.array(network, { maxLength: 3 }),
      }),
    }),
  )
  .map(parts => ({ postern: 1, ...parts }))
