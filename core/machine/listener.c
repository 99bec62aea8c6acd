/* SPDX-License-Identifier: BSD-2-Clause */
/* Accepts peers, or lets them wait while the process has no descriptor. */
#include "machine/listener.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/socket.h"

#define ACCEPT_AGAIN 100 /* ms */

void
listener_reserve(struct listener_spare *spare)
{
	if (spare->fd < 0)
		spare->fd = eventfd(0, EFD_CLOEXEC);
}

void
listener_release(struct listener_spare *spare)
{
	if (spare->fd >= 0)
		close(spare->fd);
	spare->fd = -1;
}

int
listener_accept(struct loop *loop, struct loop_source *source, struct listener_spare *spare)
{
	int fd = socket_accept(source->fd);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare && spare->fd >= 0) {
		listener_release(spare);
		fd = socket_accept(source->fd);
		if (fd < 0) {
			int error = errno;

			listener_reserve(spare);
			errno = error;
		}
	}
	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		loop_rest(loop, source, ACCEPT_AGAIN);
	return fd;
}
