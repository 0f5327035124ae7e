/** `postern held`: the messages that wait for a moderator. */
import type { Command } from 'commander'
import type { HeldEntry } from '../../app/held.ts'
import {
  isMeant,
  readSelection,
  type Selection,
  type SelectionRequest,
} from '../../app/moderation/selection.ts'
import type { Decision, Moderation } from '../../app/moderation.ts'
import { shownLine } from '../../app/shown-text.ts'
import { type AddCommand, type Example, JSON_OPTION, teach } from '../command.ts'
import { EXIT, Failure } from '../exit.ts'
import { heldLine, heldRows, heldValue, moderatedInWords } from '../held-words.ts'
import { columns, jsonValue, list } from '../listing.ts'
import type { Session } from '../session.ts'

type Held = Extract<HeldEntry, { kind: 'held' }>

interface LsOptions extends SelectionRequest {
  readonly json?: true
}

interface ShowOptions {
  readonly json?: true
  readonly raw?: true
}

interface AcceptOptions extends SelectionRequest {
  readonly andAllow?: true
}

/** Of a header, in octets, that is shown. */
const MAX_HEADER = 65_536

const WHICH_HELP = `A message's name is the first column of postern held ls. Of several options each
has to hold: --list and --sender mean that sender's messages to that list.
WHO is alice@example.net, @example.net or @.example.net; <> is the null sender.`

function selecting(command: Command): Command {
  return command
    .option('--list <list>', 'to this list')
    .option('--sender <who>', 'from this sender: in the envelope or in From:')
    .option('--reason <reason>', 'held for this reason, such as first-post')
    .option('--older-than <time>', 'that have waited for longer than 90s, 30m, 12h, 7d')
}

async function tellOfDamage(session: Session, entry: Extract<HeldEntry, { kind: 'damaged' }>): Promise<void> {
  session.status = EXIT.data
  await session.warn(`${entry.path} is damaged, and left where it is: ${entry.problem}`)
}

/** The messages that are meant; says which are damaged. */
async function* meant(
  session: Session,
  moderation: Moderation,
  selection: Selection,
): AsyncGenerator<Held, void, undefined> {
  for await (const entry of moderation.queue.entries(selection.list)) {
    if (!isMeant(entry, selection)) continue
    if (entry.kind === 'held') yield entry
    else await tellOfDamage(session, entry)
  }
}

async function* idsOf(
  session: Session,
  moderation: Moderation,
  ids: readonly string[],
  selection: Selection,
): AsyncGenerator<string, void, undefined> {
  if (ids.length > 0) yield* ids
  else for await (const { id } of meant(session, moderation, selection)) yield id
}

/** Decides about messages, each by itself. */
async function decide(
  session: Session,
  ids: readonly string[],
  request: SelectionRequest,
  decision: Decision,
): Promise<void> {
  const { list: of, sender, reason, olderThan } = request
  const isSelected = [of, sender, reason, olderThan].some(each => each !== undefined)
  if (isSelected === ids.length > 0) {
    throw new Failure(
      EXIT.usage,
      isSelected
        ? 'messages are either named or chosen by options'
        : 'say which messages: by name, or by --list, --sender, --reason or --older-than',
    )
  }
  const selection = session.value(readSelection(request, session.world.clock()))
  const moderation = await session.moderation()
  let count = 0
  for await (const id of idsOf(session, moderation, ids, selection)) {
    count++
    const outcome = await moderation.decide(id, decision)
    const { sentence, status } = moderatedInWords(decision, outcome)
    if (status !== EXIT.ok) session.status = status
    await session.say(`${id}: ${sentence}`)
  }
  if (count === 0) await session.say('no message is meant')
}

/** The header of a message, line by line. */
async function showHeader(session: Session, octets: AsyncIterable<Uint8Array>): Promise<void> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of octets) {
    pieces.push(piece)
    length += piece.length
    if (length >= MAX_HEADER) break
  }
  const text = new TextDecoder().decode(Buffer.concat(pieces).subarray(0, MAX_HEADER))
  const end = /(?:^|\n)\r?\n/.exec(text)
  const header = end === null ? text : text.slice(0, end.index)
  for (const line of header.replace(/\r?\n$/, '').split('\n')) {
    await session.world.stdout.add(`${shownLine(line.replace(/\r$/, ''))}\n`)
  }
  if (end === null) await session.say('the header goes on, or has no end')
}

