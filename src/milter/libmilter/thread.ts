/**
 * The thread in which libmilter and koffi live. Every callback comes here, one after another; what it is to answer
 * is decided in the main thread, whose event loop stays free meanwhile.
 *
 * What libmilter knows by itself is left to it: the order of commands, frames, replies that are not due. Headers are never
 * answered by us: where an MTA wants an answer to them libmilter says `continue`.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { agree, MACROS, SMFIF, SMFIP, VERSION } from '../negotiate.ts'
import type { Modification } from '../response.ts'
import {
  type Call,
  Caller,
  type Event,
  EXIT,
  type Order,
  type Reply,
  type Report,
  SHARED,
  type ThreadData,
} from './calls.ts'
import { LibmilterError } from './faults.ts'
import { type Context, type Libmilter, loadLibmilter, MI_SUCCESS, type Offered } from './smfi.ts'
import { SMFIS } from './status.ts'

/** Of events that are not waited for, every so many one is: the main thread must not fall behind without bound. */
const UNANSWERED_AHEAD = 64

/** Looks for the end of what is on its way, and of `smfi_main`: in milliseconds. */
const POLL_INTERVAL = 20
/** For `smfi_main` to return once it was stopped: its listener looks every five seconds. In milliseconds. */
const MAIN_END_TIME = 8_000
/** Without a callback, after which none is taken to be on its way any more; in milliseconds. */
const QUIET_TIME = 250
/** The same, where the process ends at once. */
const EXIT_QUIET_TIME = 60

/** The macros that each event's questions look at. */
const LOOKED_AT: Readonly<Partial<Record<Event['kind'], readonly string[]>>> = {
  connect: ['_', '{client_resolve}', '{client_addr}'],
  mail: ['i', '{auth_authen}', '{mail_addr}'],
  rcpt: ['i', '{rcpt_mailer}', '{rcpt_addr}'],
  data: ['i'],
  'end-of-headers': ['i'],
  'end-of-message': ['i'],
}

interface Held {
  /** Names the SMTP connection to the main thread. */
  session: number
  inMessage: boolean
  /** The bytes of the message's body are wanted. */
  wantsBody: boolean
  /** An answer did not come in time: what the main thread knows of the session is no longer true. */
  lost: boolean
}

const data = workerData as ThreadData
const caller = new Caller(data)
const report = (message: Report): void => parentPort?.postMessage(message)

class Thread {
  readonly #lib: Libmilter
  readonly #held = new Map<Context, Held>()
  #sessions = 0
  #unanswered = 0
  #crowded = false
  #ending = false
  #lastCall = 0

  constructor(lib: Libmilter) {
    this.#lib = lib
  }

  /** Whether a message is on its way anywhere. */
  get inMessage(): boolean {
    return [...this.#held.values()].some(({ inMessage }) => inMessage)
  }

  /** Milliseconds since the last callback. */
  get quietFor(): number {
    return performance.now() - this.#lastCall
  }

  /** No message is begun any more. */
  end(): void {
    this.#ending = true
  }

  listen(connection: string): void {
    const lib = this.#lib
    const registered = lib.smfi_register('Postern', {
      negotiate: (ctx, offered) => this.#counted(() => this.#negotiate(ctx, offered)),
      connect: (ctx, host, address) => this.#begin(ctx, { kind: 'connect', host, address }),
      helo: (ctx, name) => this.#begin(ctx, { kind: 'helo', name }),
      envfrom: (ctx, [path = '', ...parameters]) => this.#begin(ctx, { kind: 'mail', path, parameters }),
      envrcpt: (ctx, [path = '']) => this.#ask(ctx, { kind: 'rcpt', path }),
      data: ctx => this.#ask(ctx, { kind: 'data' }),
      header: (ctx, name, value, size) => this.#tell(ctx, { kind: 'header', name, value, size }),
      eoh: ctx => this.#ask(ctx, { kind: 'end-of-headers' }),
      body: (ctx, size, bytes) => {
        const wanted = this.#held.get(ctx)?.wantsBody === true
        this.#tell(ctx, wanted ? { kind: 'body', size, bytes: bytes() } : { kind: 'body', size })
        return SMFIS.CONTINUE
      },
      eom: ctx => this.#ask(ctx, { kind: 'end-of-message' }),
      unknown: () => SMFIS.NOREPLY,
      abort: ctx => {
        const held = this.#held.get(ctx)
        if (held !== undefined) held.inMessage = false
        return this.#tell(ctx, { kind: 'abort' })
      },
      close: ctx => {
        this.#tell(ctx, { kind: 'close' })
        this.#held.delete(ctx)
        return SMFIS.CONTINUE
      },
    })
    if (registered !== MI_SUCCESS)
      throw new LibmilterError('libmilter-ended', 'libmilter does not take the filter')
    if (lib.smfi_setconn(connection) !== MI_SUCCESS || lib.smfi_opensocket(true) !== MI_SUCCESS) {
      throw new LibmilterError(
        'libmilter-listen',
        `libmilter cannot listen on ${connection}; it says why in the system's log`,
      )
    }
    if (!lib.startMain()) throw new LibmilterError('libmilter-ended', 'libmilter gets no thread of its own')
  }

  #counted(callback: () => number): number {
    try {
      return callback()
    } finally {
      this.#lastCall = performance.now()
    }
  }

