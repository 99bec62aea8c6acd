/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User-mode networking: libslirp is the guest's gateway (10.0.2.2), name server (10.0.2.3) and DHCP
 * server (addresses from 10.0.2.15 on). It opens a socket for each connection of the guest. An
 * epoll set contains its sockets, and the machine's event loop watches that set.
 *
 * IPv4 only: libslirp sends IPv6 router advertisements at random times, which no replay could
 * reproduce. libslirp has one clock for all networks of a process, so each call updates it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "user.h"

#define MTU 1500
#define FRAME_MIN 64 /* libslirp reads this much of an ARP packet, however short it is */

static ssize_t
user_send_packet(const void *frame, size_t length, void *opaque)
{
	struct user *u = opaque;
	uint8_t packet[NET_HEADER + 2 * MTU] = { 0 };

	if (length <= sizeof(packet) - NET_HEADER) {
		memcpy(packet + NET_HEADER, frame, length);
		flows_note(u->options.flows, FLOWS_PEER, frame, length);
		net_receive(u->dev, 0, packet, NET_HEADER + length);
	}
	return (ssize_t)length;
}

static void
user_guest_error(const char *message, void *opaque)
{
	minivmm_log(((struct user *)opaque)->dev, MINIVMM_WARNING,
		    "libslirp reports an error in a packet of the guest: %s", message);
}

static int64_t
user_clock(void *opaque)
{
	const struct user *u = opaque;

	return (int64_t)(minivmm_now(u->dev) + u->ahead);
}

/* Callbacks without effect. Timers serve IPv6 only. */
static void *
user_no_timer(SlirpTimerCb call, void *argument, void *opaque)
{
	return NULL;
}

static void
user_timer_free(void *timer, void *opaque)
{
}

static void
user_timer_mod(void *timer, int64_t ms, void *opaque)
{
}

static void
user_notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = user_send_packet,
	.guest_error = user_guest_error,
	.clock_get_ns = user_clock,
	.timer_new = user_no_timer,
	.timer_free = user_timer_free,
	.timer_mod = user_timer_mod,
	.register_poll_fd = user_register_fd,
	.unregister_poll_fd = user_unregister_fd,
	.notify = user_notify,
};

/* The kind of flow that the frame may open; USER_CLOSED: none. */
static enum user_kind
user_opens(const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + 14;
	size_t header;

	if (length < 14 + 20 || frame[12] != 8 || frame[13]) /* IPv4 */
		return USER_CLOSED;
	header = (ip[0] & 15u) * 4u;
	if (ip[9] == IPPROTO_UDP || ip[9] == IPPROTO_ICMP)
		return USER_DATAGRAMS;
	/* TCP: SYN without ACK. */
	return ip[9] == IPPROTO_TCP && length > 14 + header + 13 && (ip[header + 13] & 0x12) == 2
		   ? USER_STREAM
		   : USER_CLOSED;
}

static enum net_sent
user_send(void *backend, uint32_t pair, uint8_t *packet, size_t length)
{
	struct user *u = backend;
	uint8_t padded[FRAME_MIN] = { 0 };
	uint8_t *frame = packet + NET_HEADER;

	/* The driver has not accepted any offload. */
	if (packet[0] || packet[1])
		return NET_DROPPED;
	length -= NET_HEADER;
	if (!user_admits(u, user_opens(frame, length)))
		return NET_DROPPED;
	flows_note(u->options.flows, FLOWS_GUEST, frame, length);
	if (length < FRAME_MIN) {
		memcpy(padded, frame, length);
		frame = padded;
		length = FRAME_MIN;
	}
	slirp_input(u->slirp, frame, (int)length);
	return NET_SENT;
}

/* An entry of option forward: a port of the host that is forwarded to a port of the guest. */
struct user_forward {
	char protocol[4], text[16];
	struct in_addr address;
	unsigned from, to;
};

/* Parses an entry, as "tcp:127.0.0.1:2222:22", into f. Returns what is wrong with it; NULL:
 * nothing. */
static const char *
user_forward_parse(const char *text, size_t length, struct user_forward *f)
{
	char one[64], rest;

	snprintf(one, sizeof(one), "%.*s", (int)(length < sizeof(one) ? length : sizeof(one) - 1),
		 text);
	if (length >= sizeof(one) || sscanf(one, " %3[a-z]:%15[0-9.]:%5u:%5u %c", f->protocol,
					    f->text, &f->from, &f->to, &rest) != 4)
		return "an entry is not valid";
	if (strcmp(f->protocol, "tcp") != 0 && strcmp(f->protocol, "udp") != 0)
		return "the protocol is neither tcp nor udp";
	if (inet_pton(AF_INET, f->text, &f->address) != 1)
		return "the address is not an IPv4 address";
	if (!f->from || f->from > UINT16_MAX || !f->to || f->to > UINT16_MAX)
		return "a port is not from 1 to 65535";
	return NULL;
}

static int
user_listen(struct user *u, const struct user_forward *f)
{
	const struct in_addr guest = { 0 }; /* 0.0.0.0: the first address that DHCP has assigned */

	if (!slirp_add_hostfwd(u->slirp, *f->protocol == 'u', f->address, (int)f->from, guest,
			       (int)f->to))
		return 0;
	minivmm_error(u->dev, "cannot listen on %s:%s:%u for forward: %s", f->protocol, f->text,
		      f->from, minivmm_error_text(u->dev, MINIVMM_CALL_OTHER, errno).text);
	return -1;
}

