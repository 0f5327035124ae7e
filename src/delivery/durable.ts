/**
 * Directories that survive a power cut: a name is only there for good once the directory that holds it was flushed
 * (fsync(2)).
 */
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Flushes a directory: the names in it are kept. */
export async function flushDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a directory and all above it, and keeps the names of those that it made. */
export async function makeRoot(path: string, mode: number): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await flushDirectory(dirname(made))
}

/** Makes a directory in one that is there, or finds it there. Its name is not kept before the parent is flushed. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * Flushes one directory for many at once: everybody who asks while a flush is running shares the next one. A flush
 * that began before a name was made does not count for it.
 */
export class SharedFlush {
  readonly #path: string
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Resolves when every name that is in the directory now is kept. */
  flush(): Promise<void> {
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#running.catch(() => {}).then(() => this.#start())
    return this.#next
  }

  #start(): Promise<void> {
    this.#next = undefined
    const flush = flushDirectory(this.#path)
    const running = flush.finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
