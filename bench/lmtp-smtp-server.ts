/**
 * smtp-server as an LMTP server that discards, for the LMTP benchmark: the least that it can be made to do. Argument:
 * the port.
 */
import { SMTPServer } from 'smtp-server'

const server = new SMTPServer({
  lmtp: true,
  size: 10_000_000,
  authOptional: true,
  disabledCommands: ['AUTH', 'STARTTLS'],
  disableReverseLookup: true,
  lenientAddressParsing: true,
  onData(stream, session, callback) {
    stream.resume()
    stream.on('end', () =>
      callback(
        null,
        session.envelope.rcptTo.map(() => 'Ok'),
      ),
    )
  },
})
server.listen(Number(process.argv[2]), '127.0.0.1')
