/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time at which a virtio device reads its queues: a balloon, which handles requests at once or
 * holds them, with a driver made by hand.
 */
#include "../../plugins/virtio-balloon.c"

#include "unit/fake_virtio.h"

#define NUMBERS_AT 0x20000u /* page numbers, 0: of the first page */
#define STATISTICS_AT 0x21000u
#define EVENT_IDX ((uint32_t)VIRTIO_F_EVENT_IDX)

static struct fake fake;

static int
memory_discard(struct minivmm_device *dev, uint64_t gpa, uint64_t length)
{
	return 0;
}

static struct balloon *
start(uint32_t features)
{
	driver_create(&fake, &balloon);
	fake.services.memory_discard = memory_discard;
	assert_int_equal(balloon.configure(&fake.device), 0);
	fake_start(&fake, MINIVMM_FRESH);
	driver_begin(&fake, features, 3);
	return fake.device.state;
}

/* The number of buffers used by the device since the last call. */
static unsigned
used(uint32_t queue)
{
	unsigned count = 0;

	while (driver_used(queue, NULL) >= 0)
		count++;
	return count;
}

static void
put(uint32_t queue)
{
	driver_put(queue, queue == STATS ? STATISTICS_AT : NUMBERS_AT,
		   queue == STATS ? (uint32_t)sizeof(struct balloon_statistic) : 4, false);
}

static void
notify(uint32_t queue)
{
	driver_write(&fake, VIRTIO_QUEUE_NOTIFY, queue);
}

/* A request without a notification stays in its queue, whatever else the device does. */
static void
waits_for_the_notification(void **state)
{
	for (uint32_t features = 0; features <= EVENT_IDX; features += EVENT_IDX) {
		struct balloon *b = start(features);

		put(INFLATE);
		notify(INFLATE);
		assert_int_equal(used(INFLATE), 1);
		assert_false(b->virtio.pending[INFLATE]);
		put(INFLATE);
		notify(DEFLATE);
		virtio_process_pending(&fake.device, 0);
		fake_start(&fake, MINIVMM_RESTORED);
		fake_start(&fake, MINIVMM_RESET);
		assert_int_equal(used(INFLATE), 0);
		notify(INFLATE);
		assert_int_equal(used(INFLATE), 1);
		fake_destroy(&fake);
	}
}

/*
 * A notified request that is not handled for lack of time is handled later, also in a restored
 * machine, without another notification.
 */
static void
continues_later(void **state)
{
	struct balloon *b = start(EVENT_IDX);

	b->virtio.pending[INFLATE] = true;
	b->virtio.budget = 0;
	put(INFLATE);
	put(INFLATE);
	driver.posted = false;
	balloon_notify(&fake.device, INFLATE);
	assert_int_equal(used(INFLATE), 0);
	assert_true(driver.posted);
	assert_true(b->virtio.pending[INFLATE]);
	fake_start(&fake, MINIVMM_RESTORED);
	assert_int_equal(used(INFLATE), 2);
	assert_false(b->virtio.pending[INFLATE]);
	assert_int_equal(driver_event(INFLATE), 2);
	fake_destroy(&fake);
}

/* A driver that fills its queues before DRIVER_OK, and one that sets up a queue again. */
static void
starts(void **state)
{
	struct balloon *b = start(0);

	driver_write(&fake, VIRTIO_STATUS, 11);
	put(INFLATE);
	notify(INFLATE);
	assert_int_equal(used(INFLATE), 0);
	driver_write(&fake, VIRTIO_STATUS, 15);
	assert_int_equal(used(INFLATE), 1);
	b->virtio.pending[INFLATE] = true;
	driver_write(&fake, VIRTIO_QUEUE_SEL, INFLATE);
	driver_write(&fake, VIRTIO_QUEUE_READY, 0);
	assert_false(b->virtio.pending[INFLATE]);
	b->virtio.pending[INFLATE] = true;
	driver_write(&fake, VIRTIO_STATUS, 0);
	assert_false(b->virtio.pending[INFLATE]);
	fake_destroy(&fake);
}

/*
 * The device holds the statistics request. It asks for the next one and waits for its notification.
 */
static void
statistics_again(void **state)
{
	struct balloon *b = start(EVENT_IDX | BALLOON_F_STATS);

	put(STATS);
	notify(STATS);
	assert_true(b->held);
	assert_int_equal(driver_event(STATS), 1);
	assert_int_equal(balloon.timers[0].fire(&fake.device, 0, 1), 0);
	assert_int_equal(used(STATS), 1);
	put(STATS);
	virtio_process_pending(&fake.device, 0);
	fake_start(&fake, MINIVMM_RESTORED);
	assert_false(b->held);
	notify(STATS);
	assert_true(b->held);
	assert_int_equal(driver_event(STATS), 2);
	/* A second one is taken when the first has been returned. */
	put(STATS);
	notify(STATS);
	assert_int_equal(balloon.timers[0].fire(&fake.device, 0, 1), 0);
	assert_int_equal(used(STATS), 1);
	assert_true(b->held);
	fake_destroy(&fake);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_for_the_notification),
		cmocka_unit_test(continues_later),
		cmocka_unit_test(starts),
		cmocka_unit_test(statistics_again),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
