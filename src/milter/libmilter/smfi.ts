/**
 * Sendmail's libmilter (libmilter/mfapi.h) through koffi, with its own names. Loads what it binds; belongs into the one
 * thread that libmilter's callbacks are to come to.
 *
 * Strings from the MTA are taken as bytes and read as the native engine reads them. No koffi type is made after loading:
 * koffi never frees one.
 */
import koffi, { type TypeObject } from 'koffi'
import { LibmilterError } from './faults.ts'
import { SMFIS } from './status.ts'

/** `SMFICTX *`: one connection of an MTA. */
export type Context = bigint
type Pointer = bigint

export const MI_SUCCESS = 0

/** SMFI_VERSION: of the structure below, not of the library. */
const SMFI_VERSION = 0x01000001

const SONAMES = ['libmilter.so.1.0.1', 'libmilter.so.1'] as const

/** Callbacks that may wait at once, one for each session; beyond it koffi ends the process. */
export const MAX_WAITING = 4096

/** What libmilter calls. The result is a status; any other number is no answer at all. */
export interface Callbacks {
  negotiate(ctx: Context, offered: Offered): number
  connect(ctx: Context, host: string, address: string | undefined): number
  helo(ctx: Context, name: string): number
  envfrom(ctx: Context, argv: readonly string[]): number
  envrcpt(ctx: Context, argv: readonly string[]): number
  data(ctx: Context): number
  header(ctx: Context, name: string, value: string, size: number): number
  eoh(ctx: Context): number
  /** `bytes` copies the data; to be called before the callback returns. */
  body(ctx: Context, size: number, bytes: () => Buffer): number
  eom(ctx: Context): number
  unknown(ctx: Context): number
  abort(ctx: Context): number
  close(ctx: Context): number
}

/** The MTA's offer, and where the filter's wishes are to be put. */
export interface Offered {
  readonly actions: number
  readonly protocol: number
  wish(actions: number, protocol: number): void
}

export interface Libmilter {
  /** Makes known what is called; to be done once, before `smfi_opensocket`. */
  smfi_register(name: string, callbacks: Callbacks): number
  /** From now on every callback is a C function that gives no answer: no JavaScript is called any more. */
  silence(): number
  smfi_setconn(connection: string): number
  smfi_opensocket(removeExisting: boolean): number
  /** Starts `smfi_main` on a thread of its own; never on one of libuv's, which Node waits for when it exits. */
  startMain(): boolean
  /** Whether `smfi_main` has returned. */
  mainHasEnded(): boolean
  smfi_stop(): number
  smfi_setsymlist(ctx: Context, where: number, macros: string): number
  smfi_getsymval(ctx: Context, name: string): string | undefined
  /** `smfi_setreply` for one line, `smfi_setmlreply` for several. */
  smfi_setreply(ctx: Context, code: string, enhanced: string, lines: readonly string[]): number
  smfi_addheader(ctx: Context, name: string, value: string): number
  smfi_insheader(ctx: Context, index: number, name: string, value: string): number
  smfi_chgheader(ctx: Context, name: string, index: number, value: string): number
  smfi_chgfrom(ctx: Context, path: string, parameters: string | null): number
  smfi_addrcpt(ctx: Context, path: string): number
  smfi_addrcpt_par(ctx: Context, path: string, parameters: string): number
  smfi_delrcpt(ctx: Context, path: string): number
  smfi_replacebody(ctx: Context, data: Uint8Array, length: number): number
  smfi_quarantine(ctx: Context, reason: string): number
}

type Native<A extends readonly unknown[], R> = (...args: A) => R

const LF = 10
const AF = { UNIX: 1, INET: 2, INET6: 10 } as const

/** RTLD_LAZY | RTLD_NODELETE (dlfcn.h, glibc and musl) */
const STAYS_LOADED = 0x1001

type Library = ReturnType<typeof koffi.load>

function open(libc: Library): Library {
  // koffi unloads what it has loaded when its thread goes; libmilter's own threads are still at work then.
  const dlopen: Native<[string, number], unknown> = libc.func('void *dlopen(const char *name, int flags)')
  let cause: unknown
  for (const name of SONAMES) {
    try {
      const library = koffi.load(name)
      dlopen(name, STAYS_LOADED)
      return library
    } catch (error) {
      cause = error
    }
  }
  throw new LibmilterError(
    'libmilter-missing',
    `the milter engine libmilter needs ${SONAMES.join(' or ')}, which cannot be loaded; Debian has it in the package libmilter1.0.1`,
    { cause },
  )
}

/**
 * Loads and binds libmilter.
 *
 * @throws LibmilterError `libmilter-missing` if there is none
 */
