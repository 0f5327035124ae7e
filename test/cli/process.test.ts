/** The program from end to end: its own process, a store on disk, real pipes and signals, and every exit status. */
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startPostern } from '../support/daemon.ts'
import { run, said, start } from './process.ts'

// Each command is a process that compiles itself first.
vi.setConfig({ testTimeout: 120_000 })

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-cli-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const postern = (...args: readonly string[]) => run(directory, args)

function config(text: string): void {
  writeFileSync(join(directory, 'postern.toml'), text)
}

function document(people: number): string {
  const entries = Array.from(
    { length: people },
    (_, i) => `{"who": "p${i}@example.net", "roles": ["member"]}`,
  )
  return `{"postern": 1, "domains": [{"domain": "a.example"}], "lists": [
    {"address": "small@a.example"},
    {"address": "big@a.example", "people": [\n${entries.join(',\n')}]}]}`
}

describe('the program', () => {
  test("its version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await postern('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('what one process changes, the next one knows', async () => {
    expect(await postern('domain', 'add', 'a.example')).toMatchObject({ status: 0, stdout: '' })
    expect(await postern('list', 'add', 'team@a.example')).toMatchObject({ status: 0 })
    const people = Array.from({ length: 60 }, (_, i) => `p${i}@example.net\n`).join('')
    expect(await run(directory, ['member', 'add', 'team@a.example', '-'], { input: people })).toMatchObject({
      status: 0,
      stderr: 'team@a.example: 60 added\n',
    })
    const ask = (sender: string) => postern('ask', '--sender', sender, '--list', 'team@a.example')
    expect(await ask('P59@example.net')).toMatchObject({ status: 0, stderr: '' })
    expect(await ask('p60@example.net')).toMatchObject({ status: 1, stderr: '' })
    const exported = await postern('export')
    expect(exported).toMatchObject({ status: 0, stderr: '' })
    expect(await run(directory, ['import', '-'], { input: exported.stdout })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('people: 0 added, 0 changed, 0 removed, 60 unchanged'),
    })
  })

  test('help loads neither the configuration nor the store', async () => {
    config('nonsense = [')
    expect(await postern('list', 'add', '--help')).toMatchObject({ status: 0, stderr: '' })
  })
})

describe('exit statuses', () => {
  test('64: wrong usage, before anything is opened', async () => {
    config('nonsense = [')
    expect(await postern('member', 'add', 'team@a.example', 'nobody')).toMatchObject({
      status: 64,
      stdout: '',
    })
  })

  test('65: a damaged document', async () => {
    const { status, stdout, stderr } = await run(directory, ['import', '-'], {
      input: document(3).replace('p1@', 'p1'),
    })
    expect(status).toBe(65)
    expect(stdout.split('\n').map(line => line.split(':')[0])).toEqual(['a.example', 'small@a.example', ''])
    expect(stderr).toContain('standard input, line 5, column 9, $.lists[1].people[1].who: "p1example.net"')
    expect(stderr).toContain('what is listed above is in place, the rest is not')
    expect((await postern('list', 'ls')).stdout).toBe('small@a.example\tactive\tmembers\n')
  })

  test.each(['absent.json', '.'])('66: no input: %s', async file => {
    const { status, stderr } = await postern('import', file)
    expect(status).toBe(66)
    expect(stderr).toContain(`postern: ${file} cannot be read\n`)
  })

  test('69 and 75: the store is away', async () => {
    config(`[redis]\nsocket = "${join(directory, 'absent.sock')}"\ntimeout = 300\n`)
    const ls = await postern('domain', 'ls')
    expect(ls).toMatchObject({ status: 69, stdout: '' })
    expect(ls.stderr).toContain('postern: the store cannot be reached\n')
    expect(ls.stderr).toContain('absent.sock')
    expect(ls.stderr).toContain('next: postern check-config')
    const ask = await postern('ask', '--sender', 'a@b.example', '--list', 'c@d.example')
    expect(ask).toMatchObject({ status: 75 })
    expect(ask.stdout).toContain('reply    451 4.3.0 Temporary failure; try again later\n')
  })

  test('74: the output cannot be written', async () => {
    const full = openSync('/dev/full', 'w')
    const child = await run(directory, ['domain', 'ls', '--json'], { stdio: ['pipe', full, 'pipe'] })
    expect(child).toMatchObject({ status: 74 })
    expect(child.stderr).toContain('postern: the output could not be written\n  ENOSPC')
    expect(await run(directory, ['--help'], { stdio: ['pipe', full, 'pipe'] })).toMatchObject({ status: 74 })
  })

  test('78: the configuration is wrong, and every problem is said', async () => {
    config('[policy]\nlisten = ["nowhere"]\n[site]\nmax_recipient = 3\n')
    const { status, stdout, stderr } = await postern('check-config')
    expect({ status, stdout }).toEqual({ status: 78, stdout: '' })
    expect(stderr).toContain('postern: the configuration cannot be used\n')
    expect(stderr).toContain('  postern.toml:2:11: policy.listen[0]: ')
    expect(stderr).toContain('  postern.toml:4:1: site.max_recipient: ')
    expect(await postern('domain', 'ls')).toMatchObject({ status: 78 })
    expect(await postern('serve')).toMatchObject({ status: 78 })
    expect(await postern('--config', 'absent.toml', 'domain', 'ls')).toMatchObject({ status: 78 })
    expect(await postern('domain', 'ls', '--config', 'absent.toml')).toMatchObject({ status: 78 })
  })

  test('78: the store is no store', async () => {
    writeFileSync(join(directory, 'file'), 'x')
    config('[store]\npath = "./file"\n')
    const { status, stderr } = await postern('domain', 'ls')
    expect(status).toBe(78)
    expect(stderr).toContain('postern: the store cannot be used\n')
  })
})

