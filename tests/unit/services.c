/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of services: each has a row; the header and the manual state what the row says; and
 * each function refuses every call in a phase or on a thread that its row does not allow, before it
 * looks at its arguments. Run from the top of the tree.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

#include <cmocka.h>

#include "said.h"

#define HEADER "core/include/minivmm/plugin.h"
#define MANUAL "core/plugin/minivmm-plugin.3"
#define PHASES 11 /* bits of SERVICE_ALWAYS */

static struct service_table table;
static char members[SERVICE_COUNT][32]; /* names, in the order of struct minivmm_services */

static char *
read_whole(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

/* Takes the members' names from the header: "(*NAME)(". */
static int
setup(void **state)
{
	char *header = read_whole(HEADER), *at = strstr(header, "struct minivmm_services {\n");

	device_services_compose(&table);
	for (size_t i = 0; i < SERVICE_COUNT; i++) {
		at = strstr(at, "(*") + 2;
		snprintf(members[i], sizeof(members[i]), "%.*s", (int)strcspn(at, ")"), at);
		at = strchr(at, ';');
	}
	*state = header;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
every_service_has_a_row(void **state)
{
	assert_string_equal(members[0], "log");
	for (size_t i = 0; i < SERVICE_COUNT; i++) {
		const struct service *row = &table.rows[i];
		size_t length = row->name ? strcspn(row->name, "*") : 0;

		length -= row->name && row->name[length]; /* without "_*" */
		if (!row->name || strncmp(row->name, members[i], length))
			fail_msg("%s has no row, or that of %s", members[i], row->name);
		if (*service_phases(row) == '?' || *service_threads(row) == '?')
			fail_msg("%s: the row's phases or threads have no text", row->name);
		assert_non_null(((void (**)(void)) & table.functions.log)[i]);
	}
}

/* Copies up to the full stop; a line break of a comment becomes a blank. */
static void
copy_sentence(char *to, size_t size, const char *from)
{
	size_t length = 0;

	while (*from != '.' && length < size - 1) {
		to[length++] = *from == '\n' ? ' ' : *from;
		from += *from == '\n' ? strlen("\n * ") : 1;
	}
	to[length] = '\0';
}

/* The comment above an inline function ends with "Where: PHASES, THREADS." */
static void
the_header_agrees(void **state)
{
	char *header = *state;

	for (size_t i = 0; i < SERVICE_COUNT; i++) {
		char call[40], wanted[128], found[128] = "";
		const char *at = header, *where = NULL, *next;
		unsigned calls = 0;

		snprintf(wanted, sizeof(wanted), "%s, %s", service_phases(&table.rows[i]),
			 service_threads(&table.rows[i]));
		snprintf(call, sizeof(call), "->%.30s(", members[i]);
		while ((at = strstr(at, call))) {
			for (next = header; (next = strstr(next, "Where: ")) && next < at; next++)
				where = next;
			assert_non_null(where);
			copy_sentence(found, sizeof(found), where + 7);
			if (strcmp(found, wanted))
				fail_msg("%s: the header says \"%s\", the row \"%s\"", members[i],
					 found, wanted);
			at++;
			calls++;
		}
		if (!calls)
			fail_msg("the header has no function for %s", members[i]);
	}
}

static void
the_manual_agrees(void **state)
{
	char *manual = read_whole(MANUAL);
	unsigned rows = 0;

	for (size_t i = 0; i < SERVICE_COUNT; i++) {
		char line[256];

		snprintf(line, sizeof(line), ".It Li %s Ta %s Ta %s\n", table.rows[i].name,
			 service_phases(&table.rows[i]), service_threads(&table.rows[i]));
		if (!strstr(manual, line))
			fail_msg("the manual lacks: %s", line);
	}
	for (const char *at = strstr(manual, ".It Em service Ta Em phases"); *at != '\0'; at++)
		if (!strncmp(at, "\n.El", 4))
			break;
		else
			rows += !strncmp(at, "\n.It Li ", 8);
	assert_int_equal(rows, SERVICE_COUNT);
	free(manual);
}

static const char *
phase_name(uint32_t phase)
{
	static const char *const names[PHASES] = { "configure", "load",   "start",  "run",
						   "pause",     "paused", "resume", "capture",
						   "save",      "stop",   "destroy" };

	assert_int_equal(phase & (phase - 1), 0);
	return names[__builtin_ctz(phase)];
}

/* The host calls callbacks by the same table. */
static void
the_manual_has_the_callbacks(void **state)
{
	char *manual = read_whole(MANUAL), *at = strstr(manual, ".It Em callback Ta Em table");

	assert_non_null(at);
	at = strchr(at, '\n') + 1;
	for (size_t i = 0; i < CALLBACKS; i++) {
		const struct service_caller *row = &service_callers[i];
		char line[128];

		snprintf(line, sizeof(line), ".It Fa %s Ta %s Ta %s Ta %s Ta %s\n", row->name,
			 row->of ? row->of : "descriptor", phase_name(row->phase),
			 row->thread == SERVICE_IO ? "I/O" : "a vCPU's",
			 row->pending ? "yes" : "no");
		if (strncmp(at, line, strlen(line)))
			fail_msg("the manual lacks %s, or has it elsewhere than the table", line);
		at += strlen(line);
	}
	assert_int_equal(strncmp(at, ".El\n", 4), 0);
	free(manual);
}

struct bench {
	struct machine machine; /* zeros: no function looks at it before it checks the call */
	struct bus_gate gate;
	struct devices devices;
	struct device device;
	struct minivmm_device other;
	struct said said;
};

/* Puts this thread where the bits say. */
static void
go(struct bench *b, uint32_t phase, uint32_t thread)
{
	bus_current = (struct bus_current){
		.device = thread == SERVICE_OTHER ? &b->other : &b->device.host.public,
		.callback = thread == SERVICE_OWN ? NULL : "somewhere",
		.thread = thread,
		.offset = thread == SERVICE_VCPU ? 0 : BUS_NO_ACCESS,
		.phase = phase,
	};
	atomic_store(&b->device.host.phase, phase);
	atomic_store(&b->device.host.log_seconds, 0);
}

/* Whether the service's first argument is a writer or a reader. */
static bool
saves(const struct service *row)
{
	return !strncmp(row->name, "put", 3) || !strncmp(row->name, "get", 3);
}

/* Calls a service with a device and zeros, and expects that it is refused. */
static void
expect_refused(struct bench *b, size_t service)
{
	typedef uint64_t function(void *first, ...);
	const struct service *row = &table.rows[service];
	uint64_t before = b->gate.refused;
	char name[64];

	snprintf(name, sizeof(name), "minivmm_%s() is refused: it is called ", row->name);
	said_begin(&b->said);
	((function **)&table.functions.log)[service](saves(row) ? NULL : &b->device.host, 0, 0, 0,
						     0, 0);
	said_end(&b->said);
	bus_current.callback = NULL;
	if (b->gate.refused != before + 1)
		fail_msg("%s: %s", row->name, b->said.text);
	SAID(b->said.text, "minivmm: dev0: ", name, service_phases(row), service_threads(row),
	     "; plugin p is at fault\n");
}

static void
every_other_call_is_refused(void **state)
{
	static const uint32_t threads[] = { SERVICE_IO, SERVICE_VCPU, SERVICE_OWN, SERVICE_OTHER };
	struct bench *b = calloc(1, sizeof(*b));
	unsigned refused = 0;

	assert_non_null(b);
	b->devices.machine = &b->machine;
	b->device = (struct device){ .all = &b->devices,
				     .host = { .public = { &table.functions, NULL, "dev0", 0 },
					       .table = &table,
					       .gate = &b->gate,
					       .plugin = "p" } };
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		for (uint32_t p = 0; p < PHASES; p++)
			for (size_t t = 0; t < sizeof(threads) / sizeof(*threads); t++) {
				const struct service *row = &table.rows[i];
				/* A handler is called, and another device runs, while the guest
				 * runs. */
				bool fixed = threads[t] & (SERVICE_VCPU | SERVICE_OTHER);
				uint32_t phase = fixed ? SERVICE_RUN : 1u << p;

				if (row->phases & phase && row->threads & threads[t])
					continue;
				if (saves(row) && threads[t] & (SERVICE_OWN | SERVICE_OTHER))
					continue; /* no device is known */
				go(b, phase, threads[t]);
				expect_refused(b, i);
				refused++;
			}
	assert_true(refused > SERVICE_COUNT * PHASES);
	free(b);
}

struct mapper {
	struct bench *bench;
	atomic_bool ended;
};

static void *
map(void *context)
{
	struct mapper *m = context;

	table.functions.memory_map(&m->bench->device.host.public, 0, 1);
	atomic_store(&m->ended, true);
	return NULL;
}

/* A thread of the plugin asks for a mapping while a pause begins. */
static void
a_pause_refuses_a_mapping_that_it_does_not_see(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct mapper mapper = { .bench = b };
	pthread_t thread;

	assert_non_null(b);
	b->devices.machine = &b->machine;
	b->device = (struct device){ .all = &b->devices,
				     .host = { .public = { &table.functions, NULL, "dev0", 0 },
					       .table = &table,
					       .gate = &b->gate,
					       .plugin = "p" } };
	go(b, SERVICE_RUN, SERVICE_OWN);
	lock_take(&b->device.mapping_lock);
	assert_int_equal(pthread_create(&thread, NULL, map, &mapper), 0);
	while (atomic_load(&b->device.mapping_lock.word) != 2 && !atomic_load(&mapper.ended))
		usleep(1000);
	go(b, SERVICE_PAUSED, SERVICE_OWN);
	said_begin(&b->said);
	lock_release(&b->device.mapping_lock);
	pthread_join(thread, NULL);
	said_end(&b->said);
	assert_int_equal(b->gate.refused, 1);
	assert_false(device_has_mappings(&b->device));
	SAID(b->said.text,
	     "minivmm_memory_map() is refused: it is called in a pause on a thread of the plugin (",
	     "except in a pause");
	free(b);
}

/* A plugin that was built for a newer header calls an entry behind the last one. */
static void
spare_entries_refuse(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->device = (struct device){ .host = { .public = { &table.functions, NULL, "dev0", 0 },
					       .table = &table,
					       .gate = &b->gate,
					       .plugin = "p" } };
	assert_ptr_equal(table.spare, &((char *)&table.functions)[table.functions.size]);
	for (size_t i = 0; i < SERVICE_SPARE; i++) {
		go(b, SERVICE_RUN, SERVICE_IO);
		said_begin(&b->said);
		assert_int_equal(table.spare[i](NULL), -1);
		said_end(&b->said);
		SAID(b->said.text, "minivmm: dev0: plugin p is at fault: it calls a service that ",
		     "update minivmm");
	}
	bus_current.callback = NULL;
	assert_int_equal(b->gate.refused, SERVICE_SPARE);
	free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_service_has_a_row),
		cmocka_unit_test(the_header_agrees),
		cmocka_unit_test(the_manual_agrees),
		cmocka_unit_test(the_manual_has_the_callbacks),
		cmocka_unit_test(every_other_call_is_refused),
		cmocka_unit_test(a_pause_refuses_a_mapping_that_it_does_not_see),
		cmocka_unit_test(spare_entries_refuse),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
