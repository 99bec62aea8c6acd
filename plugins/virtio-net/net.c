/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card (virtio 1.2, section 5.1) with one pair of queues, or with several and a control
 * queue. A back end connects it to the host (net.h): user.c, tap.c, or none.
 *
 * Packets wait if the driver has no buffer for them. A snapshot contains them. While a packet
 * waits, the card reads no more from the back end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "card.h"

/* Gives the back end the features that the driver has accepted. */
static void
net_set_features(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);

	if (n->back && n->kind->set_features && n->features_set != n->virtio.driver_features)
		n->kind->set_features(n->back, n->virtio.driver_features);
	n->features_set = n->virtio.driver_features;
}

static int
net_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct net *n = minivmm_state(dev);

	net_set_features(dev);
	/* The control queue is after all pairs, or after the first without NET_F_MQ. */
	if (virtio_has(&n->virtio, NET_F_CTRL_VQ) &&
	    queue == 2 * (virtio_has(&n->virtio, NET_F_MQ) ? n->queues : 1))
		net_control(dev, queue);
	else if (queue / 2 >= n->pairs)
		return 0;
	else if (queue % 2 == RECEIVE)
		net_drain(dev);
	else
		net_transmit(dev, queue / 2);
	net_publish(dev);
	return 0;
}

static uint64_t
net_features(struct minivmm_device *dev)
{
	const struct net *n = minivmm_state(dev);

	return NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF |
	       (n->queues > 1 ? NET_F_CTRL_VQ | NET_F_MQ : 0) | (n->kind ? n->kind->features : 0);
}

/* struct virtio_net_config, section 5.1.4. */
static void
net_config(struct minivmm_device *dev, uint8_t *config)
{
	const struct net *n = minivmm_state(dev);

	memcpy(config, n->address, sizeof(n->address));
	config[6] = n->kind ? 1 : 0; /* the link is up */
	config[8] = (uint8_t)n->queues;
}

/* Waiting packets were for the previous driver: drops them. */
static void
net_reset(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);
	struct net_waiting head;

	for (size_t at = 0; at < n->waiting_used; at += sizeof(head) + head.length) {
		memcpy(&head, n->waiting + at, sizeof(head));
		n->lost++;
	}
	n->waiting_used = 0;
	net_use_pairs(dev, 1);
}

#define KIND(n)                                                                                    \
	{                                                                                          \
		.id = 1, .queues = (n), .features = net_features, .config = net_config,            \
		.notify = net_notify, .reset = net_reset                                           \
	}
static const struct virtio_kind kinds[NET_PAIRS] = { KIND(2), KIND(5), KIND(7), KIND(9) };

static void
net_disconnect(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);

	if (n->back)
		n->kind->close(n->back);
	n->back = NULL;
	memset(n->full, false, sizeof(n->full));
	memset(n->watched, 0, sizeof(n->watched));
	n->rate_due = n->features_set = 0;
}

static int
net_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct net *n = minivmm_state(dev);
	uint32_t pair = watch - NET_WATCH_BACKEND;

	n->virtio.budget = VIRTIO_BUDGET;
	if (!n->kind->ready(n->back, pair, events)) {
		net_publish(dev);
		net_unwatch(dev);
		net_disconnect(dev);
		return -1;
	}
	if (n->full[pair] && events & ~(uint32_t)EPOLLIN) {
		n->full[pair] = false;
		net_transmit(dev, pair);
	}
	net_publish(dev);
	return net_watch(dev, 0);
}

static int
net_rate_timer(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct net *n = minivmm_state(dev);

	n->rate_due = 0;
	return virtio_process_pending(dev, 0);
}

static int
net_backend_timer(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	struct net *n = minivmm_state(dev);

	n->virtio.budget = VIRTIO_BUDGET;
	if (n->back && n->kind->timer)
		n->kind->timer(n->back);
	net_publish(dev);
	return 0;
}

static int
net_configure_backend(struct minivmm_device *dev)
{
	static const struct net_backend *const backends[] = { &user_backend, &tap_backend };
	struct net *n = minivmm_state(dev);

	if (!strcmp(n->backend, "none"))
		return 0;
	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
		const struct net_backend *b = backends[i];
		size_t length = strlen(b->name);

		if (strncmp(n->backend, b->name, length) != 0 ||
		    n->backend[length] != (b->interface ? ':' : 0))
			continue;
		n->kind = b;
		n->interface = n->backend + length + b->interface;
		if (!b->interface || *n->interface)
			return 0;
	}
	minivmm_error(dev, "backend = %s is not valid; use user, tap:INTERFACE or none",
		      n->backend);
	return -1;
}

/* Parses six bytes in hex. A multicast address is not valid. */
static int
net_configure_mac(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);
	uint8_t *a = n->configured;
	char rest;

	if (!*n->mac)
		return 0;
	if (strlen(n->mac) == 17 &&
	    sscanf(n->mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", a, a + 1, a + 2, a + 3, a + 4,
		   a + 5, &rest) == 6 &&
	    !(a[0] & 1) && (a[0] | a[1] | a[2] | a[3] | a[4] | a[5]))
		return 0;
	minivmm_error(dev,
		      "mac = %s is not valid; use six bytes in hex, the first one even and not all "
		      "0, as in 52:54:00:12:34:56",
		      n->mac);
	return -1;
}

