/* SPDX-License-Identifier: BSD-2-Clause */
/* An NVMe controller and a driver that makes mistakes, or is hostile. */
#include "unit/nvme_bench.h"

/* Creates a queue with these dwords. Returns the status. */
static uint16_t
create_with(uint8_t opcode, uint32_t cdw10, uint32_t cdw11, uint64_t prp1)
{
	return run(0, (struct nvme_command){
			  .opcode = opcode, .prp1 = prp1, .cdw10 = cdw10, .cdw11 = cdw11 });
}

static void
queues_with_errors(void **unused)
{
	begin(BLOCK_SYNC);
	enable_controller();
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 0, 1, CQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 4, 1, CQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 0xffff, 1, CQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_CQ, 0 << 16 | 1, 1, CQ(1)), NVME_QUEUE_SIZE);
	assert_int_equal(create_with(CREATE_CQ, 1024 << 16 | 1, 1, CQ(1)), NVME_QUEUE_SIZE);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 1, 0, CQ(1)), NVME_INVALID_FIELD);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 1, 1, CQ(1) + 8), NVME_PRP_OFFSET);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 1, 4 << 16 | 1, CQ(1)), NVME_VECTOR);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1, SQ(1)), NVME_CQ_INVALID);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 0 << 16 | 1, SQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 99 << 16 | 1, SQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 1, 1, CQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1, SQ(1)), NVME_QUEUE_ID);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 2, 1 << 16 | 0, SQ(1)),
			 NVME_INVALID_FIELD);
	assert_int_equal(create_with(DELETE_CQ, 1, 0, 0), NVME_QUEUE_DELETION);
	assert_int_equal(create_with(DELETE_CQ, 0, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(create_with(DELETE_CQ, 2, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(create_with(DELETE_SQ, 0, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(create_with(DELETE_SQ, 0xffff, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(create_with(DELETE_SQ, 1, 0, 0), NVME_SUCCESS);
	assert_int_equal(create_with(DELETE_SQ, 1, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(create_with(DELETE_CQ, 1, 0, 0), NVME_SUCCESS);
	assert_int_equal(create_with(0x80, 0, 0, 0), NVME_INVALID_OPCODE);
	assert_int_equal(create_with(ABORT, 5 << 16, 0, 0), NVME_SUCCESS);
	/* Entries of other sizes. */
	set(REGISTER_CC, 0x00450001, 4);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 1, 1, CQ(1)), NVME_SUCCESS);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1, SQ(1)),
			 NVME_INVALID_FIELD);
}

static void
commands_with_errors(void **unused)
{
	struct nvme_command c = io_command(READ, 0, 1, DATA, 0);

	begin_queues(BLOCK_SYNC);
	assert_int_equal(run(1, io_command(READ, SECTORS - 1, 2, DATA, 0)), NVME_LBA_RANGE);
	assert_int_equal(run(1, io_command(READ, UINT64_MAX, 1, DATA, 0)), NVME_LBA_RANGE);
	assert_int_equal(run(1, io_command(WRITE_ZEROES, UINT64_MAX - 1, 4, 0, 0)), NVME_LBA_RANGE);
	assert_int_equal(run(1, io_command(READ, 0, 1025, DATA, LIST)), NVME_INVALID_FIELD);
	assert_int_equal(run(1, io_command(5, 0, 1, DATA, 0)), NVME_INVALID_OPCODE);
	c.flags = 0x40; /* SGLs */
	assert_int_equal(run(1, c), NVME_INVALID_FIELD);
	assert_int_equal(run(0, c), NVME_INVALID_FIELD);
	c.flags = 0;
	c.nsid = 2;
	assert_int_equal(run(1, c), NVME_INVALID_NAMESPACE);
	c.nsid = NVME_ALL_NAMESPACES;
	assert_int_equal(run(1, c), NVME_INVALID_NAMESPACE);
	c = (struct nvme_command){ .opcode = DATASET, .nsid = 1, .prp1 = DATA, .cdw11 = 4 };
	((struct range *)(memory + DATA))[0] = (struct range){ 0, 2, SECTORS - 1 };
	assert_int_equal(run(1, c), NVME_LBA_RANGE);
	c.prp1 = MEMORY;
	assert_int_equal(run(1, c), NVME_TRANSFER_ERROR);
	assert_int_equal(mapped, 0);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY);
}

/* Offsets that are not allowed, memory that does not exist, lists that loop. */
static void
prps_with_errors(void **unused)
{
	uint64_t *list = (uint64_t *)(memory + LIST);

	begin_queues(BLOCK_SYNC);
	assert_int_equal(run(1, io_command(READ, 0, 1, DATA + 2, 0)), NVME_PRP_OFFSET);
	assert_int_equal(run(1, io_command(READ, 0, 9, DATA, DATA + 512)), NVME_PRP_OFFSET);
	assert_int_equal(run(1, io_command(READ, 0, 17, DATA, LIST + 4)), NVME_PRP_OFFSET);
	list[0] = list[1] = DATA;
	assert_int_equal(run(1, io_command(READ, 0, 17, DATA, LIST)), NVME_SUCCESS);
	list[1] = DATA + 8;
	assert_int_equal(run(1, io_command(READ, 0, 17, DATA, LIST)), NVME_PRP_OFFSET);
	assert_int_equal(run(1, io_command(READ, 0, 1, MEMORY, 0)), NVME_TRANSFER_ERROR);
	assert_int_equal(run(1, io_command(READ, 0, 1, UINT64_MAX - 3, 0)), NVME_TRANSFER_ERROR);
	assert_int_equal(run(1, io_command(READ, 0, 16, DATA, UINT64_MAX & ~0xfffull)),
			 NVME_TRANSFER_ERROR);
	assert_int_equal(run(1, io_command(READ, 0, 17, DATA, MEMORY)), NVME_TRANSFER_ERROR);
	/* The last entry of a page leads to the page itself, again and again. */
	for (uint32_t i = 0; i < NVME_PAGE / ENTRY; i++)
		list[i] = LIST;
	assert_int_equal(run(1, io_command(WRITE, 0, 1024, DATA, LIST + NVME_PAGE - ENTRY)),
			 NVME_SUCCESS);
	/* And to an entry of it: that would be a loop without progress. */
	list[511] = LIST + NVME_PAGE - ENTRY;
	assert_int_equal(run(1, io_command(WRITE, 0, 1024, DATA, LIST + NVME_PAGE - ENTRY)),
			 NVME_PRP_OFFSET);
	assert_int_equal(mapped, 0);
}

/* Queues outside of memory, and a guest that has not made it a bus master. */
static void
queues_outside_of_memory(void **unused)
{
	begin_queues(BLOCK_SYNC);
	fake.logged = 0;
	assert_int_equal(create_with(DELETE_SQ, 1, 0, 0), NVME_SUCCESS);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1, MEMORY), NVME_SUCCESS);
	doorbell(1, false, 1);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_FATAL);
	assert_int_equal(fake.logged, 1);
	put_command(2, io_command(WRITE, 0, 1, DATA, 0));
	ring(2);
	assert_int_equal(state()->writes, 0);
	set(REGISTER_CC, 0, 4);
	enable_controller();
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	assert_int_equal(create_with(CREATE_CQ, 7 << 16 | 2, 1, MEMORY), NVME_SUCCESS);
	assert_int_equal(create_with(CREATE_SQ, 7 << 16 | 2, 2 << 16 | 1, SQ(2)), NVME_SUCCESS);
	doorbell(2, false, 1); /* a command of zeros: flush */
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_FATAL);
	set(REGISTER_CC, 0, 4);
	master = false;
	set(REGISTER_CC, 0x00460001, 4);
	doorbell(0, false, 1);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_FATAL);
}

