/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a call on a file fail, to be preloaded: FAULT=CALL:N:HOW fails the Nth CALL (write, ftruncate, fsync, close,
 * open, rename, mmap, read) that concerns a file with FAULT_PATH in its name. HOW is ENOSPC, EIO, EINTR, ENOMEM, or
 * SHORT (half of a write is written), or KILL (the process dies there).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum how { NOT, FAILS, SHORT };

static enum how
fault(const char *call, const char *path)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {
		{ "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EINTR", EINTR }, { "ENOMEM", ENOMEM }
	};
	static atomic_uint calls;
	const char *plan = getenv("FAULT"), *match = getenv("FAULT_PATH");
	size_t length = strlen(call);
	char how[16];
	unsigned n;

	if (!plan || !match || !path || !strstr(path, match) || strncmp(plan, call, length) ||
	    sscanf(plan + length, ":%u:%15s", &n, how) != 2 || atomic_fetch_add(&calls, 1) + 1 != n)
		return NOT;
	if (!strcmp(how, "KILL"))
		raise(SIGKILL);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(how, errors[i].name))
			errno = errors[i].number;
	return strcmp(how, "SHORT") ? FAILS : SHORT;
}

static enum how
fault_fd(const char *call, int fd)
{
	char link[64], path[4096];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return NOT;
	path[length] = 0;
	return fault(call, path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITE(name, ...)                                                                           \
	enum how how = fault_fd("write", fd);                                                      \
	REAL(name);                                                                                \
                                                                                                   \
	if (how == FAILS)                                                                          \
		return -1;                                                                         \
	if (how == SHORT)                                                                          \
		length = (length + 1) / 2;                                                         \
	return real(__VA_ARGS__)

ssize_t
write(int fd, const void *from, size_t length)
{
	WRITE(write, fd, from, length);
}

ssize_t
pwrite(int fd, const void *from, size_t length, off_t offset)
{
	WRITE(pwrite, fd, from, length, offset);
}

ssize_t
pread(int fd, void *to, size_t length, off_t offset)
{
	enum how how = fault_fd("read", fd);
	REAL(pread);

	if (how == FAILS)
		return -1;
	return real(fd, to, how == SHORT ? (length + 1) / 2 : length, offset);
}

int
ftruncate(int fd, off_t size)
{
	REAL(ftruncate);

	return fault_fd("ftruncate", fd) ? -1 : real(fd, size);
}

int
fsync(int fd)
{
	REAL(fsync);

	return fault_fd("fsync", fd) ? -1 : real(fd);
}

/* As the kernel does it: the descriptor is gone, whatever close says. */
int
close(int fd)
{
	enum how how = fault_fd("close", fd);
	int error = errno;
	REAL(close);

	if (!how)
		return real(fd);
	real(fd);
	errno = error;
	return -1;
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list arguments;
	REAL(open);

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return fault("open", path) ? -1 : real(path, flags, mode);
}

int
rename(const char *from, const char *to)
{
	REAL(rename);

	return fault("rename", from) ? -1 : real(from, to);
}

void *
mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	REAL(mmap);

	return fd >= 0 && fault_fd("mmap", fd) ? MAP_FAILED
					       : real(at, length, protection, flags, fd, offset);
}
