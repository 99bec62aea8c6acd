/* SPDX-License-Identifier: BSD-2-Clause */
/* A device's options of all types: accepted texts and their values, refused texts and their
 * messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"

#include <cmocka.h>

#include "said.h"

struct all_types {
	uint8_t u8, small, wide;
	uint16_t u16, port;
	uint32_t u32, kind;
	uint64_t u64, size, address, time, length;
	bool flag;
	const char *text, *path;
	struct minivmm_irq irq, edge;
};

static const char *const kinds[] = { "few", "some", "many", NULL };

/* Members are adjacent: a write of too many bytes changes another one. */
static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct all_types, u8, "1", "help"),
	MINIVMM_OPTION(struct all_types, small, "5", "help", .min = 2, .max = 9),
	MINIVMM_OPTION(struct all_types, wide, "1", "help",
		       .max = 300), /* above the maximum of uint8_t */
	MINIVMM_OPTION(struct all_types, u16, "1", "help"),
	MINIVMM_OPTION_AS(PORT, struct all_types, port, "1", "help"),
	MINIVMM_OPTION(struct all_types, u32, "1", "help"),
	MINIVMM_OPTION_AS(ENUM, struct all_types, kind, "some", "help", .values = kinds),
	MINIVMM_OPTION(struct all_types, u64, "1", "help"),
	MINIVMM_OPTION_AS(SIZE, struct all_types, size, "4K", "help"),
	MINIVMM_OPTION_AS(ADDRESS, struct all_types, address, "1", "help"),
	MINIVMM_OPTION_AS(DURATION, struct all_types, time, "1ms", "help"),
	MINIVMM_OPTION_AS(SIZE, struct all_types, length, "16", "help", .max = 4096),
	MINIVMM_OPTION(struct all_types, flag, "no", "help"),
	MINIVMM_OPTION(struct all_types, text, "initial", "help"),
	MINIVMM_OPTION_AS(PATH, struct all_types, path, "", "help"),
	MINIVMM_OPTION(struct all_types, irq, "none", "help"),
	MINIVMM_OPTION(struct all_types, edge, "none", "help", .flags = MINIVMM_EDGE),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO, .flags = MINIVMM_OPTIONAL, .at = "ports", .length = 8 },
	{ .space = MINIVMM_MMIO, .at = "at", .at_initial = "0x100000", .length_option = "length" },
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	{ .name = "line", .output = "output", .input = "input" },
	MINIVMM_END,
};

static const struct minivmm_plugin plugin = {
	.name = "all-types",
	.summary = "for tests",
	.state_version = 1,
	.state_size = sizeof(struct all_types),
	.options = options,
	.ranges = ranges,
	.streams = streams,
};

static const struct minivmm_registration registration = {
	.abi = MINIVMM_ABI,
	.size = sizeof(registration),
	.plugin_size = sizeof(plugin),
	.option_size = sizeof(struct minivmm_option),
	.range_size = sizeof(struct minivmm_range),
	.stream_size = sizeof(struct minivmm_stream),
	.plugin = &plugin,
};

struct bench {
	struct machine machine;
	struct devices devices;
	struct device device;
	struct config whole;
	struct config_device config;
	struct device_stream stream;
	struct all_types state;
	struct said said;
};

/* Creates a machine with 64K of memory at 0 and an irqchip, as --check does, and a device whose
 * options are not set. */
static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct why why;

	*state = b;
	if (!b || machine_create(&b->machine, &(struct machine_layout){ .memory = { { 0, 65536 } },
									.cpus = 1,
									.irqchip = true,
									.check = true }))
		return -1;
	b->devices = (struct devices){ .machine = &b->machine,
				       .config = &b->whole,
				       .streams.loop = &b->machine.loop };
	b->whole.folder = (char *)"conf";
	b->config = (struct config_device){ .name = (char *)"dev0",
					    .plugin = (char *)"all-types",
					    .place = { "conf/x.ini", 3 } };
	b->device = (struct device){ .all = &b->devices,
				     .config = &b->config,
				     .streams = &b->stream,
				     .host.public = { .name = "dev0", .state = &b->state } };
	return plugin_adopt(&b->device.plugin, &registration, &why);
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < b->device.streams_ready; i++)
		stream_free(&b->stream.stream);
	for (size_t i = 0; i < b->device.string_count; i++)
		free(b->device.strings[i]);
	free(b->device.strings);
	for (size_t i = 0; i < b->config.option_count; i++) {
		free(b->config.options[i].key);
		free(b->config.options[i].value);
	}
	free(b->config.options);
	plugin_unload(&b->device.plugin);
	machine_destroy(&b->machine);
	free(b);
	return 0;
}

