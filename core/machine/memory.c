/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: maps regions and copies in and out. */
#include "machine/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"

#define HUGE (2ul << 20)

static int
add(struct memory *memory, gpa_t gpa, uint64_t size, void *host, int fd, uint64_t file_offset)
{
	/* Pages of the bitmap that are never written cost no memory. */
	size_t words = ((memory->size + size) / PAGE_SIZE + 63) / 64;
	atomic_uint_least64_t *written = calloc(words, sizeof(*written));

	if (!written) {
		munmap(host, size);
		if (fd >= 0)
			close(fd);
		return fail_memory("a bitmap of guest memory");
	}
	free(memory->written);
	memory->written = written;
	memory->regions[memory->count++] = (struct memory_region){
		.gpa = gpa,
		.size = size,
		.host = host,
		.offset = memory->size,
		.fd = fd,
		.file_offset = file_offset,
	};
	memory->size += size;
	return 0;
}

static int
check(const struct memory *memory, gpa_t gpa, uint64_t size)
{
	uint64_t end;

	if (!size || size % PAGE_SIZE || gpa % PAGE_SIZE || __builtin_add_overflow(gpa, size, &end))
		return fail(STATUS_USAGE,
			    "guest memory of 0x%llx bytes at 0x%llx: size and address must be "
			    "multiples of 4K",
			    (unsigned long long)size, (unsigned long long)gpa);
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];

		if (gpa < r->gpa + r->size && r->gpa < end)
			return fail(
			    STATUS_USAGE,
			    "guest memory at 0x%llx overlaps guest memory at 0x%llx; move one",
			    (unsigned long long)gpa, (unsigned long long)r->gpa);
	}
	if (memory->count == MEMORY_REGIONS)
		return fail(STATUS_USAGE, "more than %d regions of guest memory", MEMORY_REGIONS);
	return 0;
}

/* Aligns memory of 2 MiB or more to 2 MiB, so that the kernel can use huge pages. */
int
memory_add(struct memory *memory, gpa_t gpa, uint64_t size)
{
	uint64_t slack = size >= HUGE ? HUGE : 0;
	uint8_t *start, *host;

	if (check(memory, gpa, size) < 0)
		return -STATUS_USAGE;
	start = mmap(NULL, size + slack, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return fail(STATUS_HOST,
			    "cannot map 0x%llx bytes of guest memory: %s; reduce vm.memory",
			    (unsigned long long)size, limit_error(errno).text);
	host = start;
	if (slack) {
		host = (uint8_t *)(((uintptr_t)start + HUGE - 1) & ~(HUGE - 1));
		if (host > start)
			munmap(start, (size_t)(host - start));
		if (start + slack > host)
			munmap(host + size, (size_t)(start + slack - host));
		madvise(host, size, MADV_HUGEPAGE);
	}
	return add(memory, gpa, size, host, -1, 0);
}

/*
 * Sizes the file and allocates its blocks. If the disk were full at a guest's write, KVM would
 * report the write as an MMIO access. 0 or an errno.
 */
static int
allocate(int fd, uint64_t size)
{
	if (!fallocate(fd, 0, 0, (off_t)size))
		return 0;
	if (errno != EOPNOTSUPP)
		return errno;
	return ftruncate(fd, (off_t)size) ? errno : 0;
}

/* Opens the file; creates it with size bytes if it is missing or empty. An existing file must have
 * that size: minivmm does not change the user's file. Returns a descriptor or a negative status. */
static int
open_sized(struct memory *memory, const char *path, uint64_t size, struct made_files *made)
{
	struct stat st;
	struct why why;
	int fd, error;

	/* The regions of a machine share one descriptor, and so its lock. */
	if (memory->count)
		fd = fcntl(memory->regions[0].fd, F_DUPFD_CLOEXEC, 0);
	else
		fd = file_open_own(path, 0, made);
	if (fd < 0) {
		file_why(path, errno, &why);
		return fail(why_status(&why, STATUS_IO), "cannot open memory_file %s: %s", path,
			    why.text);
	}
	error = fstat(fd, &st) ? errno : 0;
	if (!error && st.st_size == 0)
		error = allocate(fd, size);
	if (error) {
		close(fd);
		return fail(STATUS_IO, "cannot size memory_file %s to 0x%llx bytes: %s", path,
			    (unsigned long long)size, limit_error(error).text);
	}
	if (st.st_size != 0 && (uint64_t)st.st_size != size) {
		close(fd);
		return fail(STATUS_USAGE,
			    "memory_file %s has 0x%llx bytes, the machine's memory 0x%llx; remove "
			    "the file or set vm.memory to its size",
			    path, (unsigned long long)st.st_size, (unsigned long long)size);
	}
	return fd;
}

int
memory_add_file(struct memory *memory, gpa_t gpa, uint64_t size, const char *path,
		uint64_t file_offset, uint64_t file_length, struct made_files *made)
{
	void *host;
	int fd;

	if (check(memory, gpa, size) < 0)
		return -STATUS_USAGE;
	fd = open_sized(memory, path, file_length, made);
	if (fd < 0)
		return fd;
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)file_offset);
	if (host == MAP_FAILED) {
		int error = errno;

		close(fd);
		return fail(STATUS_HOST, "cannot map memory_file %s: %s", path,
			    limit_error(error).text);
	}
	if (add(memory, gpa, size, host, fd, file_offset))
		return -STATUS_HOST;
	memory->regions[memory->count - 1].shared = true;
	return 0;
}

