/* SPDX-License-Identifier: BSD-2-Clause */
/* An NVMe controller and a driver that is not hostile. */
#include "unit/nvme_bench.h"

static uint32_t
word(uint32_t at)
{
	uint32_t value;

	memcpy(&value, memory + DATA + at, 4);
	return value;
}

static uint16_t
identify(uint32_t cns, uint32_t nsid)
{
	memset(memory + DATA, 0xaa, NVME_PAGE);
	return run(0, (struct nvme_command){
			  .opcode = IDENTIFY, .nsid = nsid, .prp1 = DATA, .cdw10 = cns });
}

static void
registers_and_identify(void **unused)
{
	begin(BLOCK_SYNC);
	assert_int_equal(get(REGISTER_CAP, 8), 0x20140103ffull);
	assert_int_equal(get(REGISTER_VS, 4), 0x10400);
	assert_int_equal(get(REGISTER_CSTS, 4), 0);
	enable_controller();
	assert_int_equal(get(REGISTER_ASQ, 8), SQ(0));
	assert_int_equal(identify(1, 0), NVME_SUCCESS);
	assert_memory_equal(memory + DATA + 4, "fake0               ", 20);
	assert_memory_equal(memory + DATA + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32);
	assert_int_equal(strlen((char *)memory + DATA + 768), 32 + 36);
	assert_int_equal(identify(0, 1), NVME_SUCCESS);
	assert_int_equal(word(0), SECTORS);
	assert_int_equal(word(128), 9 << 16);
	assert_int_equal(identify(2, 0), NVME_SUCCESS);
	assert_int_equal(word(0), 1);
	assert_int_equal(word(4), 0);
	assert_int_equal(identify(2, 1), NVME_SUCCESS);
	assert_int_equal(word(0), 0);
	assert_int_equal(identify(3, 1), NVME_SUCCESS);
	assert_int_equal(word(0), 0x1003);
	assert_int_equal(word(4 + UUID_BYTES), 0);
	assert_int_equal(identify(3, 2), NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(0, 2), NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(2, 0xfffffffe), NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(0x77, 0), NVME_INVALID_FIELD);
}

/* Data at an offset in a page, with a second page, with a list, with a list that continues. */
static void
reads_and_writes(void **unused)
{
	static const struct {
		uint32_t offset, sectors;
	} sizes[] = { { 0, 1 },     { 512, 7 },      { 1536, 8 }, { 0, 16 },
		      { 2048, 17 }, { 4, 1024 - 1 }, { 0, 1024 } };
	uint64_t *list = (uint64_t *)(memory + LIST);

	begin_queues(BLOCK_SYNC);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint32_t offset = sizes[i].offset, bytes = sizes[i].sectors * BLOCK_SECTOR;
		uint32_t pages = (offset + bytes + NVME_PAGE - 1) / NVME_PAGE;
		uint64_t prp2 = pages == 2 ? DATA + 2 * NVME_PAGE : LIST + NVME_PAGE - 24;

		/* Page i of the data is page 2 i of memory. The list begins before the end of a
		 * page, and continues in the one before. */
		for (uint32_t p = 1; p < pages; p++) {
			uint64_t at = DATA + p * 2ull * NVME_PAGE;

			if (pages <= 4)
				list[512 - 3 + p - 1] = at;
			else if (p <= 2)
				list[512 - 3 + p - 1] = at;
			else
				list[p - 3] = at;
		}
		if (pages > 4)
			list[511] = LIST;
		for (uint32_t j = 0; j < bytes; j++) {
			uint32_t at = offset + j;

			memory[DATA + at / NVME_PAGE * 2 * NVME_PAGE + at % NVME_PAGE] =
			    (uint8_t)(j * 7 + i + j / 512);
		}
		assert_int_equal(
		    run(1, io_command(WRITE, 100, sizes[i].sectors, DATA + offset, prp2)),
		    NVME_SUCCESS);
		memset(memory + DATA, 0,
		       2 * (NVME_DATA + NVME_PAGE) < SQ(0) - DATA ? 2 * (NVME_DATA + NVME_PAGE)
								  : SQ(0) - DATA);
		assert_int_equal(
		    run(2, io_command(READ, 100, sizes[i].sectors, DATA + offset, prp2)),
		    NVME_SUCCESS);
		for (uint32_t j = 0; j < bytes; j++) {
			uint32_t at = offset + j;

			assert_int_equal(
			    memory[DATA + at / NVME_PAGE * 2 * NVME_PAGE + at % NVME_PAGE],
			    (uint8_t)(j * 7 + i + j / 512));
		}
	}
	assert_int_equal(mapped, 0);
	assert_int_equal(state()->reads, sizeof(sizes) / sizeof(*sizes));
}

