/** `postern domain`: the domains that lists are in. */
import { FLAVOURS } from '../../core/list.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { list } from '../listing.ts'

const FLAVOUR_HELP = `The flavour says how service addresses are spelled, and is what new lists of the
domain get:
  mailman   team-owner@, team-bounces@, team-request@ …; team+detail@ is team@
  mlmmj     team+owner@, team+subscribe@ …
  sympa     team-request@, team-editor@, team-owner@ …`

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
      .summary('add a domain, or change its flavour')
      .description('Adds a list domain, or changes its flavour. Lists that are there already keep theirs.')
      .argument('<domain>', 'such as lists.example.org')
      .option('--flavour <flavour>', `${FLAVOURS.join(', ')} (a new domain without it: mailman)`)
      .action(async (text: string, options: { readonly flavour?: string }) => {
        const administration = await session.administration()
        const { domain, record, change } = session.value(
          await administration.domains.add(text, options.flavour),
        )
        await session.say(`${domain}: domain ${change}, flavour ${record.flavour}`)
      }),
    [
      ['postern domain add lists.example.org', 'answer for the lists of a domain'],
      ['postern domain add lists.example.org --flavour mlmmj', 'whose new lists are mlmmj lists'],
    ],
    FLAVOUR_HELP,
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
      .description('Shows the list domains with their flavours.')
      .option(...JSON_OPTION)
      .action(async (options: { readonly json?: true }) => {
        const administration = await session.administration()
        await list(session.world.stdout, administration.domains.all(), {
          json: options.json === true,
          text: ({ domain, record }) => `${domain}\t${record.flavour}`,
          value: ({ domain, record }) => ({ domain, flavour: record.flavour }),
        })
      }),
    [['postern domain ls', 'one a line: the domain, a tab, its flavour']],
  )
}
