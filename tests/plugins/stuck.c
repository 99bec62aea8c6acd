/* SPDX-License-Identifier: BSD-2-Clause */
/* A device whose write does not end before somebody opens a named pipe for writing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#endif
#include <errno.h>
#include <fcntl.h>
#include <minivmm/plugin.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct stuck {
	const char *pipe;
	uint8_t posts;  /* that have run */
	uint8_t events; /* of the watch */
	int event;
};

static int
stuck_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct stuck *s = minivmm_state(dev);

	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return minivmm_watch(dev, 0, s->event, EPOLLIN | EPOLLET);
}

static int
stuck_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct stuck *s = minivmm_state(dev);
	int fd;

	minivmm_post(dev, 0);
	eventfd_write(s->event, 1);
	minivmm_log(dev, MINIVMM_WARNING, "waits");
	fd = TEMP_FAILURE_RETRY(open(s->pipe, O_RDONLY | O_CLOEXEC));
	if (fd >= 0)
		close(fd);
	return 0;
}

static int
stuck_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct stuck *s = minivmm_state(dev);

	*value = s->posts < s->events ? s->posts : s->events;
	return 0;
}

static int
stuck_run(struct minivmm_device *dev, uint32_t post)
{
	((struct stuck *)minivmm_state(dev))->posts++;
	return 0;
}

static int
stuck_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	((struct stuck *)minivmm_state(dev))->events++;
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(PATH, struct stuck, pipe, NULL, "the named pipe"), MINIVMM_END
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 1,
	  .read = stuck_read,
	  .write = stuck_write },
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "later", .run = stuck_run, .help = "needs the device's lock" }, MINIVMM_END
};

static const struct minivmm_watch watches[] = {
	{ .name = "event", .ready = stuck_ready, .help = "edge-triggered; needs the lock, too" },
	MINIVMM_END
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct stuck, posts, .help = "posts that have run"),
	MINIVMM_FIELD(struct stuck, events, .help = "events of the watch"),
	MINIVMM_END,
};

static const struct minivmm_plugin stuck = {
	.name = "stuck",
	.summary = "a write that does not end",
	.state_version = 1,
	.state_size = sizeof(struct stuck),
	.options = options,
	.ranges = ranges,
	.posts = posts,
	.watches = watches,
	.fields = fields,
	.start = stuck_start,
};
MINIVMM_REGISTER(stuck);
