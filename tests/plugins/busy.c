/* SPDX-License-Identifier: BSD-2-Clause */
/* A device whose pause does not end before somebody writes to a named pipe. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_CLOEXEC */
#endif
#include <fcntl.h>
#include <minivmm/plugin.h>
#include <sys/epoll.h>
#include <unistd.h>

struct busy {
	const char *pipe;
	int fd;
};

static int
busy_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct busy *b = minivmm_state(dev);
	char byte;

	if (read(b->fd, &byte, 1) == 1)
		minivmm_paused(dev);
	return 0;
}

static int
busy_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct busy *b = minivmm_state(dev);

	b->fd = open(b->pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return minivmm_watch(dev, 0, b->fd, EPOLLIN);
}

static int
busy_pause(struct minivmm_device *dev)
{
	minivmm_log(dev, MINIVMM_WARNING, "pauses");
	return MINIVMM_PENDING;
}

static int
busy_stop(struct minivmm_device *dev)
{
	struct busy *b = minivmm_state(dev);

	minivmm_watch(dev, 0, -1, 0);
	close(b->fd);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(PATH, struct busy, pipe, NULL, "the named pipe"), MINIVMM_END
};

static const struct minivmm_watch watches[] = {
	{ .name = "pipe", .ready = busy_ready, .help = "ends the pause" }, MINIVMM_END
};

static const struct minivmm_plugin busy = {
	.name = "busy",
	.summary = "a pause that does not end",
	.state_version = 1,
	.state_size = sizeof(struct busy),
	.options = options,
	.watches = watches,
	.start = busy_start,
	.pause = busy_pause,
	.stop = busy_stop,
};
MINIVMM_REGISTER(busy);
