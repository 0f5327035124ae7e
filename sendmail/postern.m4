divert(0)dnl
dnl Postern and Sendmail; docs/sendmail.md explains each line. To be included in sendmail.mc before its MAILER lines:
dnl     include(`/etc/mail/postern.m4')dnl
dnl
INPUT_MAIL_FILTER(`postern', `S=inet:10041@127.0.0.1, F=T, T=C:10s;S:30s;R:30s;E:5m')dnl
dnl
RELAY_DOMAIN(`lists.example.org')dnl
LOCAL_CONFIG
C{PosternDomains}lists.example.org
LOCAL_RULE_0
Rpostmaster < @ $={PosternDomains} . > $*	$: postmaster < @ example.org . >
Rpostmaster < @ $={PosternDomains} > $*	$: postmaster < @ example.org . >
R$* < @ $={PosternDomains} . > $*	$#postern $@ [127.0.0.1] $: $1 < @ $2 . > $3
R$* < @ $={PosternDomains} > $*	$#postern $@ [127.0.0.1] $: $1 < @ $2 > $3
MAILER_DEFINITIONS
Mpostern,	P=[IPC], F=mukXz8, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\r\n,
		T=DNS/RFC822/SMTP, A=TCP $h 10042
divert(0)dnl
