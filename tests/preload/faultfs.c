/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a call fail. FAULT=CALL:N:HOW fails the Nth CALL for a file with FAULT_PATH in its name.
 * CALL is write, read, nowait (a read with RWF_NOWAIT, which is a read, too), ftruncate, fsync,
 * fdatasync, close, open, tmpfile (an open with O_TMPFILE), linkat, rename, fallocate or mmap; or,
 * without a file, anonymous (an mmap), memfd_create, fork, pthread_create, inotify_init1,
 * posix_openpt, io_uring_queue_init or io_uring_submit. N is 0 for every call. HOW is ENOSPC, EIO,
 * EINTR, ENOMEM, EAGAIN, EMFILE, ENFILE, EPERM, EOPNOTSUPP, EBUSY, SHORT (half of a write is
 * written; a vector is written completely), SLOW (this call and all later ones take 4 ms longer, or
 * $FAULT_MS), CUT (an mmap succeeds, then the file is truncated to a page), or KILL (the process is
 * killed in the call).
 *
 * FAULT=@FILE reads the plan from FILE, which may be created, changed and removed at any time. The
 * library removes it after the fault.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { NOT, FAILS, SHORT, CUT };

struct plan {
	char text[128];
	unsigned calls; /* number of calls so far */
};

static struct plan plan;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Reads the current plan. Returns false if there is none. Makes no calls that are replaced here. */
static bool
read_plan(const char *where)
{
	char text[sizeof(plan.text)] = "";
	long fd, n;

	if (*where != '@') {
		snprintf(plan.text, sizeof(plan.text), "%s", where);
		return true;
	}
	fd = syscall(SYS_open, where + 1, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		plan = (struct plan){ .calls = 0 };
		return false;
	}
	n = syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	if (n <= 0)
		return false;
	if (strcmp(text, plan.text)) {
		memcpy(plan.text, text, sizeof(text));
		plan.calls = 0;
	}
	return true;
}

static enum how
fault(const char *call, const char *path)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = { { "ENOSPC", ENOSPC }, { "EIO", EIO },       { "EINTR", EINTR },
		       { "ENOMEM", ENOMEM }, { "EAGAIN", EAGAIN }, { "EPERM", EPERM },
		       { "EMFILE", EMFILE }, { "ENFILE", ENFILE }, { "EOPNOTSUPP", EOPNOTSUPP },
		       { "EBUSY", EBUSY } };
	const char *where = getenv("FAULT"), *match = getenv("FAULT_PATH");
	size_t length = strlen(call);
	int error = errno;
	bool slow, now;
	char how[16];
	unsigned n;

	if (!where || !match || (path && !strstr(path, match)))
		return NOT;
	pthread_mutex_lock(&lock);
	now = read_plan(where) && !strncmp(plan.text, call, length) &&
	      sscanf(plan.text + length, ":%u:%15[A-Z]", &n, how) == 2;
	slow = now && !strcmp(how, "SLOW");
	now = now && (!n || ++plan.calls == n || (slow && plan.calls > n));
	if (now && !slow && *where == '@')
		syscall(SYS_unlink, where + 1);
	pthread_mutex_unlock(&lock);
	errno = error;
	if (!now)
		return NOT;
	if (slow) {
		const char *ms = getenv("FAULT_MS");

		usleep(ms ? 1000u * (useconds_t)atoi(ms) : 4000);
		errno = error;
		return NOT;
	}
	if (!strcmp(how, "KILL"))
		raise(SIGKILL);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(how, errors[i].name))
			errno = errors[i].number;
	return !strcmp(how, "SHORT") ? SHORT : !strcmp(how, "CUT") ? CUT : FAILS;
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

ssize_t
pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
	enum how how = fault_fd("write", fd);
	REAL(pwritev);

	return how == FAILS ? -1 : real(fd, pieces, count, offset);
}

ssize_t
preadv(int fd, const struct iovec *pieces, int count, off_t offset)
{
	enum how how = fault_fd("read", fd);
	REAL(preadv);

	return how == FAILS ? -1 : real(fd, pieces, count, offset);
}

