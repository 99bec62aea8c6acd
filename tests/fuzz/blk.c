/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the disk as a hostile driver. Requests go to a file or to an overlay, synchronously or by
 * threads. They must stay inside memory and disk, and must not stay mapped.
 */
#include <stdatomic.h>
#include <sys/mman.h>

#include "../../plugins/virtio-blk/blk.c"
#include "../../plugins/virtio-blk/request.c"
#include "../unit/fake_disk.h"
#include "driver.h"

#define DISK (19u * 4096u + 512u)

static atomic_int mapped;
static atomic_bool posted;
static uint64_t now;

static void *
memory_map(struct minivmm_device *dev, uint64_t gpa, size_t length)
{
	if (!driver_inside(gpa, length))
		return NULL;
	mapped++;
	return driver_memory + gpa;
}

static void
memory_unmap(struct minivmm_device *dev, uint64_t gpa, size_t written)
{
	if (!driver_inside(gpa, written) || --mapped < 0)
		abort();
}

static void
post(struct minivmm_device *dev, uint32_t row)
{
	posted = true;
}

static uint64_t
clock_now(struct minivmm_device *dev)
{
	return now += 1000;
}

static void
timer_set(struct minivmm_device *dev, uint32_t timer, uint64_t deadline, uint64_t period)
{
	now = deadline;
	posted = true;
}

static void
paused(struct minivmm_device *dev)
{
}

static int
bind_write(struct minivmm_device *dev, const struct minivmm_bind *bind)
{
	return 0;
}

static const struct minivmm_services services = {
	DRIVER_SERVICES,          .post = post,
	.now = clock_now,         .timer_set = timer_set,
	.paused = paused,         .bind_write = bind_write,
	.memory_map = memory_map, .memory_unmap = memory_unmap,
};

/* The disk is the same for each input with this kind. The bits of kind select its form. */
static void
make(struct minivmm_device *dev, struct blk *b, uint8_t kind)
{
	const struct minivmm_start start = { .reason = MINIVMM_FRESH };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, DISK))
		abort();
	b->block.path = path;
	b->block.layers = b->block.overlay = "";
	b->serial = "number";
	b->block.burst = "";
	b->block.rate = kind & 4 ? "1M/s" : "";
	b->block.temporary = kind & 8;
	b->block.readonly = !b->block.temporary && kind & 16;
	b->block.io = kind & 32 ? BLOCK_THREADS : BLOCK_AUTO;
	b->queues = 2;
	if (blk_configure(dev) || blk_start(dev, &start))
		abort();
	close(fd);
}

/* As the machine's loop does. */
static void
loop(struct minivmm_device *dev)
{
	for (int i = 0; i < 40 && (posted || i < 1); i++) {
		posted = false;
		block_done(dev, 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blk *b = calloc(1, sizeof(*b));
	struct minivmm_device dev = { .services = &services, .state = b, .name = "disk0" };
	struct driver_input input;

	if (!b)
		abort();
	if (!driver_input(data, size, &input)) {
		free(b);
		return 0;
	}
	mapped = 0;
	make(&dev, b, input.flags);
	driver_begin(&dev, &input, 0);
	for (const uint8_t *r = input.records; r < input.end; r += DRIVER_RECORD) {
		driver_play(&dev, r);
		loop(&dev);
		if (b->block.disk.bytes != DISK / BLOCK_SECTOR * BLOCK_SECTOR)
			abort();
	}
	if (block_stop(&dev) || mapped || b->block.flight)
		abort(); /* a request was forgotten */
	block_destroy(&dev);
	free(b);
	return 0;
}
