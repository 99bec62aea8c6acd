/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the NVMe controller as a hostile driver, and its saved state. Commands go to a file or to
 * an overlay, synchronously or by threads. They must stay inside memory and disk, and must not stay
 * mapped; completions stay inside their queues.
 *
 * An input: a byte, the number of records; a byte of flags; the records, 8 bytes each; the contents
 * of memory: queue 1, then lists and data, then the admin queue. Flags: 1: the driver enables the
 * controller and creates queues 1 and 2; 4: a rate limit; 8: an overlay; 16: read-only; 32:
 * threads. A record: an action, three bytes that it may use, a value of 4 bytes.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../unit/fake_disk.h"

#include "../../plugins/nvme/admin.c"
#include "../../plugins/nvme/events.c"
#include "../../plugins/nvme/identify.c"
#include "../../plugins/nvme/io.c"
#include "../../plugins/nvme/prp.c"
#include "../../plugins/nvme/queues.c"
#include "../../plugins/nvme/shadow.c"

#include "../../plugins/nvme/nvme.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK (19u * 4096u + 512u)
#define MEMORY 0x10000u
#define QUEUE(i) (0x1000u + 0x1000u * (i)) /* submission and completion queues in turn */
#define ENTRIES 16u
#define DATA 0x7000u
#define RECORD 8u

enum action { WRITE_REGISTER, READ_REGISTER, DOORBELL, CHANGE_MEMORY, PAUSE, LOAD, RESET, MASTER };

static uint8_t memory[MEMORY];
static atomic_int mapped;
static atomic_bool posted;
static bool master;
static uint64_t now;

static bool
inside(uint64_t gpa, size_t length)
{
	return master && gpa <= MEMORY && length <= MEMORY - gpa;
}

static int
memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (!inside(gpa, length))
		return -1;
	memcpy(to, memory + gpa, length);
	return 0;
}

static int
memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (!inside(gpa, length))
		return -1;
	memcpy(memory + gpa, from, length);
	return 0;
}

static void *
memory_map(struct minivmm_device *dev, uint64_t gpa, size_t length)
{
	if (!inside(gpa, length))
		return NULL;
	mapped++;
	return memory + gpa;
}

static void
memory_unmap(struct minivmm_device *dev, uint64_t gpa, size_t written)
{
	if (gpa > MEMORY || written > MEMORY - gpa || --mapped < 0)
		abort();
}

static void
log_line(struct minivmm_device *dev, uint32_t level, const char *text)
{
}

static void
irq(struct minivmm_device *dev, const struct minivmm_irq *line, uint32_t operation)
{
}

static void
post_soon(struct minivmm_device *dev, uint32_t row)
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

static const struct minivmm_services services = {
	.size = sizeof(struct minivmm_services),
	.log = log_line,
	.irq = irq,
	.memory_read = memory_read,
	.memory_write = memory_write,
	.memory_map = memory_map,
	.memory_unmap = memory_unmap,
	.post = post_soon,
	.now = clock_now,
	.timer_set = timer_set,
	.paused = paused,
};

static void
set(struct minivmm_device *dev, uint64_t offset, uint64_t value, uint32_t width)
{
	const struct minivmm_access access = { .offset = offset, .width = width };

	if (nvme_write(dev, &access, value))
		abort();
}

static void
make(struct minivmm_device *dev, struct nvme *n, uint8_t flags)
{
	const struct minivmm_start start = { .reason = MINIVMM_FRESH };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, DISK))
		abort();
	n->block.path = path;
	n->block.layers = n->block.overlay = n->block.burst = n->serial = "";
	n->block.rate = flags & 4 ? "1M/s" : "";
	n->block.temporary = flags & 8;
	n->block.readonly = !n->block.temporary && flags & 16;
	n->block.io = flags & 32 ? BLOCK_THREADS : BLOCK_SYNC;
	n->queues = 3;
	if (nvme_configure(dev) || nvme_start(dev, &start))
		abort();
	close(fd);
}

static void
initialize(struct minivmm_device *dev)
{
	struct nvme_command *c = (struct nvme_command *)(memory + QUEUE(0));

	set(dev, REGISTER_AQA, (ENTRIES - 1) * 0x10001, 4);
	set(dev, REGISTER_ASQ, QUEUE(0), 8);
	set(dev, REGISTER_ACQ, QUEUE(1), 8);
	set(dev, REGISTER_CC, 0x00460001, 4);
	for (uint32_t id = 1; id < 3; id++) {
		*c++ = (struct nvme_command){ .opcode = CREATE_CQ,
					      .prp1 = QUEUE(2 * id + 1),
					      .cdw10 = (ENTRIES - 1) << 16 | id,
					      .cdw11 = id << 16 | 3 };
		*c++ = (struct nvme_command){ .opcode = CREATE_SQ,
					      .prp1 = QUEUE(2 * id),
					      .cdw10 = (ENTRIES - 1) << 16 | id,
					      .cdw11 = id << 16 | 1 };
	}
	set(dev, NVME_DOORBELLS, 4, 4);
	set(dev, NVME_DOORBELLS + 4, 4, 4);
}

