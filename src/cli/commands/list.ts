/** `postern list`: lists and their settings. */
import { certaintyOf, lateCertaintyInWords } from '../../app/administration/certainty.ts'
import type { ListReport } from '../../app/administration/list-report.ts'
import { presetsOf } from '../../app/administration/lists.ts'
import { overlapInWords } from '../../app/administration/service-overlap.ts'
import type { Config } from '../../config/config.ts'
import { mailboxOf } from '../../core/address.ts'
import {
  formatSettings,
  INITIAL_SETTINGS,
  PRESET_NAMES,
  PRESETS,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
} from '../../core/list.ts'
import { ROLES } from '../../core/person.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { namedDelivery, warnOfUnknownDelivery } from '../delivery-words.ts'
import { EXIT, Failure } from '../exit.ts'
import { columns, jsonValue, list } from '../listing.ts'
import type { Session } from '../session.ts'
import { FORCE_OPTION, settingPairs, settingsHelp, shown } from '../setting-pairs.ts'
import { listRulesCommands } from './list-rules.ts'

const PRESETS_HELP = `Presets:\n${columns(
  PRESET_NAMES.map(name => [
    `  ${name}`,
    Object.entries(PRESETS[name])
      .map(([setting, value]) => `${setting}=${value}`)
      .join(' '),
  ]),
).join('\n')}`

const SETTINGS_HELP = settingsHelp(SETTINGS, formatSettings(INITIAL_SETTINGS))

const PRESET_OPTION = ['--preset <name>', `settings by name: ${PRESET_NAMES.join(', ')}`] as const

interface SettingOptions {
  readonly preset?: string
  readonly force?: true
}

/** Who has chosen the delivery of a list's mail, in words. */
const CHOSEN_BY = {
  list: 'chosen by the list',
  domain: 'chosen by its domain',
  site: "the site's default",
} as const

/** Where a list's mail goes, by this host's configuration. */
function goesTo({ delivery }: ListReport, config: Config): { name: string; by: keyof typeof CHOSEN_BY } {
  return delivery ?? { name: config.delivery.default, by: 'site' }
}

function goesToInWords(report: ListReport, config: Config): string {
  const { name, by } = goesTo(report, config)
  const what = namedDelivery(config, name) ?? 'not in the configuration here, so its mail is deferred'
  return `${name}, ${CHOSEN_BY[by]}: ${what}`
}

/** A setting's value in a line: header rules have a command of their own. */
function briefly(name: SettingName, texts: Readonly<Record<SettingName, string>>): string {
  if (name !== 'header_rules' || texts[name] === '') return texts[name]
  const count = texts[name].split('\n').length
  return count === 1 ? '1 rule' : `${count} rules`
}

const inWords = (settled: readonly string[]): string =>
  settled.length === 0 ? 'nothing' : settled.join('; ')

function reportLines(report: ListReport, config: Config): readonly string[] {
  const { address, settings, presets, roles, people, bans } = report
  const texts = formatSettings(settings)
  const { atRcpt, atHeader, atEnd } = certaintyOf(settings)
  const counts = ROLES.map(role => `${roles[role]} ${role}${roles[role] === 1 ? '' : 's'}`).join(', ')
  return [
    mailboxOf(address),
    '',
    ...columns(SETTING_NAMES.map(name => [`  ${name}`, shown(briefly(name, texts)), SETTINGS[name].help])),
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
      ['  goes to', goesToInWords(report, config)],
    ]),
    '',
    'Settled',
    ...columns([
      ['  at RCPT', inWords(atRcpt)],
      ['  at the end of the header', inWords(atHeader)],
      ['  at the end of the message', inWords(atEnd)],
    ]),
    '',
    lateCertaintyInWords(settings),
  ]
}

function reportJson(report: ListReport, config: Config): object {
  const { address, settings, presets, roles, people, bans } = report
  const { name, by } = goesTo(report, config)
  const { total, withAction, unreadable } = people
  const { atRcpt, atHeader, atEnd } = certaintyOf(settings)
  return {
    address: mailboxOf(address),
    settings: formatSettings(settings),
    presets,
    people: { total, ...roles, with_action: withAction, unreadable },
    bans,
    goes_to: { delivery: name, chosen_by: by, known: namedDelivery(config, name) !== undefined },
    settled: { at_rcpt: atRcpt, at_end_of_header: atHeader, at_end_of_message: atEnd },
  }
}

async function addList(
  session: Session,
  text: string,
  pairs: readonly string[],
  { preset, force }: SettingOptions,
): Promise<void> {
  const request = { preset, texts: settingPairs(pairs) }
  const administration = await session.administration({ force })
  const { address, settings, overlaps } = session.value(await administration.lists.add(text, request))
  const first = presetsOf(settings)[0] ?? 'none'
  await session.say(`${mailboxOf(address)}: list added, flavour ${settings.flavour}, preset ${first}`)
  for (const overlap of overlaps) await session.warn(overlapInWords(overlap))
  await warnOfUnknownDelivery(session, mailboxOf(address), settings.delivery)
}

async function setList(
  session: Session,
  text: string,
  pairs: readonly string[],
  { preset, force }: SettingOptions,
): Promise<void> {
  if (preset === undefined && pairs.length === 0) {
    throw new Failure(EXIT.usage, 'nothing to set: expected --preset or KEY=VALUE', {
      advice: 'postern list show ADDRESS shows the settings with their meaning',
    })
  }
  const request = { preset, texts: settingPairs(pairs) }
  const administration = await session.administration({ force })
  const { address, settings, changes } = session.value(await administration.lists.set(text, request))
  if (changes.length === 0) await session.say(`${mailboxOf(address)}: unchanged`)
  for (const { name, from, to } of changes) {
    await session.say(`${mailboxOf(address)}: ${name} changed from ${shown(from)} to ${shown(to)}`)
  }
  await warnOfUnknownDelivery(session, mailboxOf(address), settings.delivery)
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
      .option(...FORCE_OPTION)
      .action((text: string, pairs: readonly string[], options: SettingOptions) =>
        addList(session, text, pairs, options),
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
      .option(...FORCE_OPTION)
      .action((text: string, pairs: readonly string[], options: SettingOptions) =>
        setList(session, text, pairs, options),
      ),
    [
      ['postern list set team@lists.example.org --preset moderated', 'every post of a member waits'],
      ['postern list set team@lists.example.org max_size=1000000 rate=10/1h', 'limits'],
      ['postern list set team@lists.example.org state=paused', 'defer its mail for a while'],
      ['postern list set team@lists.example.org delivery=maildir', 'whatever its domain has chosen'],
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
        'Shows the settings of a list with their meaning, how many people and bans it has, where its mail goes, and what is settled when.',
      )
      .argument('<address>', 'the posting address of the list')
      .option(...JSON_OPTION)
      .action(async (text: string, options: { readonly json?: true }) => {
        const administration = await session.administration()
        const report = session.value(await administration.report(text))
        const config = await session.config()
        const { stdout } = session.world
        if (options.json === true) {
          await jsonValue(stdout, reportJson(report, config))
        } else await stdout.line(reportLines(report, config).join('\n'))
      }),
    [['postern list show team@lists.example.org', 'settings, people, and what they mean']],
  )

  listRulesCommands(command, session)

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
