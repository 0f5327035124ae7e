/*
 * A null filter on Sendmail's libmilter, for the milter benchmark: goes on with everything, but refuses the recipient
 * closed@. Usage: milter-null CONNECTION plain|lean [trace]
 *
 * plain: negotiates nothing, as filters mostly do, so that each field of the header is answered.
 * lean: asks for what Postern asks for: no answers to fields and body, and the same macros.
 * trace: adds a field at the top of each message, as Postern does with trace_header.
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int trace;

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
    unsigned long *p0, unsigned long *p1, unsigned long *p2, unsigned long *p3)
{
	(void)f2, (void)f3;
	*p0 = (SMFIF_ADDHDRS | SMFIF_DELRCPT | SMFIF_SETSYMLIST) & f0;
	*p1 = (SMFIP_NR_HDR | SMFIP_NR_BODY | SMFIP_NOUNKNOWN | SMFIP_RCPT_REJ | SMFIP_NR_UNKN) & f1;
	*p2 = *p3 = 0;
	smfi_setsymlist(ctx, SMFIM_CONNECT, "_ {client_resolve} {client_addr}");
	smfi_setsymlist(ctx, SMFIM_ENVFROM, "i {auth_authen} {mail_addr}");
	smfi_setsymlist(ctx, SMFIM_ENVRCPT, "i {rcpt_mailer} {rcpt_addr}");
	smfi_setsymlist(ctx, SMFIM_DATA, "i");
	smfi_setsymlist(ctx, SMFIM_EOM, "i");
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)ctx, (void)host, (void)address;
	return SMFIS_CONTINUE;
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
	(void)ctx, (void)name;
	return SMFIS_CONTINUE;
}

static sfsistat on_mail(SMFICTX *ctx, char **words)
{
	(void)ctx, (void)words;
	return SMFIS_CONTINUE;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **words)
{
	if (strncmp(words[0], "<closed@", 8) != 0)
		return SMFIS_CONTINUE;
	smfi_setreply(ctx, "550", "5.7.2", "You are not permitted to post to closed@lists.example.org");
	return SMFIS_REJECT;
}

static sfsistat on_data(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx, (void)name, (void)value;
	return SMFIS_CONTINUE;
}

static sfsistat on_header_no_reply(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx, (void)name, (void)value;
	return SMFIS_NOREPLY;
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *bytes, size_t size)
{
	(void)ctx, (void)bytes, (void)size;
	return SMFIS_CONTINUE;
}

static sfsistat on_body_no_reply(SMFICTX *ctx, unsigned char *bytes, size_t size)
{
	(void)ctx, (void)bytes, (void)size;
	return SMFIS_NOREPLY;
}

static sfsistat on_end(SMFICTX *ctx)
{
	if (trace)
		smfi_insheader(ctx, 0, "X-Postern", "accept (sender-permitted)");
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	struct smfiDesc filter = {
		.xxfi_name = "null",
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header,
		.xxfi_eoh = on_data,
		.xxfi_body = on_body,
		.xxfi_eom = on_end,
		.xxfi_data = on_data,
	};

	if (argc < 3 || (strcmp(argv[2], "plain") != 0 && strcmp(argv[2], "lean") != 0)) {
		fprintf(stderr, "usage: milter-null CONNECTION plain|lean [trace]\n");
		return 2;
	}
	trace = argc > 3 && strcmp(argv[3], "trace") == 0;
	if (strcmp(argv[2], "lean") == 0) {
		filter.xxfi_flags |= SMFIF_DELRCPT | SMFIF_SETSYMLIST;
		filter.xxfi_negotiate = on_negotiate;
		filter.xxfi_header = on_header_no_reply;
		filter.xxfi_body = on_body_no_reply;
	}
	if (smfi_setconn(argv[1]) == MI_FAILURE || smfi_register(filter) == MI_FAILURE) {
		fprintf(stderr, "cannot begin\n");
		return 1;
	}
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}
