/**
 * What goes between libmilter's thread and the main one. libmilter's callbacks must answer before they return, and the
 * gate may have to wait for its store: the thread posts an event and sleeps until the main thread has answered it.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Wishes } from '../negotiate.ts'
import type { Modification } from '../response.ts'

/** An event of an MTA's connection, with the macros that it is judged by. */
export type Event =
  | { readonly kind: 'connect'; readonly host: string; readonly address: string | undefined }
  | { readonly kind: 'helo'; readonly name: string }
  | { readonly kind: 'mail'; readonly path: string; readonly parameters: readonly string[] }
  | { readonly kind: 'rcpt'; readonly path: string }
  | { readonly kind: 'data' | 'end-of-headers' | 'end-of-message' | 'abort' | 'close' }
  | { readonly kind: 'header'; readonly name: string; readonly value: string; readonly size: number }
  | { readonly kind: 'body'; readonly size: number; readonly bytes?: Uint8Array }

/** An event on its way. `call` is 0 where nothing waits for an answer. */
export interface Call {
  readonly call: number
  /** An SMTP connection: several may follow one another on one connection of the MTA. */
  readonly session: number
  readonly event: Event
  readonly macros: ReadonlyMap<string, string>
}

/** The answer, as libmilter takes it. */
export interface Reply {
  readonly status: number
  /** For REJECT and TEMPFAIL in our own words. */
  readonly words?: { readonly code: string; readonly enhanced: string; readonly lines: readonly string[] }
  readonly modifications?: readonly Modification[]
  /** To the end of the header: the body's bytes are wanted, and not only their number. */
  readonly wantsBody?: boolean
}

export interface Answered {
  readonly call: number
  readonly reply: Reply
}

/** What both threads see at once. */
export const SHARED = {
  /** The call that was answered last. */
  ANSWERED: 0,
  /** How the process ends: 0, then 1 once it does, then 2 once libmilter calls nobody any more. */
  EXIT: 1,
} as const
export const EXIT = { BEGUN: 1, QUIET: 2 } as const

/** What the thread is made with. */
export interface ThreadData {
  readonly calls: MessagePort
  /** Shared by both threads: see `SHARED`. */
  readonly shared: Int32Array
  readonly connection: string
  readonly wishes: Wishes
  readonly maxConnections: number
  /** For an answer, in milliseconds. */
  readonly decisionTime: number
}

/** To the thread: finish what is on its way within a time, in milliseconds, and end; or the process ends now. */
export type Order = { readonly kind: 'end'; readonly graceMs: number } | { readonly kind: 'exit' }

/** From the thread. */
export type Report =
  | { readonly kind: 'listening' }
  /** It could not start, or has ended by itself. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'missed'; readonly names: readonly string[] }
  /** An MTA was turned away. */
  | { readonly kind: 'turned-away'; readonly problem: string }
  /** One connection too many; `again` if that was so of the one before, too. */
  | { readonly kind: 'crowded'; readonly again: boolean }
  | { readonly kind: 'late' }
  | { readonly kind: 'refused-by-libmilter'; readonly what: string }
  /** No callback comes any more. `mainEnded` is whether `smfi_main` has returned. */
  | { readonly kind: 'ended'; readonly mainEnded: boolean }

/** The thread's end: posts events, and waits for answers. */
export class Caller {
  readonly #port: MessagePort
  readonly #shared: Int32Array
  readonly #decisionTime: number
  #call = 0

  constructor({ calls, shared, decisionTime }: ThreadData) {
    this.#port = calls
    this.#shared = shared
    this.#decisionTime = decisionTime
  }

  /** Posts an event and does not wait. */
  tell(event: Omit<Call, 'call'>): void {
    this.#port.postMessage({ call: 0, ...event } satisfies Call)
  }

  /** Posts an event and waits for its answer; `undefined` if there is none in time. */
  ask(event: Omit<Call, 'call'>): Reply | undefined {
    this.#call = this.#call === 0x7fffffff ? 1 : this.#call + 1
    const call = this.#call
    this.#port.postMessage({ call, ...event } satisfies Call)
    const deadline = performance.now() + this.#decisionTime
    for (;;) {
      const last = Atomics.load(this.#shared, SHARED.ANSWERED)
      if (last === call) break
      const left = deadline - performance.now()
      if (left <= 0 || Atomics.load(this.#shared, SHARED.EXIT) !== 0) return undefined
      Atomics.wait(this.#shared, SHARED.ANSWERED, last, left)
    }
    for (;;) {
      // Answers to calls that were given up may lie before this one's.
      const received = receiveMessageOnPort(this.#port) as { readonly message: Answered } | undefined
      if (received === undefined) return undefined
      if (received.message.call === call) return received.message.reply
    }
  }
}

/** The main thread's end: hears events, and answers. */
export class Callee {
  readonly #port: MessagePort
  readonly #shared: Int32Array
  #waiting = 0

  constructor(port: MessagePort, shared: Int32Array, handle: (call: Call) => void) {
    this.#port = port
    this.#shared = shared
    port.on('message', (call: Call) => {
      if (call.call !== 0) this.#waiting = call.call
      handle(call)
    })
  }

  /** Answers, unless nobody waits for it any more. */
  answer({ call }: Call, reply: Reply): void {
    if (call === 0 || call !== this.#waiting) return
    this.#port.postMessage({ call, reply } satisfies Answered)
    Atomics.store(this.#shared, SHARED.ANSWERED, call)
    Atomics.notify(this.#shared, SHARED.ANSWERED)
  }

  /** Lets whoever waits for an answer go without one: there are no more. */
  release(): void {
    Atomics.store(this.#shared, SHARED.EXIT, EXIT.BEGUN)
    Atomics.notify(this.#shared, SHARED.ANSWERED)
  }

  close(): void {
    this.#port.close()
  }
}
