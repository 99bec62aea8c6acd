/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio sockets between a driver made by hand and unix sockets (virtio 1.2, section 5.10). */
#include "unit/vsock_bench.h"

static void
refuses_calls_without_a_listener(void **state)
{
	struct packet p;

	tell(80, 1000, REQUEST);
	expect(&p, RST);
	assert_int_equal(p.h.from_port, 80);
	assert_int_equal(p.h.to_port, 1000);
	tell(80, 1000, RST); /* for an unknown connection: no reply */
	expect_silence();
	tell(80, 1000, 99);
	expect(&p, RST);
}

static void
guest_connects(void **state)
{
	struct packet p;
	int fd = call();

	send_packet(80, 1000, RW, 0, "hello", 5, 0);
	assert_reads(fd, "hello");
	assert_int_equal(write(fd, "world", 5), 5);
	ready();
	expect(&p, RW);
	assert_int_equal(p.h.length, 5);
	assert_int_equal(p.h.fwd_cnt, 5);
	assert_memory_equal(p.data, "world", 5);
	tell(80, 1000, CREDIT_REQUEST);
	expect(&p, CREDIT_UPDATE);
	assert_int_equal(p.h.fwd_cnt, 5);
	/* The host closes: the guest receives a shutdown and replies. */
	assert_int_equal(write(fd, "last", 4), 4);
	close(fd);
	ready();
	expect(&p, RW);
	assert_memory_equal(p.data, "last", 4);
	expect(&p, SHUTDOWN);
	assert_int_equal(p.h.flags, VSOCK_NEITHER);
	expect_silence();
	tell(80, 1000, RST);
	assert_int_equal(((struct vsock *)fake.device.state)->host->used, 0);
	expect_silence();
}

static void
host_connects(void **state)
{
	struct packet p;
	int fd = connect_to_guest("CONN"), second;
	uint32_t port;

	expect_silence();
	assert_int_equal(write(fd, "ECT 22\nafter", 12), 12);
	ready();
	expect(&p, REQUEST);
	assert_int_equal(p.h.to_port, 22);
	port = p.h.from_port;
	expect_silence(); /* the rest follows after the guest's reply */
	tell(port, 22, RESPONSE);
	expect(&p, RW);
	assert_memory_equal(p.data, "after", 5);
	{
		char text[32];

		snprintf(text, sizeof(text), "OK %u\n", port);
		assert_reads(fd, text);
	}
	second = connect_to_guest("CONNECT 22\n");
	expect(&p, REQUEST);
	assert_int_not_equal(p.h.from_port, port);
	tell(p.h.from_port, 22, RST); /* no process listens there */
	assert_closed(second);
	close(second);
	/*
	 * The guest shuts down: its bytes arrive, then the end; then the guest receives the reset.
	 */
	send_packet(port, 22, RW, 0, "bye", 3, 5);
	send_packet(port, 22, SHUTDOWN, VSOCK_NEITHER, "", 0, 5);
	expect(&p, RST);
	assert_reads(fd, "bye");
	assert_closed(fd);
	close(fd);
}

static void
half_closed(void **state)
{
	struct packet p;
	int fd = call();

	send_packet(80, 1000, SHUTDOWN, VSOCK_NO_SEND, "", 0, 0);
	assert_closed(fd); /* for reading */
	assert_int_equal(write(fd, "still", 5), 5);
	ready();
	expect(&p, RW);
	assert_memory_equal(p.data, "still", 5);
	shutdown(fd, SHUT_WR);
	ready();
	expect(&p, SHUTDOWN);
	close(fd);
	send_packet(80, 1000, SHUTDOWN, VSOCK_NEITHER, "", 0, 5);
	ready();
	while (receive(&p) && p.h.op != RST)
		;
	assert_int_equal(p.h.op, RST);
}

/*
 * The guest may send up to 64 KiB that the host has not read, and receives an update when there is
 * room.
 */
