-- Every command that miltertest can send, and what the milter must answer. SOCKET is given by the test that runs this.

local function check(what, got, want)
  if got ~= want then
    error(what .. ": expected " .. tostring(want) .. ", got " .. tostring(got), 2)
  end
end

local function sent(what, problem)
  if problem ~= nil then
    error(what .. ": " .. problem, 2)
  end
end

local function reply(conn, what, want)
  check(what, mt.getreply(conn), want)
end

-- A member's post, with its macros: MAIL's come before HELO is sent.
local conn = mt.connect(SOCKET, 10, 0.1)
if conn == nil then
  error("no connection")
end
sent("negotiate", mt.negotiate(conn, nil, nil, nil))
check("delrcpt is asked for", mt.test_action(conn, SMFIF_DELRCPT), true)
check("addheader is asked for", mt.test_action(conn, SMFIF_ADDHDRS), true)
check("chgbody is not", mt.test_action(conn, SMFIF_CHGBODY), false)
check("no answer to headers", mt.test_option(conn, SMFIP_NR_HDR), true)
check("DATA is asked for", mt.test_option(conn, SMFIP_NODATA), false)

sent("connect macros", mt.macro(conn, SMFIC_CONNECT, "j", "mx.example.org", "_", "mx.example.net [192.0.2.1]"))
sent("conninfo", mt.conninfo(conn, "mx.example.net", "192.0.2.1"))
reply(conn, "conninfo", SMFIR_CONTINUE)
sent("mail macros", mt.macro(conn, SMFIC_MAIL, "i", "4ABC", "{mail_addr}", "alice@example.net"))
sent("helo", mt.helo(conn, "mx.example.net"))
reply(conn, "helo", SMFIR_CONTINUE)
sent("mailfrom", mt.mailfrom(conn, "<alice@example.net>", "SIZE=100", "BODY=8BITMIME"))
reply(conn, "mailfrom", SMFIR_CONTINUE)
sent("rcpt macros", mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "nosuch@lists.example.org"))
sent("rcptto", mt.rcptto(conn, "<nosuch@lists.example.org>"))
reply(conn, "rcptto, no such list", SMFIR_REPLYCODE)
sent("rcptto", mt.rcptto(conn, "<team@lists.example.org>"))
reply(conn, "rcptto", SMFIR_CONTINUE)
sent("data", mt.data(conn))
reply(conn, "data", SMFIR_CONTINUE)
sent("header", mt.header(conn, "From", "Alice <alice@example.net>"))
sent("header", mt.header(conn, "Subject", "folded\n line"))
sent("eoh", mt.eoh(conn))
reply(conn, "eoh", SMFIR_CONTINUE)
sent("bodystring", mt.bodystring(conn, "Hello\r\n"))
sent("bodyrandom", mt.bodyrandom(conn, 5000))
sent("eom", mt.eom(conn))
reply(conn, "eom", SMFIR_CONTINUE)
check("the trace field", mt.eom_check(conn, MT_HDRINSERT, "X-Postern", "accept (sender-permitted)"), true)
check("no recipient is deleted", mt.eom_check(conn, MT_RCPTDELETE, "<team@lists.example.org>"), false)

-- The next message on the same connection: refused at RCPT, and aborted.
sent("mailfrom", mt.mailfrom(conn, "<eve@example.com>"))
sent("rcptto", mt.rcptto(conn, "<team@lists.example.org>"))
reply(conn, "rcptto, a stranger", SMFIR_REPLYCODE)
sent("abort", mt.abort(conn))

-- Dropped for one of two.
sent("mailfrom", mt.mailfrom(conn, "<eve@example.com>"))
sent("rcptto", mt.rcptto(conn, "<open@lists.example.org>"))
sent("rcptto", mt.rcptto(conn, "<silent@lists.example.org>"))
sent("data", mt.data(conn))
sent("eoh", mt.eoh(conn))
sent("eom", mt.eom(conn))
reply(conn, "eom", SMFIR_CONTINUE)
check("one is deleted", mt.eom_check(conn, MT_RCPTDELETE, "<silent@lists.example.org>"), true)
check("the other is not", mt.eom_check(conn, MT_RCPTDELETE, "<open@lists.example.org>"), false)

