/** `postern check-config`: is the configuration in order, and what does it come to? */
import { type Endpoint, formatEndpoint } from '../../app/endpoint.ts'
import type { Config } from '../../config/config.ts'
import { type AddCommand, teach } from '../command.ts'
import { deliveryInWords } from '../delivery-words.ts'
import { columns } from '../listing.ts'

function listening(endpoints: readonly Endpoint[]): string {
  return endpoints.length === 0 ? 'off' : endpoints.map(formatEndpoint).join(', ')
}

function storeInWords({ store }: Config): string {
  if (store.kind === 'embedded') return `embedded, in ${store.path}`
  const { endpoint, tls, db, prefix } = store
  return `Redis at ${formatEndpoint(endpoint)}${tls ? ' with TLS' : ''}, database ${db}, keys ${prefix}…`
}

function milterInWords({ milter }: Config): string {
  const by = milter.engine === 'native' ? '' : `, by ${milter.engine}`
  return `${listening(milter.listen)}${milter.listen.length === 0 ? '' : by}`
}

/** Every delivery, the default first. */
function deliveries({ delivery }: Config): readonly (readonly string[])[] {
  const isDefault = (name: string): boolean => name === delivery.default
  const named = Object.entries(delivery.named).sort(([a], [b]) => Number(isDefault(b)) - Number(isDefault(a)))
  return named.map(([name, settings], index) => [
    index === 0 ? 'deliveries' : '',
    `${name}${isDefault(name) ? ', the default' : ''}: ${deliveryInWords(settings)}`,
  ])
}

function summaryOf(config: Config): readonly string[] {
  return columns([
    ['configuration', config.file ?? 'none: everything has its default'],
    ...(config.serve.workers > 1 ? [['workers', `${config.serve.workers} processes`]] : []),
    ['store', storeInWords(config)],
    ['policy', listening(config.policy.listen)],
    ['milter', milterInWords(config)],
    ['lmtp', listening(config.lmtp.listen)],
    ['callouts', listening(config.lmtp.calloutListen)],
    ['socketmap', listening(config.socketmap.listen)],
    ['web', listening(config.web.listen)],
    ['trial', listening(config.trial.enabled ? [config.trial.listen] : [])],
    ...deliveries(config),
    ['log', `${config.log.format}, from ${config.log.level} on, addresses ${config.log.addresses}`],
  ])
}

export const checkConfigCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('check-config')
      .summary('check the configuration and show what it comes to')
      .description(
        'Reads the configuration, tells every problem in it with file, line and key, and shows what it comes to. Opens and changes nothing.',
      )
      .action(async () => {
        const config = await session.config()
        const { formatProblem } = await import('../../config/problems.ts')
        for (const warning of config.warnings) await session.warn(formatProblem(warning))
        await session.world.stdout.line(summaryOf(config).join('\n'))
      }),
    [
      ['postern check-config', 'the file that serve would read'],
      ['postern check-config --config new.toml && systemctl reload postern', 'before it is used'],
    ],
  )
}
