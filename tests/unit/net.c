/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card with several pairs of queues and a back end that records requests. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../../plugins/virtio-net/net.c"
#include "../../plugins/virtio-net/packets.c"
#include "../../plugins/virtio-net/pairs.c"

#include "unit/fake_virtio.h"

#define PAIRS 3u
#define CONTROL (2 * PAIRS)
#define LENGTH 100u
#define SEND_AT 0x20000u
#define RECEIVE_AT 0x30000u
#define COMMAND_AT 0x40000u
#define MQ ((uint32_t)(NET_F_MQ | NET_F_CTRL_VQ))

static struct fake fake;

/* The back end. */
static struct {
	uint32_t used;      /* pairs */
	uint32_t sent[4];   /* packets by pair */
	uint8_t last;       /* the first byte of the last packet's frame */
	uint32_t events[4]; /* the events for which its descriptors are watched */
	uint32_t coming;    /* packets of this many bytes for the guest, from the next turn on */
	uint8_t byte;
	uint32_t raised; /* number of interrupts of the card */
} wire;

static void *
wire_open(struct minivmm_device *dev, const struct net_options *given, bool restored)
{
	assert_int_equal(given->pairs, ((struct net *)minivmm_state(dev))->queues);
	return &wire;
}

static void
wire_close(void *backend)
{
}

static int
wire_fd(const void *backend, uint32_t pair)
{
	return 100 + (int)pair;
}

static void
wire_use(void *backend, uint32_t pairs)
{
	wire.used = pairs;
}

static enum net_sent
wire_send(void *backend, uint32_t pair, uint8_t *packet, size_t length)
{
	assert_in_range(pair, 0, PAIRS - 1);
	wire.sent[pair]++;
	wire.last = packet[NET_HEADER];
	return NET_SENT;
}

static bool
wire_ready(void *backend, uint32_t pair, uint32_t events)
{
	uint8_t packet[LENGTH];

	for (memset(packet, wire.byte, sizeof(packet)); wire.coming; wire.coming--)
		net_receive(&fake.device, pair, packet, sizeof(packet));
	return true;
}

const struct net_backend tap_backend = {
	.name = "tap",
	.interface = true,
	.open = wire_open,
	.close = wire_close,
	.fd = wire_fd,
	.use_pairs = wire_use,
	.send = wire_send,
	.ready = wire_ready,
};
const struct net_backend user_backend = { .name = "user", .open = wire_open, .close = wire_close };

static int
watch(struct minivmm_device *dev, uint32_t row, int fd, uint32_t events)
{
	assert_in_range(row, NET_WATCH_BACKEND, NET_WATCH_BACKEND + PAIRS - 1);
	if (fd >= 0)
		assert_int_equal(fd, 100 + (int)(row - NET_WATCH_BACKEND));
	wire.events[row - NET_WATCH_BACKEND] = fd < 0 ? 0 : events;
	return 0;
}

static void
raises(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
	wire.raised += operation == MINIVMM_IRQ_RAISE;
	fake_irq(dev, irq, operation);
}

static struct net *
card(void)
{
	return fake.device.state;
}

static void
configure(struct fake *f, uint32_t queues, const char *backend)
{
	struct net *n = f->device.state;

	f->services.watch = watch;
	f->services.irq = raises;
	n->kind = NULL; /* as before the first call */
	n->queues = queues;
	n->backend = backend;
	n->forward = n->rate = n->burst = "";
	n->mac = "52:54:00:12:34:56";
}

static int
setup(void **state)
{
	memset(&wire, 0, sizeof(wire));
	driver_create(&fake, &net);
	configure(&fake, PAIRS, "tap:x");
	assert_int_equal(net.configure(&fake.device), 0);
	fake_start(&fake, MINIVMM_FRESH);
	return 0;
}

static int
teardown(void **state)
{
	net.destroy(&fake.device);
	fake_destroy(&fake);
	return 0;
}

/* As the loop does. */
static void
settle(void)
{
	assert_int_equal(net_watch(&fake.device, NET_POST_WATCH), 0);
}

/* Sends a command to the control queue. Returns the answer. */
static uint8_t
command(uint32_t queue, uint8_t class, uint8_t what, uint16_t pairs)
{
	const uint8_t bytes[4] = { class, what, (uint8_t)pairs, (uint8_t)(pairs >> 8) };
	uint8_t *at = driver.memory + driver_queue(queue);
	struct virtio_desc d[2] = { { COMMAND_AT, sizeof(bytes), VIRTIO_DESC_NEXT, 1 },
				    { COMMAND_AT + 16, 1, VIRTIO_DESC_WRITE, 0 } };
	uint16_t slot = 0;

	memcpy(driver.memory + COMMAND_AT, bytes, sizeof(bytes));
	driver.memory[COMMAND_AT + 16] = 0xee;
	memcpy(at, d, sizeof(d));
	memcpy(at + 0x404 + 2 * (driver.next[queue] % DRIVER_SIZE), &slot, 2);
	driver.next[queue]++;
	memcpy(at + 0x402, &driver.next[queue], 2);
	driver_write(&fake, VIRTIO_QUEUE_NOTIFY, queue);
	assert_int_equal(driver_used(queue, NULL), 1);
	settle();
	return driver.memory[COMMAND_AT + 16];
}

