/**
 * What a moderator's decision changes for whoever sent the post: that one of theirs was let through, and, if the
 * moderator says so, that they may post from now on.
 */
import { type Site, senderForms } from '../../core/facts.ts'
import type { ListSettings } from '../../core/list.ts'
import type { Person } from '../../core/person.ts'
import { formsOf, NO_FORMS, type SenderForms } from '../../core/sender-forms.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { Who } from '../../core/who.ts'
import type { People } from '../administration/people.ts'
import { done, type Outcome } from '../administration/problem.ts'
import type { HeldPost } from '../held.ts'
import type { Directory } from '../ports.ts'

/** Those whom the list goes by, as `core/decide.ts` does: each by the forms of their address. */
function identities(
  { envelope, summary }: HeldPost,
  settings: ListSettings,
  site: Site,
): readonly SenderForms[] {
  const sender = senderForms(envelope.sender, site)
  const envelopeForms = sender === NO_FORMS ? [] : [sender]
  if (settings.identity === 'envelope') return envelopeForms
  const authors = summary.authors.map(author => formsOf(author, site.senders, 'author'))
  return settings.identity === 'author' ? authors : [...envelopeForms, ...authors]
}

/** Somebody's record, if it is the one that counts, and not their domain's. */
async function recordOf(
  directory: Directory,
  list: ListAddress,
  { standing }: SenderForms,
): Promise<{ readonly who: Who; readonly person: Person } | undefined> {
  for (const who of standing) {
    const person = await directory.getPerson(list, who)
    if (person === undefined) continue
    if (who.startsWith('@') || !person.ok) return undefined
    return { who, person: person.value }
  }
  return undefined
}

/** The record that is changed for somebody: that of the person whose other address it is. */
function original({ who, person }: { readonly who: Who; readonly person: Person }): Who {
  return person.linked === undefined ? who : (person.linked as string as Who)
}

const ACTION_OF_ROLE = {
  owner: 'owner_action',
  moderator: 'moderator_action',
  member: 'member_action',
  nonmember: 'nonmember_action',
} as const

function mayPost({ action, roles }: Person, settings: ListSettings): boolean {
  const own = action ?? settings[ACTION_OF_ROLE[roles[0] ?? 'nonmember']]
  return own === 'accept' || own === 'defer'
}

export interface ModerationSenders {
  readonly directory: Directory
  readonly people: People
  readonly site: Site
}

/** Notes of everybody the post goes by, and who has a record, that a moderator has let through a post of theirs. */
export async function letThrough(
  { directory, people, site }: ModerationSenders,
  post: HeldPost,
  settings: ListSettings,
): Promise<void> {
  if (post.to.service !== undefined) return
  for (const forms of identities(post, settings, site)) {
    const record = await recordOf(directory, post.to.list, forms)
    if (record !== undefined && record.person.seen !== true) {
      await people.letThrough(post.to.list, original(record))
    }
  }
}

/**
 * Lets the sender of a post do so from now on, and gives who that is: nobody, if there is no address, or everybody may
 * already. Somebody new becomes a nonmember whose posts are accepted; whoever is on the list keeps their roles.
 */
export async function allowSender(
  { directory, people, site }: ModerationSenders,
  post: HeldPost,
  settings: ListSettings,
): Promise<Outcome<readonly Who[]>> {
  const all = identities(post, settings, site)
  // Of several authors all have to be permitted; of an envelope and authors one is enough.
  const wanted = settings.identity === 'author' ? all : all.slice(0, 1)
  const allowed: Who[] = []
  for (const forms of wanted) {
    const record = await recordOf(directory, post.to.list, forms)
    if (record !== undefined && mayPost(record.person, settings)) continue
    const who = record === undefined ? forms.poster : original(record)
    if (who === undefined) continue
    const roles = record === undefined ? (['nonmember'] as const) : []
    const added = await people.add(post.to.list, who, { roles, action: 'accept' })
    if (!added.ok) return added
    allowed.push(who)
  }
  return done(allowed)
}