/* Sets "key = value" with line 7 as its place, and applies all options. */
static int
take(struct bench *b, const char *key, const char *value)
{
	int r;

	if (key)
		assert_int_equal(config_option_set(&b->config, key, value,
						   (struct config_place){ "conf/x.ini", 7 }),
				 0);
	said_begin(&b->said);
	r = device_options(&b->device);
	said_end(&b->said);
	return r;
}

static void
initial_values(void **state)
{
	struct bench *b = *state;
	const struct all_types *s = &b->state;

	assert_int_equal(take(b, NULL, NULL), 0);
	assert_string_equal(b->said.text, "");
	assert_true(s->u8 == 1 && s->small == 5 && s->u16 == 1 && s->port == 1 && s->u32 == 1);
	assert_true(s->kind == 1 && s->u64 == 1 && s->size == 4096 && s->address == 1);
	assert_true(s->time == 1000000 && s->length == 16 && !s->flag);
	assert_string_equal(s->text, "initial");
	assert_string_equal(s->path, "");
	assert_int_equal(s->irq.handle, 0);
	assert_null(b->stream.stream.out.kind);
	assert_int_equal(b->machine.bus.pio.count, 0); /* optional */
	assert_int_equal(b->machine.bus.mmio.count, 1);
	assert_int_equal(b->machine.bus.mmio.ranges[0].base, 0x100000);
	assert_int_equal(b->machine.bus.mmio.ranges[0].length, 16);
}

#define NUMBER(member) offsetof(struct all_types, member), sizeof(((struct all_types *)0)->member)

static const struct {
	const char *key, *value;
	size_t offset, width;
	uint64_t expected;
} numbers[] = {
	{ "u8", "0", NUMBER(u8), 0 },
	{ "u8", "255", NUMBER(u8), 255 },
	{ "u8", "0xfe", NUMBER(u8), 254 },
	{ "small", "2", NUMBER(small), 2 },
	{ "small", "9", NUMBER(small), 9 },
	{ "u16", "65535", NUMBER(u16), 65535 },
	{ "port", "0xffff", NUMBER(port), 65535 },
	{ "u32", "4294967295", NUMBER(u32), UINT32_MAX },
	{ "kind", "few", NUMBER(kind), 0 },
	{ "kind", "many", NUMBER(kind), 2 },
	{ "u64", "18446744073709551615", NUMBER(u64), UINT64_MAX },
	{ "size", "0", NUMBER(size), 0 },
	{ "size", "3M", NUMBER(size), 3 << 20 },
	{ "address", "0xfee00000", NUMBER(address), 0xfee00000 },
	{ "time", "5", NUMBER(time), 5 },
	{ "time", "20us", NUMBER(time), 20000 },
	{ "time", "2s", NUMBER(time), 2000000000 },
	{ "length", "4K", NUMBER(length), 4096 },
	{ "flag", "yes", NUMBER(flag), 1 },
	{ "flag", "on", NUMBER(flag), 1 },
	{ "flag", "false", NUMBER(flag), 0 },
};

/* Asserts that the member has the value and that all other bytes of the state are unchanged. */
static void
one_number(size_t i)
{
	struct bench *b, *plain;

	assert_int_equal(setup((void **)&b), 0);
	assert_int_equal(setup((void **)&plain), 0);
	assert_int_equal(take(plain, NULL, NULL), 0);
	if (take(b, numbers[i].key, numbers[i].value))
		fail_msg("%s = %s: %s", numbers[i].key, numbers[i].value, b->said.text);
	assert_memory_equal((char *)&b->state + numbers[i].offset, &numbers[i].expected,
			    numbers[i].width);
	memcpy((char *)&b->state + numbers[i].offset, (char *)&plain->state + numbers[i].offset,
	       numbers[i].width);
	assert_memory_equal(&b->state, &plain->state, offsetof(struct all_types, text));
	teardown((void **)&b);
	teardown((void **)&plain);
}

static void
every_number(void **state)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		one_number(i);
}

