/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of a guest's connections, fed with valid frames and with random bytes. */
#include "../../plugins/virtio-net/flows.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/seed.h"

enum { GUEST_IP = 0x0a00020f, PEER_IP = 0x0a000202 };

static struct flows flows;
static uint8_t frame[FLOWS_FRAME];

/* A segment with these flags, after options bytes of IP options. */
static void
segment(int sender, uint16_t guest_port, uint8_t tcp_flags, size_t ip_options)
{
	uint8_t *ip = frame + ETHERNET, *tcp = ip + IP + ip_options;
	bool guest = sender == FLOWS_GUEST;

	memset(frame, 0, sizeof(frame));
	put(frame + 12, 2, TYPE_IP);
	ip[0] = (uint8_t)(0x45 + ip_options / 4);
	ip[9] = PROTOCOL_TCP;
	put(ip + 12, 4, guest ? GUEST_IP : PEER_IP);
	put(ip + 16, 4, guest ? PEER_IP : GUEST_IP);
	put(tcp, 2, guest ? guest_port : 80);
	put(tcp + 2, 2, guest ? 80 : guest_port);
	tcp[13] = tcp_flags;
	flows_note(&flows, sender, frame, ETHERNET + IP + ip_options + TCP);
}

static int
known(void)
{
	int count = 0;

	for (int i = 0; i < FLOWS_CONNECTIONS; i++)
		count += flows.tcp_guest[i] != 0;
	return count;
}

static int
setup(void **state)
{
	memset(&flows, 0, sizeof(flows));
	return 0;
}

static void
connection_begins_and_ends(void **state)
{
	segment(FLOWS_GUEST, 1000, SYN, 0);
	segment(FLOWS_PEER, 1000, SYN | ACK, 0);
	segment(FLOWS_GUEST, 1000, SYN, 4);
	assert_int_equal(known(), 1);
	assert_int_equal(flows.tcp_guest[0], (uint64_t)GUEST_IP << 16 | 1000);
	assert_int_equal(flows.tcp_peer[0], (uint64_t)PEER_IP << 16 | 80);
	segment(FLOWS_GUEST, 1000, FIN | ACK, 0);
	segment(FLOWS_GUEST, 1000, FIN | ACK, 0);
	assert_int_equal(known(), 1);
	segment(FLOWS_PEER, 1000, FIN | ACK, 8);
	assert_int_equal(known(), 0);
	segment(FLOWS_PEER, 1001, SYN, 0);
	segment(FLOWS_GUEST, 1001, RST, 0);
	assert_int_equal(known(), 0);
	segment(FLOWS_GUEST, 1002, ACK, 0);
	segment(FLOWS_GUEST, 1002, FIN, 0);
	assert_int_equal(known(), 0);
}

static void
the_oldest_is_replaced(void **state)
{
	for (uint16_t i = 0; i < FLOWS_CONNECTIONS + 3; i++)
		segment(FLOWS_GUEST, (uint16_t)(1000 + i), SYN, 0);
	assert_int_equal(known(), FLOWS_CONNECTIONS);
	assert_int_equal(flows.tcp_guest[2] & 0xffff, 1000 + FLOWS_CONNECTIONS + 2);
	assert_int_equal(flows.tcp_guest[3] & 0xffff, 1003);
}

struct taken {
	int count;
	uint8_t frames[4][FLOWS_FRAME];
};

static void
take(void *argument, uint8_t *one)
{
	struct taken *t = argument;

	assert_in_range(t->count, 0, 3);
	memcpy(t->frames[t->count++], one, FLOWS_FRAME);
}

/* A probe is a segment of the peer that is valid except for its sequence number. */
static void
probes(void **state)
{
	struct taken t = { 0 };

	flows.neighbour_ip[3] = GUEST_IP;
	flows.neighbour_mac[3] = 0x525400123456;
	segment(FLOWS_GUEST, 1000, SYN, 0);
	flows_probes(&flows, take, &t);
	assert_int_equal(t.count, 2);
	for (int i = 0; i < 2; i++) {
		const uint8_t *ip = t.frames[i] + ETHERNET, *tcp = ip + IP;

		assert_int_equal(get(t.frames[i], 6), 0x525400123456);
		assert_int_equal(get(ip + 12, 4), PEER_IP);
		assert_int_equal(get(ip + 16, 4), GUEST_IP);
		assert_int_equal(get(tcp, 4), 80 << 16 | 1000);
		assert_int_equal(get(tcp + 4, 4), (uint32_t)i << 31);
		assert_int_equal(tcp[13], ACK);
		assert_int_equal(checksum(ip, IP, 0), 0);
		assert_int_equal(checksum(ip + 12, 8 + TCP, PROTOCOL_TCP + TCP), 0);
	}
}

/* An announcement of a neighbour has the addresses that were received from it. */
static void
neighbours(void **state)
{
	struct taken t = { 0 };
	struct flows again = { 0 };

	flows.neighbour_ip[7] = GUEST_IP;
	flows.neighbour_mac[7] = 0x525400123456;
	flows_neighbours(&flows, take, &t);
	assert_int_equal(t.count, 1);
	flows_note(&again, FLOWS_PEER, t.frames[0], FLOWS_FRAME);
	assert_int_equal(again.neighbour_ip[0], 0);
	flows_note(&again, FLOWS_GUEST, t.frames[0], FLOWS_FRAME);
	flows_note(&again, FLOWS_GUEST, t.frames[0], FLOWS_FRAME);
	assert_int_equal(again.neighbour_ip[0], GUEST_IP);
	assert_int_equal(again.neighbour_mac[0], 0x525400123456);
	assert_int_equal(again.neighbour_next, 1);
}

/* Random bytes, in an allocation of exactly their size. */
static void
random_bytes(void **state)
{
	uint64_t seed = random_seed();

	for (int i = 0; i < 200000; i++) {
		size_t length = random_below(&seed, 90);
		uint8_t *bytes = malloc(length + 1);

		assert_non_null(bytes);
		for (size_t b = 0; b < length; b++)
			bytes[b] = (uint8_t)random_next(&seed);
		if (length > 24) {
			put(bytes + 12, 2, random_below(&seed, 2) ? TYPE_IP : TYPE_ARP);
			bytes[14] = (uint8_t)(0x40 + random_below(&seed, 16));
			bytes[23] = PROTOCOL_TCP;
		}
		bytes = realloc(bytes, length ? length : 1);
		flows_note(&flows, random_below(&seed, 2) ? FLOWS_GUEST : FLOWS_PEER, bytes,
			   length);
		free(bytes);
		assert_in_range(flows.tcp_next, 0, FLOWS_CONNECTIONS - 1);
		assert_in_range(flows.neighbour_next, 0, FLOWS_NEIGHBOURS - 1);
	}
	for (int i = 0; i < FLOWS_CONNECTIONS; i++)
		assert_in_range(flows.tcp_ended[i], 0, FLOWS_GUEST | FLOWS_PEER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(connection_begins_and_ends, setup),
		cmocka_unit_test_setup(the_oldest_is_replaced, setup),
		cmocka_unit_test_setup(probes, setup),
		cmocka_unit_test_setup(neighbours, setup),
		cmocka_unit_test_setup(random_bytes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
