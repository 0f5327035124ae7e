/** `postern ask`: what would an MTA be answered? By the same law and from the same store as every front. */
import { randomUUID } from 'node:crypto'
import { type Answer, Asker, type Question, type QuestionTexts, readQuestion } from '../../app/ask.ts'
import { Gate, type Recorder } from '../../app/gate.ts'
import { MessageReader, type MessageReading } from '../../app/message-reader.ts'
import { StoreUnavailable } from '../../app/ports.ts'
import { replyFor } from '../../core/reason.ts'
import { formatReply } from '../../core/reply.ts'
import type { SenderForm } from '../../core/sender-forms.ts'
import { PHASES, type Phase } from '../../core/transaction.ts'
import type { Verdict, VerdictKind } from '../../core/verdict.ts'
import { type AddCommand, repeated, teach } from '../command.ts'
import { EXIT, type ExitStatus, Failure } from '../exit.ts'
import { inputOf } from '../input-file.ts'
import { columns, jsonValue } from '../listing.ts'
import type { Style } from '../output.ts'
import type { Session } from '../session.ts'

interface Options {
  readonly sender?: string
  readonly list?: string
  readonly recipient?: readonly string[]
  readonly recipientsBefore?: string
  readonly phase: string
  readonly client?: string
  readonly clientName?: string
  readonly helo?: string
  readonly size?: string
  readonly author?: readonly string[]
  readonly otherAuthor?: readonly string[]
  readonly message?: string
  readonly lists?: string
  readonly afterAcceptance?: true
  readonly explain?: true
  readonly json?: true
}

const STATUS: Readonly<Record<VerdictKind, ExitStatus>> = {
  accept: EXIT.ok,
  hold: EXIT.ok,
  discard: EXIT.ok,
  later: EXIT.ok,
  none: EXIT.ok,
  reject: EXIT.refused,
  defer: EXIT.deferred,
}

const STYLE: Readonly<Record<VerdictKind, Style>> = {
  accept: 'green',
  hold: 'yellow',
  discard: 'yellow',
  later: 'yellow',
  none: 'dim',
  reject: 'red',
  defer: 'red',
}

/** Questions by hand are nobody's mail: nothing is noted. */
const NOTHING_NOTED: Recorder = { decided: () => {}, storeState: () => {}, internalError: () => {} }

function wholeNumber(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,12}$/.test(text)) throw new Failure(EXIT.usage, `${option} takes a whole number`)
  return Number(text)
}

function phaseOf(text: string): Phase {
  const phase = PHASES.find(candidate => candidate === text.toUpperCase())
  if (phase === undefined) throw new Failure(EXIT.usage, `--phase takes one of ${PHASES.join(', ')}`)
  return phase
}

/** Fields that are there. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

/** What a message says, and its size; its body is not kept. */
interface ReadMessage {
  readonly reading: MessageReading
  /** In octets. */
  readonly size: number
}

async function readMessage(session: Session, { message, phase }: Options): Promise<ReadMessage | undefined> {
  if (message === undefined) return undefined
  if (phaseOf(phase) !== 'END-OF-MESSAGE') {
    throw new Failure(EXIT.usage, '--message is for --phase END-OF-MESSAGE')
  }
  const reader = new MessageReader({ parts: true })
  let size = 0
  for await (const chunk of await inputOf(session, message)) {
    size += chunk.length
    reader.push(chunk)
  }
  return { reading: reader.end(), size }
}

function questionOf(options: Options, message: ReadMessage | undefined): Question {
  const texts: QuestionTexts = {
    phase: phaseOf(options.phase),
    client: present({ ip: options.client, name: options.clientName, helo: options.helo }),
    recipients: [...(options.list === undefined ? [] : [options.list]), ...(options.recipient ?? [])],
    ...present({
      sender: options.sender,
      recipientsBefore: wholeNumber(options.recipientsBefore, '--recipients-before'),
      size: wholeNumber(options.size, '--size') ?? message?.size,
      authors: options.author,
      otherAuthors: options.otherAuthor,
      reading: message?.reading,
      lists: wholeNumber(options.lists, '--lists'),
      afterAcceptance: options.afterAcceptance,
    }),
  }
  const question = readQuestion(texts)
  if (!question.ok)
    throw new Failure(EXIT.usage, question.problem, { advice: 'postern ask --help has examples' })
  return question.value
}

const STORE_AWAY: Answer = {
  verdict: {
    kind: 'defer',
    reason: 'store-unavailable',
    rule: 'own-fault',
    reply: replyFor('store-unavailable'),
  },
  trace: [],
  forms: [],
  refusedBefore: [],
}

/** The answer; without a store, the one that every front gives then. */
async function answer(session: Session, question: Question): Promise<Answer> {
  const { site } = await session.config()
  try {
    const store = await session.store()
    const gate = new Gate({ store, site, recorder: NOTHING_NOTED, clock: session.world.clock })
    return await new Asker(gate, 'cli', randomUUID()).ask(question)
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    await session.warn(`the store cannot be reached: ${error.message}`)
    return STORE_AWAY
  }
}

function replyOf(verdict: Verdict): string {
  return verdict.kind === 'none' ? '-' : formatReply(verdict.reply)
}

