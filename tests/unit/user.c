/* SPDX-License-Identifier: BSD-2-Clause */
/* User-mode networking, with libslirp: the descriptors that a guest's flows take. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "../../plugins/virtio-net/flows.c"
#include "../../plugins/virtio-net/sockets.c"
#include "../../plugins/virtio-net/user.c"
#include "unit/fake_services.h"
#include "unit/host.h"

#define GUEST 0x0a00020fu
#define HOST 0x0a000202u
#define UDP_PROTOCOL 17u
#define FRAME (ETHERNET + IP + TCP)

static struct fake fake;
static struct flows flows;
static const struct minivmm_plugin plugin = { .name = "user", .state_size = 1 };
static struct user *user;
static int peer; /* a socket of the host */
static uint16_t port;

/* The card. */
void
net_receive(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
}

bool
net_wants(struct minivmm_device *dev)
{
	return true;
}

static void
listens(int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	peer = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(peer, (struct sockaddr *)&address, size), 0);
	assert_true(type == SOCK_DGRAM || !listen(peer, 4096));
	assert_int_equal(getsockname(peer, (struct sockaddr *)&address, &size), 0);
	port = ntohs(address.sin_port);
}

/* The guest sends a datagram, or the first segment of a connection, from a port to the peer. */
static enum net_sent
guest_sends(uint32_t protocol, uint16_t from)
{
	uint8_t packet[NET_HEADER + FRAME] = { 0 }, *frame = packet + NET_HEADER,
				    *ip = frame + ETHERNET, *segment = ip + IP;
	size_t length = protocol == PROTOCOL_TCP ? TCP : 8;

	put(frame, 6, 0x525500000000 | HOST);
	put(frame + 6, 6, 0x525400123456);
	put(frame + 12, 2, TYPE_IP);
	put(ip, 4, 0x45000000 | (uint32_t)(IP + length));
	put(ip + 8, 2, 64 << 8 | protocol);
	put(ip + 12, 4, GUEST);
	put(ip + 16, 4, HOST);
	put(ip + 10, 2, checksum(ip, IP, 0));
	put(segment, 2, from);
	put(segment + 2, 2, port);
	if (protocol == PROTOCOL_TCP) {
		segment[12] = TCP / 4 << 4;
		segment[13] = SYN;
		put(segment + 14, 2, 8192);
		put(segment + 16, 2, checksum(ip + 12, 8 + TCP, (uint32_t)(PROTOCOL_TCP + TCP)));
	} else
		put(segment + 4, 2, length);
	return user_send(user, 0, packet, NET_HEADER + ETHERNET + IP + length);
}

/* The port from which the host's last datagram has come; 0: none came. */
static uint16_t
came_from(void)
{
	struct sockaddr_in from = { 0 };
	uint8_t byte;
	uint16_t last = 0;

	for (;;) {
		socklen_t size = sizeof(from);

		if (recvfrom(peer, &byte, 1, 0, (struct sockaddr *)&from, &size) < 0)
			return last;
		last = ntohs(from.sin_port);
	}
}

static int
setup(void **state)
{
	const struct net_options options = { .interface = "", .forward = "", .flows = &flows };

	fake_create(&fake, &plugin);
	fake.now = 1000000000;
	user = user_open(&fake.device, &options, false);
	assert_non_null(user);
	return 0;
}

static int
teardown(void **state)
{
	user_close(user);
	fake_destroy(&fake);
	return close(peer);
}

/* The flow that is in use stays, and those that are idle longest end. */
static void
datagrams(void **state)
{
	unsigned before = host_descriptors(), most = 0;
	uint16_t kept;

	listens(SOCK_DGRAM);
	assert_int_equal(guest_sends(UDP_PROTOCOL, 500), NET_SENT);
	kept = came_from();
	assert_int_not_equal(kept, 0);
	for (uint16_t from = 1000; from < 5000; from++) {
		unsigned now;

		fake.now += 5000000;
		assert_int_equal(guest_sends(UDP_PROTOCOL, from), NET_SENT);
		assert_int_not_equal(came_from(), 0);
		if (from % 20)
			continue;
		user_settle(user);
		assert_int_equal(guest_sends(UDP_PROTOCOL, 500), NET_SENT);
		assert_int_equal(came_from(), kept);
		now = host_descriptors();
		most = now > most ? now : most;
	}
	assert_in_range(most, before + user->most / 2, before + user->most + 1);
}

