/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the file that is mapped at an address, for the report of a SIGBUS. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* A buffered reader: functions of stdio are not async-signal-safe. */
struct reader {
	int fd;
	ssize_t length, next;
	char bytes[1024];
};

/* Returns the next byte, or -1 at the end. */
static int
next_byte(struct reader *r)
{
	if (r->next == r->length) {
		do
			r->length = read(r->fd, r->bytes, sizeof(r->bytes));
		while (r->length < 0 && errno == EINTR);
		r->next = 0;
		if (r->length <= 0)
			return r->length = 0, -1;
	}
	return (unsigned char)r->bytes[r->next++];
}

/* Reads a number in hex and the byte behind it. */
static uintptr_t
next_hex(struct reader *r)
{
	static const char digits[] = "0123456789abcdef";
	uintptr_t value = 0;
	const char *digit;
	int byte;

	while ((byte = next_byte(r)) > 0 && (digit = strchr(digits, byte)))
		value = value << 4 | (uintptr_t)(digit - digits);
	return value;
}

bool
mapped_file(uintptr_t address, char *path, size_t size)
{
	struct reader r = { .fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };
	bool found = false;
	int byte = 0;

	if (r.fd < 0)
		return false;
	/* 7f5c3a000000-7f5c3a004000 rw-s 00000000 00:2e 1234       /tmp/ram */
	while (!found && byte >= 0) {
		uintptr_t begin = next_hex(&r), end = next_hex(&r);
		size_t length = 0;

		while ((byte = next_byte(&r)) >= 0 && byte != '\n' && byte != '/')
			;
		found = byte == '/' && begin <= address && address < end;
		for (; byte >= 0 && byte != '\n'; byte = next_byte(&r))
			if (found && length < size - 1)
				path[length++] = (char)byte;
		path[found ? length : 0] = '\0';
	}
	close(r.fd);
	return found;
}