/* Doorbells of a controller that is off, of queues that do not exist, with values out of range. */
static void
doorbells_with_errors(void **unused)
{
	begin(BLOCK_SYNC);
	for (uint64_t at = NVME_DOORBELLS; at < NVME_REGISTERS; at += 4)
		set(at, UINT32_MAX, 4);
	assert_int_equal(state()->events, 0);
	enable_controller();
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	for (uint64_t at = NVME_DOORBELLS; at < NVME_REGISTERS; at += 4)
		set(at, UINT32_MAX, 4);
	assert_int_equal(state()->events, EVENT_DOORBELL | EVENT_DOORBELL_VALUE);
	doorbell(1, true, 3); /* more than there are */
	assert_int_equal(state()->cq_head[1], 0);
	for (uint64_t at = 0; at < NVME_DOORBELLS; at += 4)
		if (at != REGISTER_CC)
			set(at, UINT32_MAX, 4);
	assert_int_equal(get(REGISTER_CAP, 4), CAP_LOW);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY);
	assert_int_equal(run(1, io_command(READ, 0, 1, DATA, 0)), NVME_SUCCESS);
}

/* A full queue of large commands does not keep the thread: the rest follows by a post. */
static void
the_budget(void **unused)
{
	struct completion c;
	unsigned done = 0, turns = 0;
	uint64_t *list = (uint64_t *)(memory + LIST);

	begin(BLOCK_SYNC);
	enable_controller();
	assert_int_equal(create(1, NVME_ENTRIES), NVME_SUCCESS);
	for (uint32_t i = 0; i < 127; i++)
		list[i] = DATA + (i + 1) * NVME_PAGE;
	for (uint32_t i = 0; i < NVME_ENTRIES - 1; i++)
		put_command(1, io_command(READ, 0, 1024, DATA, LIST));
	ring(1);
	while (posted[NVME_POST_AGAIN]) {
		posted[NVME_POST_AGAIN] = false;
		assert_int_equal(posts[NVME_POST_AGAIN].run(&fake.device, NVME_POST_AGAIN), 0);
		turns++;
	}
	while (reap(1, &c))
		done++;
	assert_int_equal(done, NVME_ENTRIES - 1);
	/* A command costs 1, and 1 for each 64 KiB. */
	assert_in_range(turns, (NVME_ENTRIES - 1) * 9 / BUDGET - 1,
			(NVME_ENTRIES - 1) * 9 / BUDGET + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(queues_with_errors),       TEST(commands_with_errors),  TEST(prps_with_errors),
		TEST(queues_outside_of_memory), TEST(doorbells_with_errors), TEST(the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