async function show(session: Session, id: string, options: ShowOptions): Promise<void> {
  const { stdout } = session.world
  const { queue } = await session.moderation()
  const entry = await queue.find(id)
  const open = entry?.kind === 'held' ? await queue.message(id) : undefined
  if (entry?.kind === 'damaged') return tellOfDamage(session, entry)
  if (entry === undefined || open === undefined) {
    throw new Failure(EXIT.refused, `${id}: there is no such message`, {
      advice: 'postern held ls shows those that wait',
    })
  }
  try {
    if (options.raw === true) for await (const piece of open.message.read()) await stdout.octets(piece)
    else if (options.json === true) await jsonValue(stdout, heldValue(entry))
    else {
      for (const line of columns(heldRows(entry))) await stdout.add(`${line}\n`)
      await stdout.add('\n')
      await showHeader(session, open.message.read())
    }
    await stdout.flush()
  } finally {
    await open.close()
  }
}

async function expire(session: Session): Promise<void> {
  const { expireAfterMs, expireAction } = (await session.config()).held
  if (expireAfterMs === undefined) {
    await session.say('messages wait for ever: held.expire_days is 0')
    return
  }
  const moderation = await session.moderation()
  const before = session.world.clock() - expireAfterMs
  for await (const { id, outcome } of moderation.expire(before, expireAction)) {
    const { sentence, status } = moderatedInWords(expireAction, outcome)
    if (status !== EXIT.ok) session.status = status
    await session.say(`${id}: ${sentence}`)
  }
}

interface DecisionCommand {
  readonly name: Exclude<Decision, 'allow'>
  readonly summary: string
  readonly description: string
  readonly examples: readonly Example[]
}

const DECISIONS: readonly DecisionCommand[] = [
  {
    name: 'accept',
    summary: 'let messages through',
    description:
      "Hands messages on to their list's delivery, each once, whatever happens meanwhile. Whoever sent one, and has a record on the list, has had a post let through from now on.",
    examples: [
      ['postern held accept 1jy9k2m0000', 'one message'],
      ['postern held accept --and-allow 1jy9k2m0000', 'and let its sender post from now on'],
      ['postern held accept --list team@lists.example.org --reason first-post', 'many'],
    ],
  },
  {
    name: 'reject',
    summary: 'refuse messages',
    description:
      'Drops messages. The sender is told if the list wants that (reject_notice), the configuration names a mail server for it (held.notices), and the return path is proven to be theirs.',
    examples: [['postern held reject 1jy9k2m0000', 'one message']],
  },
  {
    name: 'discard',
    summary: 'drop messages, and tell nobody',
    description: 'Drops messages, and tells nobody.',
    examples: [
      ['postern held discard 1jy9k2m0000 1jy9k2m0001', 'two messages'],
      ['postern held discard --sender @spam.example --older-than 7d', 'those of a domain, after a week'],
    ],
  },
]

export const heldCommands: AddCommand = (parent, session) => {
  const held = parent
    .command('held')
    .summary('messages that wait for a moderator')
    .description('The messages that wait for a moderator. The daemon need not run for any of these commands.')

  teach(
    selecting(held.command('ls').summary('show messages that wait'))
      .description('Shows the messages that wait, by list and then by time.')
      .option(...JSON_OPTION)
      .action(async (options: LsOptions) => {
        const selection = session.value(readSelection(options, session.world.clock()))
        const entries = meant(session, await session.moderation(), selection)
        const json = options.json === true
        await list(session.world.stdout, entries, { json, text: heldLine, value: heldValue })
      }),
    [
      ['postern held ls', 'one a line: name, time, list, sender, reason and subject, with tabs between them'],
      ['postern held ls --list team@lists.example.org --older-than 2d', 'what has been forgotten?'],
    ],
    WHICH_HELP,
  )

  teach(
    held
      .command('show')
      .summary('show one message')
      .description('Shows what is known of a message, and its header.')
      .argument('<message>', "the message's name")
      .option('--raw', 'the message itself, octet for octet')
      .option(...JSON_OPTION)
      .action((id: string, options: ShowOptions) => show(session, id, options)),
    [
      ['postern held show 1jy9k2m0000', 'envelope, reason and header'],
      ['postern held show --raw 1jy9k2m0000 > message.eml', 'the whole message'],
    ],
  )

  for (const { name, summary, description, examples } of DECISIONS) {
    const command = held
      .command(name)
      .summary(summary)
      .description(description)
      .argument('[message...]', 'names of messages')
    if (name === 'accept') command.option('--and-allow', 'let the sender post from now on')
    selecting(command).action((ids: readonly string[], options: AcceptOptions) =>
      decide(session, ids, options, options.andAllow === true ? 'allow' : name),
    )
    teach(command, examples, WHICH_HELP)
  }

  teach(
    held
      .command('expire')
      .summary('end the waiting of messages that have waited for too long')
      .description(
        'Does with messages that have waited for longer than held.expire_days what held.expire_action says. The daemon does the same every hour.',
      )
      .action(() => expire(session)),
    [['postern held expire', 'now']],
  )
}
