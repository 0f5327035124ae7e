/**
 * Texts that strangers wrote, made fit to be shown to people: nothing in them can move a terminal's cursor, turn a
 * line's direction or hide.
 */

/** Controls, line separators, what turns directions, what has no width, and halves of characters. */
const UNSHOWN =
  /[\p{Cc}\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]+/gu

/** The text in one line of at most `limit` characters. */
export function shownText(text: string, limit: number = 200): string {
  const clean = text.replace(UNSHOWN, ' ').replace(/\s+/gu, ' ').trim()
  const characters = [...clean]
  return characters.length <= limit ? clean : `${characters.slice(0, limit - 1).join('')}…`
}

/** A line with its white space as it is, but for what cannot be shown. */
export function shownLine(text: string): string {
  return text.replace(UNSHOWN, match => ([...match].every(each => each === '\t') ? match : '�'))
}
