/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plugin ABI across versions. An older plugin has a shorter descriptor and shorter rows than
 * this host, a newer plugin has longer ones. Invalid tables are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/plugin.h"

#include <cmocka.h>

#define ROWS 2 /* in each table of the sample */

enum kind { OPTION, RANGE, REGISTER, TIMER, STREAM, WATCH, POST, FIELD, ACPI, DESCRIPTOR, KINDS };

/* The tables. size: of a row in this host. old_size: of a row of the oldest plugin, up to the first
 * member that may be missing. */
static const struct {
	const char *name;
	uint32_t size, old_size;
} kinds[] = {
#define KIND(type, cut) sizeof(struct minivmm_##type), offsetof(struct minivmm_##type, cut)
	[OPTION] = { "options", KIND(option, flags) },
	[RANGE] = { "ranges", KIND(range, help) },
	[REGISTER] = { "registers", KIND(register, write) },
	[TIMER] = { "timers", KIND(timer, help) },
	[STREAM] = { "streams", KIND(stream, help) },
	[WATCH] = { "watches", KIND(watch, help) },
	[POST] = { "posts", KIND(post, help) },
	[FIELD] = { "fields", KIND(field, max) },
	[ACPI] = { "acpi", KIND(acpi, role) },
	[DESCRIPTOR] = { "the descriptor", KIND(plugin, save) },
};

static int
access_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	return 0;
}

static int
fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return 0;
}

static int
ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	return 0;
}

static int
run(struct minivmm_device *dev, uint32_t post)
{
	return 0;
}

static int
save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return 0;
}

static int
stop(struct minivmm_device *dev)
{
	return 0;
}

/* A plugin with two rows in each table. sizes selects its ABI. */
struct sample {
	uint32_t sizes[KINDS]; /* of rows, and of the descriptor */
	struct minivmm_option options[ROWS];
	struct minivmm_range ranges[ROWS];
	struct minivmm_register registers[ROWS];
	struct minivmm_timer timers[ROWS];
	struct minivmm_stream streams[ROWS];
	struct minivmm_watch watches[ROWS];
	struct minivmm_post posts[ROWS];
	struct minivmm_field fields[ROWS];
	struct minivmm_acpi acpi[ROWS];
	struct minivmm_plugin descriptor;
	uint8_t *built[KINDS]; /* the tables in the plugin's ABI */
	struct minivmm_registration registration;
	struct plugin plugin; /* the tables after plugin_adopt() */
	struct why why;
};

static struct sample *
sample_new(void)
{
	struct sample *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	*s = (struct sample){
		.options = { { "size", MINIVMM_U64, 8, "16", "a number", 0, 1, 64, NULL },
			     { "level", MINIVMM_U8, 2, NULL, "another", 0, 0, 0, NULL } },
		.ranges = { { MINIVMM_PIO, 0, "port", "0x10", 4, NULL, MINIVMM_W8, access_read,
			      NULL, NULL, "first" },
			    { MINIVMM_MMIO, MINIVMM_OPTIONAL, "at", NULL, 0, "size", 0, access_read,
			      NULL, NULL, "second" } },
		.registers = { { 0, "IN", "OUT" }, { 2, "CONTROL", "STATUS" } },
		.timers = { { "tick", fire, "help" }, { "tock", fire, "help" } },
		.streams = { { .name = "line",
			       .output = "output",
			       .input = "input",
			       .help = "help" },
			     { .name = "log", .output = "log", .help = "help" } },
		.watches = { { "inotify", ready, "help" }, { "other", ready, "help" } },
		.posts = { { "done", run, "help" }, { "more", run, "help" } },
		.fields = { { "level", MINIVMM_U8, 1, 0, 0, 0, 0, 3, 9, 2, "help" },
			    { "bytes", MINIVMM_U8, 16, 8, 0, 24, MINIVMM_U64, 0, 0, 0, "help" } },
		.acpi = { { .hid = "PNP0501" }, { .hid = "TEST0001", .cid = "PNP0C02" } },
		.descriptor = { .name = "sample",
				.summary = "for tests",
				.state_version = 3,
				.state_size = 32,
				.stop = stop,
				.save = NULL },
	};
	for (int k = 0; k < KINDS; k++)
		s->sizes[k] = kinds[k].size;
	return s;
}

