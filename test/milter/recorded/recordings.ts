/** The recordings, `test/transcripts/milter/recorded/<MTA>/<conversation>.txt`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DIFFERENCES } from './differences.ts'
import type { FilterName } from './filters.ts'

const FOLDER = fileURLToPath(new URL('../../transcripts/milter/recorded/', import.meta.url))

export const pathOf = (folder: string, name: string): string => `${FOLDER}${folder}/${name}.txt`

/** A conversation as it was recorded from an MTA with the filter in C. */
export function recordingOf(folder: string, name: string): string {
  const path = pathOf(folder, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

/** What is recorded, by folder and name. */
export function recordings(): readonly (readonly [folder: string, name: string])[] {
  return readdirSync(FOLDER).flatMap(folder =>
    readdirSync(`${FOLDER}${folder}`).map(file => [folder, file.replace(/\.txt$/, '')] as const),
  )
}

/** A recording as it is to be with a filter. */
export function asWith(filter: FilterName, recording: string): string {
  if (filter !== 'native') return recording
  return DIFFERENCES.reduce((text, difference) => difference.apply(text), recording)
}