static void
fill(const uint8_t *bytes, size_t length)
{
	static const struct {
		uint32_t at, length;
	} parts[] = { { QUEUE(2), 1024 }, { DATA, 2048 }, { QUEUE(0), 1024 } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && length; i++) {
		size_t part = length < parts[i].length ? length : parts[i].length;

		memcpy(memory + parts[i].at, bytes, part);
		bytes += part;
		length -= part;
	}
}

/* As the machine's loop does. */
static void
loop(struct minivmm_device *dev)
{
	for (int i = 0; i < 40 && (posted || i < 1); i++) {
		posted = false;
		if (block_done(dev, NVME_POST_DONE) || nvme_again(dev, NVME_POST_AGAIN))
			abort();
	}
}

static void
pause_device(struct minivmm_device *dev, struct nvme *n)
{
	if (block_pause(dev) < 0)
		abort();
	while (n->block.flight)
		block_done(dev, NVME_POST_DONE);
	if (mapped)
		abort();
}

/* Changes an element of a field, as a snapshot may have it. What is refused does not stay. */
static void
load(struct minivmm_device *dev, struct nvme *n, const uint8_t *r, uint32_t value)
{
	const struct minivmm_field *row = &fields[r[1] % (sizeof(fields) / sizeof(*fields) - 1)];
	uint32_t width = row->type == MINIVMM_U64   ? 8
			 : row->type == MINIVMM_U32 ? 4
			 : row->type == MINIVMM_U16 ? 2
						    : 1;
	uint64_t limit = row->type == MINIVMM_BOOL ? 1 : row->max, wide = value * 0x10001ull;

	uint8_t *element =
	    (uint8_t *)n + row->offset + (row->count ? r[2] % row->count : 0) * width;
	uint32_t held, events;
	uint64_t before = 0;

	pause_device(dev, n);
	held = n->block.held_count;
	events = n->event_count;
	memcpy(&before, element, width);
	wide = limit ? wide % (limit + 1) : wide;
	if (!strcmp(row->name, "bytes"))
		wide = n->block.bytes; /* a start would refuse another */
	memcpy(element, &wide, width);
	if (r[3] & 1)
		n->block.held_count = r[3] / 2 % (BLOCK_FLIGHT + 1);
	if (r[3] & 128)
		n->event_count = r[3] % (NVME_EVENTS + 1);
	if (nvme_queues_loaded(dev)) {
		memcpy(element, &before, width);
		n->block.held_count = held;
		n->event_count = events;
		if (nvme_queues_loaded(dev))
			abort();
	}
	block_resume(dev);
}

static void
play(struct minivmm_device *dev, struct nvme *n, const uint8_t *r)
{
	uint32_t value, offset = (r[2] << 8 | r[3]) % NVME_REGISTERS & ~3u;
	const struct minivmm_access access = { .offset = offset & ~7u, .width = 8 };
	uint64_t read;

	memcpy(&value, r + 4, 4);
	switch (r[0] % 8) {
	case WRITE_REGISTER:
		set(dev, r[1] & 1 ? offset % 64 : offset, value, 4);
		break;
	case READ_REGISTER:
		if (nvme_read(dev, &access, &read))
			abort();
		break;
	case DOORBELL:
		set(dev, NVME_DOORBELLS + r[1] % 8 * 4, value % (ENTRIES + 1), 4);
		break;
	case CHANGE_MEMORY:
		memcpy(memory + (r[1] << 16 | r[2] << 8 | r[3]) % (MEMORY - 4), &value, 4);
		break;
	case PAUSE:
		pause_device(dev, n);
		block_resume(dev);
		break;
	case LOAD:
		load(dev, n, r, value);
		break;
	case RESET:
		nvme_reset(dev);
		break;
	case MASTER:
		master = r[1] & 1;
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nvme *n;
	const uint8_t *end;
	struct minivmm_device dev = { .services = &services, .name = "disk0" };

	if (size < 2 || size - 2 < data[0] * RECORD)
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	dev.state = n;
	memset(memory, 0, sizeof(memory));
	mapped = 0;
	master = true;
	make(&dev, n, data[1]);
	if (data[1] & 1)
		initialize(&dev);
	end = data + 2 + data[0] * RECORD;
	fill(end, (size_t)(data + size - end));
	for (const uint8_t *r = data + 2; r < end; r += RECORD) {
		play(&dev, n, r);
		loop(&dev);
		if (n->block.disk.bytes != DISK / BLOCK_SECTOR * BLOCK_SECTOR)
			abort();
		for (uint32_t i = 0; i < NVME_IDS; i++)
			if (n->cq_size[i] &&
			    (n->cq_head[i] >= n->cq_size[i] || n->cq_tail[i] >= n->cq_size[i]))
				abort();
	}
	if (block_stop(&dev) || mapped || n->block.flight)
		abort(); /* a command was forgotten */
	block_destroy(&dev);
	free(n);
	return 0;
}