static const void *
rows_of(const struct sample *s, enum kind kind)
{
	const void *const rows[] = {
		[OPTION] = s->options,     [RANGE] = s->ranges,
		[REGISTER] = s->registers, [TIMER] = s->timers,
		[STREAM] = s->streams,     [WATCH] = s->watches,
		[POST] = s->posts,         [FIELD] = s->fields,
		[ACPI] = s->acpi,          [DESCRIPTOR] = &s->descriptor,
	};

	return rows[kind];
}

/* Builds a table in the plugin's ABI. Bytes that this host does not know are zero; the last row is
 * a row of zeros. */
static void *
build(struct sample *s, enum kind kind)
{
	size_t rows = kind == DESCRIPTOR ? 1 : ROWS, theirs = s->sizes[kind],
	       ours = kinds[kind].size;

	s->built[kind] = calloc(rows + 1, theirs);
	assert_non_null(s->built[kind]);
	for (size_t i = 0; i < rows; i++)
		memcpy(s->built[kind] + i * theirs, (const char *)rows_of(s, kind) + i * ours,
		       theirs < ours ? theirs : ours);
	return s->built[kind];
}

static void
build_all(struct sample *s)
{
	s->ranges[0].registers = build(s, REGISTER);
	s->descriptor.options = build(s, OPTION);
	s->descriptor.ranges = build(s, RANGE);
	s->descriptor.timers = build(s, TIMER);
	s->descriptor.streams = build(s, STREAM);
	s->descriptor.watches = build(s, WATCH);
	s->descriptor.posts = build(s, POST);
	s->descriptor.fields = build(s, FIELD);
	s->descriptor.acpi = build(s, ACPI);
	s->registration = (struct minivmm_registration){
		.abi = MINIVMM_ABI,
		.size = sizeof(s->registration),
		.plugin_size = s->sizes[DESCRIPTOR],
		.option_size = s->sizes[OPTION],
		.range_size = s->sizes[RANGE],
		.register_size = s->sizes[REGISTER],
		.timer_size = s->sizes[TIMER],
		.stream_size = s->sizes[STREAM],
		.watch_size = s->sizes[WATCH],
		.post_size = s->sizes[POST],
		.field_size = s->sizes[FIELD],
		.acpi_size = s->sizes[ACPI],
		.plugin = build(s, DESCRIPTOR),
	};
}

static const char *
adopt(struct sample *s)
{
	return plugin_adopt(&s->plugin, &s->registration, &s->why) ? s->why.text : NULL;
}

static void
sample_free(struct sample *s)
{
	plugin_unload(&s->plugin);
	for (int k = 0; k < KINDS; k++)
		free(s->built[k]);
	free(s);
}

/* Asserts that the adopted table has the plugin's bytes, and zeros where the plugin has none. */
static void
same_rows(const struct sample *s, enum kind kind, const void *adopted)
{
	size_t ours = kinds[kind].size, known = s->sizes[kind] < ours ? s->sizes[kind] : ours;

	for (size_t i = 0; i < ROWS; i++) {
		const uint8_t *row = (const uint8_t *)adopted + i * ours;
		const uint8_t *given = (const uint8_t *)rows_of(s, kind) + i * ours;

		if (kind == RANGE) { /* the table inside is a copy */
			assert_memory_equal(row, given, offsetof(struct minivmm_range, registers));
			assert_int_equal(!((const struct minivmm_range *)row)->registers,
					 !((const struct minivmm_range *)given)->registers);
			continue;
		}
		assert_memory_equal(row, given, known);
		for (size_t b = known; b < ours; b++)
			assert_int_equal(row[b], 0);
	}
	for (size_t b = 0; b < ours; b++)
		assert_int_equal(((const uint8_t *)adopted)[ROWS * ours + b], 0);
}

