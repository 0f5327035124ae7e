/** Serves as the command line does, in a process of its own: `serve-child.ts [CONFIG]`. */
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { serve } from '../../src/daemon/serve.ts'

const { env, argv } = process
const loaded = loadConfig({ file: argv[2], cwd: process.cwd(), env })
if (loaded.ok) {
  const script = argv[1] ?? ''
  process.exitCode = await serve(loaded.value, { cwd: process.cwd(), env, script })
} else {
  process.stderr.write(loaded.problems.map(problem => `${formatProblem(problem)}\n`).join(''))
  process.exitCode = 78
}