  #negotiate(ctx: Context, offered: Offered): number {
    if (this.#ending) return SMFIS.REJECT
    if (!this.#held.has(ctx) && this.#held.size >= data.maxConnections) {
      report({ kind: 'crowded', again: this.#crowded })
      this.#crowded = true
      return SMFIS.REJECT
    }
    if (this.#held.size <= data.maxConnections * 0.9) this.#crowded = false
    // libmilter keeps the version to itself, refuses those that are too old, and offers to feign what the MTA lacks.
    const { actions, protocol } = offered
    const agreement = agree({ version: VERSION, actions, protocol }, data.wishes)
    if (!agreement.ok) {
      report({ kind: 'turned-away', problem: agreement.problem })
      return SMFIS.REJECT
    }
    const { value } = agreement
    if ((value.actions & SMFIF.SETSYMLIST) !== 0) {
      for (const [where, names] of MACROS) this.#lib.smfi_setsymlist(ctx, where, names)
    }
    // The last octets may come with the end of the message, which libmilter keeps from us unless they are answered.
    offered.wish(value.actions, (value.protocol | SMFIP.NR_HDR) & ~SMFIP.NR_BODY)
    if (value.missed.length > 0) report({ kind: 'missed', names: value.missed })
    this.#hold(ctx)
    return SMFIS.CONTINUE
  }

  #hold(ctx: Context): Held {
    const held = { session: ++this.#sessions, inMessage: false, wantsBody: false, lost: false }
    this.#held.set(ctx, held)
    return held
  }

  /** An event that no message is needed for. Another SMTP connection may follow on one that was closed. */
  #begin(ctx: Context, event: Event): number {
    const held = this.#held.get(ctx) ?? this.#hold(ctx)
    if (this.#ending && !held.inMessage) return this.#counted(() => SMFIS.HANG_UP)
    return this.#ask(ctx, event)
  }

  #callOf(held: Held, ctx: Context, event: Event): Omit<Call, 'call'> {
    const macros = new Map<string, string>()
    for (const name of LOOKED_AT[event.kind] ?? []) {
      const value = this.#lib.smfi_getsymval(ctx, name)
      if (value !== undefined) macros.set(name, value)
    }
    return { session: held.session, event, macros }
  }

  #ask(ctx: Context, event: Event): number {
    return this.#counted(() => {
      const held = this.#held.get(ctx)
      if (held === undefined || held.lost) return SMFIS.TEMPFAIL
      const reply = caller.ask(this.#callOf(held, ctx, event))
      if (reply === undefined) {
        held.lost = true
        held.inMessage = false
        report({ kind: 'late' })
        return SMFIS.TEMPFAIL
      }
      const status = this.#carryOut(ctx, reply)
      if (event.kind === 'mail' || event.kind === 'end-of-headers') held.wantsBody = reply.wantsBody === true
      if (event.kind === 'mail') held.inMessage = status === SMFIS.CONTINUE
      else if (event.kind === 'end-of-message') held.inMessage = false
      else if (event.kind !== 'rcpt' && status !== SMFIS.CONTINUE) held.inMessage = false
      return status
    })
  }

