/* SPDX-License-Identifier: BSD-2-Clause */
/* The terminal on stdin: raw mode for the guest, with Ctrl-A as the escape key. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/job.h"
#include "base/limit.h"
#include "base/log.h"
#include "stream/stream_kinds.h"

#define ESCAPE 0x01 /* Ctrl-A */

static const char help[] = "\n"
			   "minivmm: Ctrl-A x       quits\n"
			   "minivmm: Ctrl-A Ctrl-A  sends Ctrl-A to the guest\n"
			   "minivmm: Ctrl-A h       shows this\n";

/*
 * Locks the terminal before it becomes raw. Without the lock it may be raw for another machine of
 * this job: both would read it, and the one that ends last would restore the raw mode of the other.
 * 0 or a negative status.
 */
static int
take(struct stream_hub *hub, const struct termios *now)
{
	char owner[FILE_LOCK_PROCESS];
	int fd = hub->terminal_lock ? hub->terminal_lock : file_reopen(STDIN_FILENO);

	if (fd < 0) /* the terminal of another user, after su */
		return 0;
	hub->terminal_lock = fd;
	if (!file_lock(fd, false) || now->c_lflag & ICANON)
		return 0;
	return fail(STATUS_IO,
		    "cannot use the terminal: %s has it in raw mode; end that, or give the device "
		    "another input, as with --set device.NAME.input=none",
		    file_lock_owner(fd, owner, sizeof(owner)));
}

/* Sets raw mode in the foreground. */
static int
set_raw(struct stream_hub *hub)
{
	struct termios now, raw;
	int r;

	if (tcgetattr(STDIN_FILENO, &now))
		return fail(STATUS_IO, "cannot read the terminal's mode: %s",
			    limit_error(errno).text);
	r = take(hub, &now);
	if (r)
		return r;
	if (!hub->terminal_known)
		hub->terminal = now;
	raw = hub->terminal;
	cfmakeraw(&raw);
	raw.c_oflag = hub->terminal.c_oflag; /* keeps the newlines of our log messages */
	hub->terminal_raw = getpid();
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw)) {
		hub->terminal_raw = 0;
		return fail(STATUS_IO, "cannot set the terminal to raw mode: %s",
			    limit_error(errno).text);
	}
	if (!hub->terminal_known)
		log_line(MINIVMM_INFO, NULL,
			 "the terminal belongs to the guest; Ctrl-A x quits, Ctrl-A h shows help");
	hub->terminal_known = true;
	return 0;
}

int
stream_terminal_raw(struct stream_hub *hub)
{
	hub->terminal_used = true;
	if (!job_foreground(STDIN_FILENO))
		job_stop(SIGTTIN);
	/* Still in the background: SIGCONT, or nobody could stop us. The terminal is the shell's.
	 */
	return job_foreground(STDIN_FILENO) ? set_raw(hub) : 0;
}

void
stream_terminal_continue(struct stream_hub *hub)
{
	if (hub->terminal_used)
		stream_terminal_raw(hub);
}

void
stream_terminal_restore(struct stream_hub *hub)
{
	if (hub->terminal_raw != getpid()) /* not raw, or raw for our parent: a plugin has forked */
		return;
	hub->terminal_raw = 0;
	if (job_foreground(STDIN_FILENO)) /* otherwise it has the mode of the shell */
		tcsetattr(STDIN_FILENO, TCSANOW, &hub->terminal);
	if (hub->terminal_lock)
		file_unlock(hub->terminal_lock);
}

void
stream_terminal_close(struct stream_hub *hub)
{
	stream_terminal_restore(hub);
	hub->terminal_used = false;
	if (hub->terminal_lock)
		close(hub->terminal_lock);
	hub->terminal_lock = 0;
}

size_t
stream_terminal_filter(struct stream_hub *hub, uint8_t *bytes, size_t length)
{
	size_t kept = 0;

	for (size_t i = 0; i < length; i++) {
		if (!hub->escape_pending) {
			if (bytes[i] == ESCAPE)
				hub->escape_pending = true;
			else
				bytes[kept++] = bytes[i];
			continue;
		}
		hub->escape_pending = false;
		if (bytes[i] == ESCAPE)
			bytes[kept++] = ESCAPE;
		else if (bytes[i] == 'x' && hub->quit)
			hub->quit(hub->context);
		else if (bytes[i] == 'h')
			log_ready(help, sizeof(help) - 1, 0);
	}
	return kept;
}
