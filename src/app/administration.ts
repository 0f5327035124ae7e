/**
 * Administration: everything that people do to the directory, as use cases over its port. Each takes what was typed,
 * checks it, makes the change and says what changed; the command line and whatever else administers share them.
 */
import { Bans, ForbiddenSenders } from './administration/bans.ts'
import { Domains } from './administration/domains.ts'
import { HeaderRules } from './administration/header-rules.ts'
import type { KnownDeliveries } from './administration/known-deliveries.ts'
import { type ListReport, reportOf } from './administration/list-report.ts'
import { Lists } from './administration/lists.ts'
import { Mtas } from './administration/mtas.ts'
import { People } from './administration/people.ts'
import type { Outcome } from './administration/problem.ts'
import type { Directory } from './ports.ts'

/** The use cases, by what they are about. Every one rejects with `StoreUnavailable` if the store is away. */
export class Administration {
  readonly domains: Domains
  readonly lists: Lists
  readonly headerRules: HeaderRules
  readonly people: People
  readonly bans: Bans
  readonly forbidden: ForbiddenSenders
  readonly mtas: Mtas
  readonly #directory: Directory

  /** `deliveries` names those that may be chosen; if not given, any may be. */
  constructor(directory: Directory, deliveries?: KnownDeliveries) {
    this.#directory = directory
    this.domains = new Domains(directory, deliveries)
    this.lists = new Lists(directory, deliveries)
    this.headerRules = new HeaderRules(directory)
    this.people = new People(directory)
    this.bans = new Bans(directory)
    this.forbidden = new ForbiddenSenders(directory)
    this.mtas = new Mtas(directory)
  }

  /** Reports on a list. Its people are counted by reading them all. */
  report(listText: string): Promise<Outcome<ListReport>> {
    return reportOf(this.#directory, listText)
  }
}
