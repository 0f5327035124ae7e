/**
 * What a policy server's action means to an SMTP client: access(5) as far as a policy server of mailing lists uses
 * it. Where Postfix would put words of its own in front of the text, the text is passed on as it is.
 */

/** Go on, or refuse with this reply. `text` begins with the enhanced code. */
export type Answer =
  | { readonly kind: 'go-on' }
  | { readonly kind: 'refuse'; readonly code: number; readonly text: string }

const GO_ON: Answer = { kind: 'go-on' }

/** What Postfix says if the policy server cannot be reached or does not keep to the protocol. */
export const NO_ANSWER: Answer = { kind: 'refuse', code: 451, text: '4.3.5 Server configuration problem' }

/** What Postfix says to an action that it does not know. */
const NOT_UNDERSTOOD: Answer = { kind: 'refuse', code: 451, text: '4.3.5 Server configuration error' }

/** The text of a refusal, with the enhanced code that Postfix would add where there is none. */
function refusal(code: number, enhanced: string, text: string): Answer {
  const own = /^[245]\.\d{1,3}\.\d{1,3}(?: |$)/.test(text)
  return { kind: 'refuse', code, text: own ? text : `${enhanced} ${text === '' ? 'Access denied' : text}` }
}

/** Reads the value of an `action` attribute. */
export function readAction(action: string): Answer {
  const match = /^(\S+)(?: (.*))?$/s.exec(action.trim())
  const word = match?.[1]?.toUpperCase() ?? ''
  const text = match?.[2]?.trim() ?? ''
  if (word === 'DUNNO' || word === 'OK') return GO_ON
  if (word === 'REJECT') return refusal(554, '5.7.1', text)
  if (word === 'DEFER' || word === 'DEFER_IF_PERMIT') return refusal(450, '4.7.1', text)
  if (/^[45]\d\d$/.test(word) && text !== '') return refusal(Number(word), `${word[0]}.7.1`, text)
  return NOT_UNDERSTOOD
}
