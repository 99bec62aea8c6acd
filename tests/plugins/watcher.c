/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example of a plugin from outside the tree: a watcher. It reads a pipe of the host and keeps up
 * to eight bytes for the guest. Other bytes stay in the pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <minivmm/plugin.h>

#define ROOM 8

struct watcher {
	const char *path;   /* option */
	uint8_t kept[ROOM]; /* state: not read yet, oldest first */
	uint8_t count;      /* number of bytes */
	int fd;             /* -1: not open */
};

static int
watcher_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct watcher *w = minivmm_state(dev);
	ssize_t n = read(w->fd, w->kept + w->count, (size_t)(ROOM - w->count));

	if (n < 0 && errno != EAGAIN) {
		minivmm_error(dev, "cannot read %s: %s", w->path, strerror(errno));
		minivmm_watch(dev, 0, -1, 0);
		return -1;
	}
	if (n > 0)
		w->count = (uint8_t)(w->count + n);
	return w->count == ROOM ? minivmm_watch(dev, 0, -1, 0) : 0;
}

/* Continues after the guest has made room. It is a post, since a range handler must not watch. */
static int
watcher_again(struct minivmm_device *dev, uint32_t post)
{
	struct watcher *w = minivmm_state(dev);

	return w->count < ROOM ? minivmm_watch(dev, 0, w->fd, EPOLLIN) : 0;
}

/* Registers: 0: number of bytes; 1: removes and returns the oldest. */
static int
watcher_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct watcher *w = minivmm_state(dev);

	*value = access->offset ? w->kept[0] : w->count;
	if (!access->offset || !w->count)
		return 0;
	if (w->count == ROOM)
		minivmm_post(dev, 0);
	w->count--;
	memmove(w->kept, w->kept + 1, w->count);
	return 0;
}

static int
watcher_configure(struct minivmm_device *dev)
{
	struct watcher *w = minivmm_state(dev);

	w->fd = -1;
	return 0;
}

/* Opens both ends of the pipe, so that it does not hang up when its writer closes it. */
static int
watcher_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct watcher *w = minivmm_state(dev);

	w->fd = open(w->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (w->fd < 0) {
		minivmm_error(dev, "cannot open %s: %s; create it with mkfifo", w->path,
			      strerror(errno));
		return -1;
	}
	return watcher_again(dev, 0);
}

static void
watcher_destroy(struct minivmm_device *dev)
{
	struct watcher *w = minivmm_state(dev);

	if (w->fd >= 0)
		close(w->fd);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(PATH, struct watcher, path, NULL, "the pipe"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x300",
	  .length = 2,
	  .widths = MINIVMM_W8,
	  .read = watcher_read,
	  .help = "number of bytes, the oldest" },
	MINIVMM_END,
};

static const struct minivmm_watch watches[] = {
	{ .name = "pipe", .ready = watcher_ready, .help = "the pipe has bytes" },
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "again", .run = watcher_again, .help = "there is room again" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD_COUNTED(struct watcher, kept, count),
	MINIVMM_END,
};

static const struct minivmm_plugin watcher = {
	.name = "watcher",
	.summary = "passes bytes from a pipe of the host",
	.state_version = 1,
	.state_size = sizeof(struct watcher),
	.options = options,
	.ranges = ranges,
	.watches = watches,
	.posts = posts,
	.fields = fields,
	.configure = watcher_configure,
	.start = watcher_start,
	.destroy = watcher_destroy,
};
MINIVMM_REGISTER(watcher);
