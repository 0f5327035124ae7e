/** `postern member`: the people of a list. */
import type { ChangedPerson, RemovedPerson } from '../../app/administration/people.ts'
import { readGrant, readLinkTarget, readWho } from '../../app/administration/people.ts'
import type { Outcome } from '../../app/administration/problem.ts'
import { mailboxOf } from '../../core/address.ts'
import { ACTIONS } from '../../core/list.ts'
import { formatPerson, type Person, ROLES } from '../../core/person.ts'
import { formatWho, type Who } from '../../core/who.ts'
import { type AddCommand, JSON_OPTION, repeated, teach, WHO_HELP } from '../command.ts'
import { EXIT, Failure } from '../exit.ts'
import { linesOf } from '../lines-of-input.ts'
import { list } from '../listing.ts'
import type { Session } from '../session.ts'

/** How many people read from standard input are on their way to the store at a time. */
const TOGETHER = 100

/** Whom a command is about: those named, or `-` for those that standard input names. */
type Named = { readonly kind: 'arguments'; readonly who: readonly Who[] } | { readonly kind: 'input' }

function namedBy(session: Session, texts: readonly string[]): Named {
  if (!texts.includes('-')) {
    return { kind: 'arguments', who: texts.map(text => session.value(readWho(text))) }
  }
  if (texts.length > 1)
    throw new Failure(EXIT.usage, '- stands for addresses on standard input, and stands alone')
  return { kind: 'input' }
}

/** What was done to people from standard input, by what it was. */
type Tally = Map<string, number>

/** Does something for each line of standard input; lines that are wrong are told and passed over. */
async function forEachLine(
  session: Session,
  act: (who: Who) => Promise<Outcome<string>>,
): Promise<{ readonly tally: Tally; readonly wrong: number; readonly refused: number }> {
  const tally: Tally = new Map()
  let [wrong, refused] = [0, 0]
  let together: Promise<void>[] = []
  const one = async (who: Who, line: number): Promise<void> => {
    const outcome = await act(who)
    if (outcome.ok) tally.set(outcome.value, (tally.get(outcome.value) ?? 0) + 1)
    else {
      refused++
      await session.say(`line ${line}: ${outcome.problem.sentence}`)
    }
  }
  for await (const { text, number } of linesOf(session.world.stdin)) {
    if (text.trim() === '') continue
    const who = readWho(text.trim())
    if (who.ok) together.push(one(who.value, number))
    else {
      wrong++
      await session.say(`line ${number}: ${who.problem.sentence}`)
    }
    if (together.length >= TOGETHER) {
      await Promise.all(together)
      together = []
    }
  }
  await Promise.all(together)
  return { tally, wrong, refused }
}

async function fromInput(
  session: Session,
  listName: string,
  act: (who: Who) => Promise<Outcome<string>>,
): Promise<void> {
  const { tally, wrong, refused } = await forEachLine(session, act)
  const done = [...tally].map(([what, count]) => `${count} ${what}`)
  const left = [
    ...(refused > 0 ? [`${refused} not done`] : []),
    ...(wrong > 0 ? [`${wrong} not understood`] : []),
  ]
  await session.say(`${listName}: ${[...done, ...left].join(', ') || 'nothing on standard input'}`)
  if (wrong > 0) session.status = EXIT.data
  else if (refused > 0) session.status = EXIT.refused
}

/** Addresses that are linked to somebody's, and what became of them. */
function otherAddresses(linked: readonly Who[], what: string): string {
  return linked.length === 0 ? '' : `; ${what}: ${linked.map(formatWho).join(', ')}`
}

function added({ who, change, person, linked }: ChangedPerson): string {
  const now = `${change}${change === 'changed' ? ', now' : ':'} ${formatPerson(person)}`
  return `${formatWho(who)}: ${now}${otherAddresses(linked, 'so are other addresses')}`
}

function removed({ who, left, linked }: RemovedPerson): string {
  const others = otherAddresses(linked, 'so are other addresses')
  return left === undefined
    ? `${formatWho(who)}: removed${others}`
    : `${formatWho(who)}: changed, now ${formatPerson(left)}${others}`
}

function personJson({ linked, ...person }: Person): object {
  return linked === undefined ? person : { ...person, linked: mailboxOf(linked) }
}

interface AddOptions {
  readonly role?: readonly string[]
  readonly action?: string
  readonly linkedTo?: string
}

async function addMembers(
  session: Session,
  listText: string,
  texts: readonly string[],
  options: AddOptions,
): Promise<void> {
  const grant = session.value(readGrant({ roles: options.role ?? [], action: options.action }))
  const named = namedBy(session, texts)
  const to = options.linkedTo === undefined ? undefined : session.value(readLinkTarget(options.linkedTo))
  if (to !== undefined && (options.role !== undefined || options.action !== undefined)) {
    throw new Failure(
      EXIT.usage,
      'a linked address has the roles and the action of the other one: --linked-to stands alone',
    )
  }
  const { people } = await session.administration()
  const address = session.value(await people.list(listText))
  const links = people.links(address)
  const add = (who: Who): Promise<Outcome<ChangedPerson>> =>
    to === undefined ? people.add(address, who, grant, links) : people.link(address, who, to)
  if (named.kind === 'input') {
    return fromInput(session, address, async who => {
      const outcome = await add(who)
      return outcome.ok ? { ok: true, value: outcome.value.change } : outcome
    })
  }
  for (const who of named.who) await session.say(added(session.value(await add(who))))
}

