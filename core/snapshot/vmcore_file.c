/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a core: replaced as a whole, or a stream. */
#include "snapshot/vmcore_file.h"

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/format.h"
#include "snapshot/vmcore.h"

static int
fail_write(const struct vmcore_file *v, const char *doing)
{
	const struct file_replacement named = { .what = "core", .path = (char *)v->path };

	return file_replace_fail(&named, doing);
}

/* The descriptor may be non-blocking. */
static int
send_all(struct vmcore_file *v, const void *from, size_t length)
{
	const uint8_t *bytes = from;

	while (length) {
		struct pollfd room = { .fd = v->fd, .events = POLLOUT };
		ssize_t n = write(v->fd, bytes, length);

		if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			return fail_write(v, "writing");
		else if (n > 0) {
			bytes += n;
			length -= (size_t)n;
			v->at += (size_t)n;
		}
	}
	return 0;
}

/* Sends zeros up to an offset. */
static int
send_zeros(struct vmcore_file *v, uint64_t offset)
{
	static const uint8_t zeros[SNAPSHOT_CHUNK];
	int failed = 0;

	while (v->at < offset && !failed)
		failed = send_all(v, zeros,
				  offset - v->at < sizeof(zeros) ? offset - v->at : sizeof(zeros));
	return failed;
}

int
vmcore_file_write(struct vmcore_file *v, const void *from, size_t length, uint64_t offset)
{
	const uint8_t *bytes = from;
	int failed = v->stream ? send_zeros(v, offset) : 0;

	if (v->stream)
		return failed ? failed : send_all(v, from, length);
	while (length) {
		ssize_t n = pwrite(v->fd, bytes, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : EIO;
			return fail_write(v, "writing");
		}
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

/* A core file replaces a core file, and no program, kernel or library. */
static int
check_replaced(const char *path)
{
	int fd = file_open(path, FILE_READ);
	Elf64_Ehdr header = { .e_type = ET_NONE };
	ssize_t n = fd >= 0 ? pread(fd, &header, sizeof(header), 0) : 0;

	if (fd >= 0)
		close(fd);
	if (n < (ssize_t)sizeof(header) ||
	    memcmp(header.e_ident, VMCORE_BEGINS, sizeof(VMCORE_BEGINS) - 1) ||
	    header.e_type == ET_CORE)
		return 0; /* what is no ELF file is refused with the name */
	return fail(STATUS_IO,
		    "cannot write core %s: it exists and is a program, not a core; remove it or "
		    "name another file",
		    path);
}

int
vmcore_replace(struct file_replacement *file, const char *path)
{
	int failed = check_replaced(path);

	*file = (struct file_replacement){ .fd = -1 };
	return failed ? failed : file_replace(file, "core", path, 0600, VMCORE_BEGINS);
}

int
vmcore_file_open(struct vmcore_file *v, const char *path, int fd)
{
	int failed;

	*v =
	    (struct vmcore_file){ .path = path, .fd = fd, .stream = fd >= 0, .file = { .fd = -1 } };
	if (v->stream)
		return 0;
	failed = vmcore_replace(&v->file, path);
	v->fd = v->file.fd;
	return failed;
}

int
vmcore_file_size(struct vmcore_file *v, uint64_t size)
{
	v->size = size;
	if (!v->stream && (size > INT64_MAX || ftruncate(v->fd, (off_t)size)))
		return fail_write(v, "sizing");
	return 0;
}

int
vmcore_file_commit(struct vmcore_file *v)
{
	return v->stream ? send_zeros(v, v->size) : file_replace_commit(&v->file);
}

void
vmcore_file_close(struct vmcore_file *v)
{
	file_replace_end(&v->file);
}
