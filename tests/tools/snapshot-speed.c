/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times writing a snapshot, and a plain write(2) of the machine's memory, alternately in one
 * process.
 *
 *   snapshot-speed CONFIG CONDITION FOLDER ROUNDS [KEY=VALUE...]
 *
 * Runs CONFIG to the stop condition, then writes both files in FOLDER. Prints a line per round:
 * microseconds of the plain write and of the snapshot, separated by a tab. Then prints "space" and
 * four sizes in bytes, separated by tabs: the snapshot in the file system, its metadata in whole
 * pages, its pages with data, all pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm/vm.h"

struct bench {
	struct vm vm;
	char plain[256], snapshot[256];
	int rounds;
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
write_region(int fd, const struct memory_region *region)
{
	for (uint64_t done = 0; done < region->size;) {
		ssize_t n = write(fd, region->host + done, region->size - done);

		if (n <= 0)
			return -1;
		done += (uint64_t)n;
	}
	return 0;
}

static int
write_plain(const char *path, const struct memory *memory)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), r = fd < 0 ? -1 : 0;

	for (uint32_t i = 0; i < memory->count && !r; i++)
		r = write_region(fd, &memory->regions[i]);
	if (fd >= 0)
		close(fd);
	return r ? fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno)) : 0;
}

static uint64_t
pages_with_data(const struct memory *memory)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < memory->count; i++)
		for (uint64_t at = 0; at < memory->regions[i].size; at += PAGE_SIZE)
			count += !snapshot_zero(memory->regions[i].host + at, PAGE_SIZE);
	return count;
}

static int
print_space(const struct bench *b)
{
	const struct memory *memory = &b->vm.machine.memory;
	struct snapshot snapshot;
	struct stat st;
	int r = snapshot_open(&snapshot, b->snapshot);

	if (!r && fstat(snapshot.fd, &st))
		r = fail(STATUS_IO, "cannot stat %s: %s", b->snapshot, strerror(errno));
	if (!r)
		printf("space\t%llu\t%llu\t%llu\t%llu\n", (unsigned long long)st.st_blocks * 512,
		       (unsigned long long)(snapshot.header.memory_offset +
					    snapshot.header.table_size + PAGE_SIZE - 1) &
			   ~(PAGE_SIZE - 1ull),
		       (unsigned long long)pages_with_data(memory) * PAGE_SIZE,
		       (unsigned long long)memory->size);
	snapshot_close(&snapshot);
	return r;
}

static int
stop_hit(void *context)
{
	struct bench *b = context;
	/* The first write only makes the host allocate the memory. */
	int r = write_plain(b->plain, &b->vm.machine.memory);

	for (int round = 0; round < b->rounds && !r; round++) {
		double start, plain;

		unlink(b->plain);
		unlink(b->snapshot);
		start = now();
		r = write_plain(b->plain, &b->vm.machine.memory);
		plain = now() - start;
		unlink(b->plain);
		start = now();
		if (!r)
			r = capture_file(&b->vm.capture, b->snapshot);
		if (!r)
			printf("%.1f\t%.1f\n", plain, now() - start);
		fflush(stdout);
	}
	if (!r)
		r = print_space(b);
	unlink(b->plain);
	unlink(b->snapshot);
	machine_end(&b->vm.machine, CAUSE_STOP, 0);
	return r;
}

int
main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	const volatile bool interrupted = false;
	struct why why;
	int r;

	if (!b || argc < 5) {
		fprintf(stderr,
			"usage: snapshot-speed CONFIG CONDITION FOLDER ROUNDS [KEY=VALUE...]\n");
		return 2;
	}
	snprintf(b->plain, sizeof(b->plain), "%s/plain", argv[3]);
	snprintf(b->snapshot, sizeof(b->snapshot), "%s/snapshot", argv[3]);
	b->rounds = atoi(argv[4]);
	r = vm_build(&b->vm, &(struct vm_source){ .config = argv[1],
						  .set = argv + 5,
						  .set_count = (size_t)argc - 5 });
	if (!r && vm_stop_set(&b->vm, argv[2],
			      &(struct stop_handler){ .hit = stop_hit, .context = b }, &why))
		r = fail(STATUS_USAGE, "%s", why.text);
	if (!r)
		r = vm_start(&b->vm);
	if (!r)
		r = vm_run(&b->vm);
	if (b->vm.built)
		devices_stop(&b->vm.devices, &interrupted);
	vm_destroy(&b->vm);
	free(b);
	return r ? 1 : 0;
}