export function loadLibmilter(): Libmilter {
  koffi.config({ max_async_calls: MAX_WAITING, resident_async_pools: 32 })
  const libc = koffi.load('libc.so.6')
  const lib = open(libc)
  const bind = <A extends readonly unknown[], R>(definition: string): Native<A, R> => lib.func(definition)

  const CTX = koffi.proto('int xxfi_ctx(void *ctx)')
  const POINTER = koffi.proto('int xxfi_pointer(void *ctx, void *argument)')
  const TWO = koffi.proto('int xxfi_two(void *ctx, void *first, void *second)')
  const BODY = koffi.proto('int xxfi_body(void *ctx, void *data, size_t length)')
  const NEGOTIATE = koffi.proto(
    'int xxfi_negotiate(void *ctx, ulong f0, ulong f1, ulong f2, ulong f3, void *p0, void *p1, void *p2, void *p3)',
  )
  const pointer = koffi.pointer
  koffi.struct('smfiDesc', {
    xxfi_name: 'const char *',
    xxfi_version: 'int',
    xxfi_flags: 'ulong',
    xxfi_connect: pointer(TWO),
    xxfi_helo: pointer(POINTER),
    xxfi_envfrom: pointer(POINTER),
    xxfi_envrcpt: pointer(POINTER),
    xxfi_header: pointer(TWO),
    xxfi_eoh: pointer(CTX),
    xxfi_body: pointer(BODY),
    xxfi_eom: pointer(CTX),
    xxfi_abort: pointer(CTX),
    xxfi_close: pointer(CTX),
    xxfi_unknown: pointer(POINTER),
    xxfi_data: pointer(CTX),
    xxfi_negotiate: pointer(NEGOTIATE),
  })
  const register = bind<[Record<string, unknown>], number>('int smfi_register(smfiDesc description)')
  const strlen: Native<[Pointer], bigint | number> = libc.func('size_t strlen(void *s)')
  const pthreadCreate: Native<[bigint[], null, Pointer, null], number> = libc.func(
    'int pthread_create(_Out_ uint64_t *thread, void *attributes, void *start, void *argument)',
  )
  const pthreadTryjoin: Native<[bigint, null], number> = libc.func(
    'int pthread_tryjoin_np(uint64_t thread, void *result)',
  )
  const opensocket = bind<[number], number>('int smfi_opensocket(int rmsocket)')
  const getsymval = bind<[Context, string], Pointer | null>(
    'void *smfi_getsymval(void *ctx, const char *name)',
  )
  const setreply = bind<[Context, string, string, string], number>(
    'int smfi_setreply(void *ctx, const char *rcode, const char *xcode, const char *message)',
  )
  const setmlreply = bind<[Context, string, string, ...(string | null)[]], number>(
    'int smfi_setmlreply(void *ctx, const char *rcode, const char *xcode, ...)',
  )

  const bytesAt = (at: Pointer, length: number): Buffer =>
    length === 0 ? Buffer.alloc(0) : Buffer.from(koffi.view(at, length))
  const textAt = (at: Pointer): string => bytesAt(at, Number(strlen(at))).toString('utf8')
  const argvAt = (at: Pointer): string[] => {
    const found: string[] = []
    for (let place = at; ; place += 8n) {
      const entry = BigInt(koffi.decode.uint64(place))
      if (entry === 0n) return found
      found.push(textAt(entry))
    }
  }
  const addressAt = (at: Pointer | null): string | undefined => {
    if (at === null || at === 0n) return undefined
    switch (koffi.decode.uint16(at)) {
      case AF.INET:
        return [...bytesAt(at + 4n, 4)].join('.')
      case AF.INET6: {
        const bytes = bytesAt(at + 8n, 16)
        return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':')
      }
      default:
        return undefined
    }
  }
  /** The octets of a field on its way here: colon, space and CR LF are not shown, nor is CR before the LF of a fold. */
  const fieldSize = (name: Buffer, value: Buffer): number => {
    let size = name.length + value.length + 4
    for (let at = value.indexOf(LF); at !== -1; at = value.indexOf(LF, at + 1)) size++
    return size
  }

  /** Whatever goes wrong in a callback is a refusal for now: koffi would hand libmilter what lies on the stack. */
  const safe =
    <A extends readonly unknown[]>(callback: (...args: A) => number) =>
    (...args: A): number => {
      try {
        const status: unknown = callback(...args)
        return Number.isInteger(status) ? (status as number) : SMFIS.TEMPFAIL
      } catch {
        return SMFIS.TEMPFAIL
      }
    }
  // Never unregistered: libmilter's threads may call as long as they live.
  const callback = <A extends readonly unknown[]>(type: TypeObject, body: (...args: A) => number): Pointer =>
    koffi.register(safe(body), pointer(type))

  let thread = 0n

  return {
    smfi_register(name, to) {
      return register({
        xxfi_name: name,
        xxfi_version: SMFI_VERSION,
        xxfi_flags: 0,
        xxfi_connect: callback(TWO, (ctx: Context, host: Pointer, address: Pointer | null) =>
          to.connect(ctx, textAt(host), addressAt(address)),
        ),
        xxfi_helo: callback(POINTER, (ctx: Context, host: Pointer) => to.helo(ctx, textAt(host))),
        xxfi_envfrom: callback(POINTER, (ctx: Context, argv: Pointer) => to.envfrom(ctx, argvAt(argv))),
        xxfi_envrcpt: callback(POINTER, (ctx: Context, argv: Pointer) => to.envrcpt(ctx, argvAt(argv))),
        xxfi_header: callback(TWO, (ctx: Context, field: Pointer, content: Pointer) => {
          const name = bytesAt(field, Number(strlen(field)))
          const value = bytesAt(content, Number(strlen(content)))
          return to.header(ctx, name.toString('utf8'), value.toString('utf8'), fieldSize(name, value))
        }),
        xxfi_eoh: callback(CTX, to.eoh),
        xxfi_body: callback(BODY, (ctx: Context, data: Pointer, length: number | bigint) =>
          to.body(ctx, Number(length), () => bytesAt(data, Number(length))),
        ),
        xxfi_eom: callback(CTX, to.eom),
        xxfi_abort: callback(CTX, to.abort),
        xxfi_close: callback(CTX, to.close),
        xxfi_unknown: callback(POINTER, (ctx: Context, _: Pointer) => to.unknown(ctx)),
        xxfi_data: callback(CTX, to.data),
        xxfi_negotiate: callback(
          NEGOTIATE,
          (
            ctx: Context,
            f0: number | bigint,
            f1: number | bigint,
            _f2: unknown,
            _f3: unknown,
            p0: Pointer,
            p1: Pointer,
            p2: Pointer,
            p3: Pointer,
          ) =>
            to.negotiate(ctx, {
              actions: Number(BigInt.asUintN(32, BigInt(f0))),
              protocol: Number(BigInt.asUintN(32, BigInt(f1))),
              wish(actions, protocol) {
                koffi.encode(p0, 'ulong', actions)
                koffi.encode(p1, 'ulong', protocol)
                koffi.encode(p2, 'ulong', 0)
                koffi.encode(p3, 'ulong', 0)
              },
            }),
        ),
      })
    },

    silence() {
      // Always the same, never a status: a negotiation is broken off, anything else is not answered.
      const mute = libc.symbol('getpagesize')
      return register({
        xxfi_name: 'Postern',
        xxfi_version: SMFI_VERSION,
        xxfi_flags: 0,
        xxfi_connect: mute,
        xxfi_helo: mute,
        xxfi_envfrom: mute,
        xxfi_envrcpt: mute,
        xxfi_header: mute,
        xxfi_eoh: mute,
        xxfi_body: mute,
        xxfi_eom: mute,
        xxfi_abort: mute,
        xxfi_close: mute,
        xxfi_unknown: mute,
        xxfi_data: mute,
        xxfi_negotiate: mute,
      })
    },

    smfi_setconn: bind('int smfi_setconn(const char *oconn)'),
    smfi_opensocket: removeExisting => opensocket(removeExisting ? 1 : 0),
    startMain() {
      const handle = [0n]
      const created = pthreadCreate(handle, null, lib.symbol('smfi_main'), null) === 0
      thread = BigInt(handle[0] ?? 0n)
      return created
    },
    mainHasEnded: () => pthreadTryjoin(thread, null) === 0,
    smfi_stop: bind('int smfi_stop()'),
    smfi_setsymlist: bind('int smfi_setsymlist(void *ctx, int where, const char *macros)'),
    smfi_getsymval(ctx, name) {
      const at = getsymval(ctx, name)
      return at === null || at === 0n ? undefined : textAt(at)
    },
    smfi_setreply(ctx, code, enhanced, lines) {
      const [first = ''] = lines
      if (lines.length === 1) return setreply(ctx, code, enhanced, first)
      return setmlreply(ctx, code, enhanced, ...[...lines, null].flatMap(line => ['const char *', line]))
    },
    smfi_addheader: bind('int smfi_addheader(void *ctx, const char *name, const char *value)'),
    smfi_insheader: bind('int smfi_insheader(void *ctx, int index, const char *name, const char *value)'),
    smfi_chgheader: bind('int smfi_chgheader(void *ctx, const char *name, int index, const char *value)'),
    smfi_chgfrom: bind('int smfi_chgfrom(void *ctx, const char *path, const char *parameters)'),
    smfi_addrcpt: bind('int smfi_addrcpt(void *ctx, const char *path)'),
    smfi_addrcpt_par: bind('int smfi_addrcpt_par(void *ctx, const char *path, const char *parameters)'),
    smfi_delrcpt: bind('int smfi_delrcpt(void *ctx, const char *path)'),
    smfi_replacebody: bind('int smfi_replacebody(void *ctx, const uint8_t *data, int length)'),
    smfi_quarantine: bind('int smfi_quarantine(void *ctx, const char *reason)'),
  }
}