static void
refusals(void **state)
{
	static const struct {
		const char *key, *value, *said;
	} cases[] = {
		{ "u8", "256", "u8 = 256 is out of range; it goes from 0 to 255" },
		{ "u8", "-1", "u8 = -1 is not a number" },
		{ "u8", "", "u8 =  is not a number" },
		{ "u8", "1x", "u8 = 1x is not a number" },
		{ "small", "1", "small = 1 is out of range; it goes from 2 to 9" },
		{ "small", "10", "small = 10 is out of range; it goes from 2 to 9" },
		{ "wide", "256", "wide = 256 is out of range; it goes from 0 to 255" },
		{ "u16", "65536", "u16 = 65536 is out of range; it goes from 0 to 65535" },
		{ "port", "0x10000", "port = 0x10000 is out of range" },
		{ "u32", "0x100000000", "u32 = 0x100000000 is out of range" },
		{ "u64", "18446744073709551616", "does not fit into 64 bits" },
		{ "kind", "lots", "kind = lots: use few, some or many" },
		{ "kind", "1", "kind = 1: use few, some or many" },
		{ "size", "3Q", "size = 3Q is not a size" },
		{ "size", "16777216T", "does not fit into 64 bits" },
		{ "length", "4097", "length = 4097 is out of range; it goes from 0 to 4K" },
		{ "time", "3h", "time = 3h is not a duration" },
		{ "flag", "maybe", "flag = maybe is not a boolean; use yes, on, true, 1, no" },
		{ "irq", "24", "irq = 24: use a line from 0 to 23, or none" },
		{ "irq", "high", "irq = high: use a line from 0 to 23, or none" },
		{ "ports", "0xfff9", "0x8 ports from 0xfff9 do not fit" },
		{ "ports", "0x10000", "ports = 0x10000 is out of range" },
		{ "at", "0xffff", "at = 0xffff overlaps guest memory, which would hide it" },
		{ "output", "fiel:x", "output = fiel:x is not a stream; did you mean file?" },
		{ "input", "stderr", "input = stderr is for output only" },
		{ "wait_input", "maybe", "wait_input = maybe is not a boolean" },
		{ "u9", "1", "plugin all-types has no option u9; did you mean u" },
		{ "plugins", "1", "plugin all-types has no option plugins" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		assert_int_equal(take(b, cases[i].key, cases[i].value), -STATUS_USAGE);
		SAID(b->said.text, "conf/x.ini:7: ", "dev0", cases[i].said);
		teardown((void **)&b);
	}
}

/* On a command line, 5 may mean seconds; configs, also those in snapshots, may have ns. */
static void
durations_of_set_need_a_unit(void **state)
{
	static const struct {
		const char *file, *value;
		int result;
	} cases[] = {
		{ CONFIG_SET, "5", -STATUS_USAGE },
		{ CONFIG_SET, "5s", 0 },
		{ CONFIG_SET, "0", 0 },
		{ CONFIG_SET " of the run that made the snapshot", "5", 0 },
		{ "x.ini", "5", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		config_option_set(&b->config, "time", cases[i].value,
				  (struct config_place){ cases[i].file, 0 });
		assert_int_equal(take(b, NULL, NULL), cases[i].result);
		if (cases[i].result)
			SAID(b->said.text, "--set device.dev0.time: device dev0: ",
			     "time = 5 has no unit; write 5s, 5ms, 5us or 5ns\n");
		teardown((void **)&b);
	}
}

static void
all_errors_are_reported(void **state)
{
	struct bench *b = *state;
	struct config_place place = { "conf/x.ini", 8 };

	config_option_set(&b->config, "u8", "x", place);
	config_option_set(&b->config, "kind", "x", place);
	config_option_set(&b->config, "output", "x", place);
	assert_int_equal(take(b, "nosuch", "1"), -STATUS_USAGE);
	assert_non_null(strstr(b->said.text, "u8 = x"));
	assert_non_null(strstr(b->said.text, "kind = x"));
	assert_non_null(strstr(b->said.text, "output = x"));
	assert_non_null(strstr(b->said.text, "nosuch"));
}

/* An error that results from several options has the device's place. */
static void
no_length(void **state)
{
	struct bench *b = *state;

	assert_int_equal(take(b, "length", "0"), -STATUS_USAGE);
	SAID(b->said.text, "conf/x.ini:3: device dev0: 0x0 addresses from 0x100000 do not fit");
}

static void
lines(void **state)
{
	struct bench *b = *state;

	config_option_set(&b->config, "edge", "9", (struct config_place){ "--set", 0 });
	assert_int_equal(take(b, "irq", "5"), 0);
	assert_int_equal(b->machine.irqs.count, 2);
	assert_string_equal(b->machine.irqs.sources[b->state.irq.handle - 1].owner, "dev0.irq");
	assert_int_equal(b->machine.irqs.sources[b->state.irq.handle - 1].line, 5);
	assert_false(b->machine.irqs.sources[b->state.irq.handle - 1].edge);
	assert_int_equal(b->machine.irqs.sources[b->state.edge.handle - 1].line, 9);
	assert_true(b->machine.irqs.sources[b->state.edge.handle - 1].edge);
}

static void
lines_need_chips(void **state)
{
	struct bench *b = *state;

	b->machine.kvm.irqchip = false;
	assert_int_equal(take(b, "irq", "5"), -STATUS_USAGE);
	SAID(b->said.text, "conf/x.ini:7: device dev0: irq = 5 needs an interrupt controller",
	     "irqchip = on");
}

/* A path in a config is relative to the config; in --set, and as initial value, to the current
 * folder. */
static void
paths(void **state)
{
	static const struct {
		const char *file;
		unsigned line;
		const char *given, *taken;
	} cases[] = {
		{ "conf/x.ini", 7, "data", "conf/data" },
		{ "conf/x.ini", 7, "/data", "/data" },
		{ "--set", 0, "data", "data" },
		{ "conf/x.ini", 7, "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		config_option_set(&b->config, "path", cases[i].given,
				  (struct config_place){ cases[i].file, cases[i].line });
		config_option_set(&b->config, "text", cases[i].given,
				  (struct config_place){ cases[i].file, cases[i].line });
		assert_int_equal(take(b, NULL, NULL), 0);
		assert_string_equal(b->state.path, cases[i].taken);
		assert_string_equal(b->state.text, cases[i].given);
		teardown((void **)&b);
	}
}

/* Paths in a snapshot need trust, paths in --set do not. --set cannot change options that are part
 * of the state. */
static void
restored(void **state)
{
	static const struct {
		const char *file, *key, *value;
		bool trusted;
		int result;
		const char *said;
	} cases[] = {
		{ "a.snap", "path", "/etc/passwd", false, -STATUS_SNAPSHOT,
		  "--set device.dev0.path=" },
		{ "a.snap", "path", "/etc/passwd", true, 0, "" },
		{ "--set", "path", "/etc/passwd", false, 0, "" },
		{ "a.snap", "output", "file:x", false, -STATUS_SNAPSHOT, "output = file:x" },
		{ "a.snap", "output", "unix-listen:x", false, -STATUS_SNAPSHOT,
		  "output = unix-listen:x" },
		{ "a.snap", "output", "pty", false, 0, "" },
		{ "a.snap", "u8", "3", false, 0, "" },
		{ "--set", "output", "none", false, 0, "" },
		{ "--set", "u8", "3", false, -STATUS_USAGE, "cannot be changed at a restore" },
		{ "--set", "at", "0x200000", false, -STATUS_USAGE,
		  "cannot be changed at a restore" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		b->devices.flags = DEVICES_RESTORED | (cases[i].trusted ? DEVICES_TRUSTED : 0);
		config_option_set(&b->config, cases[i].key, cases[i].value,
				  (struct config_place){ cases[i].file, 0 });
		if (take(b, NULL, NULL) != cases[i].result || !strstr(b->said.text, cases[i].said))
			fail_msg("%s %s = %s: %s", cases[i].file, cases[i].key, cases[i].value,
				 b->said.text);
		teardown((void **)&b);
	}
}

/* With an irqchip, the addresses of its chips are reserved; adjacent addresses are free. The range
 * "ports" has 8 ports, "at" 16 bytes. */
static void
chips(void **state)
{
	static const struct {
		const char *key, *value, *said; /* said NULL: no error */
	} cases[] = {
		{ "ports", "0x18", NULL },
		{ "ports", "0x19", "ports = 0x19 overlaps the first PIC, 0x20 to 0x21" },
		{ "ports", "0x21", "the first PIC" },
		{ "ports", "0x22", NULL },
		{ "ports", "0x43", "the PIT, 0x40 to 0x43" },
		{ "ports", "0x44", NULL },
		{ "ports", "0x5a", "the PIT's speaker" },
		{ "ports", "0x62", NULL },
		{ "ports", "0xa1", "the second PIC" },
		{ "ports", "0x4d1", "edge or level control" },
		{ "at", "0xfebffff0", NULL },
		{ "at", "0xfebffff1", "at = 0xfebffff1 overlaps the IOAPIC, 0xfec00000 to" },
		{ "at", "0xfec00fff", "the IOAPIC" },
		{ "at", "0xfee00000", "the LAPIC" },
		{ "at", "0xfee01000", NULL },
		{ "at", "0xfffffffffffffff0", "do not fit" },
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
		const char *said = i % 2 ? cases[i / 2].said : NULL;
		struct bench *b;
		int r;

		assert_int_equal(setup((void **)&b), 0);
		b->machine.kvm.irqchip = i % 2;
		r = take(b, cases[i / 2].key, cases[i / 2].value);
		if (i / 2 == 15) /* wraps around: refused without chips too */
			said = cases[15].said;
		if (r != (said ? -STATUS_USAGE : 0) || (said && !strstr(b->said.text, said)))
			fail_msg("%s = %s: %d, %s", cases[i / 2].key, cases[i / 2].value, r,
				 b->said.text);
		teardown((void **)&b);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(initial_values),
		cmocka_unit_test(every_number),
		cmocka_unit_test(refusals),
		cmocka_unit_test(durations_of_set_need_a_unit),
		TEST(all_errors_are_reported),
		TEST(no_length),
		TEST(lines),
		TEST(lines_need_chips),
		cmocka_unit_test(chips),
		cmocka_unit_test(paths),
		cmocka_unit_test(restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