int
memory_add_private(struct memory *memory, gpa_t gpa, uint64_t size, int fd, uint64_t file_offset)
{
	void *host;
	int own;

	if (check(memory, gpa, size) < 0)
		return -STATUS_USAGE;
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd,
		    (off_t)file_offset);
	if (host == MAP_FAILED)
		return fail(STATUS_HOST, "cannot map 0x%llx bytes of saved memory: %s",
			    (unsigned long long)size, limit_error(errno).text);
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0) {
		munmap(host, size);
		return fail(STATUS_HOST, "cannot keep saved memory open: %s",
			    limit_error(errno).text);
	}
	return add(memory, gpa, size, host, own, file_offset);
}

int
memory_add_inherited(struct memory *memory, const struct memory_region *region)
{
	if (check(memory, region->gpa, region->size) < 0)
		return -STATUS_USAGE;
	return add(memory, region->gpa, region->size, region->host, region->fd,
		   region->file_offset);
}

bool
memory_truncated(const struct memory *memory, char *name, size_t size)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];
		struct stat st;

		if (r->fd < 0 || fstat(r->fd, &st) ||
		    (uint64_t)st.st_size >= r->file_offset + r->size)
			continue;
		file_name(r->fd, name, size);
		return true;
	}
	return false;
}

void
memory_free(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		munmap(memory->regions[i].host, memory->regions[i].size);
		if (memory->regions[i].fd >= 0)
			close(memory->regions[i].fd);
	}
	free(memory->written);
	*memory = (struct memory){ .count = 0 };
}

int
memory_check_files(const struct memory *memory)
{
	char name[256];

	if (!memory_truncated(memory, name, sizeof(name)))
		return 0;
	return fail(STATUS_IO, "%s was truncated while it was guest memory: that memory is lost",
		    name);
}

uint8_t *
memory_page(const struct memory *memory, uint64_t page)
{
	uint32_t i = 0;

	while (page * PAGE_SIZE >= memory->regions[i].offset + memory->regions[i].size)
		i++;
	return memory->regions[i].host + (page * PAGE_SIZE - memory->regions[i].offset);
}

bool
memory_word_next(const struct memory *memory, struct memory_word *part)
{
	while (part->region < memory->count) {
		const struct memory_region *r = &memory->regions[part->region++];
		uint64_t first = r->offset / PAGE_SIZE, end = first + r->size / PAGE_SIZE;
		uint64_t begin = 64 * part->word;
		uint64_t limit = begin + 64 < end ? begin + 64 : end;

		begin = begin > first ? begin : first;
		if (begin >= limit)
			continue;
		part->first = begin;
		part->mask = UINT64_MAX >> (64 - (limit - begin));
		part->host = r->host + (begin - first) * PAGE_SIZE;
		return true;
	}
	return false;
}

bool
memory_overlaps(const struct memory *memory, gpa_t base, uint64_t length, gpa_t *end)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);

		*end = region->gpa + region->size;
		if (base < *end && (base >= region->gpa || region->gpa - base < length))
			return true;
	}
	return false;
}

void *
memory_at(const struct memory *memory, gpa_t gpa, uint64_t length)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa <= r->size && length <= r->size - (gpa - r->gpa))
			return r->host + (gpa - r->gpa);
	}
	return NULL;
}

/* The number of bytes from gpa on that are in its region, at most length; 0: gpa is not memory. */
static size_t
extent(const struct memory *memory, gpa_t gpa, size_t length)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size) {
			uint64_t room = r->size - (gpa - r->gpa);

			return length < room ? length : (size_t)room;
		}
	}
	return 0;
}

bool
memory_covers(const struct memory *memory, gpa_t gpa, uint64_t length)
{
	gpa_t end;

	if (__builtin_add_overflow(gpa, length, &end))
		return false;
	while (length) {
		size_t part = extent(memory, gpa, length);

		if (!part)
			return false;
		gpa += part;
		length -= part;
	}
	return true;
}

int
memory_read(const struct memory *memory, gpa_t gpa, void *to, size_t length)
{
	if (!memory_covers(memory, gpa, length))
		return -1;
	for (size_t done = 0, part; done < length; done += part) {
		part = extent(memory, gpa + done, length - done);
		memcpy((uint8_t *)to + done, memory_at(memory, gpa + done, part), part);
	}
	return 0;
}

void
memory_mark_written(struct memory *memory, gpa_t gpa, uint64_t length)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->size)
			continue;
		for (uint64_t page = (r->offset + (gpa - r->gpa)) / PAGE_SIZE,
			      last = (r->offset + (gpa - r->gpa) + length - 1) / PAGE_SIZE;
		     page <= last; page++)
			atomic_fetch_or(&memory->written[page / 64], 1ull << page % 64);
	}
}

int
memory_write(struct memory *memory, gpa_t gpa, const void *from, size_t length)
{
	if (!memory_covers(memory, gpa, length))
		return -1;
	for (size_t done = 0, part; done < length; done += part) {
		part = extent(memory, gpa + done, length - done);
		memcpy(memory_at(memory, gpa + done, part), (const uint8_t *)from + done, part);
		memory_mark_written(memory, gpa + done, part);
	}
	return 0;
}

void
memory_take_written(struct memory *memory, uint64_t *pages)
{
	for (size_t i = 0; i < memory_words(memory); i++)
		if (atomic_load_explicit(&memory->written[i], memory_order_relaxed))
			pages[i] |= atomic_exchange(&memory->written[i], 0);
}
