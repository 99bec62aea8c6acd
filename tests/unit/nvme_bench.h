/* SPDX-License-Identifier: BSD-2-Clause */
/* For unit tests of nvme: the device on a file, and a driver made by hand. */
#ifndef TESTS_NVME_BENCH_H
#define TESTS_NVME_BENCH_H

#include <unistd.h>

#include "unit/fake_disk.h"
#include "unit/fake_services.h"

#include "../../plugins/nvme/admin.c"
#include "../../plugins/nvme/events.c"
#include "../../plugins/nvme/identify.c"
#include "../../plugins/nvme/io.c"
#include "../../plugins/nvme/prp.c"
#include "../../plugins/nvme/queues.c"
#include "../../plugins/nvme/shadow.c"

#include "../../plugins/nvme/nvme.c"

#define MEMORY 0x200000u
#define SQ(id) (0x100000u + (id)*0x20000u) /* addresses of queues */
#define CQ(id) (SQ(id) + 0x10000u)
#define DATA 0x10000u
#define LIST 0x8000u
#define SECTORS 65536u
#define ADMIN_ENTRIES 8u
#define ENTRIES 16u
#define PIN 1u       /* handles, as the core's */
#define MESSAGES 16u /* and the following */

static struct fake fake;
static uint8_t memory[MEMORY];
static char path[64];
static unsigned mapped;
static bool master;    /* the guest has made it a bus master */
static unsigned waits; /* times that may_wait() says yes */
static bool posted[2]; /* the posts */
static unsigned pauses;
static struct {
	bool up; /* the pin */
	unsigned messages[NVME_IDS];
} seen;
/* The driver's side of the queues. */
static struct {
	uint32_t size, tail, head, phase;
} queue[4];

static bool
in_memory(uint64_t gpa, size_t length)
{
	return master && gpa <= MEMORY && length <= MEMORY - gpa;
}

static int
memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (!in_memory(gpa, length))
		return -1;
	memcpy(to, memory + gpa, length);
	return 0;
}

static int
memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (!in_memory(gpa, length))
		return -1;
	memcpy(memory + gpa, from, length);
	return 0;
}

static void *
memory_map(struct minivmm_device *dev, uint64_t gpa, size_t length)
{
	if (!in_memory(gpa, length))
		return NULL;
	mapped++;
	return memory + gpa;
}

static void
memory_unmap(struct minivmm_device *dev, uint64_t gpa, size_t written)
{
	assert_true(mapped > 0 && gpa < MEMORY);
	mapped--;
}

static void
irq(struct minivmm_device *dev, const struct minivmm_irq *line, uint32_t operation)
{
	if (line->handle == PIN) {
		assert_int_not_equal(operation, MINIVMM_IRQ_PULSE);
		seen.up = operation == MINIVMM_IRQ_RAISE;
		return;
	}
	assert_int_equal(operation, MINIVMM_IRQ_PULSE);
	assert_in_range(line->handle, MESSAGES, MESSAGES + NVME_IDS - 1);
	seen.messages[line->handle - MESSAGES]++;
}

static bool
may_wait(struct minivmm_device *dev)
{
	return waits && waits--;
}

static void
set_post(struct minivmm_device *dev, uint32_t row)
{
	__atomic_store_n(&posted[row], true, __ATOMIC_RELEASE);
}

static void
paused(struct minivmm_device *dev)
{
	pauses++;
}

static struct nvme *
state(void)
{
	return fake.device.state;
}

static void
set(uint64_t offset, uint64_t value, uint32_t width)
{
	const struct minivmm_access access = { .offset = offset, .width = width };

	assert_int_equal(ranges[0].write(&fake.device, &access, value), 0);
}

static uint64_t
get(uint64_t offset, uint32_t width)
{
	const struct minivmm_access access = { .offset = offset, .width = width };
	uint64_t value;

	assert_int_equal(ranges[0].read(&fake.device, &access, &value), 0);
	return value;
}

static inline void
doorbell(uint32_t id, bool cq, uint32_t value)
{
	set(NVME_DOORBELLS + 8 * id + 4 * cq, value, 4);
}

/* Puts a command into a queue, without the doorbell. */
static inline void
put_command(uint32_t id, struct nvme_command command)
{
	memcpy(memory + SQ(id) + queue[id].tail * sizeof(command), &command, sizeof(command));
	queue[id].tail = (queue[id].tail + 1) % queue[id].size;
}

static inline void
ring(uint32_t id)
{
	doorbell(id, false, queue[id].tail);
}

/* Takes a completion. Returns false if there is none. The controller learns it with ack(). */
static inline bool
reap(uint32_t id, struct completion *c)
{
	memcpy(c, memory + CQ(id) + queue[id].head * sizeof(*c), sizeof(*c));
	if ((c->status >> 16 & 1) != queue[id].phase)
		return false;
	queue[id].head = (queue[id].head + 1) % queue[id].size;
	queue[id].phase ^= !queue[id].head;
	return true;
}