static void
zeroes_and_datasets(void **unused)
{
	struct range *dataset_ranges = (struct range *)(memory + LIST);
	struct nvme_command c;

	begin_queues(BLOCK_SYNC);
	memset(memory + DATA, 0x5a, 32 * BLOCK_SECTOR);
	for (uint32_t i = 0; i < 4; i++)
		((uint64_t *)(memory + LIST))[i] = DATA + (i + 1) * NVME_PAGE;
	assert_int_equal(run(1, io_command(WRITE, 0, 32, DATA, LIST)), NVME_SUCCESS);
	assert_int_equal(run(1, io_command(WRITE_ZEROES, 1, 2, 0, 0)), NVME_SUCCESS);
	c = io_command(WRITE_ZEROES, 8, 8, 0, 0);
	c.cdw12 |= DEALLOCATE;
	assert_int_equal(run(1, c), NVME_SUCCESS);
	memset(dataset_ranges, 0, 2 * sizeof(*dataset_ranges));
	dataset_ranges[0] = (struct range){ .sector = 16, .sectors = 4 };
	dataset_ranges[1] = (struct range){ .sector = 24, .sectors = 0 };
	c = (struct nvme_command){
		.opcode = DATASET, .nsid = 1, .prp1 = LIST, .cdw10 = 1, .cdw11 = 4
	};
	assert_int_equal(run(1, c), NVME_SUCCESS);
	c.cdw11 = 1; /* a hint */
	dataset_ranges[0].sector = 28;
	assert_int_equal(run(1, c), NVME_SUCCESS);
	for (uint32_t i = 0; i < 4; i++)
		((uint64_t *)(memory + LIST))[i] = DATA + (i + 1) * NVME_PAGE;
	assert_int_equal(run(1, io_command(READ, 0, 32, DATA, LIST)), NVME_SUCCESS);
	for (uint32_t i = 0; i < 32; i++) {
		bool zero = (i >= 1 && i < 3) || (i >= 8 && i < 16) || (i >= 16 && i < 20);

		assert_int_equal(memory[DATA + i * BLOCK_SECTOR], zero ? 0 : 0x5a);
	}
	c = (struct nvme_command){ .opcode = FLUSH, .nsid = NVME_ALL_NAMESPACES };
	assert_int_equal(run(1, c), NVME_SUCCESS);
}

static void
features(void **unused)
{
	struct nvme_command c = { .opcode = SET_FEATURES, .cdw10 = FEATURE_QUEUES, .cdw11 = ~0u };
	uint32_t result;

	begin(BLOCK_SYNC);
	enable_controller();
	assert_int_equal(run(0, c), NVME_INVALID_FIELD);
	c.cdw11 = 0x70007;
	put_command(0, c);
	ring(0);
	assert_int_equal(result_of(0, 0, &result), NVME_SUCCESS);
	assert_int_equal(result, 0x20002);
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	assert_int_equal(run(0, c), NVME_SEQUENCE_ERROR);
	c.cdw10 = FEATURE_WRITE_CACHE;
	c.cdw11 = 0;
	assert_int_equal(run(0, c), NVME_SUCCESS);
	c.nsid = 1;
	assert_int_equal(run(0, c), NVME_NOT_OF_NAMESPACE);
	c.nsid = 0;
	c.cdw10 |= SAVE;
	assert_int_equal(run(0, c), NVME_NOT_SAVEABLE);
	c = (struct nvme_command){ .opcode = GET_FEATURES, .cdw10 = FEATURE_WRITE_CACHE };
	put_command(0, c);
	ring(0);
	assert_int_equal(result_of(0, 0, &result), NVME_SUCCESS);
	assert_int_equal(result, 0);
	c = (struct nvme_command){ .opcode = SET_FEATURES,
				   .cdw10 = FEATURE_VECTOR,
				   .cdw11 = NO_COALESCING | 2 };
	assert_int_equal(run(0, c), NVME_SUCCESS);
	c.opcode = GET_FEATURES;
	c.cdw11 = 2;
	put_command(0, c);
	ring(0);
	assert_int_equal(result_of(0, 0, &result), NVME_SUCCESS);
	assert_int_equal(result, NO_COALESCING | 2);
	c.cdw11 = 4;
	assert_int_equal(run(0, c), NVME_INVALID_FIELD);
	for (uint32_t i = 0; i < 256; i++) {
		c = (struct nvme_command){ .opcode = GET_FEATURES, .cdw10 = i };
		assert_int_equal(run(0, c), i && i != 3 && i <= FEATURE_EVENTS
						? NVME_SUCCESS
						: NVME_INVALID_FIELD);
	}
}

