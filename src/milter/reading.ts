/**
 * What is read of a message as it passes by: its header if it goes to a list, and its parts if one of its lists looks at
 * them and the MTA sends bodies. All else is counted and forgotten.
 */
import { HeaderReader } from '../app/header-reader.ts'
import type { MessageReading } from '../app/message-reader.ts'
import { PartsReader } from '../app/parts-reader.ts'
import type { MessageParts } from '../core/content.ts'

export class Reading {
  readonly #header = new HeaderReader()
  #reader: PartsReader | undefined
  #parts: MessageParts | undefined

  /** A field of the header. */
  add(name: string, value: string): void {
    this.#header.add(name, value)
  }

  /** The header is whole. With `parts` the body is looked at, if it can tell anything that the header does not. */
  endHeader({ parts }: { readonly parts: boolean }): void {
    if (!parts) return
    this.#reader = new PartsReader(this.#header.content().fields)
    if (!this.#reader.wantsMore) this.end()
  }

  /** Whether the body is looked at, so that what is read is not all there yet. */
  get wantsBody(): boolean {
    return this.#reader !== undefined
  }

  /** Some of the body. The bytes are not kept. */
  body(bytes: Uint8Array): void {
    this.#reader?.push(bytes)
  }

  /** The body is whole. */
  end(): void {
    this.#parts ??= this.#reader?.end()
    this.#reader = undefined
  }

  /** As far as it is here. */
  get soFar(): MessageReading {
    return { authorship: this.#header.authorship, content: this.#header.content(this.#parts) }
  }
}
