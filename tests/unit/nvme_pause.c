/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe disk with commands that take long: a pause gets in between their steps; a snapshot has
 * what is left of them, and all that the driver can see; queues are deleted when their commands are
 * complete.
 */
#include "unit/gate.h"

#include "unit/nvme_bench.h"

#define ALL ((uint64_t)SECTORS * BLOCK_SECTOR)
#define STEPS ((unsigned)(ALL / STEP_ZERO))

static struct fake copied;

static int
setup_gate(void **unused)
{
	gate_reset();
	return setup(unused);
}

static int
teardown_gate(void **unused)
{
	gate(UINT32_MAX);
	return teardown(unused);
}

static struct nvme_command
zeroes(uint16_t cid)
{
	struct nvme_command c = io_command(WRITE_ZEROES, 0, SECTORS, 0, 0);

	c.cid = cid;
	return c;
}

/* The vCPU's thread executes steps until a pause waits for it; a worker finishes its step. */
static void
a_pause_between_the_steps(void **unused)
{
	struct completion c;

	begin_queues(BLOCK_SYNC);
	put_command(1, zeroes(7));
	gate(3);
	waits = 3;
	ring(1);
	until_in(4);
	assert_int_equal(nvme.pause(&fake.device), MINIVMM_PENDING);
	gate(1);
	until_idle();
	assert_int_equal(pauses, 1);
	assert_int_equal(state()->block.held_count, 1);
	assert_int_equal(state()->block.held_done[0], 4 * STEP_ZERO);
	assert_false(reap(1, &c));
	gate(UINT32_MAX);
	assert_int_equal(nvme.resume(&fake.device), 0);
	until_idle();
	assert_int_equal(result_of(1, 7, NULL), NVME_SUCCESS);
	assert_int_equal(gate_in, STEPS);
	assert_int_equal(cleared, ALL);
	assert_true(ordered);
}

/* A queue is deleted when its commands are complete, also after a pause. */
static void
deletion_waits(void **unused)
{
	struct completion c;

	begin_queues(BLOCK_THREADS);
	put_command(1, zeroes(8));
	ring(1);
	until_in(1);
	put_command(0, (struct nvme_command){ .opcode = DELETE_SQ, .cid = 9, .cdw10 = 1 });
	put_command(0, (struct nvme_command){ .opcode = DELETE_SQ, .cid = 10, .cdw10 = 1 });
	ring(0);
	assert_int_equal(result_of(0, 10, NULL), NVME_QUEUE_ID);
	put_command(1, zeroes(11)); /* is not taken */
	ring(1);
	assert_false(reap(0, &c));
	assert_int_equal(nvme.pause(&fake.device), MINIVMM_PENDING);
	gate(UINT32_MAX);
	until_idle();
	assert_false(reap(0, &c));
	assert_int_equal(nvme.resume(&fake.device), 0);
	until_idle();
	assert_true(reap(1, &c));
	assert_int_equal(c.status & 0xffff, 8);
	assert_int_equal(result_of(0, 9, NULL), NVME_SUCCESS);
	assert_false(reap(1, &c));
	assert_int_equal(state()->sq_size[1], 0);
	assert_int_equal(cleared, ALL);
}

static void
a_reset_drops_held_commands(void **unused)
{
	begin_queues(BLOCK_THREADS);
	put_command(1, zeroes(1));
	ring(1);
	until_in(1);
	assert_int_equal(nvme.pause(&fake.device), MINIVMM_PENDING);
	gate(1);
	until_idle();
	assert_int_equal(state()->block.held_count, 1);
	set(REGISTER_CC, 0, 4);
	assert_int_equal(state()->block.held_count, 0);
	gate(UINT32_MAX);
	assert_int_equal(nvme.resume(&fake.device), 0);
	enable_controller();
	assert_int_equal(state()->block.flight, 0);
	assert_int_equal(gate_in, 1);
}

