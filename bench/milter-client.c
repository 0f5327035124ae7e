/*
 * The load of the milter benchmark: an MTA that holds so many conversations with a filter at the same time, each on a
 * connection of its own, for a given time. Every answer is compared with what it must be, byte for byte; the first wrong
 * one ends it. Usage: milter-client PATH|PORT policy|full|trace SESSIONS MILLISECONDS
 *
 * Prints sessions, microseconds that they took (the median and the 99th of a hundred), milliseconds that it really took,
 * and its processor time in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_STEPS 16
#define MAX_BYTES 16384
#define MAX_SESSIONS 1000
#define MAX_MEASURED 2000000
#define BODY_SIZE 4096
#define NR_HDR 0x80u
#define NR_BODY 0x80000u

/* What is sent in one piece, and what must come back. */
struct step {
	unsigned char *sent;
	size_t sent_length;
	unsigned char answer[256];
	size_t answer_length;
};

struct script {
	struct step steps[MAX_STEPS];
	int length;
};

struct session {
	int socket, at;
	const struct script *script;
	unsigned char got[MAX_BYTES];
	size_t got_length;
	double since;
};

static unsigned char draft[MAX_BYTES];
static size_t draft_length;
static struct session sessions[MAX_SESSIONS];
/* By whether the recipient is refused, fields are answered, the body is answered. */
static struct script scripts[2][2][2];
static unsigned char offer[17];
static double measured[MAX_MEASURED];
static size_t measured_length;
static unsigned long begun;
static int poller;
static const char *mode;
static struct sockaddr_un unix_address;
static struct sockaddr_in inet_address;
static int is_unix;

static void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e6 * (double)t.tv_sec + (double)t.tv_nsec / 1e3;
}

static void put_number(unsigned char *at, unsigned long number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(number >> (8 * (3 - i)));
}

static void add(char code, const void *data, size_t length)
{
	if (draft_length + length + 5 > sizeof draft)
		die("a step is too long");
	put_number(draft + draft_length, length + 1);
	draft[draft_length + 4] = (unsigned char)code;
	memcpy(draft + draft_length + 5, data, length);
	draft_length += length + 5;
}

/* A literal with NULs in it; the last one is the compiler's. */
#define ADD(code, literal) add(code, literal, sizeof literal)
#define BARE(code) add(code, "", 0)

static void ends(struct script *script, const void *answer, size_t length)
{
	struct step *step = &script->steps[script->length++];
	if (script->length > MAX_STEPS || length > sizeof step->answer)
		die("a script is too long");
	step->sent = malloc(draft_length);
	if (step->sent == NULL)
		die("no memory");
	memcpy(step->sent, draft, draft_length);
	step->sent_length = draft_length;
	memcpy(step->answer, answer, length);
	step->answer_length = length;
	draft_length = 0;
}

static const unsigned char GO_ON[] = {0, 0, 0, 1, 'c'};
#define REFUSAL "550 5.7.2 You are not permitted to post to closed@lists.example.org"
#define TRACE "\0\0\0\0X-Postern\0accept (sender-permitted)"

static void recipient(struct script *script, int refused, const char *list)
{
	char path[64];
	int n = snprintf(path, sizeof path, "<%s@lists.example.org>", list);
	ADD('D', "Ri\0" "4bQx7Y3zJk");
	add('R', path, (size_t)n + 1);
	if (refused) {
		unsigned char answer[5 + sizeof REFUSAL];
		put_number(answer, 1 + sizeof REFUSAL);
		answer[4] = 'y';
		memcpy(answer + 5, REFUSAL, sizeof REFUSAL);
		ends(script, answer, sizeof answer);
	} else {
		ends(script, GO_ON, sizeof GO_ON);
	}
}

static void write_script(struct script *script, int refused, int fields_answered, int body_answered)
{
	static const char *fields[] = {
		"From\0Poster <poster@users.example.net>",
		"To\0team@lists.example.org, crew@lists.example.org",
		"Subject\0A message of the usual kind, no more",
		"Date\0Mon, 2 Mar 2026 10:00:00 +0100",
		"Message-ID\0<20260302100000.4711@users.example.net>",
	};
	static unsigned char body[BODY_SIZE];
	unsigned char traced[64];

	ADD('D', "Cj\0mx.example.org\0_\0client.example.net [192.0.2.7]\0{client_addr}\0" "192.0.2.7");
	ADD('C', "client.example.net\0" "4\x9bl" "192.0.2.7");
	ends(script, GO_ON, sizeof GO_ON);
	ADD('H', "client.example.net");
	ends(script, GO_ON, sizeof GO_ON);
	ADD('D', "Mi\0" "4bQx7Y3zJk\0{mail_addr}\0poster@users.example.net");
	ADD('M', "<poster@users.example.net>\0SIZE=4500");
	ends(script, GO_ON, sizeof GO_ON);
	recipient(script, refused, refused ? "closed" : "team");
	if (strcmp(mode, "policy") != 0) {
		recipient(script, 0, "crew");
		ADD('D', "Ti\0" "4bQx7Y3zJk");
		BARE('T');
		ends(script, GO_ON, sizeof GO_ON);
		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
			size_t name = strlen(fields[i]) + 1;
			add('L', fields[i], name + strlen(fields[i] + name) + 1);
			if (fields_answered)
				ends(script, GO_ON, sizeof GO_ON);
		}
		BARE('N');
		ends(script, GO_ON, sizeof GO_ON);
		for (size_t i = 0; i < sizeof body; i++)
			body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : (unsigned char)('a' + i % 26);
		add('B', body, sizeof body);
		if (body_answered)
			ends(script, GO_ON, sizeof GO_ON);
		ADD('D', "Ei\0" "4bQx7Y3zJk");
		BARE('E');
		if (strcmp(mode, "trace") == 0) {
			put_number(traced, 1 + sizeof TRACE);
			traced[4] = 'i';
			memcpy(traced + 5, TRACE, sizeof TRACE);
			memcpy(traced + 5 + sizeof TRACE, GO_ON, sizeof GO_ON);
			ends(script, traced, 5 + sizeof TRACE + sizeof GO_ON);
		} else {
			ends(script, GO_ON, sizeof GO_ON);
		}
	}
	BARE('A');
	BARE('Q');
	ends(script, "", 0);
}

