/** `postern why`: what was behind a reason id, what the law says today, and what would change that. */
import { type Explanation, Gate, type Recorder } from '../../app/gate.ts'
import type { StoredEvent } from '../../app/journal.ts'
import { questionOf } from '../../app/journal-event.ts'
import { eventsOf } from '../../app/journal-query.ts'
import { parseReasonId } from '../../app/reason-id.ts'
import { type Remedy, remediesFor } from '../../app/remedies.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { clientOf, senderOf, shown, traceRows, verdictInWords } from '../event-words.ts'
import { EXIT, Failure } from '../exit.ts'
import { columns, jsonValue } from '../listing.ts'
import type { Session } from '../session.ts'

/** Asking again is nobody's mail. */
const NOTHING_NOTED: Recorder = { decided: () => {}, storeState: () => {}, internalError: () => {} }

interface Finding {
  readonly event: StoredEvent
  /** What would be answered today; nothing where the question is not kept. */
  readonly today: Explanation | undefined
  readonly remedies: readonly Remedy[]
}

async function findingOf(gate: Gate, event: StoredEvent): Promise<Finding> {
  const tx = questionOf(event)
  const today = tx === undefined ? undefined : await gate.explain(tx)
  const verdict = today?.verdict
  const now = verdict?.shadowed ?? verdict?.inPlaceOf ?? verdict
  const reason = event.wouldReason ?? event.inPlaceOf ?? event.reason
  // Where it is answered otherwise today, nothing needs to be changed for the old reason.
  const remedies =
    now !== undefined && now.reason !== reason && now.kind === 'accept'
      ? []
      : remediesFor({
          reason: now?.reason ?? reason,
          list: event.list,
          sender: event.sender?.startsWith('#') === true ? undefined : event.sender,
          recipient: event.recipient?.startsWith('#') === true ? undefined : event.recipient,
          client: event.client,
        })
  return { event, today, remedies }
}

function rowsOf({ event, today }: Finding): readonly (readonly string[])[] {
  const {
    time,
    node,
    front,
    phase,
    verdict,
    reason,
    rule,
    reply,
    list,
    service,
    recipient,
    queueId,
    helo,
    user,
  } = event
  const row = (name: string, value: string | undefined): readonly (readonly string[])[] =>
    value === undefined ? [] : [[name, shown(value)]]
  return [
    ['when', new Date(time).toISOString()],
    ['where', shown(`${node}, ${front}, ${phase}`)],
    ['verdict', verdict],
    ...row('reply', reply),
    ['reason', reason],
    ...row('rule', rule),
    ...(event.would === undefined ? [] : [['enforced', `${event.would}, ${event.wouldReason}`]]),
    ...(event.inPlaceOf === undefined ? [] : [['in place of', event.inPlaceOf]]),
    ...row('list', list),
    ...row('service', service),
    ['sender', senderOf(event)],
    ...row('recipient', recipient),
    ...row('authors', event.authors?.join(', ')),
    ['client', clientOf(event)],
    ...row('helo', helo),
    ...row('user', user),
    ...row('queue id', queueId),
    [
      'today',
      today === undefined
        ? 'cannot be asked again: not all of the question is kept'
        : shown(verdictInWords(today.verdict)),
    ],
  ]
}

function textOf(finding: Finding): string {
  const { today, remedies, event } = finding
  const trace = today === undefined ? [] : ['', ...columns(traceRows(today.trace))]
  const content =
    event.phase === 'END-OF-MESSAGE'
      ? ['', 'The message itself is not kept: rules about its header and parts see none today.']
      : []
  const changes = remedies.flatMap(({ change, command }) =>
    command === undefined ? [`  ${shown(change)}`] : [`  ${shown(change)}:`, `    ${shown(command)}`],
  )
  const changing = changes.length === 0 ? [] : ['', 'What would change the answer:', ...changes]
  return [...columns(rowsOf(finding)), ...trace, ...content, ...changing].join('\n')
}

function jsonOf({ event, today, remedies }: Finding): object {
  const answer =
    today === undefined
      ? null
      : {
          verdict: today.verdict.kind,
          reply: today.verdict.kind === 'none' ? null : today.verdict.reply,
          reason: today.verdict.reason,
          rule: today.verdict.rule,
          trace: today.trace,
        }
  return { event, today: answer, remedies }
}

async function why(session: Session, text: string, options: { readonly json?: true }): Promise<void> {
  const id = parseReasonId(text)
  if (id === undefined) {
    throw new Failure(EXIT.usage, `${JSON.stringify(text)} is no reason id`, {
      advice: 'it is the eight characters behind "ref" at the end of a refusal',
    })
  }
  const { site } = await session.config()
  const { clock, stdout } = session.world
  const events = await eventsOf(await session.journal(), id, clock())
  if (events.length === 0) {
    throw new Failure(EXIT.refused, `there is no event ${id} in the journal`, {
      advice: 'the oldest events are forgotten (journal.max_events); the log may still have it',
    })
  }
  const gate = new Gate({ store: await session.store(), site, recorder: NOTHING_NOTED, clock })
  const findings: Finding[] = []
  for (const event of events) findings.push(await findingOf(gate, event))
  if (options.json === true) await jsonValue(stdout, findings.map(jsonOf))
  else await stdout.line(findings.map(textOf).join('\n\n'))
}

export const whyCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('why')
      .summary('what was behind a reason id?')
      .description(
        'Shows what was decided under a reason id, the eight characters at the end of a refusal, puts the same question to the law of today, with every rule that is tried, and says what would change the answer.',
      )
      .argument('<id>', 'the reason id, in any case; dashes and spaces do not matter')
      .option(...JSON_OPTION)
      .action((id: string, options: { readonly json?: true }) => why(session, id, options)),
    [['postern why K7Q2M9XP', '550 5.7.2 You are not permitted to post to … (ref K7Q2M9XP)']],
  )
}
