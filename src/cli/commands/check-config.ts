/** `postern check-config`: is the configuration in order, and what does it come to? */
import { type Endpoint, formatEndpoint } from '../../app/endpoint.ts'
import type { Config } from '../../config/config.ts'
import { type AddCommand, teach } from '../command.ts'
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

function deliveryInWords({ delivery }: Config): string {
  const settings = delivery.named[delivery.default]
  switch (settings?.kind) {
    case 'maildir':
      return `maildirs in ${settings.path}`
    case 'relay':
      return `${delivery.default}, by LMTP to ${formatEndpoint(settings.to)}`
    case 'pipe':
      return `${delivery.default}, to ${settings.program}`
    case 'stream':
      return `${delivery.default}, into the stream ${settings.key} of Redis at ${formatEndpoint(settings.redis.endpoint)}`
    case 'discard':
    case undefined:
      return delivery.default
  }
}

function summaryOf(config: Config): readonly string[] {
  return columns([
    ['configuration', config.file ?? 'none: everything has its default'],
    ['store', storeInWords(config)],
    ['policy', listening(config.policy.listen)],
    ['milter', milterInWords(config)],
    ['lmtp', listening(config.lmtp.listen)],
    ['socketmap', listening(config.socketmap.listen)],
    ['trial', listening(config.trial.enabled ? [config.trial.listen] : [])],
    ['delivery', deliveryInWords(config)],
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
