/** `postern list rules`: a list's header rules, one at a time. */
import { type PlacedRule, ruleInWords } from '../../app/administration/header-rules.ts'
import { mailboxOf } from '../../core/address.ts'
import { CONTENT_ACTIONS } from '../../core/content.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { EXIT, Failure } from '../exit.ts'
import { list } from '../listing.ts'

const RULE_HELP = `A rule: ACTION FIELD: PATTERN
  ACTION    ${CONTENT_ACTIONS.join(', ')}; accept lets the post be
  FIELD     a field of the header, or * for any
  PATTERN   a regular expression in RE2's syntax, looked for anywhere in the
            field's value, whatever the case
The first rule that fits a post counts.`

function placeOf(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) {
    throw new Failure(EXIT.usage, `${JSON.stringify(text)}: a rule's place is a number from 1`)
  }
  return Number(text)
}

async function* each(rules: readonly PlacedRule[]): AsyncGenerator<PlacedRule> {
  yield* rules
}

export const listRulesCommands: AddCommand = (parent, session) => {
  const rules = parent
    .command('rules')
    .summary("a list's rules over the header")
    .description("A list's own rules over the header of a post. The first one that fits counts.")

  teach(
    rules
      .command('add')
      .summary('add a rule')
      .description('Adds a header rule to a list, after the others.')
      .argument('<list>', 'the posting address of the list')
      .argument('<rule>', 'what happens, the field, and the pattern, in one word for the shell')
      .option('--before <place>', 'before the rule in this place')
      .action(async (text: string, rule: string, { before }: { readonly before?: string }) => {
        const { headerRules } = await session.administration()
        const place = before === undefined ? undefined : placeOf(before)
        const added = session.value(await headerRules.add(text, rule, place))
        await session.say(`${mailboxOf(added.address)}: rule ${added.place} added: ${ruleInWords(added)}`)
      }),
    [
      [
        String.raw`postern list rules add team@lists.example.org 'hold Subject: \[urgent\]'`,
        'what claims to be urgent waits',
      ],
      ["postern list rules add team@lists.example.org 'reject X-Spam-Flag: ^yes'", 'and spam is refused'],
      [
        "postern list rules add team@lists.example.org --before 1 'accept Subject: ^\\[build\\]'",
        'but not what comes from the builds',
      ],
    ],
    RULE_HELP,
  )

  teach(
    rules
      .command('remove')
      .summary('remove a rule')
      .description('Removes the rule in a place. Those after it move up.')
      .argument('<list>', 'the posting address of the list')
      .argument('<place>', 'its place, as postern list rules ls shows it')
      .action(async (text: string, placeText: string) => {
        const place = placeOf(placeText)
        const { headerRules } = await session.administration()
        const removed = session.value(await headerRules.remove(text, place))
        await session.say(
          `${mailboxOf(removed.address)}: rule ${removed.place} removed: ${ruleInWords(removed)}`,
        )
      }),
    [['postern list rules remove team@lists.example.org 2', 'the second one']],
  )

  teach(
    rules
      .command('ls')
      .summary('show the rules')
      .description('Shows the header rules of a list in their order.')
      .argument('<list>', 'the posting address of the list')
      .option(...JSON_OPTION)
      .action(async (text: string, options: { readonly json?: true }) => {
        const { headerRules } = await session.administration()
        const found = session.value(await headerRules.all(text))
        await list(session.world.stdout, each(found), {
          json: options.json === true,
          text: placed => `${placed.place}\t${ruleInWords(placed)}`,
          value: ({ place, rule: { action, field, pattern } }) => ({
            place,
            action,
            field,
            pattern: pattern.text,
          }),
        })
      }),
    [['postern list rules ls team@lists.example.org', 'one a line: its place, a tab, the rule']],
  )
}
