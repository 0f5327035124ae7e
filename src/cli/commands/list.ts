/** `postern list`: lists and their settings. */
import { certaintyInWords, type ListReport } from '../../app/administration/list-report.ts'
import { presetsOf, type SettingsRequest } from '../../app/administration/lists.ts'
import { overlapInWords } from '../../app/administration/service-overlap.ts'
import { mailboxOf } from '../../core/address.ts'
import { formatSettings, PRESET_NAMES, PRESETS, SETTING_NAMES, SETTINGS } from '../../core/list.ts'
import { ROLES } from '../../core/person.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { EXIT, Failure } from '../exit.ts'
import { columns, jsonValue, list } from '../listing.ts'
import type { Session } from '../session.ts'

const PRESETS_HELP = `Presets:\n${columns(
  PRESET_NAMES.map(name => [
    `  ${name}`,
    Object.entries(PRESETS[name])
      .map(([setting, value]) => `${setting}=${value}`)
      .join(' '),
  ]),
).join('\n')}`

const SETTINGS_HELP = `Settings:\n${SETTING_NAMES.map(
  name =>
    `  ${name}=${SETTINGS[name].format(SETTINGS[name].initial as never)}\n      ${SETTINGS[name].help}\n      (${SETTINGS[name].values})`,
).join('\n')}`

const PRESET_OPTION = ['--preset <name>', `settings by name: ${PRESET_NAMES.join(', ')}`] as const

/** What was asked of the settings: a preset, and KEY=VALUE over it. */
function requestOf(pairs: readonly string[], preset: string | undefined): SettingsRequest {
  const entries = pairs.map(pair => {
    const at = pair.indexOf('=')
    if (at < 1) throw new Failure(EXIT.usage, `${JSON.stringify(pair)}: expected KEY=VALUE`)
    return [pair.slice(0, at), pair.slice(at + 1)] as const
  })
  const names = entries.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new Failure(EXIT.usage, `${twice} is given twice`)
  return { preset, texts: Object.fromEntries(entries) }
}

/** A setting's value for the eye. */
function shown(text: string): string {
  return text === '' ? '-' : text
}

function reportLines({ address, settings, presets, roles, people, bans }: ListReport): readonly string[] {
  const texts = formatSettings(settings)
  const counts = ROLES.map(role => `${roles[role]} ${role}${roles[role] === 1 ? '' : 's'}`).join(', ')
  return [
    mailboxOf(address),
    '',
    ...columns(SETTING_NAMES.map(name => [`  ${name}`, shown(texts[name]), SETTINGS[name].help])),
    '',
    ...columns([
      ['  preset', presets.length === 0 ? 'none: the settings are their own' : presets.join(', ')],
      ['  people', `${people.total}: ${counts}; ${people.withAction} with an action of their own`],
      ...(people.unreadable === 0
        ? []
        : [
            [
              '  unreadable',
              `${people.unreadable} records that cannot be understood; mail of these people is deferred`,
            ],
          ]),
      ['  bans', `${bans}`],
    ]),
    '',
    certaintyInWords(settings),
  ]
}

function reportJson({ address, settings, presets, roles, people, bans }: ListReport): object {
  const { total, withAction, unreadable } = people
  return {
    address: mailboxOf(address),
    settings: formatSettings(settings),
    presets,
    people: { total, ...roles, with_action: withAction, unreadable },
    bans,
    settled_at_rcpt: certaintyInWords(settings),
  }
}

async function addList(session: Session, text: string, request: SettingsRequest): Promise<void> {
  const administration = await session.administration()
  const { address, settings, overlaps } = session.value(await administration.lists.add(text, request))
  const preset = presetsOf(settings)[0] ?? 'none'
  await session.say(`${mailboxOf(address)}: list added, flavour ${settings.flavour}, preset ${preset}`)
  for (const overlap of overlaps) await session.warn(overlapInWords(overlap))
}

async function setList(session: Session, text: string, request: SettingsRequest): Promise<void> {
  if (request.preset === undefined && Object.keys(request.texts ?? {}).length === 0) {
    throw new Failure(EXIT.usage, 'nothing to set: expected --preset or KEY=VALUE', {
      advice: 'postern list show ADDRESS shows the settings with their meaning',
    })
  }
  const administration = await session.administration()
  const { address, changes } = session.value(await administration.lists.set(text, request))
  if (changes.length === 0) await session.say(`${mailboxOf(address)}: unchanged`)
  for (const { name, from, to } of changes) {
    await session.say(`${mailboxOf(address)}: ${name} changed from ${shown(from)} to ${shown(to)}`)
  }
}

