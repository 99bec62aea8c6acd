/* SPDX-License-Identifier: BSD-2-Clause */
/* Shows progress on a line of a terminal. */
#include "cli/progress.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "machine/clock.h"

/* False while the terminal takes no output, say after Ctrl-S: a write would wait. */
static bool
has_room(void)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&room, 1, 0) == 1 && room.revents & POLLOUT;
}

/* The length of a line after which the cursor is still on it. */
static unsigned
columns(void)
{
	struct winsize size;

	return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col - 1u : 79;
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Needs no control sequences, which a dumb terminal would show. The cursor returns to the first
 * column, so that a message replaces the line and does not continue it. */
bool
progress_line(struct progress *p, const char *text)
{
	unsigned most, length, blanks;

	if (!isatty(STDERR_FILENO) || !has_room())
		return false;
	most = columns();
	length = least((unsigned)strlen(text), most);
	blanks = least(p->shown, most) > length ? least(p->shown, most) - length : 0;
	fprintf(stderr, "%.*s%*s\r", (int)length, text, (int)blanks, "");
	p->shown = length;
	return true;
}

void
progress_draw(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = clock_host(), elapsed;
	char text[128];
	double rate;
	int length;

	if (!p->began) {
		p->began = now;
		p->done_then = done;
		if (!p->next) /* a short snapshot needs no line */
			p->next = now + PROGRESS_EVERY;
	}
	if (now < p->next)
		return;
	elapsed = now - p->began;
	if (done > total)
		done = total;
	rate = elapsed && done > p->done_then
		   ? (double)(done - p->done_then) * 1e9 / (double)elapsed
		   : 0;
	length = snprintf(text, sizeof(text), "%s: %.0f %%", p->what ? p->what : "snapshot",
			  total ? 100.0 * (double)done / (double)total : 0);
	if (rate > 0)
		snprintf(text + length, sizeof(text) - (size_t)length, ", %.0f MB/s, %.0f s left",
			 rate / 1e6, (double)(total - done) / rate);
	if (progress_line(p, text))
		p->next = now + PROGRESS_EVERY;
}

void
progress_wipe(struct progress *p)
{
	if (p->shown)
		progress_line(p, "");
	*p = (struct progress){ .what = p->what };
}
