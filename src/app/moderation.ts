/**
 * Moderation: what becomes of messages that wait. Every decision claims its message first, so that of several people
 * and processes one decides; what a process leaves that dies in the middle is carried on by the next.
 */
import type { Site } from '../core/facts.ts'
import type { Reply } from '../core/reply.ts'
import type { Who } from '../core/who.ts'
import { People } from './administration/people.ts'
import { type HeldClaim, type HeldPost, type HeldQueue, isClaim, type NotClaimed } from './held.ts'
import { type DeliveryFor, handOn, settingsOf } from './moderation/hand-on.ts'
import { type NoNotice, noticeFor, type SendNotice } from './moderation/notices.ts'
import { allowSender, letThrough } from './moderation/senders.ts'
import type { Directory } from './ports.ts'

export interface ModerationParts {
  readonly queue: HeldQueue
  readonly directory: Directory
  readonly deliveryFor: DeliveryFor
  readonly site: Site
  /** Without it nobody is ever told anything. */
  readonly sendNotice: SendNotice | undefined
}

/** What a moderator decides. `allow` is `accept`, and lets the sender post from now on. */
export type Decision = 'accept' | 'allow' | 'reject' | 'discard'

/** What came of it. */
export type Moderated =
  | {
      readonly kind: 'accepted'
      readonly post: HeldPost
      readonly delivery: string
      readonly reply?: Reply
      /** Who may post from now on that might not before. */
      readonly allowed: readonly Who[]
    }
  | { readonly kind: 'rejected'; readonly post: HeldPost; readonly told: 'sender' | NoNotice | 'unknown' }
  | { readonly kind: 'discarded' }
  | NotClaimed
  /** The next hop does not want it; it waits again. */
  | { readonly kind: 'refused'; readonly post: HeldPost; readonly delivery: string; readonly reply: Reply }
  /** The message waits again; if it `isAccepted`, it will be tried again by itself. */
  | {
      readonly kind: 'failed'
      readonly post: HeldPost
      readonly cause: unknown
      readonly isAccepted: boolean
    }

/** A decision that was carried out by itself, and by what right. */
export interface CarriedOut {
  readonly id: string
  readonly outcome: Moderated
}

export class Moderation {
  readonly #parts: ModerationParts
  readonly #people: People

  constructor(parts: ModerationParts) {
    this.#parts = parts
    this.#people = new People(parts.directory)
  }

  get queue(): HeldQueue {
    return this.#parts.queue
  }

  /** Carries a decision out. Rejects with what the queue's file system says, and `StoreUnavailable`. */
  async decide(id: string, decision: Decision): Promise<Moderated> {
    const { queue } = this.#parts
    if (decision === 'discard') {
      const kind = await queue.discard(id)
      if (kind !== 'busy') return { kind }
    }
    const claim = await queue.claim(id, decision === 'discard' ? 'reject' : decision)
    if (!isClaim(claim)) return claim
    // What another process has as good as handed on before it died stays accepted.
    if (claim.purpose !== 'reject') return this.#accept(claim)
    if (decision === 'reject') return this.#reject(claim)
    await claim.finish()
    return { kind: 'discarded' }
  }

  /** Carries on what processes have begun that have died since. */
  async *recover(): AsyncGenerator<CarriedOut, void, undefined> {
    for await (const claim of this.#parts.queue.abandoned()) {
      const { id, purpose } = claim
      // Whether the sender was told is not known, and nobody is told twice.
      const outcome = purpose === 'reject' ? await this.#end(claim) : await this.#accept(claim)
      yield { id, outcome }
    }
  }

  /** Decides what has been waiting since before a time, in milliseconds since the epoch. */
  async *expire(before: number, decision: Decision): AsyncGenerator<CarriedOut, void, undefined> {
    for await (const id of this.#parts.queue.waitingSince(before)) {
      yield { id, outcome: await this.decide(id, decision) }
    }
  }

  async #end(claim: HeldClaim): Promise<Moderated> {
    const { post } = claim
    await claim.finish()
    return { kind: 'rejected', post, told: 'unknown' }
  }

  async #accept(claim: HeldClaim): Promise<Moderated> {
    const { post } = claim
    let allowed: readonly Who[] = []
    let settings: Parameters<typeof handOn>[2]
    try {
      if (!claim.isNoted) {
        const found = await settingsOf(this.#parts.directory, post.to.list)
        if (!found.ok) {
          await claim.release()
          return { kind: 'failed', post, cause: new Error(found.problem.sentence), isAccepted: false }
        }
        settings = found.value
        const senders = { ...this.#parts, people: this.#people }
        if (claim.purpose === 'allow') {
          const outcome = await allowSender(senders, post, settings)
          if (!outcome.ok) throw new Error(outcome.problem.sentence)
          allowed = outcome.value
        }
        await letThrough(senders, post, settings)
      }
    } catch (error) {
      await claim.release()
      throw error
    }
    const handedOn = await handOn(this.#parts, claim, settings)
    return handedOn.kind === 'delivered'
      ? { ...handedOn, kind: 'accepted', post, allowed }
      : { ...handedOn, post }
  }

  async #reject(claim: HeldClaim): Promise<Moderated> {
    const { post } = claim
    const { directory, sendNotice } = this.#parts
    try {
      const settings = await settingsOf(directory, post.to.list)
      const notice = settings.ok
        ? noticeFor(post, settings.value, sendNotice !== undefined)
        : 'list-does-not-want'
      if (typeof notice !== 'string') await sendNotice?.(notice)
      await claim.finish()
      return { kind: 'rejected', post, told: typeof notice === 'string' ? notice : 'sender' }
    } catch (cause) {
      await claim.release()
      return { kind: 'failed', post, cause, isAccepted: false }
    }
  }
}