static void
send_by(uint32_t pair, uint8_t byte)
{
	memset(driver.memory + SEND_AT, byte, LENGTH);
	driver_add(&fake, 2 * pair + TRANSMIT, SEND_AT, LENGTH, false);
}

static void
arrives(uint32_t pair, uint8_t byte)
{
	wire.coming = wire.coming ? wire.coming : 1;
	wire.byte = byte;
	assert_int_equal(net_ready(&fake.device, NET_WATCH_BACKEND + pair, EPOLLIN), 0);
	settle();
}

static void
offer(uint32_t pair)
{
	driver_add(&fake, 2 * pair + RECEIVE, RECEIVE_AT + 4096 * pair, 4096, true);
	settle();
}

static void
several_pairs_are_offered_if_the_back_end_has_them(void **state)
{
	driver_write(&fake, VIRTIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(driver_read(&fake, VIRTIO_DEVICE_FEATURES) & MQ, MQ);
	assert_int_equal(driver_read(&fake, VIRTIO_CONFIG + 8) & 0xffff, PAIRS);
	configure(&fake, 1, "tap:x");
	assert_int_equal(net.configure(&fake.device), 0);
	assert_int_equal(driver_read(&fake, VIRTIO_DEVICE_FEATURES) & MQ, 0);
	for (int i = 0; i < 2; i++) {
		configure(&fake, 2, i ? "user" : "none");
		assert_int_equal(net.configure(&fake.device), -1);
		assert_non_null(strstr(fake.last, "queues = 2 needs backend = tap:INTERFACE"));
	}
	configure(&fake, PAIRS, "tap:x");
	assert_int_equal(net.configure(&fake.device), 0);
}

static void
the_driver_sets_the_number_of_pairs(void **state)
{
	static const uint8_t bad[][3] = {
		{ 4, 0, 0 }, { 4, 0, PAIRS + 1 }, { 4, 1, 1 }, { 0, 0, 1 }
	};

	driver_begin(&fake, MQ, 2 * PAIRS + 1);
	settle();
	assert_int_equal(wire.used, 1);
	assert_true(wire.events[0] && !wire.events[1] && !wire.events[2]);
	offer(0);
	offer(1);
	arrives(1, 'x'); /* by a pair that is not in use: dropped */
	assert_int_equal(driver_used(2, NULL), -1);
	assert_int_equal(card()->lost, 1);
	send_by(1, 'x');
	assert_int_equal(wire.sent[1], 0);

	assert_int_equal(command(CONTROL, 4, 0, 2), 0);
	assert_int_equal(wire.used, 2);
	assert_true(wire.events[0] && wire.events[1] && !wire.events[2]);
	arrives(1, 'y');
	assert_int_equal(driver_used(2, NULL), LENGTH);
	assert_int_equal(driver.memory[RECEIVE_AT + 4096 + LENGTH - 1], 'y');
	arrives(0, 'z');
	assert_int_equal(driver_used(0, NULL), LENGTH);
	send_by(1, 'b');
	assert_int_equal(wire.last, 'b');
	send_by(0, 'a');
	assert_int_equal(wire.last, 'a');
	assert_int_equal(wire.sent[0], 1);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(command(CONTROL, bad[i][0], bad[i][1], bad[i][2]), 1);
	assert_int_equal(wire.used, 2); /* unchanged */
	driver_write(&fake, VIRTIO_STATUS, 0);
	settle();
	assert_int_equal(wire.used, 1);
	assert_true(wire.events[0] && !wire.events[1]);
}

/* The control queue is then the third one, and has no function. */
static void
a_driver_without_multiqueue(void **state)
{
	driver_begin(&fake, (uint32_t)NET_F_CTRL_VQ, 3);
	assert_int_equal(command(2, 4, 0, 2), 1);
	assert_int_equal(wire.used, 1);
	send_by(0, 'a');
	assert_int_equal(wire.sent[0], 1);
}

static void
packets_for_a_released_pair_are_dropped(void **state)
{
	driver_begin(&fake, MQ, 2 * PAIRS + 1);
	assert_int_equal(command(CONTROL, 4, 0, 2), 0);
	arrives(1, 'x');
	arrives(0, 'y');
	assert_true(!wire.events[0] && !wire.events[1]); /* they wait: the back end is not asked for
							  * more */
	assert_int_equal(command(CONTROL, 4, 0, 1), 0);
	offer(0);
	assert_int_equal(driver_used(0, NULL), LENGTH);
	assert_int_equal(driver.memory[RECEIVE_AT + LENGTH - 1], 'y');
	assert_int_equal(card()->lost, 1);
	assert_true(wire.events[0]);
}

static void
a_restored_card_uses_the_same_number(void **state)
{
	struct minivmm_plugin unchecked = net; /* before the options are read */
	struct fake copy;

	unchecked.loaded = NULL;
	driver_begin(&fake, MQ, 2 * PAIRS + 1);
	assert_int_equal(command(CONTROL, 4, 0, 2), 0);
	wire.used = 0;
	fake.plugin = &unchecked;
	fake_restore(&copy, &fake);
	fake.plugin = &net;
	copy.services = fake.services;
	configure(&copy, PAIRS, "tap:x");
	assert_int_equal(net.configure(&copy.device), 0);
	assert_int_equal(net.loaded(&copy.device), 0);
	fake_start(&copy, MINIVMM_RESTORED);
	assert_int_equal(wire.used, 2);
	((struct net *)copy.device.state)->queues = 1;
	assert_int_equal(net.loaded(&copy.device), -1);
	assert_non_null(strstr(copy.last, "the state uses 2 pairs of queues of 1"));
	net.destroy(&copy.device);
	fake_destroy(&copy);
}

/* Each packet separately would cost the driver an interrupt. */
static void
received_packets_of_a_turn_are_published_together(void **state)
{
	driver_begin(&fake, 0, 2);
	for (uint32_t i = 0; i < 4; i++)
		driver_add(&fake, RECEIVE, RECEIVE_AT + 4096 * i, 4096, true);
	wire.raised = 0;
	wire.coming = 3;
	arrives(0, 'x');
	assert_int_equal(wire.raised, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(driver_used(RECEIVE, NULL), LENGTH);
	assert_int_equal(driver_used(RECEIVE, NULL), -1);
	arrives(0, 'y');
	assert_int_equal(wire.raised, 2);
	assert_int_equal(driver_used(RECEIVE, NULL), LENGTH);
	assert_int_equal(driver.memory[RECEIVE_AT + 4096 * 3 + LENGTH - 1], 'y');
	assert_int_equal(card()->received, 4);
	/* Waiting packets are delivered when there is room, in one turn too. */
	wire.coming = 2;
	arrives(0, 'z');
	assert_int_equal(wire.raised, 2);
	driver_add(&fake, RECEIVE, RECEIVE_AT, 4096, true);
	assert_int_equal(wire.raised, 3);
	assert_int_equal(driver_used(RECEIVE, NULL), LENGTH);
}

/* The same for packets sent in one turn, and for the answers to them. */
static void
sent_packets_of_a_turn_are_published_together(void **state)
{
	driver_begin(&fake, 0, 2);
	driver_add(&fake, RECEIVE, RECEIVE_AT, 4096, true);
	card()->full[0] = true; /* until the back end has room */
	for (uint8_t i = 0; i < 3; i++)
		send_by(0, 'a' + i);
	assert_int_equal(wire.sent[0], 0);
	wire.raised = 0;
	wire.coming = 1;
	assert_int_equal(net_ready(&fake.device, NET_WATCH_BACKEND, EPOLLIN | EPOLLOUT), 0);
	assert_int_equal(wire.sent[0], 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(driver_used(TRANSMIT, NULL), 0);
	assert_int_equal(driver_used(RECEIVE, NULL), LENGTH);
	assert_int_equal(wire.raised, 2); /* one for each queue */
}

/* Such a buffer would use up the budget of each turn. */
static void
a_receive_buffer_is_write_only(void **state)
{
	struct virtio_desc d[2] = { { SEND_AT, UINT32_MAX, VIRTIO_DESC_NEXT, 1 },
				    { RECEIVE_AT, 4096, VIRTIO_DESC_WRITE, 0 } };
	uint16_t one = 1;

	driver_begin(&fake, 0, 2);
	memcpy(driver.memory + driver_queue(0), d, sizeof(d));
	memcpy(driver.memory + driver_queue(0) + 0x402, &one, 2);
	driver_write(&fake, VIRTIO_QUEUE_NOTIFY, 0);
	arrives(0, 'x');
	assert_int_equal(driver_read(&fake, VIRTIO_STATUS), 15 | VIRTIO_NEEDS_RESET);
	assert_non_null(strstr(fake.last, "device-readable part"));
}

static void
a_driver_is_not_ready_without_required_features(void **state)
{
	driver_write(&fake, VIRTIO_STATUS, 0);
	driver_write(&fake, VIRTIO_DRIVER_FEATURES, UINT32_MAX);
	driver_write(&fake, VIRTIO_STATUS, 7);
	assert_int_equal(driver_read(&fake, VIRTIO_STATUS), 3);
	driver_begin(&fake, 0, 2);
	driver_write(&fake, VIRTIO_STATUS, 7);
	assert_int_equal(driver_read(&fake, VIRTIO_STATUS), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(several_pairs_are_offered_if_the_back_end_has_them),
		TEST(the_driver_sets_the_number_of_pairs),
		TEST(a_driver_without_multiqueue),
		TEST(packets_for_a_released_pair_are_dropped),
		TEST(a_restored_card_uses_the_same_number),
		TEST(received_packets_of_a_turn_are_published_together),
		TEST(sent_packets_of_a_turn_are_published_together),
		TEST(a_receive_buffer_is_write_only),
		TEST(a_driver_is_not_ready_without_required_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