static void say(struct session *s, const void *bytes, size_t length)
{
	/* A script's steps are far smaller than a socket's buffer, which is empty: it has all been answered. */
	if (send(s->socket, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("the filter does not take a command");
}

static void begin(struct session *s)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
	s->since = now();
	s->script = NULL;
	s->got_length = 0;
	s->socket = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
	if (s->socket < 0 ||
	    (is_unix ? connect(s->socket, (struct sockaddr *)&unix_address, sizeof unix_address)
		     : connect(s->socket, (struct sockaddr *)&inet_address, sizeof inet_address)) != 0)
		die("cannot connect");
	if (epoll_ctl(poller, EPOLL_CTL_ADD, s->socket, &event) != 0)
		die("cannot wait");
	say(s, offer, sizeof offer);
}

static void next(struct session *s)
{
	const struct step *step = &s->script->steps[s->at++];
	s->got_length = 0;
	say(s, step->sent, step->sent_length);
}

/* The filter's side of the negotiation tells what it will answer. */
static int negotiated(struct session *s)
{
	unsigned long length, protocol;
	if (s->got_length < 17)
		return 0;
	length = (unsigned long)s->got[2] << 8 | s->got[3];
	if (s->got[4] != 'O' || s->got[8] != 6)
		die("the filter does not agree on version 6");
	if (s->got_length < length + 4)
		return 0;
	if (s->got_length > length + 4)
		die("more than an agreement");
	protocol = (unsigned long)s->got[13] << 24 | (unsigned long)s->got[14] << 16 | (unsigned long)s->got[15] << 8 |
	    s->got[16];
	s->script = &scripts[strcmp(mode, "policy") == 0 && begun++ % 4 == 3][(protocol & NR_HDR) == 0]
			    [(protocol & NR_BODY) == 0];
	s->at = 0;
	return 1;
}

static int answered(struct session *s)
{
	const struct step *step = &s->script->steps[s->at - 1];
	size_t length = s->got_length < step->answer_length ? s->got_length : step->answer_length;
	if (s->got_length > step->answer_length || memcmp(s->got, step->answer, length) != 0) {
		fprintf(stderr, "wrong answer to step %d: ", s->at);
		for (size_t i = 0; i < s->got_length; i++)
			fprintf(stderr, s->got[i] > 31 && s->got[i] < 127 ? "%c" : "\\%03o", s->got[i]);
		die("");
	}
	return s->got_length == step->answer_length;
}

/* Takes in what has come; true if the session is over. */
static int hear(struct session *s)
{
	ssize_t n = recv(s->socket, s->got + s->got_length, sizeof s->got - s->got_length, 0);
	if (n <= 0)
		die("the filter closed a connection");
	s->got_length += (size_t)n;
	if (s->script == NULL ? !negotiated(s) : !answered(s))
		return 0;
	next(s);
	if (s->at < s->script->length)
		return 0;
	close(s->socket);
	if (measured_length < MAX_MEASURED)
		measured[measured_length++] = now() - s->since;
	return 1;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;
	return (difference > 0) - (difference < 0);
}

static double cpu(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return 1e6 * (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	    (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
	struct epoll_event events[MAX_SESSIONS];
	double start, end;
	int count, open;

	if (argc != 5 || (count = atoi(argv[3])) < 1 || count > MAX_SESSIONS)
		die("usage: milter-client PATH|PORT policy|full|trace SESSIONS MILLISECONDS");
	mode = argv[2];
	is_unix = argv[1][0] == '/';
	if (is_unix) {
		unix_address.sun_family = AF_UNIX;
		snprintf(unix_address.sun_path, sizeof unix_address.sun_path, "%s", argv[1]);
	} else {
		inet_address.sin_family = AF_INET;
		inet_address.sin_port = htons((unsigned short)atoi(argv[1]));
		inet_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	for (int i = 0; i < 8; i++)
		write_script(&scripts[i >> 2][i >> 1 & 1][i & 1], i >> 2, i >> 1 & 1, i & 1);
	put_number(offer, 13);
	offer[4] = 'O';
	put_number(offer + 5, 6);
	put_number(offer + 9, 0x1ff);
	put_number(offer + 13, 0x1fffff);

	poller = epoll_create1(0);
	if (poller < 0)
		die("cannot wait");
	start = now();
	end = start + 1e3 * atof(argv[4]);
	for (open = 0; open < count; open++)
		begin(&sessions[open]);
	while (open > 0) {
		int n = epoll_wait(poller, events, MAX_SESSIONS, 10000);
		if (n <= 0)
			die("the filter does not answer");
		for (int i = 0; i < n; i++) {
			struct session *s = events[i].data.ptr;
			if (!hear(s))
				continue;
			if (now() < end)
				begin(s);
			else
				open--;
		}
	}
	end = now();
	qsort(measured, measured_length, sizeof *measured, ascending);
	printf("%zu %.0f %.0f %.1f %.0f\n", measured_length, measured[measured_length / 2],
	    measured[measured_length * 99 / 100], (end - start) / 1e3, cpu());
	return 0;
}