function verdictJson(verdict: Verdict): object {
  const { kind, reason, rule, list, service, shadowed } = verdict
  const reply = verdict.kind === 'none' ? undefined : verdict.reply
  return {
    verdict: kind,
    reply: reply === undefined ? null : { code: reply.code, enhanced: reply.enhanced, text: reply.text },
    reason,
    rule,
    ...present({ list, service, shadowed: shadowed === undefined ? undefined : verdictJson(shadowed) }),
  }
}

const REMARKS: Readonly<Partial<Record<VerdictKind, string>>> = {
  later: 'Not settled yet: --phase END-OF-MESSAGE with --author or --message asks how the message would end.',
  none: 'Not for Postern to judge: other mail goes its way.',
}

/** Another form of the sender's address: how it comes about, and what it is good for. */
function formInWords({ steps, counts }: SenderForm): string {
  const way = steps.map(({ text }) => text).join('; ')
  return counts === 'fully' ? way : `${way}; for bans alone`
}

function formJson({ form, steps, counts }: SenderForm): object {
  return { address: form.text, steps: steps.map(({ kind, text }) => ({ kind, text })), counts }
}

async function printText(
  session: Session,
  { verdict, trace, forms }: Answer,
  explain: boolean,
): Promise<void> {
  const { stdout } = session.world
  const rows = [
    ['verdict', stdout.styled(STYLE[verdict.kind], verdict.kind)],
    ['reply', replyOf(verdict)],
    ['reason', verdict.reason],
    ['rule', verdict.rule],
    ...(verdict.list === undefined ? [] : [['list', verdict.list]]),
    ...(verdict.service === undefined ? [] : [['service', verdict.service]]),
    ...(verdict.shadowed === undefined
      ? []
      : [['enforced', `${verdict.shadowed.kind}, ${replyOf(verdict.shadowed)}`]]),
  ]
  const [, ...others] = forms
  const also = others.map(form => ['looked up as', form.form.text, formInWords(form)])
  const steps = explain
    ? [
        ...(also.length === 0 ? [] : ['', ...columns(also)]),
        '',
        ...columns(trace.map(({ rule, saw, verdict: kind }) => [rule, kind ?? '·', saw])),
      ]
    : []
  await stdout.line([...columns(rows), ...steps].join('\n'))
  const remark = REMARKS[verdict.kind]
  if (remark !== undefined) await session.say(remark)
}

async function ask(session: Session, options: Options): Promise<void> {
  const question = questionOf(options, await readMessage(session, options))
  const found = await answer(session, question)
  for (const { recipient, verdict } of found.refusedBefore) {
    await session.warn(`RCPT would have refused ${recipient.text} already: ${replyOf(verdict)}`)
  }
  if (options.json === true) {
    const trace =
      options.explain === true
        ? { trace: found.trace.map(step => present({ ...step })), forms: found.forms.map(formJson) }
        : {}
    await jsonValue(session.world.stdout, { ...verdictJson(found.verdict), ...trace })
  } else await printText(session, found, options.explain === true)
  session.status = STATUS[found.verdict.kind]
}

export const askCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('ask')
      .summary('may this sender post to this list?')
      .description(
        'Answers what an MTA would be answered, from the store and by the same law: verdict, reply and reason. Nothing is counted or noted.',
      )
      .option('--sender <address>', "the envelope sender; '<>' is the null sender")
      .option('--list <address>', 'the recipient: a posting address, a service address, or any other')
      .option('--recipient <address>', 'one more recipient, at DATA; may be repeated', repeated)
      .option('--phase <phase>', PHASES.join(', '), 'RCPT')
      .option('--client <ip>', 'the IP address of the sending MTA')
      .option('--client-name <name>', 'its verified name')
      .option('--helo <name>', 'the name it gives at HELO or EHLO')
      .option('--size <bytes>', 'the size of the message: declared at RCPT, counted at END-OF-MESSAGE')
      .option('--recipients-before <count>', 'recipients of the message that were accepted before')
      .option('--author <address>', 'a mailbox of From:, at END-OF-MESSAGE; may be repeated', repeated)
      .option('--other-author <address>', 'one of Sender: or Reply-To:; may be repeated', repeated)
      .option(
        '--message <file>',
        'the message, at END-OF-MESSAGE: its header, parts and size; - is standard input',
      )
      .option('--lists <count>', 'how many lists the message goes to, at END-OF-MESSAGE')
      .option('--after-acceptance', 'an MTA has taken the message already, as in the LMTP sink')
      .option('--explain', 'show every rule that was tried and what it saw')
      .option('--json', 'print JSON instead of text')
      .action((options: Options) => ask(session, options)),
    [
      ['postern ask --sender alice@example.net --list team@lists.example.org', 'at RCPT'],
      ['postern ask --sender eve@example.com --list team@lists.example.org --explain', 'and why'],
      ["postern ask --phase DATA --sender '<>' --list team@lists.example.org", 'the null sender goes on'],
      [
        'postern ask --phase END-OF-MESSAGE --sender alice@example.net --list team@lists.example.org --author eve@example.com',
        'by the author',
      ],
      [
        'postern ask --phase END-OF-MESSAGE --sender alice@example.net --list team@lists.example.org --message post.eml',
        'and by what the message says',
      ],
      ['postern ask --phase EHLO --client 192.0.2.1 --helo mx.example.net', 'is this MTA welcome?'],
    ],
    `Exit status: 0 accepted, held, discarded, settled later or not ours;
1 refused; 75 deferred, also when the store is away; 64 usage; 78 configuration.`,
  )
}