static void
assert_adopted(struct sample *s)
{
	const struct minivmm_plugin *d = &s->plugin.descriptor;
	const char *reason = adopt(s);

	if (reason)
		fail_msg("%s", reason);
	same_rows(s, OPTION, d->options);
	same_rows(s, RANGE, d->ranges);
	same_rows(s, REGISTER, d->ranges[0].registers);
	same_rows(s, TIMER, d->timers);
	same_rows(s, STREAM, d->streams);
	same_rows(s, WATCH, d->watches);
	same_rows(s, POST, d->posts);
	same_rows(s, FIELD, d->fields);
	/* The oldest descriptor ends before acpi. */
	if (s->sizes[DESCRIPTOR] >= kinds[DESCRIPTOR].size)
		same_rows(s, ACPI, d->acpi);
	else
		assert_null(d->acpi);
	assert_int_equal(s->plugin.option_count, ROWS);
	assert_int_equal(s->plugin.range_count, ROWS);
	assert_int_equal(s->plugin.timer_count, ROWS);
	assert_int_equal(s->plugin.stream_count, ROWS);
	assert_int_equal(s->plugin.watch_count, ROWS);
	assert_int_equal(s->plugin.post_count, ROWS);
	assert_int_equal(s->plugin.field_count, ROWS);
	assert_string_equal(d->name, "sample");
	assert_int_equal(d->state_version, 3);
	assert_ptr_equal(d->stop, stop);
	assert_null(d->save);
	assert_null(d->loaded);
	/* size, level, port, at, output, input, wait_input, log */
	assert_int_equal(s->plugin.all_count, 8);
}

/* Adopts samples whose sizes differ from the host's by deltas: each kind alone, then all kinds. */
static void
other_sizes(const int *deltas)
{
	for (int only = -1; only < KINDS; only++) {
		struct sample *s = sample_new();

		for (int k = 0; k < KINDS; k++)
			if (only < 0 || only == k)
				s->sizes[k] = (uint32_t)((int)kinds[k].size + deltas[k]);
		build_all(s);
		assert_adopted(s);
		sample_free(s);
	}
}

static void
this_abi(void **state)
{
	other_sizes((const int[KINDS]){ 0 });
}

static void
newer_plugin(void **state)
{
	int deltas[KINDS];

	for (int more = 8; more <= 64; more += 56) {
		for (int k = 0; k < KINDS; k++)
			deltas[k] = more;
		other_sizes(deltas);
	}
}

static void
older_plugin(void **state)
{
	int deltas[KINDS];

	for (int k = 0; k < KINDS; k++)
		deltas[k] = (int)kinds[k].old_size - (int)kinds[k].size;
	other_sizes(deltas);
}

/* The message names the row and the byte of an unknown member that is in use. */
static void
newer_member_in_use(void **state)
{
	for (int k = 0; k < KINDS; k++)
		for (size_t row = 0; row < (k == DESCRIPTOR ? 1 : ROWS); row++) {
			struct sample *s = sample_new();
			char place[32], byte[32];
			const char *reason;

			s->sizes[k] += 24;
			build_all(s);
			s->built[k][row * s->sizes[k] + kinds[k].size + 16] = 1;
			reason = adopt(s);
			snprintf(place, sizeof(place), k == DESCRIPTOR ? "%s" : "%s[%zu]",
				 kinds[k].name, row);
			snprintf(byte, sizeof(byte), "at byte %u", kinds[k].size + 16);
			if (!reason || !strstr(reason, "needs a newer minivmm") ||
			    !strstr(reason, place) || !strstr(reason, byte))
				fail_msg("%s: %s", place, reason ? reason : "loaded");
			sample_free(s);
		}
}

/* A longer registration has sizes of tables that this host does not know. It is accepted if the
 * descriptor does not use these tables. */
static void
longer_registration(void **state)
{
	struct {
		struct minivmm_registration registration;
		uint32_t more[4];
	} longer = { .more = { 8, 16, 24, 32 } };
	struct sample *s = sample_new();

	build_all(s);
	longer.registration = s->registration;
	longer.registration.size = sizeof(longer);
	assert_int_equal(plugin_adopt(&s->plugin, &longer.registration, &s->why), 0);
	sample_free(s);
}