static void
credit_of_the_guest(void **state)
{
	static uint8_t block[4096], all[0x200000];
	uint32_t sent = 0, taken = 0, got = 0;
	struct packet p;
	int fd = call();
	ssize_t n;

	for (uint32_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7 + i / 256);
	while (sent + sizeof(block) - taken <= VSOCK_BUFFER) {
		send_packet(80, 1000, RW, 0, block, sizeof(block), 0);
		sent += sizeof(block);
		while (receive(&p)) {
			assert_int_equal(p.h.op, CREDIT_UPDATE);
			taken = p.h.fwd_cnt;
		}
		assert_in_range(sent, 0, sizeof(all) / 2); /* until the socket is full */
	}
	while ((n = read(fd, all + got, sizeof(all) - got)) > 0) {
		got += (uint32_t)n;
		ready();
	}
	assert_int_equal(got, sent);
	for (uint32_t i = 0; i < got; i++)
		assert_int_equal(all[i], block[i % sizeof(block)]);
	while (receive(&p))
		taken = p.h.fwd_cnt;
	assert_in_range(sent - taken, 0, VSOCK_BUFFER / 2 - 1);
	close(fd);
}

static void
a_guest_that_sends_too_much(void **state)
{
	static uint8_t block[60000];
	struct packet p;
	int fd = call(), i;

	for (i = 0; i < 100; i++) {
		send_packet(80, 1000, RW, 0, block, sizeof(block), 0);
		if (receive(&p) && p.h.op == RST)
			break;
	}
	assert_in_range(i, 1, 99);
	close(fd);
	assert_int_equal(((struct vsock *)fake.device.state)->host->used, 0);
}

/* The host sends no more than the guest has room for. */
static void
credit_of_the_host(void **state)
{
	static uint8_t block[100000];
	uint32_t got = 0;
	struct packet p;
	int fd = call();

	assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	ready();
	while (receive(&p)) {
		assert_int_equal(p.h.op, RW);
		got += p.h.length;
	}
	assert_int_equal(got, BIG);
	send_packet(80, 1000, CREDIT_UPDATE, 0, "", 0, 1000);
	expect(&p, RW);
	assert_int_equal(p.h.length, 1000);
	expect_silence();
	send_packet(80, 1000, CREDIT_UPDATE, 0, "", 0, 0x80000000); /* more than it received:
								     * invalid */
	expect_silence();
	send_packet(80, 1000, CREDIT_UPDATE, 0, "", 0, BIG + 1000);
	while (receive(&p))
		got += p.h.length;
	assert_int_equal(got + 1000, sizeof(block));
	close(fd);
}

/* A buffer with room for a header only: data waits for another one, without a post or an event. A
 * packet without data takes it. */
static void
buffers_without_room(void **state)
{
	struct packet p;
	int fd;

	begin(1);
	fd = call();
	assert_int_equal(write(fd, "x", 1), 1);
	ready();
	assert_int_equal(driver_used(RECEIVE, NULL), sizeof(p.h) + 1);
	driver_add(&fake, RECEIVE, RECEIVE_AT + driver.next[RECEIVE] % DRIVER_SIZE * BUFFER,
		   sizeof(p.h), true);
	driver.posted = false;
	assert_int_equal(write(fd, "hello", 5), 5);
	ready();
	assert_false(driver.posted);
	assert_int_equal(driver_used(RECEIVE, NULL), -1);
	tell(80, 1000, CREDIT_REQUEST);
	assert_int_equal(driver_used(RECEIVE, NULL), sizeof(p.h));
	offer();
	expect(&p, RW);
	assert_memory_equal(p.data, "hello", 5);
	close(fd);
}

/* Replies wait for buffers. While too many wait, no packets are taken. */
static void
without_buffers(void **state)
{
	struct packet p;
	unsigned taken = 0;

	begin(0);
	for (unsigned i = 0; i < RESETS + 5; i++) {
		struct vsock_header h = { CID, HOST_CID, i, 80, 0, STREAM, RW, 0, 0, 0 };

		memcpy(driver.memory + SEND_AT + i * 64, &h, sizeof(h));
		driver_add(&fake, TRANSMIT, SEND_AT + i * 64, sizeof(h), false);
		taken += driver_used(TRANSMIT, NULL) == 0;
		if (taken == DRIVER_SIZE)
			break;
	}
	assert_int_equal(taken, RESETS);
	for (unsigned i = 0; i < 8; i++)
		offer();
	for (unsigned i = 0; i < taken; i++) {
		expect(&p, RST);
		assert_int_equal(p.h.to_port, i);
	}
	expect_silence();
}

