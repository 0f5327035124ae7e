/** Line ends for programs: the same whatever pieces a message comes in. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { unixLineEnds } from '../../src/delivery/line-ends.ts'

async function* piecesOf(texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, 'latin1')
}

async function converted(texts: readonly string[]): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of unixLineEnds(piecesOf(texts))) pieces.push(piece)
  return Buffer.concat(pieces).toString('latin1')
}

describe('line ends', () => {
  test.each([
    [['a\r\nb\r\n'], 'a\nb\n'],
    [['a\r', '\nb'], 'a\nb'],
    [['a\r', '', '\nb'], 'a\nb'],
    [['\r', '\n', '\r', '\n'], '\n\n'],
    [['a\r', 'b'], 'a\rb'],
    [['a\r'], 'a\r'],
    [['a\r\r\n'], 'a\r\n'],
    [['\r', '\r', '\n'], '\r\n'],
    [['a\nb\0\xff\x80\r\n'], 'a\nb\0\xff\x80\n'],
    [[], ''],
  ])('%j become %j', async (texts, want) => {
    expect(await converted(texts)).toBe(want)
  })

  test('are those of the whole, however it is cut', async () => {
    const text = fc.string({ unit: fc.constantFrom('\r', '\n', 'a', '\xe9') })
    await fc.assert(
      fc.asyncProperty(fc.array(text), async texts => {
        expect(await converted(texts)).toBe(texts.join('').replaceAll('\r\n', '\n'))
      }),
    )
  })
})
