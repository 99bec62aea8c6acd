/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm ctl SOCKET snapshot, core: progress and Ctrl-C, through a second connection. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "cli/ctl.h"
#include "cli/progress.h"
#include "machine/clock.h"

struct waiting {
	struct ctl *first, side;
	int signals;       /* a signalfd for SIGINT; -1: Ctrl-C ends the process */
	bool polls, asked; /* polls: side is used for polling; asked: a status request is pending */
	uint64_t next;     /* time of the next poll; clock_host */
	struct progress line;
};

/* Reads replies on the second connection. An error there only ends the progress line. */
static void
side_ready(struct waiting *p)
{
	struct json root, snapshot;
	uint64_t done, total;
	char *line;

	if (ctl_read(&p->side)) {
		ctl_close(&p->side);
		p->polls = false;
		return;
	}
	while ((line = ctl_line(&p->side))) {
		p->asked = false;
		if (p->polls && !json_open(line, strlen(line), &root, NULL) &&
		    (json_find(&root, "snapshot", &snapshot) ||
		     json_find(&root, "core", &snapshot)) &&
		    json_find_u64(&snapshot, "done_bytes", &done) &&
		    json_find_u64(&snapshot, "total_bytes", &total))
			progress_draw(&p->line, done, total);
		free(line);
	}
}

/* Cancels the snapshot. The reply to the first command reports the result. */
static void
cancel(struct waiting *p)
{
	struct signalfd_siginfo info;
	sigset_t set;

	if (read(p->signals, &info, sizeof(info)) < 0)
		return;
	close(p->signals);
	p->signals = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	progress_wipe(&p->line);
	p->polls = false;
	log_line(MINIVMM_INFO, NULL, "cancelling the %s; Ctrl-C again does not wait for it",
		 p->line.what);
	if (p->side.fd < 0 && ctl_connect(&p->side, p->first))
		ctl_close(&p->side);
	p->side.quiet = true;
	if (p->side.fd >= 0)
		ctl_send(&p->side, "cancel\n", -1);
}

/* Polls if it is time. Returns the time until the next poll in ms. */
static int
ask(struct waiting *p)
{
	uint64_t now = clock_host();

	if (!p->polls || p->asked)
		return -1;
	if (now < p->next)
		return (int)((p->next - now) / 1000000) + 1;
	p->next = now + PROGRESS_EVERY;
	p->asked = true;
	ctl_send(&p->side, "status\n", -1);
	return -1;
}

static int
wait_for_reply(struct waiting *p, char **line)
{
	while (!(*line = ctl_line(p->first))) {
		int timeout = ask(p), failed;
		struct pollfd fds[] = { { .fd = p->first->fd, .events = POLLIN },
					{ .fd = p->side.fd, .events = POLLIN },
					{ .fd = p->signals, .events = POLLIN } };

		if (poll(fds, 3, timeout) < 0) {
			if (errno != EINTR)
				return fail(STATUS_HOST, "poll: %s", limit_error(errno).text);
			continue;
		}
		if (fds[0].revents) {
			progress_wipe(&p->line);
			failed = ctl_read(p->first);
			if (failed)
				return failed;
		}
		if (fds[1].revents)
			side_ready(p);
		if (fds[2].revents)
			cancel(p);
	}
	return 0;
}

int
ctl_snapshot(struct ctl *ctl, const char *what, const char *command, int fd, char **line)
{
	struct waiting p = { .first = ctl,
			     .side.fd = -1,
			     .next = clock_host() + PROGRESS_EVERY,
			     .line = { .what = what, .next = 1 } };
	sigset_t set, before;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &before);
	p.signals = signalfd(-1, &set, SFD_CLOEXEC);
	status = ctl_send(ctl, command, fd);
	if (!status && isatty(STDERR_FILENO)) {
		p.polls = !ctl_connect(&p.side, ctl);
		p.side.quiet = true;
		if (!p.polls)
			ctl_close(&p.side);
	}
	if (!status)
		status = wait_for_reply(&p, line);
	progress_wipe(&p.line);
	ctl_close(&p.side);
	if (p.signals >= 0)
		close(p.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