/* A message for each completion queue. The pin, which has vector 0, is up while entries wait,
 * unless it is masked. */
static void
interrupts(void **unused)
{
	struct completion c;

	begin_queues(BLOCK_SYNC);
	assert_false(seen.up);
	memset(&seen, 0, sizeof(seen));
	put_command(2, io_command(READ, 0, 1, DATA, 0));
	put_command(2, io_command(READ, 0, 1, DATA, 0));
	ring(2);
	assert_int_equal(seen.messages[2], 1); /* one for both */
	assert_int_equal(seen.messages[0] + seen.messages[1], 0);
	assert_false(seen.up);
	state()->cq_vector[2] = 0;
	put_command(2, io_command(READ, 0, 1, DATA, 0));
	ring(2);
	assert_true(seen.up);
	set(REGISTER_INTMS, 1, 4);
	assert_false(seen.up);
	assert_int_equal(get(REGISTER_INTMC, 4), 1);
	set(REGISTER_INTMC, 1, 4);
	assert_true(seen.up);
	assert_true(reap(2, &c) && reap(2, &c));
	ack(2);
	assert_true(seen.up);
	assert_true(reap(2, &c));
	ack(2);
	assert_false(seen.up);
	assert_false(reap(2, &c));
}

#define SHADOW 0xc000u
#define EVENTS 0xd000u

static uint16_t
doorbell_buffer(uint64_t shadow, uint64_t events)
{
	return run(
	    0, (struct nvme_command){ .opcode = DOORBELL_BUFFER, .prp1 = shadow, .prp2 = events });
}

/* A doorbell in memory, or its event index. */
static uint32_t *
in_page(uint32_t page, uint32_t id, bool cq)
{
	return (uint32_t *)(memory + page + 8 * id + 4 * cq);
}

/* The driver adds a command when the controller has just written the event index. */
static bool late;

static int
memory_write_late(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	int r = memory_write(dev, gpa, from, length);

	if (late && gpa == EVENTS + 8) {
		late = false;
		put_command(1, io_command(READ, 0, 1, DATA, 0));
		*in_page(SHADOW, 1, false) = queue[1].tail;
	}
	return r;
}

static unsigned
reap_all(void)
{
	struct completion c;
	unsigned count = 0;

	while (reap(1, &c))
		count++;
	*in_page(SHADOW, 1, true) = queue[1].head;
	return count;
}

static void
doorbells_in_memory(void **unused)
{
	begin_queues(BLOCK_SYNC);
	assert_int_equal(run(1, io_command(READ, 0, 1, DATA, 0)), NVME_SUCCESS);
	assert_int_equal(doorbell_buffer(SHADOW, 0), NVME_INVALID_FIELD);
	assert_int_equal(doorbell_buffer(SHADOW + 8, EVENTS), NVME_INVALID_FIELD);
	assert_int_equal(doorbell_buffer(MEMORY, EVENTS), NVME_INVALID_FIELD);
	assert_int_equal(doorbell_buffer(SHADOW, EVENTS), NVME_SUCCESS);
	assert_int_equal(*in_page(SHADOW, 1, false), 1);
	assert_int_equal(*in_page(EVENTS, 1, false), 1);
	assert_int_equal(*in_page(SHADOW, 1, true), 1);
	assert_int_equal(*in_page(EVENTS, 1, true), 0); /* the driver writes no register */
	state()->cq_vector[1] = 0;
	assert_int_equal(doorbell_buffer(SHADOW, EVENTS), NVME_SUCCESS);
	assert_int_equal(*in_page(EVENTS, 1, true), 1); /* the driver writes each time */
	state()->cq_vector[1] = 1;
	assert_int_equal(doorbell_buffer(SHADOW, EVENTS), NVME_SUCCESS);
	/* The register's value does not count, and another command comes meanwhile. */
	fake.services.memory_write = memory_write_late;
	late = true;
	put_command(1, io_command(READ, 0, 1, DATA, 0));
	*in_page(SHADOW, 1, false) = queue[1].tail;
	doorbell(1, false, 9);
	assert_int_equal(reap_all(), 2);
	assert_int_equal(*in_page(EVENTS, 1, false), queue[1].tail);
	/* The completion queue has room, as the doorbell in memory says. */
	for (uint32_t i = 0; i < ENTRIES - 1; i++)
		put_command(1, io_command(READ, 0, 1, DATA, 0));
	*in_page(SHADOW, 1, false) = queue[1].tail;
	ring(1);
	assert_int_equal(*in_page(EVENTS, 1, false), queue[1].tail);
	/* Now it has none: the driver shall write to the register. */
	put_command(1, io_command(READ, 0, 1, DATA, 0));
	*in_page(SHADOW, 1, false) = queue[1].tail;
	ring(1);
	assert_int_equal(*in_page(EVENTS, 1, true), *in_page(SHADOW, 1, true));
	assert_int_equal(reap_all(), ENTRIES - 1);
	ack(1);
	assert_int_equal(reap_all(), 1);
	/* Values that are not valid are ignored. */
	*in_page(SHADOW, 1, false) = ENTRIES;
	*in_page(SHADOW, 1, true) = queue[1].head + 1;
	ring(1);
	ack(1);
	assert_int_equal(reap_all(), 0);
	assert_int_equal(state()->events, EVENT_DOORBELL_VALUE);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY);
	/* A new queue begins with new doorbells. */
	assert_int_equal(create(3, ENTRIES), NVME_SUCCESS);
	assert_int_equal(*in_page(SHADOW, 3, false) + *in_page(EVENTS, 3, false), 0);
	set(REGISTER_CC, 0, 4);
	assert_int_equal(state()->shadow, 0);
}

