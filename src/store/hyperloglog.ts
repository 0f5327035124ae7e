/**
 * How many different names there were, without keeping them: HyperLogLog (Flajolet et al. 2007), with linear counting where there
 * are few. 4096 registers of a byte: an error of about 1.6 in a hundred, and two sketches are joined by their larger registers.
 */
import { createHash } from 'node:crypto'

const BITS = 12
const REGISTERS = 2 ** BITS
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)

export class HyperLogLog {
  readonly #registers: Uint8Array

  /** An empty sketch, or one out of what `text` gave. */
  constructor(text?: string) {
    this.#registers = new Uint8Array(REGISTERS)
    if (text === undefined) return
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length === REGISTERS) this.#registers.set(bytes)
  }

  add(name: string): void {
    const hash = createHash('sha1').update(name).digest()
    const register = hash.readUInt16BE(0) >> (16 - BITS)
    // Of 32 further bits, the place of the first one that is set.
    const rank = Math.clz32(hash.readUInt32BE(2)) + 1
    this.#registers[register] = Math.max(this.#registers[register] ?? 0, rank)
  }

  join(other: HyperLogLog): void {
    other.#registers.forEach((rank, register) => {
      this.#registers[register] = Math.max(this.#registers[register] ?? 0, rank)
    })
  }

  count(): number {
    let sum = 0
    let empty = 0
    for (const rank of this.#registers) {
      sum += 2 ** -rank
      if (rank === 0) empty++
    }
    const raw = (ALPHA * REGISTERS * REGISTERS) / sum
    const few = raw <= 2.5 * REGISTERS && empty > 0
    return Math.round(few ? REGISTERS * Math.log(REGISTERS / empty) : raw)
  }

  get text(): string {
    return Buffer.from(this.#registers).toString('base64')
  }
}