static struct net_options
net_options(struct net *n)
{
	return (struct net_options){ n->interface, n->forward, n->queues, n->restricted,
				     &n->flows };
}

static int
net_configure(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);
	struct net_options options;

	n->virtio.kind = &kinds[n->queues - 1];
	if (net_configure_backend(dev) | net_configure_mac(dev) |
	    rate_configure(dev, &n->receiving, n->rate, n->burst))
		return -1;
	memcpy(n->sending.each, n->receiving.each, sizeof(n->sending.each));
	memcpy(n->sending.burst, n->receiving.burst, sizeof(n->sending.burst));
	if (n->queues > 1 && (!n->kind || !n->kind->use_pairs)) {
		minivmm_error(dev, "queues = %u needs backend = tap:INTERFACE, not %s", n->queues,
			      n->backend);
		return -1;
	}
	if (n->kind != &user_backend && (*n->forward || n->restricted)) {
		minivmm_error(dev, "forward and restrict need backend = user, not %s", n->backend);
		return -1;
	}
	options = net_options(n);
	return n->kind && n->kind->check ? n->kind->check(dev, &options) : 0;
}

static int
net_connect(struct minivmm_device *dev, bool restored)
{
	struct net *n = minivmm_state(dev);
	const struct net_options options = net_options(n);

	if (!n->kind)
		return 0;
	n->back = n->kind->open(dev, &options, restored);
	if (!n->back)
		return -1;
	if (n->kind->load && n->loaded_length &&
	    n->kind->load(n->back, n->loaded, n->loaded_length))
		return -1;
	n->loaded_length = 0;
	net_use_pairs(dev, n->pairs);
	return net_watch(dev, 0);
}

/* Sets the MAC address: that of the option, or a random one. */
static void
net_set_address(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);

	if (*n->mac) {
		memcpy(n->address, n->configured, sizeof(n->address));
		return;
	}
	n->address[0] = 0x52;
	n->address[1] = 0x54;
	minivmm_random(dev, n->address + 3, 3);
}

static int
net_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct net *n = minivmm_state(dev);

	if (start->reason == MINIVMM_FRESH) {
		net_set_address(dev);
		n->pairs = 1;
	}
	if (n->virtio.status & VIRTIO_FEATURES_OK &&
	    n->virtio.driver_features & ~virtio_offered(dev, &n->virtio)) {
		minivmm_error(dev,
			      "the driver uses features that backend = %s does not have (0x%llx); "
			      "restore with the same kind of back end as before",
			      n->backend,
			      (unsigned long long)(n->virtio.driver_features &
						   ~virtio_offered(dev, &n->virtio)));
		return -1;
	}
	if (net_unwatch(dev))
		return -1;
	net_disconnect(dev);
	n->virtio.budget = VIRTIO_BUDGET;
	if (net_connect(dev, start->reason != MINIVMM_FRESH))
		return -1;
	if (n->virtio.status & VIRTIO_DRIVER_OK)
		net_set_features(dev);
	net_publish(dev);
	return virtio_process_pending(dev, 0);
}

static void
net_destroy(struct minivmm_device *dev)
{
	net_disconnect(dev);
	free(((struct net *)minivmm_state(dev))->waiting);
}

static int
net_save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	struct net *n = minivmm_state(dev);
	uint8_t bytes[NET_STATE_MAX];
	const uint8_t *state = n->loaded;
	size_t length = n->loaded_length;

	/* Between a load and the start, the back end has the state of before. */
	if (n->back && n->kind->save && !n->loaded_length) {
		state = bytes;
		length = n->kind->save(n->back, bytes, sizeof(bytes));
	}
	if (minivmm_save_fields(dev, writer) ||
	    minivmm_put_array(dev, writer, "waiting", MINIVMM_U8, n->waiting, n->waiting_used))
		return -1;
	return minivmm_put_array(dev, writer, "backend", MINIVMM_U8, state, length);
}

static int
net_load(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	struct net *n = minivmm_state(dev);

	if (!n->waiting)
		n->waiting = malloc(WAITING);
	if (!n->waiting) {
		minivmm_error(dev, "no memory for %u bytes of waiting packets: %s", WAITING,
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, ENOMEM).text);
		return -1;
	}
	if (minivmm_load_fields(dev, reader, version) ||
	    minivmm_get_array(dev, reader, "waiting", MINIVMM_U8, n->waiting, WAITING,
			      &n->waiting_used))
		return -1;
	return minivmm_get_array(dev, reader, "backend", MINIVMM_U8, n->loaded, sizeof(n->loaded),
				 &n->loaded_length);
}

