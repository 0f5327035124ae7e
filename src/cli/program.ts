/** The program: its commands, its options, and one run of it from arguments to exit status. */
import { Command, CommanderError } from 'commander'
import type { AddCommand } from './command.ts'
import { askCommand } from './commands/ask.ts'
import { banCommands } from './commands/ban.ts'
import { checkConfigCommand } from './commands/check-config.ts'
import { domainCommands } from './commands/domain.ts'
import { exportCommand } from './commands/export.ts'
import { forbidCommands } from './commands/forbid.ts'
import { heldCommands } from './commands/held.ts'
import { importCommand } from './commands/import.ts'
import { journalCommand } from './commands/journal.ts'
import { listCommands } from './commands/list.ts'
import { memberCommands } from './commands/member.ts'
import { mtaCommands } from './commands/mta.ts'
import { serveCommand } from './commands/serve.ts'
import { statusCommand } from './commands/status.ts'
import { whyCommand } from './commands/why.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { reportFailure } from './report-failure.ts'
import { Session } from './session.ts'
import type { World } from './world.ts'

/** In the order in which `--help` shows them. */
const COMMANDS: readonly AddCommand[] = [
  serveCommand,
  checkConfigCommand,
  domainCommands,
  listCommands,
  memberCommands,
  banCommands,
  forbidCommands,
  mtaCommands,
  heldCommands,
  askCommand,
  whyCommand,
  statusCommand,
  journalCommand,
  importCommand,
  exportCommand,
]

const FIRST_STEPS = `
First steps:
  $ postern serve &
  $ postern domain add lists.example.org
  $ postern list add team@lists.example.org
  $ postern member add team@lists.example.org alice@example.net
  $ postern ask --sender alice@example.net --list team@lists.example.org

Every command explains itself: postern list add --help`

/** Says after every usage error where the right usage stands. */
function pointToHelp(command: Command, path: string): void {
  command.showHelpAfterError(`  next: ${path} --help`)
  for (const child of command.commands) pointToHelp(child, `${path} ${child.name()}`)
}

/** The program with all its commands; nothing happens before it parses arguments. */
export function makeProgram(session: Session): Command {
  const { stdout, stderr, version } = session.world
  const program = new Command('postern')
    .description('A gate between an MTA and its mailing lists: may this sender post to this list?')
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .option('--config <file>', 'configuration file (default: ./postern.toml, then /etc/postern/postern.toml)')
    .hook('preAction', () => {
      session.configFile = program.opts<{ config?: string }>().config
    })
    .addHelpText('after', FIRST_STEPS)
    .exitOverride()
    .configureOutput({
      writeOut: text => void stdout.add(text),
      writeErr: text => void stderr.add(text),
      outputError: (text, write) =>
        write(`${stderr.styled('red', 'postern:')} ${text.replace(/^error: /, '')}`),
      getOutHelpWidth: () => stdout.width,
      getErrHelpWidth: () => stderr.width,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
  for (const add of COMMANDS) add(program, session)
  pointToHelp(program, 'postern')
  return program
}

function usageStatus(error: CommanderError): ExitStatus {
  const asked = ['commander.helpDisplayed', 'commander.version', 'commander.help']
  return asked.includes(error.code) && error.exitCode === 0 ? EXIT.ok : EXIT.usage
}

async function runCommand(args: readonly string[], session: Session): Promise<ExitStatus> {
  try {
    await makeProgram(session).parseAsync(args, { from: 'user' })
    return session.status
  } catch (error) {
    if (error instanceof CommanderError) return usageStatus(error)
    throw error
  } finally {
    await session.close()
  }
}

/** Runs the program once. Never rejects. */
export async function run(args: readonly string[], world: World): Promise<number> {
  let status: ExitStatus
  try {
    status = await runCommand(args, new Session(world))
    await world.stdout.flush()
  } catch (error) {
    // What a command gathered before it failed is part of what it says.
    await world.stdout.flush().catch(() => {})
    status = await reportFailure(error, world)
  }
  await world.stderr.flush()
  return status
}
