/**
 * Another process with the embedded store open: `PATH put LIST WHO` makes somebody a member and ends; `PATH count LIST`
 * adds members until it is killed, and prints each one's number once the store has promised it; `PATH stage LIST` stages
 * people until it is killed; `PATH fill LIST` adds members until the store cannot, and prints why.
 */
import { writeSync } from 'node:fs'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import { makePerson } from '../../src/core/person.ts'
import { parseWho } from '../../src/core/who.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { address, must } from '../support/vectors.ts'

const [path = '', mode, list = '', name = ''] = process.argv.slice(2)
const store = await openEmbeddedStore({ path })
const key = address(list).key
const person = must(makePerson(['member']))
const member = (number: number) => ({ who: must(parseWho(`p${number}@x.example`)), person })

switch (mode) {
  case 'put':
    writeSync(1, `${await store.putPerson(key, { who: must(parseWho(name)), person })}\n`)
    await store.close()
    break
  case 'count':
    for (let number = 0; ; number++) {
      await store.putPerson(key, member(number))
      writeSync(1, `${number}\n`)
    }
  case 'stage': {
    const staged = await store.stagePeople(key)
    for (let number = 0; ; number += 1000) {
      await staged.add(Array.from({ length: 1000 }, (_, i) => member(number + i)))
      writeSync(1, `${number}\n`)
    }
  }
  case 'fill': {
    await store.createList(key, INITIAL_SETTINGS)
    const results: string[] = []
    for (let number = 0; results.length < 3; number++) {
      await store.putPerson(key, member(number)).catch((error: unknown) => {
        results.push(String(error))
      })
    }
    const people = await store.countPeople(key)
    writeSync(1, JSON.stringify({ people, results }))
    await store.close()
  }
}