#define NAME_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define CONTRADICTIONS(X)                                                                          \
	X(s->registration.abi = 3, "built for ABI 3")                                              \
	X(s->registration.size = 40, "registration is too short")                                  \
	X(s->registration.plugin = NULL, "registration is too short")                              \
	X(s->registration.option_size = 0, "table of options has rows of 0 bytes")                 \
	X(s->registration.register_size = 70000, "table of registers has rows of 70000 bytes")     \
	X(d->name = NULL, "lacks a name, a summary or a state_version")                            \
	X(d->state_version = 0, "lacks a name, a summary or a state_version")                      \
	X(options[1].name = NULL, "options[1] has no name")                                        \
	X(options[1].name = "size", "options[1] defines a second option named size")               \
	X(options[1].name = "wait_input", "streams[0] defines a second option named wait_input")   \
	X(options[1].name = "plugin", "options[1] defines an option named plugin")                 \
	X(options[1].type = 77, "option level has the unknown type 77")                            \
	X(options[1].type = MINIVMM_ENUM, "option level is an enum without values")                \
	X(options[1].offset = 32, "option level lies outside the state")                           \
	X(options[0].offset = 25, "option size lies outside the state")                            \
	X(options[1].offset = 1, "field level overlaps the member of option level")                \
	X(options[1].offset = 23, "field bytes overlaps the member of option level")               \
	X(options[0].type = MINIVMM_STRING, "range at takes its length from size, which is not")   \
	X(ranges[0].space = 3, "ranges[0] has the unknown space 3")                                \
	X(ranges[0].at = NULL, "ranges[0] has no .at")                                             \
	X(ranges[0].length = 0, "range port has no length")                                        \
	X(ranges[1].length_option = "length", "range at has no length")                            \
	X(ranges[1].widths = 16, "range at has unknown widths 0x10")                               \
	X(streams[0].name = NULL, "streams[0] has no name")                                        \
	X(streams[1].output = NULL, "streams[1] has no name, or neither output nor input")         \
	X(ranges[1].at = "port", "ranges[1] defines a second option named port")                   \
	X(streams[1].output = "input", "streams[1] defines a second option named input")           \
	X(timers[1].fire = NULL, "timers[1] has no name or no fire")                               \
	X(watches[0].ready = NULL, "watches[0] has no name or no ready")                           \
	X(posts[1].name = NULL, "posts[1] has no name or no run")                                  \
	X(timers[1].name = "tick", "timers[1] and timers[0] have the same name, tick")             \
	X(streams[1].name = "line", "streams[1] and streams[0] have the same name, line")          \
	X(watches[1].name = "inotify", "watches[1] and watches[0] have the same name, inotify")    \
	X(posts[1].name = "done", "posts[1] and posts[0] have the same name, done")                \
	X(fields[1].name = "level", "fields[1] and fields[0] have the same name, level")           \
	X(fields[0].type = MINIVMM_SIZE, "fields[0] has no name or no valid type")                 \
	X(fields[0].name = "a b", "field name 'a b' is invalid")                                   \
	X(fields[1].name = "", "field name '' is invalid")                                         \
	X(timers[0].name = "a=b", "timer name 'a=b' is invalid")                                   \
	X(streams[0].name = "\n", "stream name '\n' is invalid")                                   \
	X(options[0].name = NAME_64 NAME_64 NAME_64 NAME_64,                                       \
	  "option name '" NAME_64 "' is invalid")                                                  \
	X(fields[1].count = 17, "field bytes lies outside the state")                              \
	X(fields[1].counter_offset = 25, "field bytes has a counter outside the state")            \
	X(fields[0].flags = MINIVMM_POINTER, "field level lies outside the state")                 \
	X(d->state_size = SIZE_MAX, "its state_size is 18446744073709551615, above 268435456")     \
	X(d->flags = 2, "newer minivmm: the descriptor has the unknown flags 0x2")                 \
	X(options[0].flags = 0x100, "newer minivmm: option size has the unknown flags 0x100")      \
	X(ranges[1].flags |= 0x40, "newer minivmm: range at has the unknown flags 0x40")           \
	X(fields[0].flags = 0x40, "newer minivmm: field level has the unknown flags 0x40")         \
	X(acpi[0].role = 7, "newer minivmm: acpi[0] has the unknown role 7")                       \
	X(acpi[0].page = "Addr", "acpi[0]: page = Addr is not an ACPI name")                       \
	X(acpi[0].page = "ADDRS", "acpi[0]: page = ADDRS is not an ACPI name")                     \
	X(acpi[0].page = "0DDR", "acpi[0]: page = 0DDR is not an ACPI name")                       \
	X(acpi[0].aml_length = 1, "acpi[0] has aml_length but no aml")                             \
	X(acpi[1].hid = NULL, "acpi[1] has no hid")                                                \
	X(acpi[1].hid = "foo bar", "acpi[1]: hid = foo bar is no ID")                              \
	X(acpi[1].hid = "TOOLONG12345", "acpi[1]: hid = TOOLONG12345 is no ID")                    \
	X(acpi[1].hid = "", "acpi[1]: hid =  is no ID")                                            \
	X(acpi[1].cid = "a b", "acpi[1]: cid = a b is no ID")                                      \
	X(options[0].min = 65, "option size: min 0x41 is above its maximum, 0x40")                 \
	X(options[0].initial = "65", "option size: initial = 65 is out of range, 1 to 64")         \
	X(options[0].initial = "no", "option size: initial = no is not a number")                  \
	X((options[1].type = MINIVMM_BOOL, options[1].initial = "2"),                              \
	  "option level: initial = 2 is not one of its values")                                    \
	X((options[0].type = MINIVMM_IRQ, options[0].initial = "24"),                              \
	  "option size: initial = 24 is not one of its values")                                    \
	X(ranges[0].at_initial = "0x10000", "option port: initial = 0x10000 is out of range")      \
	X(ranges[0].at_initial = "here", "option port: initial = here is not a number")            \
	X(options[1].offset = 9, "option level overlaps the member of option size")                \
	X(ranges[0].widths = MINIVMM_W64, "range port of 4 bytes has accesses of 8 bytes")         \
	X(fields[0].initial = 10, "field level: initial 0xa is above its maximum, 0x9")            \
	X((fields[0].max = 0, fields[0].initial = 256),                                            \
	  "field level: initial 0x100 is above its maximum, 0xff")                                 \
	X(fields[0].since = 4, "field level: since 4 is above state_version 3")                    \
	X(fields[0].offset = 18, "field bytes overlaps field level")                               \
	X(fields[1].counter_offset = 16, "field bytes contains its own counter")                   \
	X(fields[1].counter_offset = 8,                                                            \
	  "the counter of field bytes overlaps the member of option")                              \
	X((fields[1].counter_offset = 0, fields[1].counter_type = MINIVMM_U16),                    \
	  "the counter of field bytes overlaps field level")                                       \
	X((fields[0] = fields[1], fields[0].name = "more", fields[0].flags = MINIVMM_POINTER,      \
	   fields[0].count = 0, fields[0].offset = 24, fields[0].counter_offset = 8,               \
	   fields[1].counter_offset = 28, fields[1].counter_type = MINIVMM_U8),                    \
	  "the counter of field bytes overlaps field more")                                        \
	X((fields[0] = fields[1], fields[0].name = "more", fields[0].offset = 4,                   \
	   fields[0].count = 4, fields[0].counter_offset = 25,                                     \
	   fields[0].counter_type = MINIVMM_U8),                                                   \
	  "the counter of field more overlaps field bytes's counter")                              \
	X((fields[1].flags = MINIVMM_POINTER, fields[1].counter_offset = 24),                      \
	  "the counter of field bytes is neither an option nor a member that configure can set")   \
	X((fields[1].flags = MINIVMM_POINTER, fields[1].counter_type = MINIVMM_U32),               \
	  "the counter of field bytes is neither an option nor a member that configure can set")   \
	X(acpi[1].only = "level", "acpi[1]: only = level is not an option of type irq")            \
	X(d->save = save, "only one of save and load")

