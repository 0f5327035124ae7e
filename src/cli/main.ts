#!/usr/bin/env node
/**
 * The entry point. Gives the command line its world, and is the only file here that knows the daemon; what a command
 * does not need is not loaded for it.
 */
import { readFileSync } from 'node:fs'
import { Output } from './output.ts'
import { run } from './program.ts'
import type { World } from './world.ts'

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { readonly version: string }).version
}

function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Once: a second one ends the program there and then.
    process.once(signal, () => controller.abort())
  }
  return controller.signal
}

const world: World = {
  stdin: process.stdin,
  stdout: new Output(process.stdout),
  stderr: new Output(process.stderr, { mayFail: true }),
  clock: Date.now,
  version: version(),
  loadConfig: async file => {
    const { loadConfig } = await import('../config/load.ts')
    return loadConfig({ file, cwd: process.cwd(), env: process.env })
  },
  openStore: async config => {
    const { openStore } = await import('../daemon/compose.ts')
    return openStore(config)
  },
  openJournal: async config => {
    const { openJournal } = await import('../daemon/compose.ts')
    return openJournal(config)
  },
  openModeration: async (config, store) => {
    const { openModeration } = await import('../daemon/compose.ts')
    return openModeration(config, store)
  },
  serve: async config => {
    const { serve } = await import('../daemon/serve.ts')
    const script = process.argv[1] ?? 'postern'
    const status = await serve(config, { cwd: process.cwd(), env: process.env, script })
    // What it has given up waiting for would keep the process.
    process.exit(status)
  },
  interruption,
}

process.exitCode = await run(process.argv.slice(2), world)
// What an interrupted command left unread would keep the program waiting.
process.stdin.destroy()
