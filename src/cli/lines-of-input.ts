/** Lines of standard input: UTF-8, of bounded length, without what ends them. */
import { EXIT, Failure } from './exit.ts'

export interface InputLine {
  readonly text: string
  /** From 1. */
  readonly number: number
}

/** In characters: an address has fewer by far. */
const MAX_LINE = 4_096

/**
 * Reads line by line; a last line needs no line feed.
 * @throws Failure if the input is not UTF-8 or a line is too long
 */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<InputLine, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let number = 0
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true })
    } catch (cause) {
      throw new Failure(EXIT.data, `line ${number + 1} or one after it: not UTF-8`, { cause })
    }
  }
  for await (const chunk of input) {
    const lines = (rest + decode(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const text of lines) yield { text: text.replace(/\r$/, ''), number: ++number }
    if (rest.length > MAX_LINE) throw new Failure(EXIT.data, `line ${number + 1} is too long`)
  }
  rest += decode()
  if (rest !== '') yield { text: rest.replace(/\r$/, ''), number: number + 1 }
}
