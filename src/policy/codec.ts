/**
 * Requests of the Postfix policy delegation protocol (SMTPD_POLICY_README): `name=value` lines that end in LF, and an
 * empty line. Bytes in, requests out, the same for any cutting of the bytes. Every byte is looked at once. Knows
 * nothing of what the attributes mean.
 */
import { attributeAt, hashByte, NO_HASH } from './attributes.ts'
import { PolicyRequest } from './request.ts'

/** What a request may be at most. */
export interface RequestLimits {
  /** In bytes, without the LF. */
  readonly lineLength: number
  /** Lines, repeated and unlisted attributes included. */
  readonly attributes: number
  /** In bytes, all lines with their LF. */
  readonly requestLength: number
}

/** Postfix takes commands of 2048 bytes and sends 31 attributes; a client's certificate may have long names. */
export const REQUEST_LIMITS: RequestLimits = { lineLength: 8192, attributes: 128, requestLength: 65536 }

/** How a client can break the protocol, and what the log says of it. */
export const FAULTS = {
  'line-too-long': 'a line is too long',
  'too-many-attributes': 'a request has too many attributes',
  'request-too-long': 'a request is too long',
  'nul-byte': 'a line holds a NUL byte',
  'no-equals-sign': 'a line has no equals sign',
  'carriage-return': 'lines end in CR LF where only LF is allowed',
  'not-a-policy-request': 'a request has no attribute request=smtpd_access_policy',
  'no-protocol-state': 'a request has no protocol_state',
} as const

/** The client does not speak the protocol. Nothing that follows on its connection means anything. */
export interface Violation {
  readonly kind: 'violation'
  readonly fault: keyof typeof FAULTS
}

const NUL = 0x00
const LF = 0x0a
const CR = 0x0d
const EQUALS_SIGN = 0x3d
const ASCII = 0x7f

const POLICY_REQUEST = 'smtpd_access_policy'

const NO_BYTES = Buffer.alloc(0)

/** Finds the requests in a client's bytes. One reader for each connection. */
export class RequestReader {
  readonly #limits: RequestLimits
  readonly #request: PolicyRequest
  #violation: Violation | undefined
  /** What was fed and is not consumed: in `#bytes` from `#origin`, where the unfinished request begins, to `#end`. */
  #bytes: Buffer = NO_BYTES
  #origin = 0
  #end = 0
  /** Whether `#bytes` is the reader's own, with room to append. */
  #own = false
  /** Offsets from `#origin`: the next byte to look at, and the begin of its line and its equals sign, if seen. */
  #next = 0
  #line = 0
  #equals = -1
  #hash = NO_HASH
  /** All bytes of the request or-ed together: tells whether all are ASCII. */
  #bits = 0
  /** Whether `#request` still holds the request before. */
  #stale = false

  constructor(limits: RequestLimits = REQUEST_LIMITS) {
    this.#limits = limits
    this.#request = new PolicyRequest(limits.attributes)
  }

  /** Bytes that were fed and belong to no request yet. */
  get unread(): number {
    return this.#end - this.#origin
  }

  /** Takes in bytes. They may be kept without being copied. */
  feed(chunk: Buffer): void {
    const unread = this.unread
    if (this.#violation !== undefined) return
    if (unread === 0) {
      this.#bytes = chunk
      this.#origin = 0
      this.#end = chunk.length
      this.#own = false
      return
    }
    if (!this.#own || this.#bytes.length - this.#end < chunk.length) {
      // Twice what is needed, so that a client that sends byte by byte does not have its bytes copied each time.
      const roomy = Buffer.allocUnsafe(2 * (unread + chunk.length))
      this.#bytes.copy(roomy, 0, this.#origin, this.#end)
      this.#bytes = roomy
      this.#origin = 0
      this.#end = unread
      this.#own = true
    }
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /** The next request; `undefined` if its bytes are not all there; after a violation that violation for ever. */
  next(): PolicyRequest | Violation | undefined {
    if (this.#violation !== undefined) return this.#violation
    if (this.unread === 0) {
      this.#bytes = NO_BYTES
      return undefined
    }
    if (this.#stale) this.#request.clear()
    this.#stale = false
    const { lineLength, requestLength } = this.#limits
    const bytes = this.#bytes
    const origin = this.#origin
    const unread = this.unread
    let next = this.#next
    let equals = this.#equals
    let hash = this.#hash
    let bits = this.#bits
    for (;;) {
      const stop = Math.min(unread, this.#line + lineLength + 1, requestLength)
      let byte = -1
      while (next < stop) {
        byte = bytes[origin + next++] as number
        if (byte === LF || byte === NUL) break
        bits |= byte
        if (equals !== -1) continue
        if (byte === EQUALS_SIGN) equals = next - 1
        else hash = hashByte(hash, byte)
      }
      if (byte === NUL) return this.#broken('nul-byte')
      if (byte !== LF) {
        if (next - this.#line > lineLength) return this.#broken('line-too-long')
        if (next >= requestLength) return this.#broken('request-too-long')
        this.#next = next
        this.#equals = equals
        this.#hash = hash
        this.#bits = bits
        return undefined
      }
      if (next - 1 === this.#line) return this.#whole(next, bits)
      const fault = this.#attribute(equals, next - 1, hash)
      if (fault !== undefined) return this.#broken(fault)
      this.#line = next
      equals = -1
      hash = NO_HASH
    }
  }

  /** A line that is not empty, from `#line` to `end`. */
  #attribute(equals: number, end: number, hash: number): keyof typeof FAULTS | undefined {
    const start = this.#line
    if (equals === -1) {
      const bareReturn = end - start === 1 && this.#bytes[this.#origin + start] === CR
      return bareReturn ? 'carriage-return' : 'no-equals-sign'
    }
    if (this.#request.count === this.#limits.attributes) return 'too-many-attributes'
    const position = attributeAt(this.#bytes, this.#origin + start, this.#origin + equals, hash)
    this.#request.add(position, start, equals, end)
    return undefined
  }

  /** The empty line has been read: the request has `length` bytes. */
  #whole(length: number, bits: number): PolicyRequest | Violation {
    this.#request.finish(this.#bytes, this.#origin, { ascii: bits <= ASCII })
    if (this.#request.get('request') !== POLICY_REQUEST) return this.#broken('not-a-policy-request')
    if (!this.#request.get('protocol_state')) return this.#broken('no-protocol-state')
    this.#origin += length
    this.#next = 0
    this.#line = 0
    this.#equals = -1
    this.#hash = NO_HASH
    this.#bits = 0
    this.#stale = true
    return this.#request
  }

  #broken(fault: keyof typeof FAULTS): Violation {
    this.#bytes = NO_BYTES
    this.#end = this.#origin
    this.#violation = { kind: 'violation', fault }
    return this.#violation
  }
}
