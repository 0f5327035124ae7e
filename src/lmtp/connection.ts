/**
 * One client's connection: performs what its dialogue asks for. Reads only as fast as the message can be kept and
 * the replies are taken; answers a client that has closed its own side; leaves nothing behind when it is gone.
 */
import type { Socket } from 'node:net'
import type { Envelope } from '../app/message.ts'
import type { Clock, PromiseOr } from '../app/ports.ts'
import { Dialogue } from './dialogue.ts'
import type { CompleteMail, Effect, EndReason, SessionSettings } from './session-events.ts'
import { type SettleParts, settle } from './settle.ts'
import { Spool, type SpoolSettings } from './spool.ts'

export interface ConnectionSettings extends SessionSettings {
  readonly idleTimeoutMs: number
  /** From DATA to the end of the data. */
  readonly dataTimeoutMs: number
  readonly spool: SpoolSettings
}

export interface ConnectionParts extends SettleParts {
  readonly clock: Clock
  /** A name for a message, never given twice. */
  readonly newId: () => string
}

/** What of ours is under way while a client waits. */
type Work = 'gate' | 'spool' | 'settling'

/** How long a closed connection may take to be read to its end by the client. */
const LINGER_MS = 2000

/** Replies are sent together while pipelined commands wait to be read, up to so many characters. */
const MAX_UNSENT = 16_384

/** Says a last word to a client that may not be reading, and makes sure that the connection ends. */
export function lastWord(socket: Socket, text: string): void {
  socket.end(text, 'latin1')
  // What still comes is read and dropped: unread input would turn the closing into a reset that outruns the reply.
  socket.removeAllListeners('data')
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
}

export class Connection {
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  readonly #settings: ConnectionSettings
  readonly #dialogue: Dialogue
  /** The MTA's address; on a unix socket there is none. */
  readonly #peer: string | undefined
  #spool: Spool | undefined
  #dataDeadline = 0
  #unsent = ''
  #work: Work | undefined
  #inputEnded = false
  #closing = false
  #draining = false

  constructor(socket: Socket, parts: ConnectionParts, settings: ConnectionSettings) {
    this.#socket = socket
    this.#parts = parts
    this.#settings = settings
    this.#dialogue = new Dialogue(settings)
    this.#peer = socket.remoteAddress
  }

  get #about(): { readonly mta: string } {
    return { mta: this.#peer ?? 'unix socket' }
  }

