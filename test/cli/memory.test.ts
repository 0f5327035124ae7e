/** An import's memory does not grow with the number of people: more of them than the heap could hold. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { finished, start } from './process.ts'

/** As a parsed document these would take some 200 megabytes. */
const PEOPLE = 200_000

/** In megabytes. */
const HEAP = 64

function* document(): Generator<string> {
  yield '{"postern": 1, "domains": [{"domain": "a.example"}], "lists": [{"address": "big@a.example", "people": ['
  for (let i = 0; i < PEOPLE; i++) {
    const number = String(i).padStart(6, '0')
    yield `${i === 0 ? '' : ','}\n{"who": "member.${number}@host.example.net", "roles": ["owner", "member"], "action": "hold"}`
  }
  yield ']}]}'
}

test(`${PEOPLE} people with a heap of ${HEAP} MB`, { timeout: 600_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-memory-'))
  try {
    const child = start(directory, ['import', '-'], { nodeOptions: [`--max-old-space-size=${HEAP}`] })
    const ending = finished(child)
    if (child.stdin === null) throw new Error('no standard input')
    await pipeline(Readable.from(document()), child.stdin)
    const { status, stdout, stderr } = await ending
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toContain(`people: ${PEOPLE} added, 0 changed, 0 removed, 0 unchanged`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
