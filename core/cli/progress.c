/* SPDX-License-Identifier: BSD-2-Clause */
/* Shows the progress of a snapshot. */
#include "cli/progress.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "machine/clock.h"

/* False while the terminal takes no output, say after Ctrl-S: a write would wait. */
static bool
has_room(void)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&room, 1, 0) == 1 && room.revents & POLLOUT;
}

void
progress_draw(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = clock_host(), elapsed;
	double rate;

	if (!p->began) {
		p->began = now;
		p->done_then = done;
		if (!p->next) /* a short snapshot needs no line */
			p->next = now + PROGRESS_EVERY;
	}
	if (now < p->next || !isatty(STDERR_FILENO) || !has_room())
		return;
	p->next = now + PROGRESS_EVERY;
	elapsed = now - p->began;
	if (done > total)
		done = total;
	rate = elapsed && done > p->done_then
		   ? (double)(done - p->done_then) * 1e9 / (double)elapsed
		   : 0;
	fprintf(stderr, "\rsnapshot: %.0f %%", total ? 100.0 * (double)done / (double)total : 0);
	if (rate > 0)
		fprintf(stderr, ", %.0f MB/s, %.0f s left", rate / 1e6,
			(double)(total - done) / rate);
	fputs("\033[K", stderr);
	fflush(stderr);
	p->drawn = true;
}

void
progress_wipe(struct progress *p)
{
	if (p->drawn && has_room())
		fputs("\r\033[K", stderr);
	fflush(stderr);
	*p = (struct progress){ 0 };
}
