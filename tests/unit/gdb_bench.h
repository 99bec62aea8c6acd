/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the unit tests of the gdb plugin: the plugin with a fake machine, and a client that sends
 * packets and reads the contents of the replies.
 */
#ifndef TESTS_GDB_BENCH_H
#define TESTS_GDB_BENCH_H

#include "unit/fake_services.h"

#include "../../plugins/gdb/commands.c"
#include "../../plugins/gdb/gdb.c"
#include "../../plugins/gdb/memory.c"
#include "../../plugins/gdb/monitor.c"
#include "../../plugins/gdb/packet.c"
#include "../../plugins/gdb/registers.c"
#include "../../plugins/gdb/rows.c"
#include "../../plugins/gdb/run.c"
#include "../../plugins/gdb/target.c"
#include "unit/fake_machine.h"

static struct fake fake;
static unsigned posted;
static size_t read_to; /* of fake.out: what the client has read */

static void
bench_post(struct minivmm_device *dev, uint32_t post)
{
	posted++;
}

static struct gdb *
bench_gdb(void)
{
	return fake.device.state;
}

static void
bench_connect(bool connected)
{
	assert_int_equal(fake.plugin->streams[0].connected(&fake.device, 0, connected), 0);
}

/* As the loop of the machine. */
static void
bench_turn(void)
{
	machine_turn(&fake.device, &tool);
	while (posted) {
		posted--;
		assert_int_equal(fake.plugin->posts[0].run(&fake.device, 0), 0);
	}
}

static int
bench_begin(uint32_t architecture)
{
	fake_create(&fake, &gdb);
	fake.services.machine_functions = machine_service;
	fake.services.memory_read = machine_physical_read;
	fake.services.memory_write = machine_physical_write;
	fake.services.post = bench_post;
	machine_create();
	posted = 0;
	read_to = 0;
	bench_gdb()->architecture = architecture;
	fake_start(&fake, MINIVMM_FRESH);
	bench_connect(false);
	bench_connect(true);
	return 0;
}

static inline int
bench_setup(void **state)
{
	return bench_begin(ARCHITECTURE_AMD64);
}

static inline int
bench_end(void **state)
{
	gdb_destroy(&fake.device);
	fake_destroy(&fake);
	return 0;
}

/* Sends bytes. The buffers of the fake begin again when all is read. */
static void
bench_bytes(const void *bytes, size_t length)
{
	if (fake.in_taken == fake.in_length)
		fake.in_taken = fake.in_length = 0;
	if (read_to == fake.out_length)
		read_to = fake.out_length = 0;
	fake_send(&fake, bytes, length);
}

static void
bench_send(const char *contents)
{
	char packet[8192];
	uint8_t sum = 0;

	for (const char *c = contents; *c; c++)
		sum = (uint8_t)(sum + (uint8_t)*c);
	assert_in_range(snprintf(packet, sizeof(packet), "$%s#%02x", contents, sum), 4,
			sizeof(packet) - 1);
	bench_bytes(packet, strlen(packet));
}

/* Reads the contents of the next packet; "" also if there is none. Checks its sum. */
static const char *
bench_reply(void)
{
	static char contents[FAKE_BUFFER + 1];
	size_t length = 0;
	uint8_t sum = 0;
	char end[4];

	while (read_to < fake.out_length && fake.out[read_to] == '+')
		read_to++;
	contents[0] = '\0';
	if (read_to == fake.out_length)
		return contents;
	assert_int_equal(fake.out[read_to++], '$');
	for (; read_to < fake.out_length && fake.out[read_to] != '#'; read_to++) {
		contents[length++] = (char)fake.out[read_to];
		sum = (uint8_t)(sum + fake.out[read_to]);
	}
	contents[length] = '\0';
	snprintf(end, sizeof(end), "#%02x", sum);
	assert_in_range(read_to + 3, 0, fake.out_length);
	assert_memory_equal(fake.out + read_to, end, 3);
	read_to += 3;
	return contents;
}

/* Sends a packet, runs what it causes and returns its reply. */
static const char *
bench_ask(const char *contents)
{
	bench_send(contents);
	bench_turn();
	return bench_reply();
}

/* The text in the hexadecimal digits of an "O" or a query. */
static inline const char *
bench_text(const char *hex)
{
	static char text[FAKE_BUFFER];
	size_t length = strlen(hex) / 2;

	assert_true(packet_bytes(&hex, (uint8_t *)text, length));
	text[length] = '\0';
	return text;
}

#endif
