/* SPDX-License-Identifier: BSD-2-Clause */
/* Tracks the guest's IP addresses and TCP connections by its frames: Ethernet, ARP, IPv4 and TCP
 * (RFC 826, 791, 9293). */
#include "flows.h"

#include <stdbool.h>
#include <string.h>

enum { ETHERNET = 14, ARP = 28, IP = 20, TCP = 20 }; /* lengths */
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
#define TYPE_IP 0x0800u
#define TYPE_ARP 0x0806u
#define PROTOCOL_TCP 6u

static uint64_t
get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *at++;
	return value;
}

static void
put(uint8_t *at, size_t bytes, uint64_t value)
{
	while (bytes--) {
		at[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

/* The guest announces the MAC address of one of its IP addresses. */
static void
note_arp(struct flows *f, const uint8_t *arp)
{
	uint32_t ip = (uint32_t)get(arp + 14, 4), i;

	if (!ip)
		return;
	for (i = 0; i < FLOWS_NEIGHBOURS && f->neighbour_ip[i] != ip; i++)
		;
	if (i == FLOWS_NEIGHBOURS) {
		i = f->neighbour_next % FLOWS_NEIGHBOURS;
		f->neighbour_next = (i + 1) % FLOWS_NEIGHBOURS;
	}
	f->neighbour_ip[i] = ip;
	f->neighbour_mac[i] = get(arp + 8, 6);
}

static void
forget(struct flows *f, uint32_t i)
{
	f->tcp_guest[i] = f->tcp_peer[i] = 0;
	f->tcp_ended[i] = 0;
}

static void
note_tcp(struct flows *f, int sender, uint64_t guest, uint64_t peer, uint8_t flags)
{
	uint32_t i;

	for (i = 0; i < FLOWS_CONNECTIONS; i++)
		if (f->tcp_guest[i] == guest && f->tcp_peer[i] == peer)
			break;
	if (flags & SYN && i == FLOWS_CONNECTIONS) {
		i = f->tcp_next % FLOWS_CONNECTIONS;
		f->tcp_next = (i + 1) % FLOWS_CONNECTIONS;
		f->tcp_guest[i] = guest;
		f->tcp_peer[i] = peer;
		f->tcp_ended[i] = 0;
	}
	if (i == FLOWS_CONNECTIONS)
		return;
	if (flags & FIN)
		f->tcp_ended[i] |= (uint8_t)sender;
	if (flags & RST || f->tcp_ended[i] == (FLOWS_GUEST | FLOWS_PEER))
		forget(f, i);
}

void
flows_note(struct flows *f, int sender, const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + ETHERNET, *tcp;
	size_t header;
	uint64_t from, to;

	if (length < ETHERNET + ARP)
		return;
	if (get(frame + 12, 2) == TYPE_ARP && sender == FLOWS_GUEST)
		note_arp(f, ip);
	if (get(frame + 12, 2) != TYPE_IP || ip[0] >> 4 != 4 || ip[9] != PROTOCOL_TCP ||
	    get(ip + 6, 2) & 0x1fff) /* a later fragment */
		return;
	header = (ip[0] & 15u) * 4u;
	if (header < IP || length < ETHERNET + header + TCP)
		return;
	tcp = ip + header;
	if (!(tcp[13] & (FIN | SYN | RST)))
		return;
	from = get(ip + 12, 4) << 16 | get(tcp, 2);
	to = get(ip + 16, 4) << 16 | get(tcp + 2, 2);
	if (sender == FLOWS_GUEST)
		note_tcp(f, sender, from, to, tcp[13]);
	else
		note_tcp(f, sender, to, from, tcp[13]);
}

void
flows_neighbours(const struct flows *f, void (*take)(void *argument, uint8_t *frame),
		 void *argument)
{
	for (uint32_t i = 0; i < FLOWS_NEIGHBOURS; i++) {
		uint8_t frame[FLOWS_FRAME] = { 0 }, *arp = frame + ETHERNET;

		if (!f->neighbour_ip[i])
			continue;
		memset(frame, 0xff, 6);
		put(frame + 6, 6, f->neighbour_mac[i]);
		put(frame + 12, 2, TYPE_ARP);
		put(arp, 8, 0x0001080006040002); /* Ethernet, IPv4, address lengths, reply */
		put(arp + 8, 6, f->neighbour_mac[i]);
		put(arp + 14, 4, f->neighbour_ip[i]);
		put(arp + 18, 6, f->neighbour_mac[i]);
		put(arp + 24, 4, f->neighbour_ip[i]);
		take(argument, frame);
	}
}

/* Returns the Internet checksum of an even number of bytes; sum: the sum of preceding data. */
static uint16_t
checksum(const uint8_t *at, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i < bytes; i += 2)
		sum += (uint32_t)get(at + i, 2);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint64_t
mac_of(const struct flows *f, uint32_t ip)
{
	for (uint32_t i = 0; i < FLOWS_NEIGHBOURS; i++)
		if (f->neighbour_ip[i] == ip)
			return f->neighbour_mac[i];
	return 0xffffffffffff;
}

static void
probe(const struct flows *f, uint32_t i, uint32_t sequence, uint8_t frame[FLOWS_FRAME])
{
	uint32_t guest = (uint32_t)(f->tcp_guest[i] >> 16), peer = (uint32_t)(f->tcp_peer[i] >> 16);
	uint8_t *ip = frame + ETHERNET, *tcp = ip + IP;

	memset(frame, 0, FLOWS_FRAME);
	put(frame, 6, mac_of(f, guest));
	put(frame + 6, 6, 0x525500000000 | peer);
	put(frame + 12, 2, TYPE_IP);
	put(ip, 4, 0x45000000 | (IP + TCP));
	put(ip + 8, 2, 64 << 8 | PROTOCOL_TCP);
	put(ip + 12, 4, peer);
	put(ip + 16, 4, guest);
	put(ip + 10, 2, checksum(ip, IP, 0));
	put(tcp, 2, f->tcp_peer[i] & 0xffff);
	put(tcp + 2, 2, f->tcp_guest[i] & 0xffff);
	put(tcp + 4, 4, sequence);
	tcp[12] = TCP / 4 << 4;
	tcp[13] = ACK;
	put(tcp + 16, 2,
	    checksum(ip + 12, 8 + TCP, PROTOCOL_TCP + TCP)); /* with the pseudo header */
}

void
flows_probes(const struct flows *f, void (*take)(void *argument, uint8_t *frame), void *argument)
{
	uint8_t frame[FLOWS_FRAME];

	for (uint32_t i = 0; i < FLOWS_CONNECTIONS; i++) {
		if (!f->tcp_guest[i])
			continue;
		/* A window covers less than half of all sequence numbers: one of the two is
		 * outside. */
		probe(f, i, 0, frame);
		take(argument, frame);
		probe(f, i, 1u << 31, frame);
		take(argument, frame);
	}
}
