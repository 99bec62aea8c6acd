/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the network card as a hostile driver with a network that returns all packets. The card's
 * saved state must be loadable.
 */
#include "../../plugins/virtio-net/net.c"
#include "../../plugins/virtio-net/packets.c"
#include "../../plugins/virtio-net/pairs.c"
#include "driver.h"

static uint64_t now;
static bool posted[2], watched[NET_PAIRS], timed[2];

static void
post(struct minivmm_device *dev, uint32_t row)
{
	posted[row] = true;
}

static int
watch(struct minivmm_device *dev, uint32_t row, int fd, uint32_t events)
{
	watched[row] = fd >= 0;
	return 0;
}

static void
timer_set(struct minivmm_device *dev, uint32_t timer, uint64_t deadline, uint64_t period)
{
	timed[timer] = true;
}

static uint64_t
clock_now(struct minivmm_device *dev)
{
	return now;
}

static void
random_bytes(struct minivmm_device *dev, void *bytes, size_t length)
{
	memset(bytes, 5, length);
}

static const struct minivmm_services services = {
	DRIVER_SERVICES,        .post = post,     .watch = watch,
	.timer_set = timer_set, .now = clock_now, .random = random_bytes,
};

/* The network keeps packets, and is full at times. Once settled, it returns them. */
struct echo {
	struct minivmm_device *dev;
	uint8_t packet[NET_PACKET_MAX];
	size_t length, count;
	uint32_t pair; /* the queue pair of the packet */
};

static struct echo echo;

static void *
echo_open(struct minivmm_device *dev, const struct net_options *given, bool restored)
{
	echo = (struct echo){ .dev = dev };
	return &echo;
}

static void
echo_close(void *backend)
{
}

static int
echo_fd(const void *backend, uint32_t pair)
{
	return 1;
}

static void
echo_use(void *backend, uint32_t pairs)
{
	if (!pairs || pairs > NET_PAIRS)
		abort();
}

static enum net_sent
echo_send(void *backend, uint32_t pair, uint8_t *packet, size_t length)
{
	if (length < NET_HEADER + NET_FRAME_MIN || length > NET_PACKET_MAX)
		abort();
	memcpy(echo.packet, packet, length);
	echo.length = length;
	echo.pair = pair;
	return ++echo.count % 5 ? NET_SENT : NET_FULL;
}

static void
echo_settle(void *backend)
{
	if (echo.length)
		net_receive(echo.dev, echo.pair, echo.packet, echo.length);
}

static bool
echo_ready(void *backend, uint32_t pair, uint32_t events)
{
	for (int i = 0; i < 40 && net_wants(echo.dev); i++)
		echo_settle(backend);
	return true;
}

const struct net_backend user_backend = {
	.name = "user",
	.features = NET_F_CSUM | NET_F_GUEST_TSO4,
	.open = echo_open,
	.close = echo_close,
	.fd = echo_fd,
	.use_pairs = echo_use,
	.send = echo_send,
	.settle = echo_settle,
	.ready = echo_ready,
};
const struct net_backend tap_backend = { .name = "tap", .interface = true };

/* As the machine's loop does. */
static void
loop(struct minivmm_device *dev)
{
	for (uint32_t i = 0; i < 2; i++) {
		if (posted[i]) {
			posted[i] = false;
			posts[i].run(dev, i);
		}
		if (timed[i]) {
			timed[i] = false;
			timers[i].fire(dev, i, 1);
		}
	}
	for (uint32_t i = 0; i < NET_PAIRS; i++)
		if (watched[i])
			watches[i].ready(dev, i, EPOLLIN | EPOLLOUT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct driver_input input;
	struct net *n = calloc(1, sizeof(*n));
	struct minivmm_device dev = { .services = &services, .state = n, .name = "net" };
	const struct minivmm_start start = { .reason = MINIVMM_FRESH };

	if (!n)
		abort();
	if (!driver_input(data, size, &input)) {
		free(n);
		return 0;
	}
	n->backend = "user";
	n->queues = input.flags & 8 ? 2 : 1;
	n->mac = n->forward = "";
	n->rate = input.flags & 4 ? "64K/s, 100/s" : "";
	n->burst = "";
	now = 0;
	memset(posted, 0, sizeof(posted));
	memset(watched, 0, sizeof(watched));
	memset(timed, 0, sizeof(timed));
	if (net_configure(&dev) || net_start(&dev, &start))
		abort();
	driver_begin(&dev, &input, 1);
	for (const uint8_t *r = input.records; r < input.end; r += DRIVER_RECORD) {
		driver_play(&dev, r);
		if (r[0] & 0x20)
			loop(&dev);
		now += r[0] & 0x40 ? RATE_SECOND : 1;
		if (net_loaded(&dev))
			abort(); /* the device's state cannot be loaded again */
	}
	net_destroy(&dev);
	free(n);
	return 0;
}
