/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk whose requests take long: a pause gets in between their steps, the I/O thread executes
 * none, and nothing is lost or done twice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned nowait_calls;
static size_t nowait_bytes; /* that it reads before EAGAIN */
static int nowait_error;    /* in place of EAGAIN */

/* The host's preadv2(): reads as much as the test says. */
static ssize_t
limited_preadv2(int fd, const struct iovec *pieces, int count, off_t at, int flags)
{
	size_t bytes = pieces->iov_len < nowait_bytes ? pieces->iov_len : nowait_bytes;

	nowait_calls++;
	if (flags != RWF_NOWAIT || !bytes) {
		errno = flags != RWF_NOWAIT ? EINVAL : nowait_error;
		return -1;
	}
	nowait_bytes -= bytes;
	return pread(fd, pieces->iov_base, bytes, at);
}

#define preadv2 limited_preadv2
#include "unit/gate.h"
#undef preadv2

#include "../../plugins/virtio-blk/blk.c"
#include "../../plugins/virtio-blk/request.c"
#include "unit/fake_disk.h"
#include "unit/fake_virtio.h"

#define RANGE ((uint64_t)RANGE_SECTORS * BLOCK_SECTOR)
#define STEPS ((unsigned)(RANGE / STEP_ZERO)) /* of a range */
#define HEADER 0x20000u                       /* of all requests: they are equal */
#define STATUS 0x30000u
#define DATA 0x38000u /* of a read */
#define DATA_BYTES 0x2000u

static struct fake fake;
static char path[64];
static atomic_bool done_posted;
static unsigned waits; /* times that may_wait() says yes */
static unsigned pauses;

static bool
may_wait(struct minivmm_device *dev)
{
	return waits && waits--;
}

static void
post(struct minivmm_device *dev, uint32_t row)
{
	if (row == BLK_POST_DONE)
		atomic_store(&done_posted, true);
}

static void
paused(struct minivmm_device *dev)
{
	pauses++;
}

static int
bind_write(struct minivmm_device *dev, const struct minivmm_bind *bind)
{
	return 0;
}

static void *
memory_map(struct minivmm_device *dev, uint64_t gpa, size_t length)
{
	return gpa + length <= DRIVER_MEMORY ? driver.memory + gpa : NULL;
}

static void
memory_unmap(struct minivmm_device *dev, uint64_t gpa, size_t written)
{
}

static struct blk *
state(void)
{
	return fake.device.state;
}

/* What the I/O thread does until no request is in flight. */
static void
until_idle(void)
{
	while (state()->block.flight) {
		while (!atomic_exchange(&done_posted, false))
			usleep(100);
		assert_int_equal(posts[BLK_POST_DONE].run(&fake.device, BLK_POST_DONE), 0);
	}
}

/* Adds a request with this number of ranges, each of which is the whole disk. */
static void
put(uint32_t number)
{
	const struct range range = { 0, RANGE_SECTORS, 0 };
	uint16_t slot = (uint16_t)(2 * (driver.next[0] % (DRIVER_SIZE / 2)));
	const struct virtio_desc chain[] = {
		{ HEADER, (uint32_t)(16 + number * sizeof(range)), VIRTIO_DESC_NEXT,
		  (uint16_t)(slot + 1) },
		{ STATUS, 1, VIRTIO_DESC_WRITE, 0 },
	};
	uint8_t *at = driver.memory + driver_queue(0);

	driver.memory[HEADER] = WRITE_ZEROES;
	for (uint32_t i = 0; i < number; i++)
		memcpy(driver.memory + HEADER + 16 + i * sizeof(range), &range, sizeof(range));
	memcpy(at + slot * sizeof(*chain), chain, sizeof(chain));
	memcpy(at + 0x404 + 2 * (driver.next[0] % DRIVER_SIZE), &slot, 2);
	driver.next[0]++;
	memcpy(at + 0x402, &driver.next[0], 2);
}

static void
notify(void)
{
	driver_write(&fake, VIRTIO_QUEUE_NOTIFY, 0);
}

static unsigned
used(void)
{
	uint32_t head;
	unsigned count = 0;

	while (driver_used(0, &head) >= 0)
		count++;
	return count;
}

static void
begin(uint32_t io)
{
	struct blk *b = state();

	b->block.path = path;
	b->block.layers = b->block.overlay = b->block.rate = b->block.burst = b->serial = "";
	b->block.io = io;
	b->queues = 1;
	assert_int_equal(blk.configure(&fake.device), 0);
	fake_start(&fake, MINIVMM_FRESH);
	driver_begin(&fake, (uint32_t)(BLK_F_FLUSH | BLK_F_WRITE_ZEROES), 1);
}

