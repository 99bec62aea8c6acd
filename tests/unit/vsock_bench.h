/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vsock device with a driver made by hand: packets of the guest and to it, listeners and callers
 * on the host.
 */
#ifndef TESTS_VSOCK_BENCH_H
#define TESTS_VSOCK_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
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

static struct fake fake;
static char folder[64], path[96];

struct packet {
	struct vsock_header h;
	uint8_t data[BUFFER];
};

static inline void
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

static inline void
stop(void)
{
	assert_int_equal(vsock.stop(&fake.device), 0);
	vsock.destroy(&fake.device);
	fake_destroy(&fake);
}

/* Offers a receive buffer. */
static inline void
offer(void)
{
	driver_add(&fake, RECEIVE, RECEIVE_AT + driver.next[RECEIVE] % DRIVER_SIZE * BUFFER, BUFFER,
		   true);
}

static inline void
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

static inline void
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

static inline void
tell(uint32_t host, uint32_t guest, enum vsock_op op)
{
	send_packet(host, guest, op, 0, "", 0, 0);
}

/* Takes a received packet and offers its buffer again; false if there is none. */
static inline bool
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

static inline void
expect(struct packet *p, enum vsock_op op)
{
	assert_true(receive(p));
	assert_int_equal(p->h.op, op);
}

static inline void
expect_silence(void)
{
	struct packet p;

	assert_false(receive(&p));
}

/* Polls the host's sockets. */
static inline void
ready(void)
{
	struct pollfd poll_fd = { .fd = driver.watched, .events = POLLIN };

	for (int i = 0; poll(&poll_fd, 1, 0) == 1; i++) {
		assert_in_range(i, 0, 1000);
		assert_int_equal(vsock.watches[0].ready(&fake.device, 0, EPOLLIN), 0);
	}
}

/* A server for the guest's connections to this port. */
static inline int
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
static inline int
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

static inline int
connect_to_guest(const char *greeting)
{
	bool pending;
	int fd = socket_begin_unix(path, &pending);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, greeting, strlen(greeting)), strlen(greeting));
	ready();
	return fd;
}

static inline void
assert_reads(int fd, const char *expected)
{
	char text[256] = "";

	assert_int_equal(read(fd, text, sizeof(text) - 1), strlen(expected));
	assert_string_equal(text, expected);
}

static inline void
assert_closed(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
