/** The measure of the policy benchmark: a server that answers every segment with a constant, the plain way. */
import { createServer } from 'node:net'

const ANSWER = Buffer.from('action=DUNNO\n\n')

const [path, port] = process.argv.slice(2)
for (const endpoint of [{ path }, { host: '127.0.0.1', port: Number(port) }]) {
  createServer({ noDelay: true }, socket => {
    socket.on('data', () => socket.write(ANSWER))
    socket.on('error', () => socket.destroy())
  }).listen(endpoint)
}
