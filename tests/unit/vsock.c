/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio sockets between a driver made by hand and unix sockets (virtio 1.2, section 5.10). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "../../plugins/virtio-vsock/connection.c"
#include "../../plugins/virtio-vsock/packets.c"
#include "../../plugins/virtio-vsock/vsock.c"

#include "unit/fake_virtio.h"

#define CID 3u
#define BUFFER 4096u        /* the driver's receive buffers */
#define RECEIVE_AT 0x20000u /* their address, DRIVER_SIZE bytes each */
#define SEND_AT 0x70000u    /* address of the driver's packets */
#define BIG 65536u          /* size of the driver's own buffer, in its packets */

static unsigned callers; /* that connect during accept4(2): each call has one */

/* Replaces libc's. */
int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	if (!callers)
		return (int)syscall(SYS_accept4, fd, address, length, flags);
	callers--;
	return socket(AF_UNIX, SOCK_STREAM | flags, 0);
}

static struct fake fake;
static char folder[64], path[96];

struct packet {
	struct vsock_header h;
	uint8_t data[BUFFER];
};

static void
start(enum minivmm_start_reason reason)
{
	struct vsock *s;

	driver_create(&fake, &vsock);
	s = fake.device.state;
	s->cid = CID;
	s->path = path;
	assert_int_equal(vsock.configure(&fake.device), 0);
	fake_start(&fake, reason);
}

static void
stop(void)
{
	assert_int_equal(vsock.stop(&fake.device), 0);
	vsock.destroy(&fake.device);
	fake_destroy(&fake);
}

/* Offers a receive buffer. */
static void
offer(void)
{
	driver_add(&fake, RECEIVE, RECEIVE_AT + driver.next[RECEIVE] % DRIVER_SIZE * BUFFER, BUFFER,
		   true);
}

static void
begin(unsigned buffers)
{
	driver_begin(&fake, 0, 3);
	while (buffers--)
		offer();
}

static int
setup(void **state)
{
	strcpy(folder, "/tmp/vsock.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/v", folder);
	start(MINIVMM_FRESH);
	begin(16);
	return 0;
}

