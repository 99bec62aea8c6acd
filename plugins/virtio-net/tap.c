/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap interface of the host: packets go to the kernel with the driver's own header, so that
 * checksums and cutting large packets to size are left to whoever does them last, most often
 * nobody.
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

#define PACKETS 64 /* that are read in one go, before others have their turn */

struct tap {
	struct minivmm_device *dev;
	uint32_t pairs, used; /* queues of the tap, and those that take part */
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
	minivmm_error(dev, "backend = tap:%s: a name has at most %u characters", options->interface,
		      IFNAMSIZ - 1);
	return -1;
}

static int
tap_attach(struct tap *t, const char *interface, int *fd)
{
	bool several = t->pairs > 1;
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
					      (several ? IFF_MULTI_QUEUE : 0) };
	int header = NET_HEADER;

	strcpy(request.ifr_name, interface); /* which fits: tap_check() */
	*fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0) {
		minivmm_error(t->dev,
			      "can't open /dev/net/tun for backend = tap:%s: %s: modprobe tun?",
			      interface, strerror(errno));
		return -1;
	}
	if (ioctl(*fd, TUNSETIFF, &request)) {
		minivmm_error(t->dev, "can't attach to the tap %s: %s%s%s", interface,
			      strerror(errno),
			      errno == EPERM || errno == EINVAL
				  ? ": as root, ip tuntap add NAME mode tap user YOU"
				  : "",
			      errno == EINVAL && several ? " multi_queue" : "");
		return -1;
	}
	if (ioctl(*fd, TUNSETVNETHDRSZ, &header) || ioctl(*fd, TUNSETOFFLOAD, 0)) {
		minivmm_error(t->dev, "the tap %s does not take headers of %d bytes: %s", interface,
			      header, strerror(errno));
		return -1;
	}
	return 0;
}

static void *
tap_open(struct minivmm_device *dev, const struct net_options *options, bool restored)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t) {
		minivmm_error(dev, "no memory for a tap");
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

/* The kernel spreads packets over the queues that are attached. */
static void
tap_use(void *backend, uint32_t pairs)
{
	struct tap *t = backend;

	while (t->used != pairs) {
		bool more = t->used < pairs;
		struct ifreq request = { .ifr_flags = more ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
		uint32_t pair = more ? t->used++ : --t->used;

		if (ioctl(t->fds[pair], TUNSETQUEUE, &request))
			minivmm_error(t->dev, "queue %u of the tap is not %s: %s", pair,
				      more ? "attached" : "detached", strerror(errno));
	}
}

/* What the driver takes, the kernel may leave undone. */
static void
tap_agreed(void *backend, uint64_t features)
{
	const struct tap *t = backend;
	unsigned offload = 0;

	if (features & NET_F_GUEST_CSUM)
		offload |= TUN_F_CSUM;
	if (features & NET_F_GUEST_CSUM && features & NET_F_GUEST_TSO4)
		offload |= TUN_F_TSO4;
	if (features & NET_F_GUEST_CSUM && features & NET_F_GUEST_TSO6)
		offload |= TUN_F_TSO6;
	if (ioctl(t->fds[0], TUNSETOFFLOAD, offload)) /* of the interface as a whole */
		minivmm_error(t->dev, "the tap does not take offloads 0x%x: %s", offload,
			      strerror(errno));
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
	/* An interface that is down, a header that makes no sense: as on a wire, nobody hears of
	 * it. */
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
			minivmm_error(t->dev, "the tap is no more: %s", strerror(errno));
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
	.use = tap_use,
	.send = tap_send,
	.ready = tap_ready,
	.agreed = tap_agreed,
};