/* Everything that a snapshot contains differs from its initial value. */
static void
make_state(void)
{
	struct completion c;

	begin_queues(BLOCK_THREADS);
	state()->block.limit.paid[0] = 5;
	put_command(0,
		    (struct nvme_command){ .opcode = SET_FEATURES, .cdw10 = FEATURE_WRITE_CACHE });
	put_command(0, (struct nvme_command){ .opcode = SET_FEATURES,
					      .cdw10 = FEATURE_VECTOR,
					      .cdw11 = NO_COALESCING | 1 });
	put_command(0, (struct nvme_command){ .opcode = GET_LOG_PAGE, .cdw10 = 0x7f });
	ring(0);
	for (uint16_t i = 0; i < 3; i++)
		assert_true(reap(0, &c));
	ack(0);
	put_command(2, io_command(WRITE, 0, 1, DATA, 0));
	ring(2);
	until_idle();
	put_command(2, io_command(READ, 0, 1, DATA, 0));
	ring(2);
	until_idle();
	doorbell(2, true, 1); /* one of them is consumed */
	queue[2].head = 1;
	doorbell(1, false, ENTRIES); /* two events: one is reported, one is not */
	put_command(0, (struct nvme_command){ .opcode = ASYNC_EVENT, .cid = 20 });
	ring(0);
	assert_int_equal(result_of(0, 20, NULL), NVME_SUCCESS);
	doorbell(9, false, 1);
	set(REGISTER_INTMS, 1, 4);
	state()->media_errors = 3;
	put_command(1, zeroes(30));
	ring(1);
	until_in(1);
	put_command(1, io_command(READ, 0, 16, DATA, DATA + NVME_PAGE)); /* is not taken */
	put_command(0, (struct nvme_command){ .opcode = DELETE_SQ, .cid = 31, .cdw10 = 1 });
	ring(0);
	ring(1);
	assert_int_equal(nvme.pause(&fake.device), MINIVMM_PENDING);
	gate(1);
	until_idle();
}

static char layers[128];

static int
option_set(struct minivmm_device *dev, const char *option, const char *value)
{
	if (!strcmp(option, "layers"))
		snprintf(layers, sizeof(layers), "%s", value);
	return 0;
}

static int
capture_file(struct minivmm_device *dev, int fd)
{
	return 0;
}

/* Takes a snapshot, and starts a machine from it. */
static void
into_copy(void)
{
	struct nvme *n, *from = state();

	fake.services.option_set = option_set;
	fake.services.capture_file = capture_file;
	assert_int_equal(nvme.capture(&fake.device), 0);
	fake_copy(&copied, &fake);
	fake_assert_same(&fake, &copied);
	n = copied.device.state;
	copied.services = fake.services;
	n->block.path = path;
	n->block.layers = layers;
	n->block.overlay = n->block.rate = n->block.burst = n->serial = "";
	n->queues = from->queues;
	n->pin = from->pin;
	memcpy(n->messages, from->messages, sizeof(n->messages));
	assert_int_equal(nvme.configure(&copied.device), 0);
	assert_int_equal(nvme.loaded(&copied.device), 0);
}

/* Runs the copy until no command is in flight. */
static void
run_copy(void)
{
	struct nvme *n = copied.device.state;

	fake_start(&copied, MINIVMM_RESTORED);
	while (n->block.flight) {
		usleep(100);
		assert_int_equal(posts[NVME_POST_DONE].run(&copied.device, NVME_POST_DONE), 0);
	}
}

static void
end_copy(void)
{
	assert_int_equal(nvme.stop(&copied.device), 0);
	nvme.destroy(&copied.device);
	fake_destroy(&copied);
}

static void
a_snapshot(void **unused)
{
	struct completion c;
	struct nvme *n;

	make_state();
	into_copy();
	n = copied.device.state;
	/* Requests for events, and what else can be 0, do not fit into one state. */
	assert_true(n->cc && n->csts && n->aqa && n->intms && n->asq && n->acq && n->uncoalesced);
	assert_true(n->sq_base[1] && n->sq_size[1] && n->sq_head[1] && n->sq_tail[1] &&
		    n->sq_cq[1]);
	assert_true(n->cq_base[2] && n->cq_size[2] && n->cq_head[2] && n->cq_tail[2]);
	assert_true(n->cq_phase[2] && n->cq_interrupts[2] && n->cq_vector[2]);
	assert_true(n->sq_deleting[1] && n->delete_cid[1] == 31 && n->features[FEATURE_QUEUES]);
	assert_true(n->events && n->events_reported && n->errors && n->error_log[0]);
	assert_true(n->bytes_read && n->bytes_written && n->reads && n->writes && n->media_errors);
	assert_true(n->block.bytes && n->block.held_count == 1 && n->block.held_done[0]);
	assert_true(n->held_queues[0] && n->held_cdw0[0] && n->held_cdw12[0]);
	gate(UINT32_MAX);
	waits = UINT32_MAX;
	memset(&seen, 0, sizeof(seen));
	run_copy();
	assert_int_equal(cleared, ALL); /* both machines' steps: none of them twice */
	assert_true(reap(1, &c));
	assert_int_equal(c.status & 0xffff, 30);
	assert_int_equal(status_of(&c), NVME_SUCCESS);
	assert_false(reap(1, &c)); /* the queue is deleted */
	assert_true(reap(0, &c));
	assert_int_equal(c.status & 0xffff, 31);
	assert_int_equal(seen.messages[1], 1);
	assert_int_equal(seen.messages[0], 1);
	end_copy();
	assert_int_equal(nvme.resume(&fake.device), 0);
	until_idle();
}