static int
teardown(void **state)
{
	stop();
	assert_int_equal(access(path, F_OK), -1); /* its socket file is removed */
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void
send_packet(uint32_t host, uint32_t guest, enum vsock_op op, uint32_t flags, const void *data,
	    uint32_t length, uint32_t taken)
{
	struct vsock_header h = { CID,    HOST_CID,     guest, host, length,
				  STREAM, (uint16_t)op, flags, BIG,  taken };

	memcpy(driver.memory + SEND_AT, &h, sizeof(h));
	memcpy(driver.memory + SEND_AT + sizeof(h), data, length);
	driver_add(&fake, TRANSMIT, SEND_AT, (uint32_t)sizeof(h) + length, false);
	assert_int_equal(driver_used(TRANSMIT, NULL), 0);
}

static void
tell(uint32_t host, uint32_t guest, enum vsock_op op)
{
	send_packet(host, guest, op, 0, "", 0, 0);
}

/* Takes a received packet and offers its buffer again; false if there is none. */
static bool
receive(struct packet *p)
{
	uint32_t descriptor;
	int64_t n = driver_used(RECEIVE, &descriptor);

	if (n < 0)
		return false;
	assert_in_range(n, sizeof(p->h), BUFFER);
	memcpy(p, driver.memory + RECEIVE_AT + descriptor * BUFFER, (size_t)n);
	assert_int_equal(n, sizeof(p->h) + p->h.length);
	assert_int_equal(p->h.from_cid, HOST_CID);
	assert_int_equal(p->h.to_cid, CID);
	assert_int_equal(p->h.type, STREAM);
	assert_int_equal(p->h.buf_alloc, VSOCK_BUFFER);
	offer();
	return true;
}

static void
expect(struct packet *p, enum vsock_op op)
{
	assert_true(receive(p));
	assert_int_equal(p->h.op, op);
}

static void
expect_silence(void)
{
	struct packet p;

	assert_false(receive(&p));
}

/* Polls the host's sockets. */
static void
ready(void)
{
	struct pollfd poll_fd = { .fd = driver.watched, .events = POLLIN };

	for (int i = 0; poll(&poll_fd, 1, 0) == 1; i++) {
		assert_in_range(i, 0, 1000);
		assert_int_equal(vsock.watches[0].ready(&fake.device, 0, EPOLLIN), 0);
	}
}

/* A server for the guest's connections to this port. */
static int
listen_at(uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.96s_%u", path, port);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* A connection from the guest's port 1000 to the host's port 80. */
static int
call(void)
{
	char served[128];
	struct packet p;
	int server = listen_at(80), fd;

	tell(80, 1000, REQUEST);
	expect(&p, RESPONSE);
	assert_int_equal(p.h.from_port, 80);
	assert_int_equal(p.h.to_port, 1000);
	fd = accept4(server, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(server);
	snprintf(served, sizeof(served), "%s_80", path);
	unlink(served);
	return fd;
}

static int
connect_to_guest(const char *greeting)
{
	bool pending;
	int fd = socket_begin_unix(path, &pending);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, greeting, strlen(greeting)), strlen(greeting));
	ready();
	return fd;
}

static void
assert_reads(int fd, const char *expected)
{
	char text[256] = "";

	assert_int_equal(read(fd, text, sizeof(text) - 1), strlen(expected));
	assert_string_equal(text, expected);
}

static void
assert_closed(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

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

static void
invalid_requests_of_clients(void **state)
{
	static const char *const bad[] = { "GET / HTTP/1.0\n",
					   "CONNECT \n",
					   "CONNECT x\n",
					   "CONNECT -1\n",
					   "CONNECT 4294967296\n",
					   "CONNECT 1 2\n",
					   "CONNECT 99999999999999999999999999999\n",
					   "\n" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = connect_to_guest(bad[i]);

		assert_closed(fd);
		close(fd);
	}
	close(connect_to_guest("CONNECT 1"));
	ready();
	expect_silence();
	assert_int_equal(((struct vsock *)fake.device.state)->host->used, 0);
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
too_many_connections(void **state)
{
	struct packet p;
	int fds[VSOCK_CONNECTIONS], one_more;
	char greeting[32];

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++) {
		fds[i] = connect_to_guest("CONNECT 5\n");
		expect(&p, REQUEST);
		tell(p.h.from_port, 5, RESPONSE);
		assert_int_equal(read(fds[i], greeting, sizeof(greeting)), 14);
	}
	one_more = connect_to_guest("CONNECT 5\n");
	assert_closed(one_more);
	close(one_more);
	expect_silence();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		expect(&p, SHUTDOWN);
	expect_silence();
}

/* Processes that connect and say nothing do not keep others from connecting. */
static void
silent_callers(void **state)
{
	struct packet p;
	int fds[VSOCK_CONNECTIONS], spoken, fd;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		fds[i] = connect_to_guest(i % 2 ? "CONNECT" : "");
	fd = call();
	assert_closed(fds[0]);
	spoken = connect_to_guest("CONNECT 5\n");
	assert_closed(fds[1]);
	expect(&p, REQUEST);
	assert_int_equal(write(fds[2], "CONNECT 6\n", 10), 10);
	ready();
	expect(&p, REQUEST);
	assert_int_equal(p.h.to_port, 6);
	close(fd);
	close(spoken);
	ready();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
}

/* The events of a caller that has been dropped are not those of the one in its place. */
static void
a_silent_caller_hangs_up_late(void **state)
{
	int fds[VSOCK_CONNECTIONS], fd;
	struct packet p;
	bool pending;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		fds[i] = connect_to_guest("");
	fd = socket_begin_unix(path, &pending);
	assert_true(fd >= 0);
	close(fds[0]);
	ready();
	assert_int_equal(write(fd, "CONNECT 5\n", 10), 10);
	ready();
	expect(&p, REQUEST);
	close(fd);
	ready();
	for (uint32_t i = 1; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
}

/* Callers that connect as fast as they are accepted do not keep the I/O thread. */
static void
callers_without_end(void **state)
{
	bool pending;
	int fd = socket_begin_unix(path, &pending);

	assert_true(fd >= 0);
	callers = 10000;
	assert_int_equal(vsock.watches[0].ready(&fake.device, 0, EPOLLIN), 0);
	assert_in_range(callers, 10000 - 100, 10000 - 1);
	ready();
	callers = 0;
	/* All are accepted in the end. */
	close(fd);
	fd = connect_to_guest("CONNECT 5\n");
	for (int i = 0; i < 1000 && !((struct vsock *)fake.device.state)->port; i++) {
		usleep(1000);
		ready();
	}
	assert_int_not_equal(((struct vsock *)fake.device.state)->port, 0);
	close(fd);
	ready();
}

/* Most descriptors are left to others. */
static void
few_descriptors(void **state)
{
	struct rlimit limit, low;
	struct packet p;
	int fds[20], one_more;

	stop();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 80;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	start(MINIVMM_FRESH);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	begin(DRIVER_SIZE - 1);
	for (int i = 0; i < 20; i++) {
		fds[i] = connect_to_guest("CONNECT 5\n");
		expect(&p, REQUEST);
	}
	one_more = connect_to_guest("CONNECT 5\n");
	assert_closed(one_more);
	close(one_more);
	expect_silence();
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	ready();
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(refuses_calls_without_a_listener),
		TEST(guest_connects),
		TEST(host_connects),
		TEST(half_closed),
		TEST(invalid_requests_of_clients),
		TEST(credit_of_the_guest),
		TEST(a_guest_that_sends_too_much),
		TEST(credit_of_the_host),
		TEST(buffers_without_room),
		TEST(without_buffers),
		TEST(too_many_connections),
		TEST(silent_callers),
		TEST(a_silent_caller_hangs_up_late),
		TEST(callers_without_end),
		TEST(few_descriptors),
		TEST(refuses_packets_without_a_connection),
		TEST(restored),
		TEST(saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