ssize_t
preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
	enum how how = fault_fd("nowait", fd);
	REAL(preadv2);

	if (!how)
		how = fault_fd("read", fd);
	return how == FAILS ? -1 : real(fd, pieces, count, offset, flags);
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

int
fdatasync(int fd)
{
	REAL(fdatasync);

	return fault_fd("fdatasync", fd) ? -1 : real(fd);
}

/*
 * liburing's, which returns errors as negative numbers. A plugin brings liburing in, so that
 * RTLD_NEXT does not find it from here.
 */
int io_uring_queue_init(unsigned entries, void *ring, unsigned flags);

int
io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
	void *library = dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD);
	__typeof__(&io_uring_queue_init) real =
	    (__typeof__(real))dlsym(library, "io_uring_queue_init");

	return fault("io_uring_queue_init", NULL) ? -errno : real(entries, ring, flags);
}

int io_uring_submit(void *ring);

int
io_uring_submit(void *ring)
{
	void *library = dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD);
	__typeof__(&io_uring_submit) real = (__typeof__(real))dlsym(library, "io_uring_submit");

	return fault("io_uring_submit", NULL) ? -errno : real(ring);
}

/* As in the kernel: the descriptor is closed, whatever close returns. */
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

/* Like fault, for a path relative to a directory. */
static enum how
fault_at(const char *call, int directory, const char *path)
{
	char link[64], whole[8192];
	ssize_t length;

	if (directory == AT_FDCWD || *path == '/')
		return fault(call, path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
	length = readlink(link, whole, 4096);
	snprintf(whole + (length < 0 ? 0 : length), 4096, "/%s", path);
	return fault(call, whole);
}

#define OPEN(name, directory, ...)                                                                 \
	mode_t mode = 0;                                                                           \
	va_list arguments;                                                                         \
	REAL(name);                                                                                \
                                                                                                   \
	if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
		va_start(arguments, flags);                                                        \
		mode = va_arg(arguments, mode_t);                                                  \
		va_end(arguments);                                                                 \
	}                                                                                          \
	return fault_at((flags & O_TMPFILE) == O_TMPFILE ? "tmpfile" : "open", directory, path)    \
		   ? -1                                                                            \
		   : real(__VA_ARGS__, flags, mode)

int
open(const char *path, int flags, ...)
{
	OPEN(open, AT_FDCWD, path);
}

int
openat(int directory, const char *path, int flags, ...)
{
	OPEN(openat, directory, directory, path);
}

int
renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	REAL(renameat);

	return fault_at("rename", from_directory, from)
		   ? -1
		   : real(from_directory, from, to_directory, to);
}

int
renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
	REAL(renameat2);

	return fault_at("rename", from_directory, from)
		   ? -1
		   : real(from_directory, from, to_directory, to, flags);
}

void *
mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	enum how how = fd >= 0 ? fault_fd("mmap", fd) : fault("anonymous", NULL);
	char self[64];
	void *map;
	REAL(mmap);

	if (how && how != CUT)
		return MAP_FAILED;
	map = real(at, length, protection, flags, fd, offset);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (how == CUT && truncate(self, 4096))
		abort();
	return map;
}

int
linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
	REAL(linkat);

	return fault_at("linkat", to_folder, to) ? -1
						 : real(from_folder, from, to_folder, to, flags);
}

int
fallocate(int fd, int mode, off_t offset, off_t length)
{
	REAL(fallocate);

	return fault_fd("fallocate", fd) ? -1 : real(fd, mode, offset, length);
}

int
memfd_create(const char *name, unsigned flags)
{
	REAL(memfd_create);

	return fault("memfd_create", NULL) ? -1 : real(name, flags);
}

int
inotify_init1(int flags)
{
	REAL(inotify_init1);

	return fault("inotify_init1", NULL) ? -1 : real(flags);
}

int
posix_openpt(int flags)
{
	REAL(posix_openpt);

	return fault("posix_openpt", NULL) ? -1 : real(flags);
}

pid_t
fork(void)
{
	REAL(fork);

	return fault("fork", NULL) ? -1 : real();
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
	       void *argument)
{
	REAL(pthread_create);

	return fault("pthread_create", NULL) ? errno : real(thread, attributes, run, argument);
}