static int
setup(void **unused)
{
	int fd;

	alarm(60); /* ends the test if a call that it waits for never comes */
	gate_reset();
	waits = pauses = nowait_calls = 0;
	nowait_bytes = 0;
	nowait_error = EAGAIN;
	atomic_store(&done_posted, false);
	snprintf(path, sizeof(path), "/tmp/minivmm-blk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)RANGE), 0);
	close(fd);
	driver_create(&fake, &blk);
	fake.services.may_wait = may_wait;
	fake.services.post = post;
	fake.services.paused = paused;
	fake.services.bind_write = bind_write;
	fake.services.memory_map = memory_map;
	fake.services.memory_unmap = memory_unmap;
	return 0;
}

static int
teardown(void **unused)
{
	gate(UINT32_MAX);
	assert_int_equal(blk.stop(&fake.device), 0);
	blk.destroy(&fake.device);
	fake_destroy(&fake);
	alarm(0);
	return unlink(path);
}

/* The vCPU's thread executes steps until a pause waits for it; a worker finishes its step; the rest
 * waits for the end of the pause. */
static void
a_pause_between_the_steps(void **unused)
{
	begin(BLOCK_SYNC);
	put(1);
	gate(3);
	waits = 3;
	notify();
	until_in(4); /* the worker's */
	assert_int_equal(blk.pause(&fake.device), MINIVMM_PENDING);
	gate(1);
	until_idle();
	assert_int_equal(pauses, 1);
	assert_int_equal(state()->block.held_count, 1);
	assert_int_equal(state()->block.held_done[0], 4 * STEP_ZERO);
	assert_int_equal(gate_in, 4);
	assert_int_equal(used(), 0);

	gate(UINT32_MAX);
	assert_int_equal(blk.resume(&fake.device), 0);
	until_idle();
	assert_int_equal(used(), 1);
	assert_int_equal(driver.memory[STATUS], OK);
	assert_int_equal(gate_in, STEPS);
	assert_int_equal(cleared, RANGE);
	assert_true(ordered);
}

/* Requests that no thread has begun are held at once; all are completed once. */
static void
a_pause_before_the_first_step(void **unused)
{
	begin(BLOCK_THREADS);
	for (int i = 0; i < 20; i++)
		put(1);
	notify();
	pthread_mutex_lock(&gate_lock);
	while (!gate_in)
		pthread_cond_wait(&gate_changed, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
	assert_int_not_equal(blk.pause(&fake.device), -1);
	gate(UINT32_MAX);
	until_idle();
	assert_int_equal(used(), 0);
	assert_true(state()->block.held_count > 0);
	assert_int_equal(blk.resume(&fake.device), 0);
	do
		until_idle();
	while (!virtio_process_pending(&fake.device, 0) && state()->block.flight);
	assert_int_equal(used(), 20);
	assert_int_equal(state()->block.held_count, 0);
	assert_int_equal(cleared, 20 * RANGE);
}

/* The I/O thread may not wait: a worker does all of it, although io = sync. */
static void
nothing_on_the_io_thread(void **unused)
{
	begin(BLOCK_SYNC);
	put(1);
	notify();
	assert_int_equal(state()->block.flight, 1);
	gate(UINT32_MAX);
	until_idle();
	assert_int_equal(used(), 1);
	assert_int_equal(cleared, RANGE);
}

/* A request costs what it clears: many in one notification do not keep the vCPU. */
static void
the_cost_of_a_request(void **unused)
{
	begin(BLOCK_SYNC);
	for (int i = 0; i < 30; i++)
		put(RANGES);
	gate(UINT32_MAX);
	waits = UINT32_MAX;
	notify();
	assert_int_equal(used(), 1);
	assert_int_equal(cleared, RANGES * RANGE);
	assert_int_equal(state()->block.flight, 0);
	/* For threads, it bounds what is in flight. */
	waits = 0;
	assert_int_equal(virtio_process_pending(&fake.device, 0), 0);
	assert_int_equal(state()->block.flight, 1);
	until_idle();
}

static void
a_reset_drops_held_requests(void **unused)
{
	begin(BLOCK_THREADS);
	put(1);
	notify();
	until_in(1);
	assert_int_equal(blk.pause(&fake.device), MINIVMM_PENDING);
	gate(1);
	until_idle();
	assert_int_equal(state()->block.held_count, 1);
	driver_write(&fake, VIRTIO_STATUS, 0);
	assert_int_equal(state()->block.held_count, 0);
	gate(UINT32_MAX);
	assert_int_equal(blk.resume(&fake.device), 0);
	assert_int_equal(state()->block.flight, 0);
	assert_int_equal(gate_in, 1);
}

/* Reads the beginning of the disk, which has other bytes each time. Returns how many requests are
 * in flight after the notification. */
static uint32_t
read_disk(uint8_t byte)
{
	uint16_t slot = (uint16_t)(3 * (driver.next[0] % (DRIVER_SIZE / 3)));
	const struct virtio_desc chain[] = {
		{ HEADER, 16, VIRTIO_DESC_NEXT, (uint16_t)(slot + 1) },
		{ DATA, DATA_BYTES, VIRTIO_DESC_NEXT | VIRTIO_DESC_WRITE, (uint16_t)(slot + 2) },
		{ STATUS, 1, VIRTIO_DESC_WRITE, 0 },
	};
	uint8_t *at = driver.memory + driver_queue(0), bytes[DATA_BYTES];
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(bytes, byte, sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	close(fd);
	memset(driver.memory + HEADER, 0, 16); /* IN, sector 0 */
	driver.memory[STATUS] = 0xff;
	memcpy(at + slot * sizeof(*chain), chain, sizeof(chain));
	memcpy(at + 0x404 + 2 * (driver.next[0] % DRIVER_SIZE), &slot, 2);
	driver.next[0]++;
	memcpy(at + 0x402, &driver.next[0], 2);
	notify();
	return state()->block.flight;
}

static void
assert_read(uint8_t byte)
{
	assert_int_equal(used(), 1);
	assert_int_equal(driver.memory[STATUS], OK);
	for (uint32_t i = 0; i < DATA_BYTES; i++)
		assert_int_equal(driver.memory[DATA + i], byte);
}

/* io = auto: the vCPU reads what needs no wait. */
static void
a_read_that_need_not_wait(void **unused)
{
	begin(BLOCK_AUTO);
	waits = UINT32_MAX;
	nowait_bytes = DATA_BYTES;
	assert_int_equal(read_disk(1), 0);
	assert_read(1);
	assert_int_equal(nowait_calls, 1);
	assert_int_equal(state()->block.workers.count, 0);
	/* A part is there: the rest, and what follows. */
	nowait_bytes = DATA_BYTES - 512;
	assert_int_equal(read_disk(2), 1);
	until_idle();
	assert_read(2);
}

/* A worker reads what would wait, once; the next request is tried again. */
static void
a_read_that_would_wait(void **unused)
{
	begin(BLOCK_AUTO);
	waits = UINT32_MAX;
	assert_int_equal(read_disk(1), 1);
	until_idle();
	assert_read(1);
	assert_int_equal(nowait_calls, 1);
	nowait_bytes = DATA_BYTES;
	assert_int_equal(read_disk(2), 0);
	assert_read(2);
	/* An error is one. */
	nowait_error = EIO;
	assert_int_equal(read_disk(3), 0);
	assert_int_equal(used(), 1);
	assert_int_equal(driver.memory[STATUS], IOERR);
}

/* Where the file system does not support it, the vCPU reads. Others than auto do not try. */
static void
a_file_system_that_cannot_tell(void **unused)
{
	begin(BLOCK_AUTO);
	waits = UINT32_MAX;
	nowait_error = EOPNOTSUPP;
	for (uint8_t i = 1; i < 4; i++) {
		assert_int_equal(read_disk(i), 0);
		assert_read(i);
	}
	assert_int_equal(nowait_calls, 1);
}

static void
sync_waits(void **unused)
{
	begin(BLOCK_SYNC);
	waits = UINT32_MAX;
	assert_int_equal(read_disk(1), 0);
	assert_read(1);
	assert_int_equal(nowait_calls, 0);
}

/* A pause before or after the worker's read: the request completes once. */
static void
a_read_that_waits_through_a_pause(void **unused)
{
	begin(BLOCK_AUTO);
	waits = UINT32_MAX;
	assert_int_equal(read_disk(1), 1);
	assert_int_not_equal(blk.pause(&fake.device), -1);
	until_idle();
	nowait_bytes = DATA_BYTES;
	assert_int_equal(blk.resume(&fake.device), 0);
	until_idle();
	assert_read(1);
}

/* A snapshot may hold anything. */
static void
hostile_state(void **unused)
{
	struct blk *b = state();

	begin(BLOCK_SYNC);
	gate(UINT32_MAX);
	waits = UINT32_MAX;
	put(1);
	b->block.held_count = BLOCK_FLIGHT;
	for (uint32_t i = 0; i < BLOCK_FLIGHT; i++) {
		b->held_queues[i] = (uint8_t)(i % 2 ? i % BLK_QUEUES : 0);
		b->held_heads[i] = (uint16_t)(i ? i * 7 % VIRTIO_QUEUE_MAX : 0);
		b->block.held_done[i] = i % 3 ? UINT64_MAX - i : RANGE / 2 + i;
	}
	assert_int_equal(blk.resume(&fake.device), 0);
	until_idle();
	assert_int_equal(b->block.held_count, 0);
	assert_true(cleared_to <= RANGE);
	driver_write(&fake, VIRTIO_STATUS, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pause_between_the_steps),
		TEST(a_pause_before_the_first_step),
		TEST(nothing_on_the_io_thread),
		TEST(the_cost_of_a_request),
		TEST(a_reset_drops_held_requests),
		TEST(a_read_that_need_not_wait),
		TEST(a_read_that_would_wait),
		TEST(a_file_system_that_cannot_tell),
		TEST(sync_waits),
		TEST(a_read_that_waits_through_a_pause),
		TEST(hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
