/*
 * A milter on Sendmail's libmilter that answers by the names it hears, as scripted-gate.ts says, and settles a message as
 * Postern does: recipients that are dropped are deleted, a message with no recipient of ours is let go, and one that nobody
 * takes is refused or dropped whole. Usage: filter CONNECTION [changes]; with `changes` it does what Postern does with a trace
 * field and `hold = "quarantine"`.
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define MAX_DROPPED 100

struct message {
	int on, taken, ours, others, held, dropped;
	char sender[64];
	char *paths[MAX_DROPPED];
};

static int changes;

static void end(struct message *m)
{
	for (int i = 0; i < m->dropped; i++)
		free(m->paths[i]);
	memset(m, 0, sizeof *m);
}

static struct message *of(SMFICTX *ctx)
{
	struct message *m = smfi_getpriv(ctx);
	if (m == NULL) {
		m = calloc(1, sizeof *m);
		if (m == NULL)
			abort();
		smfi_setpriv(ctx, m);
	}
	return m;
}

static int begins(const char *name, const char *with)
{
	return strncasecmp(name, with, strlen(with)) == 0;
}

static sfsistat refuse(SMFICTX *ctx)
{
	smfi_setreply(ctx, "550", "5.7.1", "No, by 100%%");
	return SMFIS_REJECT;
}

static sfsistat postpone(SMFICTX *ctx)
{
	smfi_setreply(ctx, "451", "4.7.1", "Not now, by 100%%");
	return SMFIS_TEMPFAIL;
}

static sfsistat by_name(SMFICTX *ctx, const char *name)
{
	if (begins(name, "no"))
		return refuse(ctx);
	return begins(name, "wait") ? postpone(ctx) : SMFIS_CONTINUE;
}

static const char *mailbox(const char *path)
{
	return *path == '<' ? path + 1 : path;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
    unsigned long *p0, unsigned long *p1, unsigned long *p2, unsigned long *p3)
{
	(void)f2, (void)f3;
	unsigned long needed = SMFIF_DELRCPT | (changes ? SMFIF_ADDHDRS | SMFIF_QUARANTINE : 0);
	if ((f0 & needed) != needed)
		return SMFIS_REJECT;
	*p0 = needed | (SMFIF_SETSYMLIST & f0);
	*p1 = (SMFIP_NR_HDR | SMFIP_NOUNKNOWN | SMFIP_RCPT_REJ | SMFIP_NR_UNKN) & f1;
	*p2 = *p3 = 0;
	if ((f0 & SMFIF_SETSYMLIST) != 0) {
		smfi_setsymlist(ctx, SMFIM_CONNECT, "_ {client_resolve} {client_addr}");
		smfi_setsymlist(ctx, SMFIM_ENVFROM, "i {auth_authen} {mail_addr}");
		smfi_setsymlist(ctx, SMFIM_ENVRCPT, "i {rcpt_mailer} {rcpt_addr}");
		smfi_setsymlist(ctx, SMFIM_DATA, "i");
		smfi_setsymlist(ctx, SMFIM_EOM, "i");
	}
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)address;
	return by_name(ctx, host);
}

static sfsistat on_helo(SMFICTX *ctx, char *host)
{
	return by_name(ctx, host);
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
	struct message *m = of(ctx);
	sfsistat answer = by_name(ctx, mailbox(argv[0]));
	end(m);
	m->on = answer == SMFIS_CONTINUE;
	snprintf(m->sender, sizeof m->sender, "%s", mailbox(argv[0]));
	return answer;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
	struct message *m = of(ctx);
	const char *name = mailbox(argv[0]), *mailer = smfi_getsymval(ctx, "{rcpt_mailer}");
	sfsistat answer;
	if (!m->on)
		return SMFIS_TEMPFAIL;
	if (mailer != NULL && strcmp(mailer, "error") == 0)
		return SMFIS_CONTINUE;
	answer = by_name(ctx, name);
	if (answer != SMFIS_CONTINUE)
		return answer;
	m->taken++;
	if (begins(name, "else"))
		m->others++;
	else
		m->ours++;
	if (begins(name, "hold"))
		m->held++;
	if (begins(name, "drop") && m->dropped < MAX_DROPPED)
		m->paths[m->dropped++] = strdup(argv[0]);
	return SMFIS_CONTINUE;
}

static int lets_go(const struct message *m)
{
	return m->ours == 0 && m->taken > 0;
}

static sfsistat on_data(SMFICTX *ctx)
{
	struct message *m = of(ctx);
	if (!m->on)
		return SMFIS_TEMPFAIL;
	if (lets_go(m))
		return SMFIS_ACCEPT;
	return m->ours > 0 && begins(m->sender, "stop-at-data") ? refuse(ctx) : SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx, (void)name, (void)value;
	return SMFIS_NOREPLY;
}

static sfsistat on_eoh(SMFICTX *ctx)
{
	struct message *m = of(ctx);
	if (!m->on)
		return SMFIS_TEMPFAIL;
	return lets_go(m) ? SMFIS_ACCEPT : SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *data, size_t length)
{
	(void)ctx, (void)data, (void)length;
	return SMFIS_CONTINUE;
}

static void change(SMFICTX *ctx, const struct message *m)
{
	int staying = m->ours - m->dropped;
	char trace[128] = "";
	for (int i = 0; i < m->dropped; i++)
		smfi_delrcpt(ctx, m->paths[i]);
	if (!changes || staying == 0)
		return;
	if (staying > m->held)
		strcat(trace, "accept (nothing-to-object)");
	if (m->held > 0)
		strcat(strcat(trace, *trace != '\0' ? ", " : ""), "hold (nothing-to-object)");
	smfi_insheader(ctx, 0, "X-Postern", trace);
	if (staying == m->held && m->others == 0)
		smfi_quarantine(ctx, "Postern: nothing-to-object");
}

static sfsistat on_eom(SMFICTX *ctx)
{
	struct message *m = of(ctx);
	sfsistat answer = SMFIS_CONTINUE;
	if (!m->on)
		return SMFIS_TEMPFAIL;
	if (m->ours > 0 && begins(m->sender, "late-at-end"))
		answer = postpone(ctx);
	else if (m->ours > 0 && begins(m->sender, "stop-at-end"))
		answer = m->others == 0 ? refuse(ctx) : SMFIS_CONTINUE;
	else if (m->ours > 0 && m->others == 0 && m->dropped == m->ours)
		answer = SMFIS_DISCARD;
	else
		change(ctx, m);
	end(m);
	return answer;
}

static sfsistat on_unknown(SMFICTX *ctx, const char *command)
{
	(void)ctx, (void)command;
	return SMFIS_NOREPLY;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	end(of(ctx));
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	struct message *m = smfi_getpriv(ctx);
	if (m != NULL) {
		end(m);
		free(m);
	}
	smfi_setpriv(ctx, NULL);
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	struct smfiDesc filter = {
		.xxfi_name = "oracle", .xxfi_version = SMFI_VERSION, .xxfi_flags = 0,
		.xxfi_connect = on_connect, .xxfi_helo = on_helo, .xxfi_envfrom = on_mail, .xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header, .xxfi_eoh = on_eoh, .xxfi_body = on_body, .xxfi_eom = on_eom,
		.xxfi_abort = on_abort, .xxfi_close = on_close, .xxfi_unknown = on_unknown, .xxfi_data = on_data,
		.xxfi_negotiate = on_negotiate,
	};
	changes = argc == 3 && strcmp(argv[2], "changes") == 0;
	if (argc != 2 + changes || smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS ||
	    smfi_opensocket(1) != MI_SUCCESS)
		return 1;
	puts("listening");
	fflush(stdout);
	return smfi_main();
}