static inline void
ack(uint32_t id)
{
	doorbell(id, true, queue[id].head);
}

static inline uint16_t
status_of(const struct completion *c)
{
	return c->status >> 17 & 0x7ff;
}

/* The completion that must be there. Returns its status. */
static inline uint16_t
result_of(uint32_t id, uint16_t cid, uint32_t *result)
{
	struct completion c;

	assert_true(reap(id, &c));
	ack(id);
	assert_int_equal(c.status & 0xffff, cid);
	assert_int_equal(c.sq, queue[id].tail | id << 16);
	if (result)
		*result = c.result;
	return status_of(&c);
}

/* Executes a command. Returns its status. */
static inline uint16_t
run(uint32_t id, struct nvme_command command)
{
	static uint16_t cid;

	command.cid = ++cid;
	put_command(id, command);
	ring(id);
	return result_of(id, command.cid, NULL);
}

static inline uint16_t
create(uint32_t id, uint32_t entries)
{
	uint16_t status;

	queue[id].size = entries;
	queue[id].tail = queue[id].head = 0;
	queue[id].phase = 1;
	status = run(0, (struct nvme_command){ .opcode = CREATE_CQ,
					       .prp1 = CQ(id),
					       .cdw10 = (entries - 1) << 16 | id,
					       .cdw11 = id << 16 | CONTIGUOUS | INTERRUPTS });
	return status ? status
		      : run(0, (struct nvme_command){ .opcode = CREATE_SQ,
						      .prp1 = SQ(id),
						      .cdw10 = (entries - 1) << 16 | id,
						      .cdw11 = id << 16 | CONTIGUOUS });
}

static inline void
enable_controller(void)
{
	queue[0].size = ADMIN_ENTRIES;
	queue[0].tail = queue[0].head = 0;
	queue[0].phase = 1;
	memset(memory + CQ(0), 0, 0x10000);
	set(REGISTER_AQA, (ADMIN_ENTRIES - 1) * 0x10001, 4);
	set(REGISTER_ASQ, SQ(0), 8);
	set(REGISTER_ACQ, CQ(0), 8);
	set(REGISTER_CC, 0x00460001, 4);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY);
}

static inline struct nvme_command
io_command(uint8_t opcode, uint64_t sector, uint32_t sectors, uint64_t prp1, uint64_t prp2)
{
	return (struct nvme_command){
		.opcode = opcode,
		.nsid = 1,
		.prp1 = prp1,
		.prp2 = prp2,
		.cdw10 = (uint32_t)sector,
		.cdw11 = (uint32_t)(sector >> 32),
		.cdw12 = sectors - 1,
	};
}

static inline void
begin(uint32_t io)
{
	struct nvme *n = state();

	n->block.path = path;
	n->block.layers = n->block.overlay = n->block.rate = n->block.burst = n->serial = "";
	n->block.io = io;
	n->queues = 3;
	n->pin.handle = PIN;
	for (uint32_t i = 0; i < NVME_IDS; i++)
		n->messages[i].handle = MESSAGES + i;
	assert_int_equal(nvme.configure(&fake.device), 0);
	fields_reset(fields, n); /* as the core does */
	fake_start(&fake, MINIVMM_FRESH);
}

/* The same, with queues 1 and 2. */
static inline void
begin_queues(uint32_t io)
{
	begin(io);
	enable_controller();
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	assert_int_equal(create(2, ENTRIES), NVME_SUCCESS);
}

/* What the I/O thread does until no command is in flight. */
static inline void
until_idle(void)
{
	while (state()->block.flight) {
		while (!__atomic_exchange_n(&posted[NVME_POST_DONE], false, __ATOMIC_ACQUIRE))
			usleep(100);
		assert_int_equal(posts[NVME_POST_DONE].run(&fake.device, NVME_POST_DONE), 0);
	}
}

static int
setup(void **unused)
{
	int fd;

	memset(memory, 0, sizeof(memory));
	memset(&seen, 0, sizeof(seen));
	mapped = pauses = 0;
	posted[0] = posted[1] = false;
	master = true;
	waits = UINT32_MAX;
	snprintf(path, sizeof(path), "/tmp/minivmm-nvme-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)SECTORS * BLOCK_SECTOR), 0);
	close(fd);
	fake_create(&fake, &nvme);
	fake.services.memory_read = memory_read;
	fake.services.memory_write = memory_write;
	fake.services.memory_map = memory_map;
	fake.services.memory_unmap = memory_unmap;
	fake.services.irq = irq;
	fake.services.may_wait = may_wait;
	fake.services.post = set_post;
	fake.services.paused = paused;
	return 0;
}

static int
teardown(void **unused)
{
	assert_int_equal(nvme.stop(&fake.device), 0);
	assert_int_equal(mapped, 0);
	nvme.destroy(&fake.device);
	fake_destroy(&fake);
	unlink(path);
	strcat(path, ".1"); /* of a snapshot */
	unlink(path);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
