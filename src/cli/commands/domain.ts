/** `postern domain`: the domains that lists are in. */
import { FLAVOURS } from '../../core/list.ts'
import { DOMAIN_SETTINGS, formatDomainSettings, INITIAL_DOMAIN } from '../../core/list-domain.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { warnOfUnknownDelivery } from '../delivery-words.ts'
import { domainInWords } from '../domain-words.ts'
import { EXIT, Failure } from '../exit.ts'
import { list } from '../listing.ts'
import { FORCE_OPTION, settingPairs, settingsHelp, shown } from '../setting-pairs.ts'

const FLAVOUR_HELP = `The flavour says how service addresses are spelled, and is what new lists of the
domain get:
  mailman   team-owner@, team-bounces@, team-request@ …; team+detail@ is team@
  mlmmj     team+owner@, team+subscribe@ …
  sympa     team-request@, team-editor@, team-owner@ …`

const SETTINGS_HELP = settingsHelp(DOMAIN_SETTINGS, formatDomainSettings(INITIAL_DOMAIN))

interface DomainOptions {
  readonly flavour?: string
  readonly delivery?: string
  readonly force?: true
}

export const domainCommands: AddCommand = (parent, session) => {
  const domain = parent
    .command('domain')
    .summary('list domains: the domains that lists are in')
    .description(
      'List domains: the domains whose addresses Postern answers for. Mail to other domains is not judged.',
    )

  teach(
    domain
      .command('add')
      .summary('add a domain, or change its settings')
      .description(
        'Adds a list domain, or changes the settings that are given. Lists that are there already keep their own.',
      )
      .argument('<domain>', 'such as lists.example.org')
      .option('--flavour <flavour>', `${FLAVOURS.join(', ')} (a new domain without it: mailman)`)
      .option(
        '--delivery <name>',
        "where mail of its lists goes (a new domain without it: the site's default)",
      )
      .option(...FORCE_OPTION)
      .action(async (text: string, { force, ...texts }: DomainOptions) => {
        const administration = await session.administration({ force })
        const { domain, record, change } = session.value(await administration.domains.add(text, texts))
        await session.say(domainInWords(domain, change, record))
        await warnOfUnknownDelivery(session, domain, record.delivery)
      }),
    [
      ['postern domain add lists.example.org', 'answer for the lists of a domain'],
      ['postern domain add lists.example.org --flavour mlmmj', 'whose new lists are mlmmj lists'],
    ],
    FLAVOUR_HELP,
  )

  teach(
    domain
      .command('set')
      .summary('change settings of a domain')
      .description(
        "Changes some of a domain's settings; the others stay. Lists keep what they have chosen themselves.",
      )
      .argument('<domain>', 'such as lists.example.org')
      .argument('[settings...]', 'KEY=VALUE')
      .option(...FORCE_OPTION)
      .action(async (text: string, pairs: readonly string[], { force }: { readonly force?: true }) => {
        if (pairs.length === 0) {
          throw new Failure(EXIT.usage, 'nothing to set: expected KEY=VALUE', {
            advice: 'postern domain set --help explains every setting',
          })
        }
        const texts = settingPairs(pairs)
        const administration = await session.administration({ force })
        const { domain, record, changes } = session.value(await administration.domains.set(text, texts))
        if (changes.length === 0) await session.say(`${domain}: unchanged`)
        for (const { name, from, to } of changes) {
          await session.say(`${domain}: ${name} changed from ${shown(from)} to ${shown(to)}`)
        }
        await warnOfUnknownDelivery(session, domain, record.delivery)
      }),
    [
      ['postern domain set lists.example.org delivery=maildir', 'where mail of its lists goes'],
      ['postern domain set lists.example.org delivery=', 'where the site says, again'],
    ],
    SETTINGS_HELP,
  )

  teach(
    domain
      .command('remove')
      .summary('remove a domain that has no lists')
      .description('Removes a list domain. One that lists are left in is not removed.')
      .argument('<domain>', 'such as lists.example.org')
      .action(async (text: string) => {
        const administration = await session.administration()
        await session.say(`${session.value(await administration.domains.remove(text))}: domain removed`)
      }),
    [['postern domain remove lists.example.org', 'answer for it no longer']],
  )

  teach(
    domain
      .command('ls')
      .summary('show the domains')
      .description('Shows the list domains with their flavours and deliveries.')
      .option(...JSON_OPTION)
      .action(async (options: { readonly json?: true }) => {
        const administration = await session.administration()
        await list(session.world.stdout, administration.domains.all(), {
          json: options.json === true,
          text: ({ domain, record }) =>
            [domain, ...Object.values(formatDomainSettings(record)).map(shown)].join('\t'),
          value: ({ domain, record }) => ({ domain, ...formatDomainSettings(record) }),
        })
      }),
    [['postern domain ls', 'one a line: the domain, its flavour, its delivery, with tabs between']],
  )
}