static void
refuses_packets_without_a_connection(void **state)
{
	struct vsock_header h = { CID, 9, 1, 80, 0, STREAM, REQUEST, 0, 0, 0 };
	struct packet p;

	memcpy(driver.memory + SEND_AT, &h, sizeof(h)); /* to an unknown context */
	driver_add(&fake, TRANSMIT, SEND_AT, sizeof(h), false);
	h = (struct vsock_header){ CID + 1, HOST_CID, 1, 80, 0, STREAM, REQUEST, 0, 0, 0 };
	memcpy(driver.memory + SEND_AT, &h, sizeof(h)); /* from an unknown context */
	driver_add(&fake, TRANSMIT, SEND_AT, sizeof(h), false);
	expect_silence();
	h = (struct vsock_header){ CID, HOST_CID, 1, 80, 0, 2, REQUEST, 0, 0, 0 };
	memcpy(driver.memory + SEND_AT, &h, sizeof(h)); /* a socket type that is not offered */
	driver_add(&fake, TRANSMIT, SEND_AT, sizeof(h), false);
	expect(&p, RST);
	assert_int_equal(driver_read(&fake, VIRTIO_STATUS), 15);
	h.length = 1; /* a connection that does not exist */
	memcpy(driver.memory + SEND_AT, &h, sizeof(h));
	driver_add(&fake, TRANSMIT, SEND_AT, sizeof(h), false);
	assert_int_equal(driver_read(&fake, VIRTIO_STATUS), 15 | VIRTIO_NEEDS_RESET);
}

/* A restored device has no connections and notifies the guest. It still sends pending replies. */
static void
restored(void **state)
{
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;
	struct packet p;
	int fd = call();
	uint32_t event = 99;

	driver_add(&fake, EVENT, SEND_AT + 0x1000, 4, true);
	assert_int_equal(driver_used(EVENT, NULL), -1); /* not yet */
	fields_save(fields, fake.device.state, &writer);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	stop();
	assert_closed(fd);
	close(fd);
	driver_create(&fake, &vsock);
	((struct vsock *)fake.device.state)->cid = CID;
	((struct vsock *)fake.device.state)->path = path;
	assert_int_equal(vsock.configure(&fake.device), 0);
	assert_int_equal(fields_load(fields, fake.device.state, &root, 1, &why), 0);
	assert_int_equal(vsock.loaded(&fake.device), 0);
	record_writer_free(&writer);
	fake_start(&fake, MINIVMM_RESTORED);
	assert_int_equal(driver_used(EVENT, NULL), 4);
	memcpy(&event, driver.memory + SEND_AT + 0x1000, 4);
	assert_int_equal(event, EVENT_TRANSPORT_RESET);
	send_packet(80, 1000, RW, 0, "lost", 4, 0);
	expect(&p, RST);
	fd = connect_to_guest("CONNECT 7\n"); /* new connections work */
	expect(&p, REQUEST);
	close(fd);
	ready();
	expect(&p, RST);
	/* The same after a reset of the machine. */
	fd = call();
	driver_add(&fake, EVENT, SEND_AT + 0x1000, 4, true);
	assert_int_equal(driver_used(EVENT, NULL), -1);
	fake_start(&fake, MINIVMM_RESET);
	assert_int_equal(driver_used(EVENT, NULL), 4);
	assert_closed(fd);
	close(fd);
}

/* A snapshot contains pending replies. */
static void
saved(void **state)
{
	struct vsock copy;
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;

	begin(0);
	tell(80, 1000, REQUEST);
	tell(81, 1001, REQUEST);
	((struct vsock *)fake.device.state)->port = 0x40000007;
	fields_save(fields, fake.device.state, &writer);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	memset(&copy, 0, sizeof(copy));
	assert_int_equal(fields_load(fields, &copy, &root, 1, &why), 0);
	record_writer_free(&writer);
	assert_int_equal(copy.port, 0x40000007);
	assert_int_equal(copy.reset_count, 2);
	assert_int_equal(copy.reset_hosts[1], 81);
	assert_int_equal(copy.reset_guests[1], 1001);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refuses_calls_without_a_listener),
		TEST(guest_connects),
		TEST(host_connects),
		TEST(half_closed),
		TEST(credit_of_the_guest),
		TEST(a_guest_that_sends_too_much),
		TEST(credit_of_the_host),
		TEST(buffers_without_room),
		TEST(without_buffers),
		TEST(refuses_packets_without_a_connection),
		TEST(restored),
		TEST(saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
