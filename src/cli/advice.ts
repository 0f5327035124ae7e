/** What to do next about each problem of administration, where there is something to say. */
import type { ProblemCode } from '../app/administration/problem.ts'

const ADVICE: Readonly<Partial<Record<ProblemCode, string>>> = {
  'rule-invalid': 'postern list rules add --help explains what a rule is',
  'rule-unknown': 'postern list rules ls LIST shows the rules with their places',
  'domain-unknown': 'postern domain ls shows the list domains; postern domain add DOMAIN adds one',
  'domain-in-use': 'postern list ls DOMAIN shows its lists; postern list remove ADDRESS removes one',
  'list-unknown': 'postern list ls shows the lists; postern list add ADDRESS adds one',
  'list-exists': 'postern list set ADDRESS changes its settings',
  'list-unreadable':
    'its mail is deferred until its settings are put right where they were written, or an import replaces the list',
  'domain-setting-invalid': 'postern domain set --help explains every setting',
  'delivery-unknown':
    'postern check-config shows the deliveries; --force takes a name that only other hosts have',
  'setting-invalid': 'postern list set --help explains every setting',
  'preset-invalid': 'postern list add --help explains the presets',
  'person-unknown': 'postern member ls LIST shows who is on it',
  'person-linked': 'postern member ls LIST shows whose addresses are linked to whose',
  'person-known': 'postern member remove LIST ADDRESS, and link it then',
  'person-unreadable': 'postern member remove LIST ADDRESS without --role removes the whole record',
  'role-unheld': 'postern member ls LIST shows the roles of everybody on it',
  'ban-unknown': 'postern ban ls shows the bans from all lists, postern ban ls --list LIST those of one',
  'forbidden-unknown': 'postern forbid ls shows the entries',
  'mta-unlisted': 'postern mta ls shows both lists',
}

/** Advice for a problem. */
export function adviceFor(code: ProblemCode): string | undefined {
  return ADVICE[code]
}
