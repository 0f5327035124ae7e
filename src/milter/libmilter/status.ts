/** What a callback of libmilter answers (mfapi.h, SMFIS_*). */
export const SMFIS = {
  CONTINUE: 0,
  REJECT: 1,
  DISCARD: 2,
  ACCEPT: 3,
  TEMPFAIL: 4,
  NOREPLY: 7,
  /**
   * `_SMFIS_ABORT`, libmilter's own word, which is in no manual: hang up without an answer. There is no other way to have
   * the MTA do its default action.
   */
  HANG_UP: 21,
} as const