/* A burst between two events of the loop, with the clock standing still. */
static void
a_burst(void **state)
{
	unsigned before = host_descriptors();

	listens(SOCK_DGRAM);
	for (uint16_t from = 1000; from < 3000; from++)
		assert_int_equal(guest_sends(UDP_PROTOCOL, from), NET_SENT);
	assert_in_range(host_descriptors(), before, before + user->most + 1);
}

/* A connection is not ended for another one. */
static void
connections(void **state)
{
	unsigned before = host_descriptors(), refused = 0;

	listens(SOCK_STREAM);
	for (uint16_t from = 1000; from < 2000; from++) {
		refused += guest_sends(PROTOCOL_TCP, from) == NET_DROPPED;
		user_settle(user);
	}
	assert_int_equal(refused, 1000 - user->most);
	assert_in_range(host_descriptors(), before + user->most, before + user->most + 1);
	/* Datagrams have a limit of their own, and end no connection. */
	close(peer);
	listens(SOCK_DGRAM);
	for (uint16_t from = 1000; from < 2000; from++)
		assert_int_equal(guest_sends(UDP_PROTOCOL, from), NET_SENT);
	assert_int_equal(user->open[USER_STREAM], user->most);
}

/* Callers from the host to a forwarded port: above the limit they wait, without events. */
static void
callers(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned before, calls = (unsigned)user->most + 20;
	char list[64];
	int fds[256];

	listens(SOCK_STREAM); /* for a free port */
	close(peer);
	snprintf(list, sizeof(list), "tcp:127.0.0.1:%u:80", port);
	assert_int_equal(user_forwards(&fake.device, list, user), 0);
	user_settle(user);
	before = host_descriptors();
	address.sin_port = htons(port);
	for (unsigned i = 0; i < calls; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&address, sizeof(address));
		user_ready(user, 0, 0);
	}
	for (unsigned i = 0; i < 2 * calls; i++)
		user_ready(user, 0, 0);
	assert_in_range(host_descriptors(), before + calls, before + calls + user->most);
	for (unsigned i = 0; i < calls; i++)
		close(fds[i]);
	peer = dup(0);
}

/* No descriptor for a caller: the listener has no events until it tries again. */
static void
a_caller_without_descriptor(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct rlimit limit, low;
	struct epoll_event event;
	char list[64];
	int fd;

	listens(SOCK_STREAM);
	close(peer);
	snprintf(list, sizeof(list), "tcp:127.0.0.1:%u:80", port);
	assert_int_equal(user_forwards(&fake.device, list, user), 0);
	user_settle(user);
	address.sin_port = htons(port);
	peer = fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (low.rlim_cur = 0; fcntl((int)low.rlim_cur, F_GETFD) >= 0; low.rlim_cur++)
		;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(epoll_wait(user->epoll, &event, 1, 0), 1);
	user_ready(user, 0, 0);
	assert_int_equal(epoll_wait(user->epoll, &event, 1, 0), 0);
	assert_true(fake.timers[NET_TIMER_BACKEND].armed);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fake.now = fake.timers[NET_TIMER_BACKEND].deadline;
	user_timer(user);
	assert_int_equal(epoll_wait(user->epoll, &event, 1, 0), 1);
	user_ready(user, 0, 0);
	assert_int_equal(epoll_wait(user->epoll, &event, 1, 0), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(datagrams), TEST(a_burst), TEST(connections),
					    TEST(callers), TEST(a_caller_without_descriptor) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