-- Too big, and told so at the end.
sent("mailfrom", mt.mailfrom(conn, "<eve@example.com>"))
sent("rcptto", mt.rcptto(conn, "<small@lists.example.org>"))
sent("data", mt.data(conn))
sent("eoh", mt.eoh(conn))
sent("bodystring", mt.bodystring(conn, string.rep("x", 1000)))
sent("eom", mt.eom(conn))
reply(conn, "eom, too big", SMFIR_REPLYCODE)
check(
  "in these words",
  mt.eom_check(
    conn,
    MT_SMTPREPLY,
    "552",
    "5.3.4",
    "The message is larger than the 200 bytes that small@lists.example.org takes"
  ),
  true
)

-- Written by a stranger, and dropped by all: settled when the header is there.
sent("mailfrom", mt.mailfrom(conn, "<bounce@esp.example>"))
sent("rcptto", mt.rcptto(conn, "<author@lists.example.org>"))
sent("data", mt.data(conn))
sent("header", mt.header(conn, "From", "eve@example.com"))
sent("eoh", mt.eoh(conn))
reply(conn, "eoh, a stranger wrote it", SMFIR_REPLYCODE)
sent("abort", mt.abort(conn))
sent("mailfrom", mt.mailfrom(conn, "<eve@example.com>"))
sent("rcptto", mt.rcptto(conn, "<silent@lists.example.org>"))
sent("data", mt.data(conn))
sent("eoh", mt.eoh(conn))
reply(conn, "eoh, dropped", SMFIR_DISCARD)
sent("abort", mt.abort(conn))

-- The null sender, and mail that is none of ours.
sent("mailfrom", mt.mailfrom(conn, "<>"))
sent("rcptto", mt.rcptto(conn, "<team@lists.example.org>"))
reply(conn, "rcptto, the null sender", SMFIR_CONTINUE)
sent("data", mt.data(conn))
reply(conn, "data, the null sender", SMFIR_REPLYCODE)
sent("abort", mt.abort(conn))
sent("mailfrom", mt.mailfrom(conn, "<alice@example.net>"))
sent("rcptto", mt.rcptto(conn, "<someone@elsewhere.example>"))
sent("data", mt.data(conn))
reply(conn, "data, none of ours", SMFIR_ACCEPT)
sent("disconnect", mt.disconnect(conn))

-- An MTA that can do nothing but what was there from the beginning: everything is answered. miltertest takes the steps
-- of the protocol before the actions, whatever its manual says.
conn = mt.connect(SOCKET)
sent("negotiate", mt.negotiate(conn, 2, SMFIP_NOBODY, SMFIF_DELRCPT + SMFIF_ADDHDRS))
sent("conninfo", mt.conninfo(conn, "unspec", "unspec"))
reply(conn, "conninfo, unspec", SMFIR_CONTINUE)
sent("helo", mt.helo(conn, "mx.example.net"))
sent("mailfrom", mt.mailfrom(conn, "<alice@example.net>"))
sent("rcptto", mt.rcptto(conn, "<team@lists.example.org>"))
sent("header", mt.header(conn, "From", "alice@example.net"))
reply(conn, "header", SMFIR_CONTINUE)
sent("eoh", mt.eoh(conn))
sent("bodystring", mt.bodystring(conn, "Hello\r\n"))
reply(conn, "bodystring", SMFIR_CONTINUE)
sent("eom", mt.eom(conn))
reply(conn, "eom", SMFIR_CONTINUE)
sent("disconnect", mt.disconnect(conn, false))

conn = mt.connect(SOCKET)
sent("negotiate", mt.negotiate(conn, 6, SMFIP_NR_HDR, SMFIF_DELRCPT + SMFIF_ADDHDRS))
sent("conninfo", mt.conninfo(conn, "mx.example.net", "2001:db8::1"))
reply(conn, "conninfo, IPv6", SMFIR_CONTINUE)
sent("unknown", mt.unknown(conn, "NOSUCH command"))
reply(conn, "unknown", SMFIR_CONTINUE)
sent("disconnect", mt.disconnect(conn))

mt.echo("all well")