async function removeMembers(
  session: Session,
  listText: string,
  texts: readonly string[],
  role: string | undefined,
): Promise<void> {
  const named = namedBy(session, texts)
  session.value(readGrant({ roles: role === undefined ? [] : [role] }))
  const { people } = await session.administration()
  const address = session.value(await people.list(listText))
  const links = people.links(address)
  if (named.kind === 'input') {
    return fromInput(session, address, async who => {
      const outcome = await people.remove(address, who, role, links)
      return outcome.ok
        ? { ok: true, value: outcome.value.left === undefined ? 'removed' : 'changed' }
        : outcome
    })
  }
  for (const who of named.who) {
    const outcome = await people.remove(address, who, role, links)
    if (outcome.ok) await session.say(removed(outcome.value))
    else await session.refuse(outcome.problem)
  }
}

export const memberCommands: AddCommand = (parent, session) => {
  const member = parent
    .command('member')
    .summary('the people of a list')
    .description('The people of a list: what they are to it, and what happens to their posts.')

  teach(
    member
      .command('add')
      .summary('add people, roles or actions')
      .description(
        'Adds people to a list, or adds to what they are: a role keeps the roles they have, and an action stays until another is given.',
      )
      .argument('<list>', 'the posting address of the list')
      .argument('<who...>', 'addresses or domains; - reads them from standard input, one a line')
      .option(
        '--role <role>',
        `${ROLES.join(', ')} (somebody new without it: member); may be repeated`,
        repeated,
      )
      .option(
        '--action <action>',
        `what happens to their posts, before what the list says: ${ACTIONS.join(', ')}; none goes by the list again`,
      )
      .option(
        '--linked-to <address>',
        'they are other addresses of this person, and are to the list what that person is',
      )
      .action((list: string, who: readonly string[], options: AddOptions) =>
        addMembers(session, list, who, options),
      ),
    [
      ['postern member add team@lists.example.org alice@example.net', 'a member'],
      ['postern member add team@lists.example.org alice@example.net --role owner', 'who is an owner, too'],
      ['postern member add team@lists.example.org bob@example.net --action hold', "hold a member's posts"],
      [
        'postern member add team@lists.example.org @example.com --role nonmember --action accept',
        'a whole domain may post',
      ],
      [
        'postern member add team@lists.example.org bob@home.example --linked-to bob@example.net',
        'another address of his',
      ],
      ['postern member add team@lists.example.org - < addresses', 'many members'],
    ],
    `${WHO_HELP}

Of several records that are about a sender the most specific one counts: the
address before its domain. Of several roles the first of these counts:
${ROLES.join(', ')}.`,
  )

  teach(
    member
      .command('remove')
      .summary('remove people or roles')
      .description(
        'Removes people from a list, or one of their roles. With the last role goes the record, and with the record go the addresses that are linked to it.',
      )
      .argument('<list>', 'the posting address of the list')
      .argument('<who...>', 'addresses or domains; - reads them from standard input, one a line')
      .option('--role <role>', `only this role: ${ROLES.join(', ')}`)
      .action((list: string, who: readonly string[], options: { readonly role?: string }) =>
        removeMembers(session, list, who, options.role),
      ),
    [
      ['postern member remove team@lists.example.org bob@example.net', 'bob is a stranger'],
      [
        'postern member remove team@lists.example.org alice@example.net --role owner',
        'no owner, still a member',
      ],
    ],
    WHO_HELP,
  )

  teach(
    member
      .command('ls')
      .summary('show who is on a list')
      .description('Shows the people of a list in the order of their addresses.')
      .argument('<list>', 'the posting address of the list')
      .option('--role <role>', `only those with this role: ${ROLES.join(', ')}`)
      .option(...JSON_OPTION)
      .action(async (listText: string, options: { readonly role?: string; readonly json?: true }) => {
        const { people } = await session.administration()
        const address = session.value(await people.list(listText))
        await list(session.world.stdout, session.value(people.all(address, options.role)), {
          json: options.json === true,
          text: ({ who, person }) =>
            person.ok
              ? `${formatWho(who)}\t${formatPerson(person.value)}`
              : `${JSON.stringify(who)}\tunreadable: ${person.problem}`,
          value: ({ who, person }) =>
            person.ok
              ? { who: formatWho(who), ...personJson(person.value) }
              : { who, problem: person.problem },
        })
      }),
    [
      ['postern member ls team@lists.example.org', 'one a line: the address, a tab, roles and action'],
      ['postern member ls team@lists.example.org --role owner', 'its owners'],
    ],
  )
}
