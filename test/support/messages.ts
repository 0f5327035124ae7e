/** Whole messages for tests: read as the sink reads them, and made of what a vector says of one. */
import { MessageReader, type MessageReading } from '../../src/app/message-reader.ts'
import type { Question } from './vectors.ts'

/** What a message says, with its parts if they are asked for. */
export function readingOf(
  message: Uint8Array,
  options: { readonly parts: boolean } = { parts: false },
): MessageReading {
  const reader = new MessageReader(options)
  reader.push(message)
  return reader.end()
}

const BOUNDARY = 'vector-boundary'

/** The names that a vector's part gives its file. */
function partHeader(text: string): string {
  const [type = '', extension] = text.split(' .')
  const name = extension === undefined ? '' : `; filename="file.${extension}"`
  return `Content-Type: ${type}\r\nContent-Disposition: attachment${name}\r\n\r\n`
}

/** The header of a vector's message, as fields with CR LF between the lines of a folded one. */
export function headerLinesOf({ header, authors, otherAuthors, parts }: Question): readonly string[] {
  const named = header?.some(line => /^from:/i.test(line)) === true
  const list = (mailboxes: readonly string[]): string => mailboxes.map(each => `<${each}>`).join(', ')
  return [
    ...(header ?? []),
    ...(named || authors === undefined || authors.length === 0 ? [] : [`From: ${list(authors)}`]),
    ...(otherAuthors === undefined ? [] : [`Reply-To: ${list(otherAuthors)}`]),
    ...(parts === undefined ? [] : [`Content-Type: multipart/mixed; boundary="${BOUNDARY}"`]),
  ]
}

/** The body of a vector's message, of so many octets if its parts are no longer than that. */
export function bodyOf({ parts }: Question, size: number): string {
  const body =
    parts === undefined
      ? ''
      : `${parts.map(part => `--${BOUNDARY}\r\n${partHeader(part)}x\r\n`).join('')}--${BOUNDARY}--\r\n`
  const filler = size - body.length - 2
  return filler < 0 ? body : `${body}${'x'.repeat(filler)}\r\n`
}

/** A vector's message, of its size where that is enough: the fields of its header, and its body. */
export function partedMessageOf(question: Question): {
  readonly header: readonly string[]
  readonly body: string
} {
  const header = headerLinesOf(question)
  const length = header.reduce((sum, line) => sum + line.length + 2, 2)
  return { header, body: bodyOf(question, (question.size ?? 0) - length) }
}

/** The same in one. */
export function messageOf(question: Question): string {
  const { header, body } = partedMessageOf(question)
  return `${header.map(line => `${line}\r\n`).join('')}\r\n${body}`
}