export const listCommands: AddCommand = (parent, session) => {
  const command = parent
    .command('list')
    .summary('mailing lists and their settings')
    .description('Mailing lists and their settings.')

  teach(
    command
      .command('add')
      .summary('add a list')
      .description('Adds a list. Its domain must be a list domain, and gives it its flavour.')
      .argument('<address>', 'the posting address of the new list')
      .argument('[settings...]', 'KEY=VALUE, over those of the preset')
      .option(...PRESET_OPTION)
      .action((text: string, pairs: readonly string[], options: { readonly preset?: string }) =>
        addList(session, text, requestOf(pairs, options.preset)),
      ),
    [
      ['postern list add team@lists.example.org', 'members may post, others may not'],
      ['postern list add news@lists.example.org --preset announce', 'only owners and moderators may'],
      [
        "postern list add team@lists.example.org nonmember_action=hold 'reply_text=Members only'",
        'settings of its own',
      ],
    ],
    `${PRESETS_HELP}\n\nEvery setting: postern list set --help`,
  )

  teach(
    command
      .command('set')
      .summary('change settings of a list')
      .description("Changes some of a list's settings; the others stay.")
      .argument('<address>', 'the posting address of the list')
      .argument('[settings...]', 'KEY=VALUE, over those of the preset')
      .option(...PRESET_OPTION)
      .action((text: string, pairs: readonly string[], options: { readonly preset?: string }) =>
        setList(session, text, requestOf(pairs, options.preset)),
      ),
    [
      ['postern list set team@lists.example.org --preset moderated', 'every post of a member waits'],
      ['postern list set team@lists.example.org max_size=1000000 rate=10/1h', 'limits'],
      ['postern list set team@lists.example.org state=paused', 'defer its mail for a while'],
    ],
    `${PRESETS_HELP}\n\n${SETTINGS_HELP}`,
  )

  teach(
    command
      .command('remove')
      .summary('remove a list with its people')
      .description(
        'Removes a list with its people, its bans and what was counted for it. Export it first to keep them.',
      )
      .argument('<address>', 'the posting address of the list')
      .action(async (text: string) => {
        const administration = await session.administration()
        const { address, people } = session.value(await administration.lists.remove(text))
        await session.say(
          `${mailboxOf(address)}: list removed, with ${people} ${people === 1 ? 'person' : 'people'}`,
        )
      }),
    [
      ['postern export --list team@lists.example.org > team.json', 'keep what is there'],
      ['postern list remove team@lists.example.org', 'and remove the list'],
    ],
  )

  teach(
    command
      .command('show')
      .summary('show all about a list')
      .description(
        'Shows the settings of a list with their meaning, how many people and bans it has, and what is settled at RCPT.',
      )
      .argument('<address>', 'the posting address of the list')
      .option(...JSON_OPTION)
      .action(async (text: string, options: { readonly json?: true }) => {
        const administration = await session.administration()
        const report = session.value(await administration.report(text))
        const { stdout } = session.world
        if (options.json === true) {
          await jsonValue(stdout, reportJson(report))
        } else await stdout.line(reportLines(report).join('\n'))
      }),
    [['postern list show team@lists.example.org', 'settings, people, and what they mean']],
  )

  teach(
    command
      .command('ls')
      .summary('show the lists')
      .description(
        'Shows the lists, all of them or those of a domain, with the first preset that they agree with.',
      )
      .argument('[domain]', 'only the lists of this domain')
      .option(...JSON_OPTION)
      .action(async (domain: string | undefined, options: { readonly json?: true }) => {
        const administration = await session.administration()
        const lists = session.value(await administration.lists.all(domain))
        await list(session.world.stdout, lists, {
          json: options.json === true,
          text: ({ address, settings }) =>
            settings.ok
              ? `${mailboxOf(address)}\t${settings.value.state}\t${presetsOf(settings.value)[0] ?? '-'}`
              : `${mailboxOf(address)}\tunreadable\t${settings.problem}`,
          value: ({ address, settings }) =>
            settings.ok
              ? { address: mailboxOf(address), settings: formatSettings(settings.value) }
              : { address: mailboxOf(address), problem: settings.problem },
        })
      }),
    [
      ['postern list ls', 'one a line: the address, its state, its preset, with tabs between'],
      ['postern list ls lists.example.org --json', 'the lists of one domain, with every setting'],
    ],
  )
}
