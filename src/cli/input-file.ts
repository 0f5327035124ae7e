/** A file that a command reads from its beginning to its end, or standard input in its place. */
import { type FileHandle, open } from 'node:fs/promises'
import { EXIT, Failure } from './exit.ts'
import type { Session } from './session.ts'

/**
 * Opens the file at once, so that one that is not there needs nothing else; `-` is standard input.
 * @throws Failure if it cannot be read; so does reading
 */
export async function inputOf(session: Session, file: string): Promise<AsyncIterable<Uint8Array>> {
  if (file === '-') return session.world.stdin
  try {
    return chunksOf(await open(file), file)
  } catch (cause) {
    throw new Failure(EXIT.noInput, `${file} cannot be read`, { cause })
  }
}

async function* chunksOf(handle: FileHandle, file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* handle.createReadStream()
  } catch (cause) {
    throw new Failure(EXIT.noInput, `${file} cannot be read`, { cause })
  }
}
