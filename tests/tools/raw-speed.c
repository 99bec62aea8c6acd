/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bounds for a snapshot: memcpy(3) and write(2) of the same number of bytes, on request.
 *
 *   raw-speed BYTES FILE
 *
 * Fills BYTES of memory, in huge pages where the host has them, as guest memory is. For each line
 * "copy" of stdin it copies them to a buffer that it has touched before; for "write", it writes
 * them to a new FILE with as few calls of write(2) as the kernel allows, and removes FILE. It
 * prints the microseconds of each as a line.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE (2u << 20)

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint8_t *
filled(size_t size, uint64_t seed)
{
	uint64_t *words = aligned_alloc(HUGE, (size + HUGE - 1) & ~(size_t)(HUGE - 1));

	if (!words)
		err(1, "no memory");
	madvise(words, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < size / 8; i++)
		words[i] = (i + seed) * 0x9e3779b97f4a7c15u;
	return (uint8_t *)words;
}

static double
copy(const uint8_t *from, size_t size)
{
	static uint8_t *to;
	double start;

	if (!to)
		to = filled(size, 1);
	start = now();
	memcpy(to, from, size);
	__asm__ volatile("" : : "r"(to) : "memory");
	return now() - start;
}

static double
write_file(const uint8_t *from, size_t size, const char *path)
{
	double start = now(), taken;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, from + done, size - done);

		if (n <= 0)
			err(1, "%s", path);
		done += (size_t)n;
	}
	taken = now() - start;
	close(fd);
	unlink(path);
	return taken;
}

int
main(int argc, char **argv)
{
	size_t size = argc == 3 ? strtoull(argv[1], NULL, 0) : 0;
	uint8_t *bytes = size ? filled(size, 0) : NULL;
	char line[16];

	if (!bytes)
		errx(2, "usage: raw-speed BYTES FILE");
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin))
		printf("%.1f\n", !strcmp(line, "copy\n") ? copy(bytes, size)
							 : write_file(bytes, size, argv[2]));
	return 0;
}