describe('streams and signals', () => {
  test('a reader who has seen enough ends a listing quietly', async () => {
    await run(directory, ['import', '-'], { input: document(20_000) })
    const child = start(directory, ['member', 'ls', 'big@a.example'])
    let stderr = ''
    child.stderr?.on('data', chunk => {
      stderr += String(chunk)
    })
    child.stdout?.once('data', () => child.stdout?.destroy())
    const [status] = (await once(child, 'close')) as [number]
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })

  test('an interrupted import leaves the list that was being read as it was', async () => {
    const whole = document(5_000)
    const child = start(directory, ['import', '-'])
    const closed = once(child, 'close')
    let stderr = ''
    child.stderr?.on('data', chunk => {
      stderr += String(chunk)
    })
    child.stdin?.on('error', () => {})
    child.stdin?.write(whole.slice(0, whole.length - 1_000))
    await said(child, 'small@a.example: new list')
    child.kill('SIGINT')
    expect(await closed).toEqual([130, null])
    expect(stderr).toContain('what is listed above is in place, the rest is not\n')
    expect((await postern('list', 'ls')).stdout).toBe('small@a.example\tactive\tmembers\n')
  })

  test('no colour where there is no terminal, whatever the environment says', async () => {
    const nothing = await run(directory, ['list', 'show', 'nonsense'], { env: { FORCE_COLOR: '3' } })
    expect(nothing.stderr).toMatch(/^postern: "nonsense"/)
  })
})

/** Asks the policy server, as Postfix would. */
async function askPolicy(port: number, sender: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const lines = [
    'request=smtpd_access_policy',
    'protocol_state=RCPT',
    `sender=${sender}`,
    'recipient=team@a.example',
  ]
  socket.write(`${lines.join('\n')}\n\n`)
  let answer = ''
  for await (const chunk of socket) {
    answer += String(chunk)
    if (answer.endsWith('\n\n')) break
  }
  return answer.trim()
}

describe('with the server running', () => {
  test('its next answer knows what the command line has changed', async () => {
    const daemon = await startPostern()
    try {
      const { policy } = daemon
      if (policy.kind !== 'tcp') throw new Error('no port')
      await daemon.must('domain', 'add', 'a.example')
      await daemon.must('list', 'add', 'team@a.example')
      expect(await askPolicy(policy.port, 'alice@example.net')).toContain('action=550 5.7.2')
      await daemon.must('member', 'add', 'team@a.example', 'alice@example.net')
      expect(await askPolicy(policy.port, 'alice@example.net')).toBe('action=DUNNO')
      expect(await daemon.must('ask', '--sender', 'alice@example.net', '--list', 'team@a.example')).toContain(
        'accept',
      )
      await daemon.must('ban', 'add', '@example.net')
      expect(await askPolicy(policy.port, 'alice@example.net')).toContain('You are banned from posting')
    } finally {
      await daemon.remove()
    }
  })
})
