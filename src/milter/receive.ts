/**
 * What a socket receives, in one buffer that all sockets share, instead of one of 64 KiB for each read. Node offers this
 * (net.Socket, `onread`) to those who connect, but not for the sockets that a server is given. So the names by which a
 * socket keeps such a buffer are looked up on one that was made with it, and given to the others. Where Node has none of
 * this, what is received comes as 'data', in buffers that are not shared; nothing else is different.
 */
import type { Socket, SocketConstructorOpts } from 'node:net'

/** What libuv reads at most at a time, in bytes. */
const BUFFER_SIZE = 65_536

/** Is given what was received, which is overwritten when it returns. */
export type Receiver = (bytes: Buffer) => void

/** Lets a socket be read into the buffer; false if this Node cannot. To be called before anything is read. */
type Attach = (socket: Socket, receiver: Receiver) => boolean

/** What lies behind a socket, of which Node says nothing. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void
}

function attachTo(buffer: Buffer, newSocket: (options: SocketConstructorOpts) => Socket): Attach {
  const callback = (): boolean => true
  const options = { onread: { buffer, callback } } as SocketConstructorOpts
  const model = newSocket(options) as unknown as Record<symbol, unknown>
  const holding = (value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(model).find(name => model[name] === value)
  const bufferName = holding(buffer)
  const callbackName = holding(callback)
  if (bufferName === undefined || callbackName === undefined) return () => false
  return (socket, receiver) => {
    const { _handle: handle } = socket as { readonly _handle?: Handle | null }
    if (typeof handle?.useUserBuffer !== 'function') return false
    const named = socket as unknown as Record<symbol, unknown>
    named[bufferName] = buffer
    named[callbackName] = (length: number): boolean => {
      receiver(buffer.subarray(0, length))
      return true
    }
    handle.useUserBuffer(buffer)
    return true
  }
}

/** Receives for any number of sockets. */
export class Reception {
  readonly #attach: Attach

  /** `newSocket` makes the one that is looked at; it is never connected. */
  constructor(newSocket: (options: SocketConstructorOpts) => Socket) {
    this.#attach = attachTo(Buffer.allocUnsafeSlow(BUFFER_SIZE), newSocket)
  }

  /** Gives the receiver what a new socket of a server receives. */
  receive(socket: Socket, receiver: Receiver): void {
    if (!this.#attach(socket, receiver)) socket.on('data', receiver)
  }
}