static int
net_loaded(struct minivmm_device *dev)
{
	const struct net *n = minivmm_state(dev);
	size_t at = 0;

	while (at < n->waiting_used) {
		struct net_waiting head = { 0 };

		if (n->waiting_used - at >= sizeof(head))
			memcpy(&head, n->waiting + at, sizeof(head));
		at += sizeof(head);
		if (head.length < NET_HEADER + NET_FRAME_MIN || head.length > NET_PACKET_MAX ||
		    head.length > n->waiting_used - at || head.pair >= n->queues) {
			minivmm_error(dev,
				      "the state has a waiting packet of %u bytes for pair %u, "
				      "which is not valid; the snapshot is damaged",
				      head.length, head.pair);
			return -1;
		}
		at += head.length;
	}
	if (!n->pairs || n->pairs > n->queues) {
		minivmm_error(dev,
			      "the state uses %u pairs of queues of %u; the snapshot is damaged",
			      n->pairs, n->queues);
		return -1;
	}
	return virtio_loaded(dev);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct net),
	MINIVMM_OPTION(struct net, backend, NULL,
		       "what the card is connected to: user, tap:INTERFACE or none",
		       .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct net, queues, "1",
		       "number of pairs of queues; more than 1 needs a tap", .min = 1,
		       .max = NET_PAIRS),
	MINIVMM_OPTION(struct net, mac, "", "MAC address, as 52:54:00:12:34:56; default: random",
		       .flags = MINIVMM_UNIQUE),
	MINIVMM_OPTION(struct net, forward, "",
		       "with backend = user: forwarded ports of the host, as "
		       "tcp:127.0.0.1:2222:22,udp:0.0.0.0:53:53",
		       .flags = MINIVMM_HOST),
	{ .name = "restrict",
	  .type = MINIVMM_OPTION_TYPE(struct net, restricted),
	  .offset = (uint32_t)offsetof(struct net, restricted),
	  .initial = "no",
	  .help = "with backend = user: whether the guest can reach only its gateway; forwarded "
		  "ports still work",
	  .flags = MINIVMM_HOST },
	MINIVMM_OPTION(struct net, rate, "", RATE_HELP "; for each direction"),
	MINIVMM_OPTION(struct net, burst, "", RATE_BURST_HELP),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct net, 1, 0x020000, VIRTIO_QUEUES),
					  MINIVMM_END };

static const struct minivmm_timer timers[] = {
	{ .name = "rate",
	  .fire = net_rate_timer,
	  .help = "continues when the rate limit allows it" },
	{ .name = "backend", .fire = net_backend_timer, .help = "the back end's next timeout" },
	MINIVMM_END,
};

static const struct minivmm_watch watches[] = {
	{ .name = "backend", .ready = net_ready, .help = "packets from the host" },
	{ .name = "backend1", .ready = net_ready, .help = "packets for the second pair of queues" },
	{ .name = "backend2", .ready = net_ready, .help = "packets for the third pair" },
	{ .name = "backend3", .ready = net_ready, .help = "packets for the fourth pair" },
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "again", .run = virtio_process_pending, .help = "processes pending queues" },
	{ .name = "watch", .run = net_watch, .help = "updates the watches of the back end" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct net),
	MINIVMM_FIELD(struct net, address, .help = "MAC address"),
	MINIVMM_FIELD(struct net, pairs, .max = NET_PAIRS,
		      .help = "pairs of queues that the driver uses"),
	MINIVMM_FIELD(struct net, received, .help = "packets received by the driver"),
	MINIVMM_FIELD(struct net, lost, .help = "packets dropped before they reached the driver"),
	MINIVMM_FIELD(struct net, sent, .help = "packets of the guest that were sent"),
	MINIVMM_FIELD(struct net, refused, .help = "packets of the guest that were dropped"),
	RATE_FIELD(struct net, receiving),
	RATE_FIELD(struct net, sending),
	MINIVMM_FIELD(struct net, flows.neighbour_ip, .help = "IP addresses of the guest"),
	MINIVMM_FIELD(struct net, flows.neighbour_mac, .max = 0xffffffffffff,
		      .help = "MAC addresses of these"),
	MINIVMM_FIELD(struct net, flows.neighbour_next, .max = FLOWS_NEIGHBOURS - 1,
		      .help = "next entry to replace"),
	MINIVMM_FIELD(struct net, flows.tcp_guest, .max = 0xffffffffffff,
		      .help = "TCP connections: addresses of the guest"),
	MINIVMM_FIELD(struct net, flows.tcp_peer, .max = 0xffffffffffff,
		      .help = "TCP connections: addresses of the peers"),
	MINIVMM_FIELD(struct net, flows.tcp_ended, .max = FLOWS_GUEST | FLOWS_PEER,
		      .help = "TCP connections: which sides have closed"),
	MINIVMM_FIELD(struct net, flows.tcp_next, .max = FLOWS_CONNECTIONS - 1,
		      .help = "next entry to replace"),
	MINIVMM_END,
};

static const struct minivmm_plugin net = {
	.name = "virtio-net",
	.summary = "a virtio network card",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct net),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.timers = timers,
	.watches = watches,
	.posts = posts,
	.fields = fields,
	.configure = net_configure,
	.start = net_start,
	.destroy = net_destroy,
	.save = net_save,
	.load = net_load,
	.loaded = net_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(net, MINIVMM_HAS_PCI);