/* Commands wait while the completion queue has no room for their completions. */
static void
full_completion_queue(void **unused)
{
	struct completion c;
	unsigned done = 0;

	begin_queues(BLOCK_SYNC);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = DELETE_SQ, .cdw10 = 1 }),
			 NVME_SUCCESS);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = DELETE_CQ, .cdw10 = 1 }),
			 NVME_SUCCESS);
	memset(memory + CQ(1), 0, 0x1000);
	assert_int_equal(create(1, 3), NVME_SUCCESS);
	/* Two of queue 3, which shares the completion queue. */
	queue[3].size = ENTRIES;
	queue[3].tail = 0;
	assert_int_equal(run(0, (struct nvme_command){ .opcode = CREATE_SQ,
						       .prp1 = SQ(3),
						       .cdw10 = (ENTRIES - 1) << 16 | 3,
						       .cdw11 = 1 << 16 | CONTIGUOUS }),
			 NVME_SUCCESS);
	for (uint32_t i = 0; i < 10; i++)
		put_command(3, io_command(READ, i, 1, DATA, 0));
	ring(3);
	for (; done < 10; done++) {
		assert_true(reap(1, &c));
		assert_int_equal(c.sq >> 16, 3);
		assert_int_equal(status_of(&c), NVME_SUCCESS);
		if (!done)
			assert_int_equal(c.sq & 0xffff, 1);
		if (done % 2)
			ack(1);
	}
	assert_false(reap(1, &c));
	assert_int_equal(run(0, (struct nvme_command){ .opcode = DELETE_CQ, .cdw10 = 1 }),
			 NVME_QUEUE_DELETION);
}

