/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the network card as a hostile driver: any bytes in memory and in the registers, notified and changed by turns,
 * in front of a network that sends back all that it gets. What the card is saved as can be loaded again.
 */
#include <stdlib.h>
#include <string.h>

#include "../../plugins/virtio-net/net.c"
#include "../../plugins/virtio-net/packets.c"

#define MEMORY 0x4000u
#define RECORD 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t memory[MEMORY];
static uint64_t now;
static bool posted[2], watched, timed[2];

static bool
inside(uint64_t gpa, size_t length)
{
	return gpa <= MEMORY && length <= MEMORY - gpa;
}

static int
memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (!inside(gpa, length))
		return -1;
	memcpy(to, memory + gpa, length);
	return 0;
}

static int
memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (!inside(gpa, length))
		return -1;
	memcpy(memory + gpa, from, length);
	return 0;
}

static void
say(struct minivmm_device *dev, uint32_t level, const char *format, va_list arguments)
{
}

static void
set_line(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
}

static void
post(struct minivmm_device *dev, uint32_t row)
{
	posted[row] = true;
}

static int
watch(struct minivmm_device *dev, uint32_t row, int fd, uint32_t events)
{
	watched = fd >= 0;
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
	.size = sizeof(services),
	.log = say,
	.irq = set_line,
	.post = post,
	.watch = watch,
	.timer_set = timer_set,
	.now = clock_now,
	.random = random_bytes,
	.memory_read = memory_read,
	.memory_write = memory_write,
};

/* The network: what comes is kept, and full at times; once settled, it comes back. */
struct echo {
	struct minivmm_device *dev;
	uint8_t packet[NET_PACKET_MAX];
	size_t length, count;
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

static enum net_sent
echo_send(void *backend, uint32_t pair, uint8_t *packet, size_t length)
{
	if (length < NET_HEADER + NET_FRAME_MIN || length > NET_PACKET_MAX)
		abort();
	memcpy(echo.packet, packet, length);
	echo.length = length;
	return ++echo.count % 5 ? NET_SENT : NET_FULL;
}

static void
echo_settle(void *backend)
{
	if (echo.length)
		net_receive(echo.dev, 0, echo.packet, echo.length);
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
	.send = echo_send,
	.settle = echo_settle,
	.ready = echo_ready,
};
const struct net_backend tap_backend = { .name = "tap", .interface = true };

static void
put(struct minivmm_device *dev, uint64_t offset, uint32_t width, uint64_t value)
{
	const struct minivmm_access access = { .offset = offset, .width = width };

	virtio_write(dev, &access, value);
}

/* As a driver that means well begins. */
static void
begin(struct minivmm_device *dev, uint32_t features)
{
	put(dev, VIRTIO_STATUS, 4, 3);
	put(dev, VIRTIO_DRIVER_FEATURES, 4, features & virtio_offered(dev, minivmm_state(dev)));
	put(dev, VIRTIO_DRIVER_FEATURES_SEL, 4, 1);
	put(dev, VIRTIO_DRIVER_FEATURES, 4, 1);
	put(dev, VIRTIO_STATUS, 4, 11);
	for (uint32_t queue = 0; queue < 2; queue++) {
		put(dev, VIRTIO_QUEUE_SEL, 4, queue);
		put(dev, VIRTIO_QUEUE_NUM, 4, 8);
		put(dev, VIRTIO_QUEUE_DESC_LOW, 4, queue * 0x80);
		put(dev, VIRTIO_QUEUE_DRIVER_LOW, 4, 0x400 + queue * 0x100);
		put(dev, VIRTIO_QUEUE_DEVICE_LOW, 4, 0x800 + queue * 0x100);
		put(dev, VIRTIO_QUEUE_READY, 4, 1);
	}
	put(dev, VIRTIO_STATUS, 4, 15);
}

/* What the machine's loop would do. */
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
	if (watched)
		watches[0].ready(dev, 0, EPOLLIN | EPOLLOUT);
}

static void
play(struct minivmm_device *dev, const uint8_t *r)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	struct minivmm_access access = { .width = widths[r[0] >> 1 & 3] };
	uint64_t value = 0;

	memcpy(&access.offset, r + 1, 2);
	memcpy(&value, r + 3, 5);
	access.offset %= VIRTIO_LENGTH - access.width + 1;
	if (r[0] & 8) /* the driver writes memory meanwhile */
		memory_write(dev, access.offset * 4, &value, access.width);
	else if (r[0] & 1)
		virtio_write(dev, &access, value);
	else
		virtio_read(dev, &access, &value);
	put(dev, VIRTIO_QUEUE_NOTIFY, 4, r[0] >> 4 & 1);
	if (r[0] & 0x20)
		loop(dev);
	now += r[0] & 0x40 ? RATE_SECOND : 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net *n = calloc(1, sizeof(*n));
	struct minivmm_device dev = { .services = &services, .state = n, .name = "net" };
	const struct minivmm_start start = { .reason = MINIVMM_FRESH };
	size_t records = size < 2 ? 0 : data[0] % 32 * RECORD;

	if (!n)
		abort();
	n->backend = "user";
	n->mac = n->forward = "";
	n->rate = size > 1 && data[1] & 4 ? "64K/s, 100/s" : "";
	n->burst = "";
	now = 0;
	memset(memory, 0, sizeof(memory));
	memset(posted, 0, sizeof(posted));
	memset(timed, 0, sizeof(timed));
	if (net_configure(&dev) || net_start(&dev, &start))
		abort();
	if (size >= 2 + records) {
		if (data[1] & 1)
			begin(&dev, data[1] & 2 ? UINT32_MAX : 0);
		memcpy(memory, data + 2 + records,
		       size - 2 - records < MEMORY ? size - 2 - records : MEMORY);
		put(&dev, VIRTIO_QUEUE_NOTIFY, 4, 1);
		for (const uint8_t *r = data + 2; r < data + 2 + records; r += RECORD) {
			play(&dev, r);
			if (net_loaded(&dev))
				abort(); /* the device has come into a state that could not be loaded again */
		}
	}
	net_destroy(&dev);
	free(n);
	return 0;
}
