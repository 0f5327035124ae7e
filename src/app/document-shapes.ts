/** The entries of an import document, as shapes that are handed what stands there and check it there and then. */
import { type AddressKey, parseAddress } from '../core/address.ts'
import type { Domain } from '../core/domain.ts'
import { ACTIONS, type Action, type ListSettings, SETTING_NAMES, SETTINGS } from '../core/list.ts'
import { DOMAIN_SETTING_NAMES, DOMAIN_SETTINGS, type ListDomain } from '../core/list-domain.ts'
import type { Parsed } from '../core/parsed.ts'
import { makePerson, ROLES, type Role } from '../core/person.ts'
import { isAboutDomain, parseWho, type Who } from '../core/who.ts'
import { parseListDomain } from './administration/domains.ts'
import { type ObjectShape, quoted, type ScalarShape, Wrong } from './document-json.ts'
import type { PersonEntry } from './ports.ts'

const DOMAIN_KEYS = ['domain', ...DOMAIN_SETTING_NAMES] as const
const PERSON_KEYS = ['who', 'roles', 'action', 'linked', 'seen'] as const

/** One of the keys that are known here. */
export function known<K extends string>(key: string, keys: readonly K[]): K {
  const found = keys.find(candidate => candidate === key)
  if (found === undefined) throw new Wrong(`unknown key ${quoted(key)}; expected ${keys.join(', ')}`)
  return found
}

/** A string that a parser takes. */
export function parsedBy<T>(parse: (text: string) => Parsed<T>, take: (value: T) => void): ScalarShape {
  return {
    kind: 'scalar',
    expected: 'a string',
    take: value => {
      if (typeof value !== 'string') throw new Wrong(`expected a string, not ${quoted(value)}`)
      const result = parse(value)
      if (!result.ok) throw new Wrong(`${quoted(value)}: ${result.problem}`)
      take(result.value)
    },
  }
}

/** One of a few words. */
function oneOf<T extends string>(choices: readonly T[], take: (value: T) => void): ScalarShape {
  const expected = `one of ${choices.join(', ')}`
  return {
    kind: 'scalar',
    expected,
    take: value => {
      const found = choices.find(choice => choice === value)
      if (found === undefined) throw new Wrong(`expected ${expected}, not ${quoted(value)}`)
      take(found)
    },
  }
}

/** True or false. */
function truth(take: (value: boolean) => void): ScalarShape {
  const expected = 'true or false'
  return {
    kind: 'scalar',
    expected,
    take: value => {
      if (typeof value !== 'boolean') throw new Wrong(`expected ${expected}, not ${quoted(value)}`)
      take(value)
    },
  }
}

function missing(key: string): Wrong {
  return new Wrong(`the key ${quoted(key)} is missing`)
}

/** A list domain, with some of its settings. */
export function domainShape(take: (domain: Domain, settings: Partial<ListDomain>) => void): ObjectShape {
  let domain: Domain | undefined
  const settings: Record<string, unknown> = {}
  return {
    kind: 'object',
    member: key => {
      const name = known(key, DOMAIN_KEYS)
      if (name !== 'domain') {
        return parsedBy<unknown>(DOMAIN_SETTINGS[name].parse, value => {
          settings[name] = value
        })
      }
      return parsedBy(parseListDomain, value => {
        domain = value
      })
    },
    end: () => {
      if (domain === undefined) throw missing('domain')
      take(domain, settings as Partial<ListDomain>)
    },
  }
}

/** Somebody on a list. */
export function personShape(take: (entry: PersonEntry) => void): ObjectShape {
  let who: Who | undefined
  let roles: Set<Role> | undefined
  let action: Action | undefined
  let linked: AddressKey | undefined
  let seen = false
  return {
    kind: 'object',
    member: key => {
      switch (known(key, PERSON_KEYS)) {
        case 'who':
          return parsedBy(parseWho, value => {
            who = value
          })
        case 'roles': {
          const found = new Set<Role>()
          roles = found
          return { kind: 'array', element: () => oneOf(ROLES, role => found.add(role)) }
        }
        case 'action':
          return oneOf(ACTIONS, value => {
            action = value
          })
        case 'linked':
          return parsedBy(parseAddress, value => {
            linked = value.key
          })
        case 'seen':
          return truth(value => {
            seen = value
          })
      }
    },
    end: () => {
      if (who === undefined) throw missing('who')
      if (roles === undefined) throw missing('roles')
      const person = makePerson([...roles], action)
      if (!person.ok) throw new Wrong(`"roles": ${person.problem}`)
      if (linked !== undefined && isAboutDomain(who))
        throw new Wrong('"linked": a domain is nobody\'s address')
      const more = { ...(linked !== undefined && { linked }), ...(seen && { seen }) }
      take({ who, person: { ...person.value, ...more } })
    },
  }
}

/** Some of a list's settings, each as a text; a number is taken for its text, so that sizes need no quotes. */
export function settingsShape(take: (settings: Partial<ListSettings>) => void): ObjectShape {
  const settings: Record<string, unknown> = {}
  return {
    kind: 'object',
    member: key => {
      const name = known(key, SETTING_NAMES)
      const text = parsedBy<unknown>(SETTINGS[name].parse, value => {
        settings[name] = value
      })
      return { ...text, take: value => text.take(typeof value === 'number' ? String(value) : value) }
    },
    end: () => take(settings as Partial<ListSettings>),
  }
}
