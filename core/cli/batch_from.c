/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm batch --from: the state of a machine that runs, through its control socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "cli/batch.h"
#include "cli/ctl.h"

/* Waits until the machine sends its snapshot, or a reply instead. */
static int
wait_for_either(const struct ctl *ctl, int fd)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
				{ .fd = ctl->fd, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return fail(STATUS_HOST, "batch: poll: %s", limit_error(errno).text);
	return 0;
}

/* Reads the reply to the request. 0, or a negative status, reported. */
static int
read_reply(struct ctl *ctl)
{
	struct json reply;
	char *line = NULL;
	int r = ctl_receive(ctl, &line);

	if (!r)
		r = ctl_reply(ctl, line, &reply);
	free(line);
	return r > 0 ? -STATUS_IO : r; /* 1: the machine has refused */
}

/* Asks for a snapshot and reads it. writes: the end of the pipe for the machine. */
static int
receive(struct batch *batch, struct ctl *ctl, int reads, int writes)
{
	struct pollfd data = { .fd = reads, .events = POLLIN };
	int r = ctl_connect(ctl, ctl);

	if (!r)
		r = ctl_send(ctl, "snapshot - full apart\n", writes);
	close(writes);
	if (!r)
		r = wait_for_either(ctl, reads);
	if (r)
		return r;
	if (poll(&data, 1, 0) > 0 && data.revents & POLLIN)
		r = snapshot_receive(&batch->received, reads, ctl->path);
	return r ? r : read_reply(ctl);
}

int
batch_from(struct batch *batch, const char *from)
{
	struct ctl ctl = { .path = from, .user = (uid_t)-1, .fd = -1 };
	char *named = NULL;
	int ends[2], r = ctl_find(&ctl, from, &named);

	if (r)
		return r;
	if (pipe2(ends, O_CLOEXEC)) {
		r = fail(STATUS_HOST, "batch: pipe: %s", limit_error(errno).text);
		free(named);
		return r;
	}
	r = receive(batch, &ctl, ends[0], ends[1]);
	close(ends[0]);
	ctl_close(&ctl);
	free(named);
	batch->source.received = &batch->received;
	return r;
}