  /** Greets the client, and serves it until it is gone. */
  start(): void {
    const socket = this.#socket
    socket.setTimeout(this.#settings.idleTimeoutMs)
    socket.on('data', (chunk: Buffer) => {
      this.#dialogue.push(chunk)
      const tooSlow = this.#dialogue.wanted === 'data' && this.#parts.clock() > this.#dataDeadline
      if (tooSlow) this.#end('data-too-slow')
      else this.#run()
    })
    socket.on('end', () => {
      this.#inputEnded = true
      this.#run()
    })
    socket.on('drain', () => this.#run())
    socket.on('timeout', () => this.#timedOut())
    socket.on('error', error => this.#parts.log.debug('connection lost', { ...this.#about, cause: error }))
    socket.on('close', () => this.#gone())
    this.#dialogue.tell({ kind: 'connected' })
    this.#run()
  }

  /** Ends as soon as no message is under way. */
  drain(): void {
    this.#draining = true
    this.#run()
  }

  /** Performs what there is to do, until input, an answer, or the client's taking of replies has to be waited for. */
  #run(): void {
    if (this.#closing) return
    try {
      while (this.#work === undefined && !this.#socket.writableNeedDrain) {
        const effect = this.#dialogue.next()
        if (effect === undefined) break
        this.#perform(effect)
        if (this.#closing) return
      }
      this.#send()
      this.#pauseOrGoOn()
    } catch (error) {
      this.#failed(error)
    }
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'reply':
        this.#unsent += effect.text
        if (this.#unsent.length > MAX_UNSENT) this.#send()
        break
      case 'ask':
        this.#whenDone('gate', this.#parts.gate.ask(effect.tx, { queueId: effect.queueId }), verdict =>
          this.#dialogue.tell({ kind: 'verdict', verdict }),
        )
        break
      case 'begin-message':
        this.#spool = new Spool(this.#settings.spool)
        this.#dataDeadline = this.#parts.clock() + this.#settings.dataTimeoutMs
        break
      case 'append':
        this.#whenDone('spool', this.#spool?.append(effect.data), () => {})
        break
      case 'drop-message':
        this.#dropSpool()
        break
      case 'settle':
        this.#settle(effect.mail)
        break
      case 'close':
        this.#close()
        break
    }
  }

  /** Goes on with a value: at once where it is here, or when it comes. */
  #whenDone<T>(work: Work, value: PromiseOr<T>, then: (value: T) => void): void {
    if (!(value instanceof Promise)) {
      then(value)
      return
    }
    this.#work = work
    value.then(
      result => this.#goOn(() => then(result)),
      (error: unknown) => this.#goOn(() => this.#failed(error)),
    )
  }

  #goOn(step: () => void): void {
    this.#work = undefined
    try {
      step()
    } catch (error) {
      this.#failed(error)
    }
    if (this.#socket.destroyed) this.#gone()
    else this.#run()
  }

  #settle(mail: CompleteMail): void {
    const spool = this.#spool
    if (spool === undefined && mail.kept) throw new Error('a message ended that never began')
    const { client, sender, smtputf8, mtaName } = mail
    const envelope: Envelope = {
      sender,
      client,
      smtputf8,
      id: this.#parts.newId(),
      receivedAt: this.#parts.clock(),
      mta: { name: mtaName, ...(this.#peer !== undefined && { address: this.#peer }) },
    }
    this.#whenDone('settling', settle(this.#parts, envelope, mail, spool), replies => {
      this.#dropSpool()
      this.#dialogue.tell({ kind: 'settled', replies })
    })
  }

  /** Sends what there is to say, unless commands that are here already will add to it. */
  #send(): void {
    const more = this.#work === 'gate' && this.#dialogue.pending > 0 && this.#unsent.length <= MAX_UNSENT
    if (this.#unsent === '' || more) return
    this.#socket.write(this.#unsent, 'latin1')
    this.#unsent = ''
  }

  /** Nothing more to do for now: input that cannot be dealt with yet is not read any further. */
  #pauseOrGoOn(): void {
    if (this.#work !== undefined || this.#socket.writableNeedDrain) {
      if (this.#dialogue.pending > 0) this.#socket.pause()
    } else if (this.#inputEnded) {
      if (this.#dialogue.wanted === 'data') this.#parts.log.info('client gone in mid-message', this.#about)
      this.#close()
    } else if (this.#draining && this.#dialogue.wanted === 'line') {
      this.#end('shutdown')
    } else if (this.#socket.isPaused()) {
      this.#socket.resume()
    }
  }

  #timedOut(): void {
    if (this.#closing) return
    // While something of ours is under way the client is not idle: it waits.
    if (this.#work !== undefined) this.#socket.setTimeout(this.#settings.idleTimeoutMs)
    else if (this.#socket.writableNeedDrain) this.#socket.destroy()
    else this.#end('idle')
  }

  #end(reason: EndReason): void {
    this.#dialogue.tell({ kind: 'end', reason })
    this.#run()
  }

  /** A bug of ours ends this session and no other. */
  #failed(error: unknown): void {
    this.#parts.log.error('session failed', { ...this.#about, cause: error })
    if (this.#closing) this.#socket.destroy()
    else this.#end('fault')
  }

  #close(): void {
    this.#closing = true
    this.#dropSpool()
    lastWord(this.#socket, this.#unsent)
    this.#unsent = ''
  }

  #gone(): void {
    if (this.#dialogue.wanted === 'data' && !this.#closing) {
      this.#parts.log.info('client gone in mid-message', this.#about)
    }
    this.#closing = true
    // A message that is being delivered is let go of when that is done.
    if (this.#work !== 'settling') this.#dropSpool()
  }

  #dropSpool(): void {
    void this.#spool?.dispose()
    this.#spool = undefined
  }
}
