/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap interface of the host. Packets pass between guest and kernel with the driver's header, so
 * checksums and segmentation are offloaded to the last receiver, and are often not needed at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"

#define PACKETS 64 /* packets to read before other work of the thread */

struct tap {
	struct minivmm_device *dev;
	uint32_t pairs, used; /* queues of the tap, and those attached */
	int fds[NET_PAIRS];
	uint8_t packet[NET_PACKET_MAX];
};

static void
tap_close(void *backend)
{
	struct tap *t = backend;

	for (uint32_t i = 0; i < t->pairs; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	free(t);
}

static int
tap_fd(const void *backend, uint32_t pair)
{
	return ((const struct tap *)backend)->fds[pair];
}

static int
tap_check(struct minivmm_device *dev, const struct net_options *options)
{
	if (strlen(options->interface) < IFNAMSIZ)
		return 0;
	minivmm_error(dev, "backend = tap:%s: the name of an interface has at most %u characters",
		      options->interface, IFNAMSIZ - 1);
	return -1;
}

static int
tap_attach(struct tap *t, const char *interface, int *fd)
{
	bool several = t->pairs > 1;
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
					      (several ? IFF_MULTI_QUEUE : 0) };
	int header = NET_HEADER;

	strcpy(request.ifr_name, interface); /* tap_check() has checked the length */
	*fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0) {
		minivmm_error(t->dev,
			      "cannot open /dev/net/tun for backend = tap:%s: %s; load the module "
			      "with modprobe tun",
			      interface,
			      minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text);
		return -1;
	}
	if (ioctl(*fd, TUNSETIFF, &request)) {
		minivmm_error(t->dev, "cannot attach to the tap %s: %s%s%s", interface,
			      minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text,
			      errno == EPERM || errno == EINVAL
				  ? "; as root, run ip tuntap add NAME mode tap user YOU"
				  : "",
			      errno == EINVAL && several ? " multi_queue" : "");
		return -1;
	}
	if (ioctl(*fd, TUNSETVNETHDRSZ, &header) || ioctl(*fd, TUNSETOFFLOAD, 0)) {
		minivmm_error(t->dev, "cannot set the tap %s to headers of %d bytes: %s", interface,
			      header, minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text);
		return -1;
	}
	return 0;
}

static void *
tap_open(struct minivmm_device *dev, const struct net_options *options, bool restored)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		minivmm_error(dev, "no memory for backend = tap: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, ENOMEM).text);
		return NULL;
	}
	t->dev = dev;
	t->pairs = t->used = options->pairs;
	memset(t->fds, -1, sizeof(t->fds));
	for (uint32_t i = 0; i < t->pairs; i++)
		if (tap_attach(t, options->interface, &t->fds[i])) {
			tap_close(t);
			return NULL;
		}
	return t;
}

/* The kernel distributes packets to the attached queues. */
static void
tap_use_pairs(void *backend, uint32_t pairs)
{
	struct tap *t = backend;

	while (t->used != pairs) {
		bool more = t->used < pairs;
		struct ifreq request = { .ifr_flags = more ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
		uint32_t pair = more ? t->used++ : --t->used;

		if (ioctl(t->fds[pair], TUNSETQUEUE, &request))
			minivmm_error(t->dev, "queue %u of the tap cannot be %s: %s", pair,
				      more ? "attached" : "detached",
				      minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text);
	}
}

/* Tells the kernel which offloads the driver accepts. */
static void
tap_set_features(void *backend, uint64_t features)
{
	const struct tap *t = backend;
	unsigned offload = 0;

	if (features & NET_F_GUEST_CSUM)
		offload |= TUN_F_CSUM;
	if (features & NET_F_GUEST_CSUM && features & NET_F_GUEST_TSO4)
		offload |= TUN_F_TSO4;
	if (features & NET_F_GUEST_CSUM && features & NET_F_GUEST_TSO6)
		offload |= TUN_F_TSO6;
	if (ioctl(t->fds[0], TUNSETOFFLOAD, offload)) /* this applies to all queues */
		minivmm_error(t->dev, "cannot set offloads 0x%x of the tap: %s", offload,
			      minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text);
}

static enum net_sent
tap_send(void *backend, uint32_t pair, uint8_t *packet, size_t length)
{
	const struct tap *t = backend;
	ssize_t n;

	do
		n = write(t->fds[pair], packet, length);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return NET_FULL;
	/* A packet that the kernel refuses is dropped, as on a wire: the interface may be down, or
	 * the header invalid. */
	return n < 0 ? NET_DROPPED : NET_SENT;
}

static bool
tap_ready(void *backend, uint32_t pair, uint32_t events)
{
	struct tap *t = backend;

	for (int i = 0; i < PACKETS && net_wants(t->dev); i++) {
		ssize_t n = read(t->fds[pair], t->packet, sizeof(t->packet));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			minivmm_error(t->dev, "the tap is gone: %s",
				      minivmm_error_text(t->dev, MINIVMM_CALL_OTHER, errno).text);
			return false;
		}
		if (n <= 0)
			break;
		if ((size_t)n >= NET_HEADER + NET_FRAME_MIN)
			net_receive(t->dev, pair, t->packet, (size_t)n);
	}
	return true;
}

const struct net_backend tap_backend = {
	.name = "tap",
	.interface = true,
	.features = NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_GUEST_CSUM |
		    NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6,
	.check = tap_check,
	.open = tap_open,
	.close = tap_close,
	.fd = tap_fd,
	.use_pairs = tap_use_pairs,
	.send = tap_send,
	.ready = tap_ready,
	.set_features = tap_set_features,
};