/* Parses the list, and listens on each port. u NULL: only checks the list. */
static int
user_forwards(struct minivmm_device *dev, const char *list, struct user *u)
{
	for (const char *text = list; *text;) {
		size_t length = strcspn(text, ",");
		struct user_forward f;
		const char *wrong = user_forward_parse(text, length, &f);

		if (wrong) {
			minivmm_error(dev,
				      "forward = %s: %s; use a list as "
				      "tcp:127.0.0.1:2222:22,udp:0.0.0.0:53:53 "
				      "(PROTOCOL:ADDRESS:PORT:GUESTPORT)",
				      list, wrong);
			return -1;
		}
		if (u && user_listen(u, &f))
			return -1;
		text += length + (text[length] == ',');
	}
	return 0;
}

static int
user_check(struct minivmm_device *dev, const struct net_options *options)
{
	return user_forwards(dev, options->forward, NULL);
}

static void
user_close(void *backend)
{
	struct user *u = backend;

	if (u->slirp)
		slirp_cleanup(u->slirp);
	if (u->epoll >= 0)
		close(u->epoll);
	free(u->fds);
	free(u->list);
	free(u);
}

static void
user_input_arp(void *argument, uint8_t *frame)
{
	slirp_input(((struct user *)argument)->slirp, frame, FLOWS_FRAME);
}

static void
user_probe(void *argument, uint8_t *frame)
{
	uint8_t packet[NET_HEADER + 60] = { 0 };

	memcpy(packet + NET_HEADER, frame, sizeof(packet) - NET_HEADER);
	net_receive(((struct user *)argument)->dev, 0, packet, sizeof(packet));
}

static void *
user_open(struct minivmm_device *dev, const struct net_options *options, bool restored)
{
	const SlirpConfig config = {
		.version = 1,
		.restricted = options->restricted,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vnameserver.s_addr = htonl(0x0a000203),
		.if_mtu = MTU,
		.if_mru = MTU,
	};
	struct user *u = calloc(1, sizeof(*u));

	if (!u) {
		minivmm_error(dev, "no memory for backend = user: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, ENOMEM).text);
		return NULL;
	}
	u->dev = dev;
	u->options = *options;
	u->callbacks = callbacks;
	user_limit(u);
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->epoll < 0)
		minivmm_error(dev, "cannot create an epoll set: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
	else
		u->slirp = slirp_new(&config, &u->callbacks, u);
	if (!u->slirp || user_forwards(dev, options->forward, u)) {
		user_close(u);
		return NULL;
	}
	if (restored) {
		flows_neighbours(options->flows, user_input_arp, u);
		flows_probes(options->flows, user_probe, u);
	}
	user_settle(u);
	return u;
}

static int
user_fd_of(const void *backend, uint32_t pair)
{
	return ((const struct user *)backend)->epoll;
}

/* A buffer for libslirp's state. */
struct user_bytes {
	uint8_t *at;
	size_t length, done;
};

static ssize_t
user_put(const void *bytes, size_t length, void *opaque)
{
	struct user_bytes *b = opaque;

	if (length > b->length - b->done)
		return -1;
	memcpy(b->at + b->done, bytes, length);
	b->done += length;
	return (ssize_t)length;
}

static ssize_t
user_get(void *bytes, size_t length, void *opaque)
{
	struct user_bytes *b = opaque;
	size_t part = length < b->length - b->done ? length : b->length - b->done;

	memset(bytes, 0, length); /* libslirp ignores a short count */
	memcpy(bytes, b->at + b->done, part);
	b->done += part;
	return (ssize_t)length;
}

/* Saves the version of the state, then libslirp's state: DHCP leases and packet counters. */
static size_t
user_save(void *backend, uint8_t *bytes, size_t length)
{
	struct user_bytes b = { bytes, length, 0 };
	uint32_t version = (uint32_t)slirp_state_version();

	user_put(&version, sizeof(version), &b);
	slirp_state_save(((struct user *)backend)->slirp, user_put, &b);
	return b.done;
}

/*
 * The state of a snapshot is untrusted. libslirp does not check saved sockets, so a state with
 * sockets is refused; none of ours has any. The rest are numbers. The state of another version is
 * ignored.
 */
static int
user_load(void *backend, const uint8_t *bytes, size_t length)
{
	struct user *u = backend;
	uint8_t now[NET_STATE_MAX];
	struct user_bytes b = { (uint8_t *)bytes, length, 0 };
	uint32_t version;

	user_get(&version, sizeof(version), &b);
	if (version != (uint32_t)slirp_state_version()) {
		minivmm_log(u->dev, MINIVMM_WARNING,
			    "the snapshot has version %u of libslirp's state, which libslirp %s "
			    "here does not have; DHCP leases are lost",
			    version, slirp_version_string());
		return 0;
	}
	if (length != user_save(u, now, sizeof(now)) || bytes[sizeof(version)] ||
	    slirp_state_load(u->slirp, (int)version, user_get, &b)) {
		minivmm_error(
		    u->dev,
		    "%zu bytes are not a valid state of libslirp %s; the snapshot is damaged",
		    length, slirp_version_string());
		return -1;
	}
	return 0;
}

const struct net_backend user_backend = {
	.name = "user",
	.check = user_check,
	.open = user_open,
	.close = user_close,
	.fd = user_fd_of,
	.send = user_send,
	.settle = user_settle,
	.ready = user_ready,
	.timer = user_timer,
	.save = user_save,
	.load = user_load,
};
