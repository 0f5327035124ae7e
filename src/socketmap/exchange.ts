/**
 * A socketmap client's requests and replies: the codec before the look-up, the reply after it. Touches no socket, and
 * waits only where the look-up does. Whatever fails is a temporary reply.
 */
import type { Answer, Exchange } from '../app/client-connection.ts'
import type { Log } from '../app/log.ts'
import type { Lookup } from '../app/lookup.ts'
import type { Meters } from '../app/meters.ts'
import type { PromiseOr } from '../app/ports.ts'
import { FAULTS, formatNetstring, NetstringReader } from './codec.ts'
import { type MapSettings, mapOf, questionOf } from './maps.ts'
import { formatReply, OWN_FAULT, type Reply, senseless } from './reply.ts'

export interface ExchangeParts {
  readonly lookup: Pick<Lookup, 'isListDomain' | 'target'>
  readonly log: Log
  /** Looked at for each request. */
  readonly settings: MapSettings
  /** Where look-ups are counted, if somebody wants to know. */
  readonly lookups?: Meters['lookups']
}

function answerOf(reply: Reply): string {
  return formatNetstring(formatReply(reply))
}

export class SocketmapExchange implements Exchange {
  readonly #parts: ExchangeParts
  readonly #reader = new NetstringReader()

  constructor(parts: ExchangeParts) {
    this.#parts = parts
  }

  get unread(): number {
    return this.#reader.unread
  }

  feed(chunk: Buffer): void {
    this.#reader.feed(chunk)
  }

  next(): Answer | Promise<Answer> | undefined {
    const request = this.#reader.next()
    if (request === undefined) return undefined
    if ('kind' in request) {
      const problem = FAULTS[request.fault]
      const last = request.fault === 'too-long' ? answerOf(senseless(problem)) : undefined
      return { kind: 'ending', problem, ...(last !== undefined && { last }) }
    }
    const text = request.toString('utf8')
    const answer = (reply: Reply): string => {
      this.#parts.lookups?.add([mapOf(text) ?? 'unknown', reply.kind])
      return answerOf(reply)
    }
    const reply = this.#reply(text)
    return reply instanceof Promise ? reply.then(answer) : answer(reply)
  }

  #reply(request: string): PromiseOr<Reply> {
    try {
      const reply = this.#lookUp(request)
      return reply instanceof Promise ? reply.catch((cause: unknown) => this.#failed(cause)) : reply
    } catch (cause) {
      return this.#failed(cause)
    }
  }

  #lookUp(request: string): PromiseOr<Reply> {
    const { lookup, settings } = this.#parts
    const question = questionOf(request, settings)
    switch (question.kind) {
      case 'settled':
        return question.reply
      case 'domain':
        return replyTo(lookup.isListDomain(question.domain), question.reply)
      case 'address':
        return replyTo(lookup.target(question.address), question.reply)
    }
  }

  /** A bug of ours. */
  #failed(cause: unknown): Reply {
    this.#parts.log.error('socketmap request failed', { cause })
    return OWN_FAULT
  }
}

function replyTo<T>(looked: PromiseOr<T | undefined>, reply: (found: T) => Reply): PromiseOr<Reply> {
  const settle = (found: T | undefined): Reply => (found === undefined ? OWN_FAULT : reply(found))
  return looked instanceof Promise ? looked.then(settle) : settle(looked)
}
