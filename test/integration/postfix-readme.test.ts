/** The numbered excerpts of `postfix/README.md` are the files that the tests run a Postfix with. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const FOLDER = fileURLToPath(new URL('../../postfix', import.meta.url))
const readme = readFileSync(`${FOLDER}/README.md`, 'utf8')

/** A snippet without its comments. */
function settings(name: string): string[] {
  return readFileSync(`${FOLDER}/${name}`, 'utf8')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
}

/** The numbered lines below a heading, without their numbers. */
function excerpt(name: string): string[] {
  const section = readme.split(/\n## /).find(text => text.split('\n')[0]?.endsWith(`: ${name}`)) ?? ''
  return [...section.matchAll(/^ {3,4}\d+ {2}(.*)$/gm)].map(match => match[1] ?? '')
}

test.each(['main.cf.policy-rcpt', 'main.cf.lmtp'])('%s', name => {
  expect(excerpt(name)).toEqual(settings(name))
})

test.each([
  'smtpd_delay_reject = no',
  'smtpd_helo_required = yes',
  'address_verify_sender = <>',
  'address_verify_negative_refresh_time = 1m',
  'address_verify_negative_expire_time = 2m',
  'unverified_recipient_reject_code = 550',
])('%s is set as the page says', line => {
  expect(readme).toContain(line)
  expect([...settings('main.cf.policy-stages'), ...settings('main.cf.verify')]).toContain(line)
})