static void
logs_and_events(void **unused)
{
	struct nvme_command log = { .opcode = GET_LOG_PAGE,
				    .nsid = NVME_ALL_NAMESPACES,
				    .prp1 = DATA,
				    .cdw10 = 127 << 16 | LOG_ERRORS };
	struct completion c;
	uint32_t result;

	begin_queues(BLOCK_SYNC);
	assert_int_equal(run(1, io_command(READ, SECTORS, 1, DATA, 0)), NVME_LBA_RANGE);
	assert_int_equal(run(0, log), NVME_SUCCESS);
	assert_int_equal(word(0), 1);
	assert_int_equal(word(8) & 0xffff, 1);
	assert_int_equal(word(12) & 0xffff, NVME_LBA_RANGE << 1);
	assert_int_equal(word(16), SECTORS);
	for (uint16_t i = 0; i < NVME_EVENTS; i++)
		put_command(
		    0, (struct nvme_command){ .opcode = ASYNC_EVENT, .cid = (uint16_t)(200 + i) });
	put_command(0, (struct nvme_command){ .opcode = ASYNC_EVENT, .cid = 300 });
	ring(0);
	assert_int_equal(result_of(0, 300, NULL), NVME_EVENT_LIMIT);
	doorbell(9, false, 1); /* no queue */
	assert_int_equal(result_of(0, 200, &result), NVME_SUCCESS);
	assert_int_equal(result, 0x10000);
	doorbell(1, false, ENTRIES);
	assert_int_equal(result_of(0, 201, &result), NVME_SUCCESS);
	assert_int_equal(result, 0x10100);
	doorbell(1, true, ENTRIES - 1); /* more than there are */
	assert_false(reap(0, &c));      /* until the log is read */
	assert_int_equal(run(0, log), NVME_SUCCESS);
	doorbell(1, true, ENTRIES - 1);
	assert_int_equal(result_of(0, 202, &result), NVME_SUCCESS);
	put_command(0, (struct nvme_command){ .opcode = ABORT, .cid = 301, .cdw10 = 203 << 16 });
	ring(0);
	assert_int_equal(result_of(0, 203, NULL), NVME_ABORTED);
	assert_int_equal(result_of(0, 301, &result), NVME_SUCCESS);
	assert_int_equal(result, 0);
	assert_int_equal(state()->event_count, 0);
	log.cdw10 = 1 << 16 | LOG_FIRMWARE;
	log.cdw12 = 8;
	assert_int_equal(run(0, log), NVME_SUCCESS);
	assert_memory_equal(memory + DATA, "1.0     ", 8);
	log.cdw12 = 516;
	assert_int_equal(run(0, log), NVME_INVALID_FIELD);
	log.cdw10 = 127 << 16 | LOG_SMART;
	log.cdw12 = 0;
	assert_int_equal(run(0, log), NVME_SUCCESS);
	assert_int_equal(word(176), state()->errors);
	log.nsid = 1;
	assert_int_equal(run(0, log), NVME_INVALID_FIELD);
	log.cdw10 = 0x7f;
	assert_int_equal(run(0, log), NVME_LOG_PAGE);
}

static void
read_only(void **unused)
{
	state()->block.readonly = true;
	begin_queues(BLOCK_SYNC);
	assert_int_equal(identify(0, 1), NVME_SUCCESS);
	assert_int_equal(memory[DATA + 99], 1);
	assert_int_equal(run(1, io_command(READ, 0, 1, DATA, 0)), NVME_SUCCESS);
	assert_int_equal(run(1, io_command(WRITE, 0, 1, DATA, 0)), NVME_WRITE_PROTECTED);
	assert_int_equal(run(1, io_command(WRITE_ZEROES, 0, 1, DATA, 0)), NVME_WRITE_PROTECTED);
	assert_int_equal(run(1, io_command(DATASET, 0, 1, DATA, 0)), NVME_WRITE_PROTECTED);
}

/* A shutdown flushes; a reset of the controller or of the function drops the queues. */
static void
shutdown_and_reset(void **unused)
{
	begin_queues(BLOCK_SYNC);
	waits = 0;
	set(REGISTER_CC, 0x00464001, 4);
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_SHUTTING);
	until_idle();
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_READY | CSTS_SHUT);
	put_command(1, io_command(READ, 0, 1, DATA, 0));
	ring(1); /* to a thread */
	assert_int_equal(mapped, 1);
	set(REGISTER_CC, 0, 4);
	assert_int_equal(mapped, 0);
	assert_int_equal(get(REGISTER_CSTS, 4), 0);
	assert_int_equal(get(REGISTER_ASQ, 8), SQ(0));
	doorbell(0, false, 1);
	enable_controller();
	assert_int_equal(create(1, ENTRIES), NVME_SUCCESS);
	waits = UINT32_MAX;
	assert_int_equal(run(1, io_command(READ, 0, 1, DATA, 0)), NVME_SUCCESS);
	assert_int_equal(pci[0].reset(&fake.device), 0);
	assert_int_equal(get(REGISTER_ASQ, 8), 0);
	assert_int_equal(get(REGISTER_CC, 4), 0);
	enable_controller();
	/* A second time, and with what it does not have. */
	set(REGISTER_CC, 0, 4);
	set(REGISTER_CC, 0x00460081, 4); /* pages of 8 KiB */
	assert_int_equal(get(REGISTER_CSTS, 4), CSTS_FATAL);
	set(REGISTER_CC, 0, 4);
	assert_int_equal(get(REGISTER_CSTS, 4), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_and_identify),
		TEST(reads_and_writes),
		TEST(zeroes_and_datasets),
		TEST(features),
		TEST(interrupts),
		TEST(doorbells_in_memory),
		TEST(full_completion_queue),
		TEST(logs_and_events),
		TEST(read_only),
		TEST(shutdown_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
