/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs objdump on a few bytes of code. */
#include "cli/disassemble.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/clock.h"

#define PATIENCE 10000u   /* ms */
#define POLL_EVERY 100    /* ms: a signal may come just before poll */
#define OUTPUT_MAX 16384u /* bytes that are read of objdump */
#define CODE_FD 3         /* of objdump: the code */

/* A file in memory: it has no name that another process could use, and needs no removal. */
static int
code_file(const uint8_t *code, size_t length)
{
	int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || write(fd, code, length) == (ssize_t)length)
		return fd;
	close(fd);
	return -1;
}

static bool
spawn(int code, int output, uint64_t address, unsigned bits, pid_t *pid)
{
	const char *machine = bits == 64 ? "i386:x86-64" : bits == 32 ? "i386" : "i8086";
	char vma[48];
	char *const arguments[] = { "objdump",
				    "-Dz", /* z: also zeros, which it leaves out as padding */
				    "-b",
				    "binary",
				    "-m",
				    (char *)machine,
				    vma,
				    "--insn-width=15",
				    "/proc/self/fd/3",
				    NULL };
	char *const environment[] = { "LC_ALL=C", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	bool spawned;

	_Static_assert(CODE_FD == 3, "it is in arguments");
	snprintf(vma, sizeof(vma), "--adjust-vma=0x%llx", (unsigned long long)address);
	if (posix_spawn_file_actions_init(&files))
		return false;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&files);
		return false;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	spawned = !posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0) &&
		  !posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0) &&
		  !posix_spawn_file_actions_adddup2(&files, output, 1) &&
		  !posix_spawn_file_actions_adddup2(&files, code, CODE_FD) &&
		  !posix_spawnp(pid, "objdump", &files, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return spawned;
}

/* Reads until the end, a full buffer, an interruption, or the end of patience. Returns the length.
 */
static size_t
read_output(int fd, char *text, size_t size, const volatile bool *interrupted)
{
	uint64_t end = clock_host() + PATIENCE * 1000000ull;
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t length = 0;
	ssize_t n = 1;

	while (n && length < size && clock_host() < end && !(interrupted && *interrupted)) {
		if (poll(&ready, 1, POLL_EVERY) <= 0)
			continue;
		n = read(fd, text + length, size - length);
		if (n < 0 && errno != EINTR)
			break;
		length += n > 0 ? (size_t)n : 0;
	}
	return length;
}

/* Makes text printable, without blanks at its end. */
static void
clean(char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = ' ';
	while (length && text[length - 1] == ' ')
		text[--length] = '\0';
}

/*
 * Takes the line of an instruction apart: "    1005:\tba f8 03 \tmov ...". False: it is another
 * line.
 */
static bool
format(char *text, char *line, size_t size)
{
	char *address = strsep(&text, "\t"), *bytes = strsep(&text, "\t");
	size_t length = strlen(address), blanks = strspn(address, " ");

	if (!text || !length || address[length - 1] != ':' ||
	    strspn(address + blanks, "0123456789abcdef") != length - blanks - 1)
		return false;
	clean(bytes);
	clean(text);
	snprintf(line, size, "%s %-30s %s", address + blanks, bytes, text);
	return true;
}

static void
put_lines(char *text, void (*line)(void *context, const char *text), void *context)
{
	char *rest = text, *one, formatted[160];
	unsigned lines = 0;

	while (lines < DISASSEMBLE_LINES && (one = strsep(&rest, "\n"))) {
		if (!rest || !format(one, formatted, sizeof(formatted)))
			continue; /* the last line, without a newline, may be incomplete */
		line(context, formatted);
		lines++;
	}
}

void
disassemble(const uint8_t *code, size_t length, uint64_t address, unsigned bits,
	    const volatile bool *interrupted, void (*line)(void *context, const char *text),
	    void *context)
{
	char text[OUTPUT_MAX + 1];
	int file, ends[2];
	pid_t pid;

	if (length > DISASSEMBLE_BYTES)
		length = DISASSEMBLE_BYTES;
	file = length ? code_file(code, length) : -1;
	if (file < 0)
		return;
	if (pipe2(ends, O_CLOEXEC)) {
		close(file);
		return;
	}
	if (spawn(file, ends[1], address, bits, &pid)) {
		close(ends[1]);
		text[read_output(ends[0], text, OUTPUT_MAX, interrupted)] = '\0';
		kill(pid, SIGKILL); /* it has ended, is late, or has printed too much */
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		put_lines(text, line, context);
	} else
		close(ends[1]);
	close(ends[0]);
	close(file);
}
