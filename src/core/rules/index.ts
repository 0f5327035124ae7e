/**
 * The law: for each phase its rules in their order, first match wins. The order is the meaning:
 *
 * - what is not ours comes first, so that other mail is never touched;
 * - the client and the list come before the sender, because they need no look at who writes;
 * - service addresses and questions of existence come before anything that looks at the sender;
 * - bans come before roles, permission before limits, so that a stranger learns of a refusal and not of a limit;
 * - what refuses by the message's content comes after permission, and waiting for a moderator after everything.
 */
import type { DataTransaction, EndOfMessageTransaction, MailTransaction } from '../transaction.ts'
import { actionTaken } from './action-taken.ts'
import { authorClear } from './author-clear.ts'
import { authorDecides } from './author-decides.ts'
import { authorPermitted, authorSettles } from './author-settles.ts'
import { noAutomaticReply, noBulkMail } from './automatic-mail.ts'
import { destinationsWithinLimit, listsWithinLimit } from './destinations-within-limit.ts'
import { existenceOnly } from './existence-only.ts'
import { headerPermitted } from './header-permitted.ts'
import { headerWithinLimits } from './header-within-limits.ts'
import { listExists } from './list-exists.ts'
import { listNamed } from './list-named.ts'
import { listOpen } from './list-open.ts'
import { firstPostSeen, noEmergency } from './moderated.ts'
import { mtaKnown } from './mta-known.ts'
import { mtaNotRefused, mtaNotRefusedAtConnect } from './mta-not-refused.ts'
import { noLoop } from './no-loop.ts'
import { noNullSenderToList, noNullSenderToPostersOnly } from './no-null-sender.ts'
import { partsPermitted } from './parts-permitted.ts'
import { rateWithinLimit } from './rate-within-limit.ts'
import { recipientIsOurs } from './recipient-is-ours.ts'
import { recipientsWithinLimits } from './recipients-within-limits.ts'
import type { Case, RecipientCase, Rule } from './rule.ts'
import { senderNotBanned } from './sender-not-banned.ts'
import { senderNotForbidden, senderNotForbiddenToList } from './sender-not-forbidden.ts'
import { senderPermitted } from './sender-permitted.ts'
import { serviceAddress } from './service-address.ts'
import { sizeWithinLimit } from './size-within-limit.ts'

export const CONNECT_RULES: readonly Rule<Case>[] = [mtaNotRefusedAtConnect]

export const EHLO_RULES: readonly Rule<Case>[] = [mtaNotRefused, mtaKnown]

export const MAIL_RULES: readonly Rule<Case<MailTransaction>>[] = [
  mtaNotRefused,
  mtaKnown,
  senderNotForbidden,
]

export const RCPT_RULES: readonly Rule<RecipientCase>[] = [
  recipientIsOurs,
  mtaNotRefused,
  mtaKnown,
  listExists,
  listOpen,
  recipientsWithinLimits,
  serviceAddress,
  existenceOnly,
  senderNotForbiddenToList,
  senderNotBanned,
  authorDecides,
  senderPermitted,
  sizeWithinLimit,
  rateWithinLimit,
  noEmergency,
  firstPostSeen,
  actionTaken,
]

export const DATA_RULES: readonly Rule<Case<DataTransaction>>[] = [noNullSenderToPostersOnly]

export const END_OF_MESSAGE_RULES: readonly Rule<RecipientCase<EndOfMessageTransaction>>[] = [
  recipientIsOurs,
  listExists,
  serviceAddress,
  noNullSenderToList,
  authorPermitted,
  headerWithinLimits,
  sizeWithinLimit,
  noLoop,
  noAutomaticReply,
  noBulkMail,
  authorClear,
  listsWithinLimit,
  destinationsWithinLimit,
  listNamed,
  headerPermitted,
  partsPermitted,
  authorSettles,
]
