/** Line ends as programs on Unix expect them: CR LF becomes LF. A CR or LF that stands alone is text, and stays. */

const CR = 13
const LF = 10

/** Leaves out every CR that an LF follows in the same piece. */
function withoutCrs(piece: Uint8Array): Uint8Array {
  let cr = piece.indexOf(CR)
  if (cr === -1) return piece
  const result = Buffer.allocUnsafe(piece.length)
  let length = 0
  let from = 0
  for (; cr !== -1; cr = piece.indexOf(CR, cr + 1)) {
    if (piece[cr + 1] !== LF) continue
    result.set(piece.subarray(from, cr), length)
    length += cr - from
    from = cr + 1
  }
  result.set(piece.subarray(from), length)
  return result.subarray(0, length + piece.length - from)
}

/** The same bytes with LF for every CR LF, however they are cut into pieces. */
export async function* unixLineEnds(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = false
  for await (const piece of pieces) {
    if (piece.length === 0) continue
    const endsInCr = piece[piece.length - 1] === CR
    const whole = held ? Buffer.concat([Buffer.of(CR), piece]) : piece
    held = endsInCr
    const ready = withoutCrs(endsInCr ? whole.subarray(0, -1) : whole)
    if (ready.length > 0) yield ready
  }
  if (held) yield Buffer.of(CR)
}