#define NUMBER(change, words) +1

static const char *
contradict(struct sample *s, int number)
{
	struct minivmm_plugin *d = (struct minivmm_plugin *)s->built[DESCRIPTOR];
	struct minivmm_option *options = (struct minivmm_option *)s->built[OPTION];
	struct minivmm_range *ranges = (struct minivmm_range *)s->built[RANGE];
	struct minivmm_timer *timers = (struct minivmm_timer *)s->built[TIMER];
	struct minivmm_stream *streams = (struct minivmm_stream *)s->built[STREAM];
	struct minivmm_watch *watches = (struct minivmm_watch *)s->built[WATCH];
	struct minivmm_post *posts = (struct minivmm_post *)s->built[POST];
	struct minivmm_field *fields = (struct minivmm_field *)s->built[FIELD];
	struct minivmm_acpi *acpi = (struct minivmm_acpi *)s->built[ACPI];
	int i = 0;

#define CASE(change, words)                                                                        \
	if (i++ == number) {                                                                       \
		change;                                                                            \
		return words;                                                                      \
	}
	CONTRADICTIONS(CASE)
	return NULL;
}

static void
contradictions(void **state)
{
	for (int i = 0; i < 0 CONTRADICTIONS(NUMBER); i++) {
		struct sample *s = sample_new();
		const char *words, *reason;

		build_all(s);
		words = contradict(s, i);
		reason = adopt(s);
		if (!reason || !strstr(reason, words))
			fail_msg("\"%s\" expected: %s", words, reason ? reason : "loaded");
		sample_free(s);
	}
}