  /** An event that is not answered; now and then it is waited for. */
  #tell(ctx: Context, event: Event): number {
    return this.#counted(() => {
      const held = this.#held.get(ctx)
      if (held === undefined || held.lost) return SMFIS.NOREPLY
      const call = this.#callOf(held, ctx, event)
      this.#unanswered = (this.#unanswered + 1) % UNANSWERED_AHEAD
      if (this.#unanswered !== 0) caller.tell(call)
      else if (caller.ask(call) === undefined) {
        held.lost = true
        report({ kind: 'late' })
      }
      return SMFIS.NOREPLY
    })
  }

  #carryOut(ctx: Context, { status, words, modifications = [] }: Reply): number {
    for (const modification of modifications) {
      if (this.#modify(ctx, modification) === MI_SUCCESS) continue
      report({ kind: 'refused-by-libmilter', what: modification.kind })
      return SMFIS.TEMPFAIL
    }
    if (
      words !== undefined &&
      this.#lib.smfi_setreply(ctx, words.code, words.enhanced, words.lines) !== MI_SUCCESS
    ) {
      report({ kind: 'refused-by-libmilter', what: 'reply' })
    }
    return status
  }

  #modify(ctx: Context, change: Modification): number {
    const lib = this.#lib
    switch (change.kind) {
      case 'add-header':
        return lib.smfi_addheader(ctx, change.name, change.value)
      case 'insert-header':
        return lib.smfi_insheader(ctx, change.index, change.name, change.value)
      case 'change-header':
        return lib.smfi_chgheader(ctx, change.name, change.index, change.value)
      case 'change-sender':
        return lib.smfi_chgfrom(ctx, change.path, change.parameters ?? null)
      case 'add-recipient':
        return change.parameters === undefined
          ? lib.smfi_addrcpt(ctx, change.path)
          : lib.smfi_addrcpt_par(ctx, change.path, change.parameters)
      case 'delete-recipient':
        return lib.smfi_delrcpt(ctx, change.path)
      case 'replace-body':
        return lib.smfi_replacebody(ctx, change.data, change.data.length)
      case 'quarantine':
        return lib.smfi_quarantine(ctx, change.reason)
    }
  }
}

/** Resolves when it is so, or the time in milliseconds is over. */
function until(isSo: () => boolean, time: number): Promise<boolean> {
  const deadline = performance.now() + time
  return new Promise(resolve => {
    const look = (): void => {
      if (isSo()) resolve(true)
      else if (performance.now() >= deadline) resolve(false)
      else setTimeout(look, POLL_INTERVAL)
    }
    look()
  })
}

/**
 * Ends so that koffi is called by no thread when it goes. libmilter frees its sessions as soon as it is stopped, those
 * in the middle of a callback as well, so that first no callback may be left that takes its time.
 */
async function finish(lib: Libmilter, thread: Thread, graceMs: number): Promise<void> {
  thread.end()
  await until(() => !thread.inMessage, graceMs)
  lib.silence()
  await until(() => thread.quietFor > QUIET_TIME, data.decisionTime + QUIET_TIME)
  lib.smfi_stop()
  const mainEnded = await until(() => lib.mainHasEnded(), MAIN_END_TIME)
  report({ kind: 'ended', mainEnded })
}

/** The process ends at once: nothing is asked any more, and koffi must not be called when it goes. */
async function quieten(lib: Libmilter, thread: Thread): Promise<void> {
  lib.silence()
  await until(() => thread.quietFor > EXIT_QUIET_TIME, MAIN_END_TIME)
  Atomics.store(data.shared, SHARED.EXIT, EXIT.QUIET)
  Atomics.notify(data.shared, SHARED.EXIT)
}

function run(): void {
  try {
    const lib = loadLibmilter()
    const thread = new Thread(lib)
    thread.listen(data.connection)
    const watch = setInterval(() => {
      if (!lib.mainHasEnded()) return
      clearInterval(watch)
      report({ kind: 'failed', code: 'libmilter-ended', message: 'libmilter has ended by itself' })
    }, 1_000)
    parentPort?.on('message', (order: Order) => {
      clearInterval(watch)
      if (order.kind === 'exit') void quieten(lib, thread)
      else void finish(lib, thread, order.graceMs)
    })
    // A bug of ours here must not have koffi answer in its own way.
    process.on('exit', () => lib.silence())
    report({ kind: 'listening' })
  } catch (error) {
    const code = error instanceof LibmilterError ? error.code : 'libmilter-ended'
    report({ kind: 'failed', code, message: error instanceof Error ? error.message : String(error) })
  }
}

run()
