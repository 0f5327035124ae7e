/** `postern serve`: the daemon. */
import { type AddCommand, teach } from '../command.ts'

export const serveCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('serve')
      .summary('answer MTAs, until told to stop')
      .description(
        'Runs the daemon in the foreground: the policy server, the LMTP sink and, without a configuration file, the trial MTA. SIGTERM lets it finish what it is at; SIGHUP reads the configuration again.',
      )
      .action(async () => {
        const config = await session.config()
        session.status = await session.world.serve(config)
      }),
    [
      ['postern serve', 'by ./postern.toml, else by /etc/postern/postern.toml, else by the defaults'],
      ['postern serve --config /etc/postern/other.toml', 'by another file'],
    ],
  )
}