/* Terms of a device in AML, and the offset of the first that is no named object; -1: none. */
static const struct {
	uint8_t bytes[24];
	uint32_t length;
	int bad;
} amls[] = {
	{ { 0x08, 'A', 'B', 'C', '0', 0x01 }, 6, -1 }, /* Name (ABC0, One) */
	{ { 0x08, '_', 'U', 'I', 'D', 0x0a, 5, 0x08, 'B', 'C', 'D', 'E', 0x0d, 'x', 0 }, 15, -1 },
	{ { 0x08, 'A', 'B', 'C', 'D', 0x12, 0x03, 0x01, 0x00 }, 9, -1 }, /* a package */
	{ { 0x14, 0x06, 'M', 'E', 'T', 'H', 0x00 }, 7, -1 },             /* Method */
	{ { 0x14, 0x07, 'M', 'E', 'T', 'H', 0x00, 0xff }, 8, -1 },       /* its terms are skipped */
	{ { 0x5b, 0x82, 0x05, 'D', 'E', 'V', '0' }, 7, -1 },             /* Device */
	{ { 0x5b, 0x80, 'R', 'E', 'G', '0', 0x01, 0x0b, 0, 1, 0x0a, 4 }, 12, -1 },
	{ { 0xff, 0xff, 0x10, 0x05 }, 4, 0 },                          /* no object */
	{ { 0x08, 'A', 'B', 'C', '0' }, 5, 0 },                        /* no value */
	{ { 0x08, 'a', 'b', 'c', '0', 0x01 }, 6, 0 },                  /* no name */
	{ { 0x08, 'A', 'B', 'C', '0', 0x0c, 1, 2 }, 8, 0 },            /* a cut number */
	{ { 0x08, 'A', 'B', 'C', '0', 0x0d, 'x' }, 7, 0 },             /* a text without end */
	{ { 0x08, 'A', 'B', 'C', '0', 0x01, 0x14, 0x3f, 'M' }, 9, 6 }, /* longer than all */
	{ { 0x14, 0xff, 0xff, 0xff, 0xff, 'A' }, 6, 0 },
	{ { 0x10, 0x00 }, 2, 0 },
	{ { 0x5b }, 1, 0 },
};

static void
aml_terms(void **state)
{
	for (size_t i = 0; i < sizeof(amls) / sizeof(*amls); i++) {
		struct sample *s = sample_new();
		char words[64] = "";
		const char *reason;

		s->acpi[0].aml = amls[i].bytes;
		s->acpi[0].aml_length = amls[i].length;
		build_all(s);
		reason = adopt(s);
		if (amls[i].bad >= 0)
			snprintf(words, sizeof(words),
				 "acpi[0]: aml has no named object at byte %d", amls[i].bad);
		if (reason ? !*words || !strstr(reason, words) : *words != '\0')
			fail_msg("case %zu: \"%s\" expected: %s", i, words,
				 reason ? reason : "loaded");
		sample_free(s);
	}
}

static void
endless_table(void **state)
{
	struct sample *s = sample_new();

	build_all(s);
	free(s->built[POST]);
	s->built[POST] = malloc(5000 * sizeof(struct minivmm_post));
	assert_non_null(s->built[POST]);
	memset(s->built[POST], 1, 5000 * sizeof(struct minivmm_post));
	((struct minivmm_plugin *)s->built[DESCRIPTOR])->posts =
	    (struct minivmm_post *)s->built[POST];
	assert_non_null(strstr(adopt(s), "table of posts has no end; end it with MINIVMM_END"));
	sample_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_abi),
		cmocka_unit_test(newer_plugin),
		cmocka_unit_test(older_plugin),
		cmocka_unit_test(newer_member_in_use),
		cmocka_unit_test(longer_registration),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(aml_terms),
		cmocka_unit_test(endless_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
