/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin with rows in each table, built in an ABI whose descriptor and rows have any size, and
 * adopted by this host.
 */
#ifndef TESTS_ABI_SAMPLE_H
#define TESTS_ABI_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minivmm/tool.h"
#include "plugin/plugin.h"

#include <cmocka.h>

#define ROWS 2 /* in each table of the sample */

enum kind {
	OPTION,
	RANGE,
	REGISTER,
	TIMER,
	STREAM,
	WATCH,
	POST,
	FIELD,
	ACPI,
	PCI,
	BAR,
	DESCRIPTOR,
	KINDS
};

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
	[PCI] = { "pci", KIND(pci, help) },
	[BAR] = { "bars", sizeof(struct minivmm_bar), sizeof(struct minivmm_bar) },
	[DESCRIPTOR] = { "the descriptor", KIND(plugin, save) },
};

static inline int
access_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	return 0;
}

static inline int
fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return 0;
}

static inline int
ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	return 0;
}

static inline int
run(struct minivmm_device *dev, uint32_t post)
{
	return 0;
}

static inline int
save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return 0;
}

static inline int
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
	struct minivmm_pci pci[ROWS];
	struct minivmm_bar bars[ROWS]; /* of pci[0] */
	struct minivmm_plugin descriptor;
	uint8_t *built[KINDS]; /* the tables in the plugin's ABI */
	struct minivmm_registration registration;
	struct plugin plugin; /* the tables after plugin_adopt() */
	struct why why;
};

static inline struct sample *
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
		.pci = { { .slot = "slot",
			   .slot_initial = "none",
			   .vendor = 0x1234,
			   .vectors = 1,
			   .vectors_offset = 4,
			   .help = "help" },
			 { .slot = "slot", .slot_initial = "none", .vendor = 0x1234 } },
		.bars = { { MINIVMM_BAR_PORTS, 0, 0, 0 }, { MINIVMM_BAR_MEMORY32, 1, 1, 0 } },
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

static inline const void *
rows_of(const struct sample *s, enum kind kind)
{
	const void *const rows[] = {
		[OPTION] = s->options, [RANGE] = s->ranges,   [REGISTER] = s->registers,
		[TIMER] = s->timers,   [STREAM] = s->streams, [WATCH] = s->watches,
		[POST] = s->posts,     [FIELD] = s->fields,   [ACPI] = s->acpi,
		[PCI] = s->pci,        [BAR] = s->bars,       [DESCRIPTOR] = &s->descriptor,
	};

	return rows[kind];
}

/* Builds a table in the plugin's ABI. Bytes that this host does not know are zero; the last row is
 * a row of zeros. */
static inline void *
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

static inline void
build_all(struct sample *s)
{
	s->ranges[0].registers = build(s, REGISTER);
	s->pci[0].bars = build(s, BAR);
	s->descriptor.options = build(s, OPTION);
	s->descriptor.ranges = build(s, RANGE);
	s->descriptor.timers = build(s, TIMER);
	s->descriptor.streams = build(s, STREAM);
	s->descriptor.watches = build(s, WATCH);
	s->descriptor.posts = build(s, POST);
	s->descriptor.fields = build(s, FIELD);
	s->descriptor.acpi = build(s, ACPI);
	s->descriptor.pci = build(s, PCI);
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
		.pci_size = s->sizes[PCI],
		.bar_size = s->sizes[BAR],
		.plugin = build(s, DESCRIPTOR),
	};
}

static inline const char *
adopt(struct sample *s)
{
	return plugin_adopt(&s->plugin, &s->registration, &s->why) ? s->why.text : NULL;
}

static inline void
sample_free(struct sample *s)
{
	plugin_unload(&s->plugin);
	for (int k = 0; k < KINDS; k++)
		free(s->built[k]);
	free(s);
}

#endif