/* A read that was held has its PRP entries again. */
static void
held_reads(void **unused)
{
	struct nvme *n;
	struct completion c;

	begin_queues(BLOCK_THREADS);
	memset(memory + DATA, 0x77, 2 * NVME_PAGE);
	put_command(1, io_command(WRITE, 5, 16, DATA, DATA + NVME_PAGE));
	ring(1);
	until_idle();
	assert_int_equal(result_of(1, 0, NULL), NVME_SUCCESS);
	n = state();
	put_command(0, (struct nvme_command){ .opcode = ASYNC_EVENT, .cid = 40 });
	ring(0);
	assert_int_equal(
	    run(0,
		(struct nvme_command){ .opcode = DOORBELL_BUFFER, .prp1 = 0xc000, .prp2 = 0xd000 }),
	    NVME_SUCCESS);
	/* As if a pause had come first. */
	n->block.pausing = true;
	n->block.held_count = 1;
	n->held_queues[0] = 1;
	n->held_cdw0[0] = 1ull << 32 | 41 << 16 | READ;
	n->held_prp1[0] = DATA + 4 * NVME_PAGE;
	n->held_prp2[0] = DATA + 6 * NVME_PAGE;
	n->held_cdw10[0] = 5;
	n->held_cdw12[0] = 15;
	into_copy();
	n->block.held_count = 0;
	assert_int_equal(nvme.resume(&fake.device), 0);
	n = copied.device.state;
	assert_int_equal(n->event_count, 1);
	assert_true(n->shadow && n->shadow_events);
	run_copy();
	assert_true(reap(1, &c));
	assert_int_equal(c.status & 0xffff, 41);
	assert_memory_equal(memory + DATA, memory + DATA + 4 * NVME_PAGE, NVME_PAGE);
	assert_memory_equal(memory + DATA, memory + DATA + 6 * NVME_PAGE, NVME_PAGE);
	end_copy();
}

/* States that nobody has saved. */
static void
hostile_state(void **unused)
{
	struct nvme *n = state(), good;

	begin_queues(BLOCK_SYNC);
	gate(UINT32_MAX);
	good = *n;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		change;                                                                            \
		assert_int_equal(nvme.loaded(&fake.device), -1);                                   \
		*n = good;                                                                         \
	} while (0)
	assert_int_equal(nvme.loaded(&fake.device), 0);
	REFUSED(n->sq_base[1]++);
	REFUSED(n->sq_size[1] = 1);
	REFUSED(n->sq_head[1] = ENTRIES);
	REFUSED(n->cq_tail[2] = ENTRIES);
	REFUSED(n->cq_size[1] = 0; n->cq_base[1] = 0);
	REFUSED(n->sq_deleting[0] = true);
	REFUSED(n->sq_deleting[3] = true);
	REFUSED(n->csts = 0);
	REFUSED(n->shadow = 8);
	REFUSED(n->shadow_events = 8);
	REFUSED(n->block.held_count = 1; n->held_queues[0] = 0);
	REFUSED(n->block.held_count = 1; n->held_queues[0] = 3);
	REFUSED(n->block.held_count = 1; n->held_queues[0] = 200);
	/* More commands than completions have room; a deletion without them. */
	n->cq_size[1] = n->sq_size[1] = 2;
	n->cq_head[1] = n->cq_tail[1] = 0;
	n->sq_head[1] = n->sq_tail[1] = 0;
	n->sq_deleting[2] = true;
	n->block.held_count = BLOCK_FLIGHT;
	for (uint32_t i = 0; i < BLOCK_FLIGHT; i++) {
		n->held_queues[i] = i % 5 ? 1 : NVME_NO_QUEUE;
		n->held_cdw0[i] = 1ull << 32 | (i % 12);
		n->held_prp1[i] = i % 2 ? UINT64_MAX - i : DATA;
		n->held_prp2[i] = i % 3 ? LIST : UINT64_MAX - 7;
		n->held_cdw10[i] = i % 4 ? 0 : UINT64_MAX;
		n->held_cdw12[i] = i * 0x101;
		n->block.held_done[i] = i % 3 ? UINT64_MAX - i : ALL / 2 + i;
	}
	assert_int_equal(nvme.loaded(&fake.device), 0);
	nvme_end_delete(&fake.device, 2);
	assert_int_equal(nvme.resume(&fake.device), 0);
	until_idle();
	assert_int_equal(n->block.held_count, 0);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_FATAL);
	assert_int_equal(mapped, 0);
}

#define GATED(function) cmocka_unit_test_setup_teardown(function, setup_gate, teardown_gate)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		GATED(a_pause_between_the_steps),
		GATED(deletion_waits),
		GATED(a_reset_drops_held_commands),
		GATED(a_snapshot),
		GATED(held_reads),
		GATED(hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
