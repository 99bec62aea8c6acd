/* SPDX-License-Identifier: BSD-2-Clause */
/* A listening socket that a service manager has passed, by the protocol of sd_listen_fds(3). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/socket.h"
#include "base/text.h"

#define FIRST_PASSED 3 /* SD_LISTEN_FDS_START */

/* The number of descriptors that are for this process, not for one that has started it. */
static uint64_t
count_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t process, number;

	if (!pid || !count || parse_u64(pid, &process, NULL) || process != (uint64_t)getpid() ||
	    parse_u64(count, &number, NULL))
		return 0;
	return number;
}

static bool
listens(int fd)
{
	struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(own), size = sizeof(int);
	int type = 0, accepts = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM &&
	       !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) && accepts &&
	       !getsockname(fd, (struct sockaddr *)&own, &length) && own.ss_family == AF_UNIX;
}

int
socket_take_listener(int *fd, struct why *why)
{
	uint64_t count = count_passed();

	*fd = -1;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (!count)
		return 0;
	if (count > 1)
		return why_set(why, "LISTEN_FDS is %llu, but a machine has one control socket",
			       (unsigned long long)count);
	if (!listens(FIRST_PASSED))
		return why_set(why, "descriptor %d is not a unix stream socket that listens",
			       FIRST_PASSED);
	if (fcntl(FIRST_PASSED, F_SETFD, FD_CLOEXEC) ||
	    fcntl(FIRST_PASSED, F_SETFL, O_RDWR | O_NONBLOCK))
		return why_errno(why, errno, "setting flags of descriptor %d", FIRST_PASSED);
	*fd = FIRST_PASSED;
	return 0;
}
