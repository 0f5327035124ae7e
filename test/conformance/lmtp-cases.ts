/**
 * What an LMTP server must do, as cases that run against any of them: the rules of RFC 2033 and of the RFCs below it,
 * and what MTAs do in practice that costs mail where a server is not prepared for it. Each case says where it comes
 * from.
 */
import { ADDRESS_CASES, PARAMETER_CASES } from './lmtp-argument-cases.ts'
import type { LmtpCase } from './lmtp-case.ts'
import { DATA_CASES } from './lmtp-data-cases.ts'
import { REPLY_CASES } from './lmtp-reply-cases.ts'
import { PIPELINING_CASES, SESSION_CASES } from './lmtp-session-cases.ts'

export const LMTP_CASES: readonly LmtpCase[] = [
  ...SESSION_CASES,
  ...REPLY_CASES,
  ...PIPELINING_CASES,
  ...PARAMETER_CASES,
  ...ADDRESS_CASES,
  ...DATA_CASES,
]
