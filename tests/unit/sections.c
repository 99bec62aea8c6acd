/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of sections: its order, the number of sections of each kind, and the state after save,
 * change and load.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "machine/machine.h"
#include "snapshot/crc.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"
#include "snapshot/writer.h"

#include <cmocka.h>

#include "said.h"
#include "snapshot_sample.h"

#define VCPUS 2

static const char config_text[] = "[vm]\n"
				  "memory = 1M\n"
				  "cpus = 2\n"
				  "irqchip = on\n"
				  "[device rtc0]\n"
				  "plugin = rtc\n"
				  "[device i8042]\n"
				  "plugin = i8042\n"
				  "[snapshot]\n"
				  "generation = keep\n";

struct bench {
	struct config config;
	struct machine machine;
	struct devices devices;
	struct snapshot snapshot; /* only path and memory map */
	struct section_context context;
	struct said said;
};

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	const char *program = getenv("MINIVMM");
	char plugins[PATH_MAX + 32];
	char *overrides[] = { plugins };
	const char *slash = program ? strrchr(program, '/') : NULL;

	*state = b;
	if (!b)
		return -1;
	snprintf(plugins, sizeof(plugins), "plugins.path=%.*s/plugins",
		 slash ? (int)(slash - program) : 1, slash ? program : ".");
	if (config_read_text(&b->config, "test", NULL, config_text, strlen(config_text), overrides,
			     1))
		return -1;
	if (machine_create(&b->machine,
			   &(struct machine_layout){ .memory = { { 0, b->config.vm.memory } },
						     .image_fd = -1,
						     .cpus = VCPUS,
						     .irqchip = true }) ||
	    devices_create(&b->devices, &b->machine, &b->config, 0, NULL, NULL, NULL))
		return -1;
	for (uint32_t i = 0; i < VCPUS; i++)
		if (kvm_vcpu_cpuid(&machine_vcpu(&b->machine, i)->kvm))
			return -1;
	b->snapshot = (struct snapshot){ .fd = -1, .path = (char *)"test.snap", .region_count = 1 };
	b->snapshot.regions[0].size = b->config.vm.memory;
	b->context = section_context(&b->machine, &b->devices);
	b->context.snapshot = &b->snapshot;
	b->context.parent = "parent.snap";
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	devices_destroy(&b->devices);
	machine_destroy(&b->machine);
	config_free(&b->config);
	free(b);
	return 0;
}

static void
rows_are_sound(void **state)
{
	enum section_saved saved = SAVED_BEFORE_STOP;
	size_t rows = 0;

	for (const struct section *s = sections; s->name; s++, rows++) {
		/* File and capture have the order of the table. */
		assert_true(s->saved >= saved);
		saved = s->saved;
		assert_int_equal(s->save != NULL, s->saved != SAVED_WITH_MEMORY);
		if (s->state)
			assert_true(s->save && s->load && !s->raw);
		if (s->load || s->valid || s->check)
			assert_int_not_equal(s->loaded, LOADED_NEVER);
		if (s->raw)
			assert_true(!s->save && !s->load && !s->key);
		if (s->skippable) /* a reader that skips it must not require it */
			assert_int_equal(section_min(s), 0);
		assert_true(section_min(s) <= section_max(s));
		assert_ptr_equal(section_find(s->tag), s); /* no other row has the tag */
		for (const struct section *other = sections; other != s; other++) {
			assert_string_not_equal(other->name, s->name);
			if (other->key && s->key)
				assert_string_not_equal(other->key, s->key);
		}
	}
	assert_true(rows <= SECTION_KINDS_MAX);
	assert_null(section_find(0x58585858));
	assert_null(section_find(0)); /* the end of the table is not a section */
}

/* Saving or loading one section may change the state of another. */
static void
order_is_kvms(void **state)
{
	static const uint32_t load_order[] = { SECTION_MEMORY, SECTION_VCPU, SECTION_VM,
					       SECTION_DEVICE, SECTION_TIME };
	unsigned seen[SECTION_KINDS_MAX] = { 0 };
	const struct section *s = NULL;
	size_t next = 0;

	assert_true(section_find(SECTION_DEVICE) < section_find(SECTION_VCPU));
	assert_true(section_find(SECTION_VCPU) < section_find(SECTION_VM));
	while ((s = section_next_loaded(s))) {
		seen[s - sections]++;
		if (!s->load)
			continue;
		for (size_t i = 0; i < sizeof(load_order) / sizeof(load_order[0]); i++)
			if (load_order[i] == s->tag) {
				assert_int_equal(i, next);
				next++;
			}
	}
	assert_int_equal(next, sizeof(load_order) / sizeof(load_order[0]));
	for (s = sections; s->name; s++)
		assert_int_equal(seen[s - sections], s->loaded != LOADED_NEVER);
}

/* Parses a sample with an additional section. */
static void
parse_with(uint32_t tag, uint32_t index, const char *expected)
{
	struct snapshot_meta meta = { 0 };
	struct snapshot_header header = { .id = { 1 } };
	struct snapshot snapshot;
	struct why why;
	uint8_t *bytes;
	size_t length;
	int r;

	sample_sections(&meta);
	sample_memory(&meta, PAGE_SIZE);
	record_put_text(snapshot_meta_begin(&meta, tag, index, 0), "name", "serial1");
	snapshot_meta_end(&meta);
	length = snapshot_meta_size(&meta);
	bytes = snapshot_meta_seal(&meta, &header, PAGE_SIZE);
	snapshot_meta_free(&meta);
	assert_non_null(bytes);
	r = snapshot_parse(&snapshot, bytes, length, header.table_offset + header.table_size, &why);
	if (!expected)
		assert_int_equal(r, 0);
	else if (!r || !strstr(why.text, expected))
		fail_msg("\"%s\" is not in: %s", expected, why.text);
	snapshot_close(&snapshot);
}

static void
duplicates_are_refused(void **state)
{
	for (const struct section *s = sections; s->name; s++) {
		if (s->tag == SECTION_PAGES) /* not in the sample */
			continue;
		parse_with(s->tag, s->count == SECTION_OPTIONAL, "duplicate or out of order");
		if (section_max(s) == 1 && s->count != SECTION_OPTIONAL)
			parse_with(s->tag, 1, "duplicate or out of order");
		else
			parse_with(s->tag, s->count == SECTION_OPTIONAL ? 0 : 1, NULL);
		parse_with(s->tag, 2, "duplicate or out of order");
	}
}

/* Saves a section and returns its record, which is in writer. */
static struct record
save(const struct bench *b, const struct section *s, uint32_t index, struct record_writer *writer)
{
	struct record root;

	*writer = (struct record_writer){ 0 };
	assert_int_equal(s->save(&b->context, index, writer), 0);
	assert_false(writer->failed);
	assert_int_equal(record_open(writer->data, writer->length, &root, NULL), 0);
	return root;
}

static void
load(const struct bench *b, const struct section *s, uint32_t index, const struct record *record)
{
	struct why why;

	if (record && s->valid && s->valid(&b->context, index, record, &why))
		fail_msg("%s %u is not valid: %s", s->name, index, why.text);
	if (s->check && s->check(&b->context, index, record, &why))
		fail_msg("check of %s %u: %s", s->name, index, why.text);
	if (s->load(&b->context, index, record, &why))
		fail_msg("load of %s %u: %s", s->name, index, why.text);
}

/* Changes a part of the state that the section holds. */
static void
change(struct bench *b, const struct section *s, uint32_t index)
{
	struct kvm_regs regs;

	switch (s->tag) {
	case SECTION_DEVICE:
		devices_at(&b->devices, index)->random[0] ^= 1;
		break;
	case SECTION_VCPU:
		assert_int_equal(kvm_vcpu_regs(&machine_vcpu(&b->machine, index)->kvm, &regs), 0);
		regs.rbx ^= 0x1234567;
		assert_int_equal(kvm_vcpu_set_regs(&machine_vcpu(&b->machine, index)->kvm, &regs),
				 0);
		break;
	case SECTION_VM:
		clock_set(&b->machine.clock, clock_now(&b->machine.clock) + 1000000);
		b->devices.generation[15] ^= 1;
		break;
	default:
		fail_msg("section %s is new: change a part of its state here", s->name);
	}
}

static void
differs(void *context, const char *path, const struct record *a, const struct record *b)
{
	if (context)
		fail_msg("%s: %s differs", (const char *)context, path);
}

/* A load restores the saved state after a change. */
static void
state_makes_the_round_trip(void **state)
{
	struct bench *b = *state;
	struct record_writer first, changed, last;

	for (const struct section *s = NULL; (s = section_next_loaded(s));)
		for (uint32_t i = 0; s->state && i < section_count(s, &b->context); i++) {
			struct record saved = save(b, s, i, &first), now;

			/* The first load stops the kernel's timers. */
			load(b, s, i, &saved);
			record_writer_free(&first);
			saved = save(b, s, i, &first);
			change(b, s, i);
			now = save(b, s, i, &changed);
			assert_int_not_equal(record_compare(&saved, &now, "", differs, NULL), 0);
			load(b, s, i, &saved);
			now = save(b, s, i, &last);
			record_compare(&saved, &now, "", differs, (void *)s->name);
			record_writer_free(&first);
			record_writer_free(&changed);
			record_writer_free(&last);
		}
}

/* Each row refuses an empty record before anything is built, and sets why. */
static void
empty_records_are_not_valid(void **state)
{
	struct bench *b = *state;
	struct record empty;
	struct why why;

	assert_int_equal(record_open("", 0, &empty, NULL), 0);
	b->snapshot.regions[0].size += PAGE_SIZE;
	for (const struct section *s = sections; s->name; s++) {
		if (!s->valid)
			continue;
		why.text[0] = '\0';
		assert_int_equal(s->valid(&b->context, 0, &empty, &why), -1);
		assert_string_not_equal(why.text, "");
	}
	b->snapshot.regions[0].size -= PAGE_SIZE;
}

/* The stop has room for each section before it begins. */
static void
room_is_enough(void **state)
{
	struct bench *b = *state;
	struct record_writer writer;
	size_t sum = 0;

	for (const struct section *s = sections; s->name; s++) {
		bool in_stop = s->saved == SAVED_IN_STOP || s->changes;
		uint32_t count = in_stop ? section_count(s, &b->context) : 0;

		for (uint32_t i = 0; i < count; i++) {
			size_t room = s->room(&b->context, i);

			save(b, s, i, &writer);
			if (writer.length > room)
				fail_msg("%s %u has %zu bytes, and room for %zu", s->name, i,
					 writer.length, room);
			record_writer_free(&writer);
			sum += room;
		}
	}
	assert_int_equal(sections_room(&b->context), sum);
}

/* A device refuses the record of another one. */
static void
devices_are_not_mixed_up(void **state)
{
	struct bench *b = *state;
	const struct section *s = section_find(SECTION_DEVICE);
	struct record_writer writer;
	struct record record = save(b, s, 0, &writer);
	struct why why;

	assert_int_equal(section_count(s, &b->context), 2);
	assert_int_equal(s->valid(&b->context, 1, &record, &why), -1);
	assert_non_null(strstr(why.text, "not in the order of the config"));
	record_writer_free(&writer);
}

static void
memory_map_is_the_machines(void **state)
{
	struct bench *b = *state;
	const struct section *s = section_find(SECTION_MEMORY);
	struct record none = { 0 };

	load(b, s, 0, &none);
}

static void
time_catches_up(void **state)
{
	struct bench *b = *state;
	const struct section *s = section_find(SECTION_TIME);
	uint64_t before = clock_now(&b->machine.clock), realtime;
	struct record_writer writer;
	struct record record = save(b, s, 0, &writer);
	struct why why;

	load(b, s, 0, &record);
	load(b, s, 0, NULL);
	assert_int_equal(clock_now(&b->machine.clock), before);
	b->config.snapshot.clock = CONFIG_CLOCK_WALL;
	assert_true(record_get_u64(&record, "realtime", &realtime));
	record_writer_free(&writer);
	writer = (struct record_writer){ 0 };
	record_put_u64(&writer, "realtime", realtime - 10000000000u);
	assert_int_equal(record_open(writer.data, writer.length, &record, NULL), 0);
	load(b, s, 0, &record);
	assert_in_range(clock_now(&b->machine.clock) - before, 10000000000u, 60000000000u);
	record_writer_free(&writer);
	said_begin(&b->said);
	assert_int_equal(s->load(&b->context, 0, NULL, &why), -STATUS_SNAPSHOT);
	said_end(&b->said);
	SAID(b->said.text, "cannot restore test.snap with clock = wall", "use clock = resume");
	b->config.snapshot.clock = CONFIG_CLOCK_RESUME;
}

static void
config_and_host_are_readable(void **state)
{
	struct bench *b = *state;
	struct record_writer first, again = { 0 };
	struct record record = save(b, section_find(SECTION_CONFIG), 0, &first), other;
	struct config loaded = { 0 };
	struct why why;
	char *parent;

	assert_int_equal(config_load(&loaded, &record, &why), 0);
	config_save(&loaded, &again);
	assert_int_equal(record_open(again.data, again.length, &other, NULL), 0);
	assert_int_equal(record_compare(&record, &other, "", differs, (void *)"config"), 0);
	config_free(&loaded);
	record_writer_free(&again);
	record_writer_free(&first);
	record = save(b, section_find(SECTION_HOST), 0, &first);
	assert_int_equal(record_copy_text(&record, "parent", &parent, NULL), 0);
	assert_string_equal(parent, "parent.snap");
	free(parent);
	record_writer_free(&first);
}

/* Saves the sections of both phases, and checks their order. changes: a device changes an option in
 * between. Returns the bytes that the stop has saved. */
static size_t
capture_in_order(struct bench *b, bool changes)
{
	static const uint32_t tags[] = { SECTION_HOST, SECTION_NAMES,  SECTION_CONFIG,
					 SECTION_TIME, SECTION_DEVICE, SECTION_DEVICE,
					 SECTION_VCPU, SECTION_VCPU,   SECTION_VM };
	static const uint32_t indices[] = { 0, 0, 0, 0, 0, 1, 0, 1, 0 };
	static char text[4096];
	struct config_device *device = &b->config.devices[0];
	struct snapshot_meta meta = { 0 };
	struct record config, devices, first, options, item;
	size_t position = 0, before;

	memset(text, changes ? 'b' : 'a', sizeof(text) - 1);
	assert_int_equal(config_option_set(device, "x", "", device->place), 0);
	assert_int_equal(sections_save(&b->context, SAVED_BEFORE_STOP, &meta), 0);
	assert_int_equal(meta.count, 3);
	before = meta.body.length;
	if (changes) {
		assert_int_equal(config_option_set(device, "x", text, device->place), 0);
		b->devices.config_changes++;
	}
	assert_int_equal(sections_save(&b->context, SAVED_IN_STOP, &meta), 0);
	assert_false(meta.body.failed);
	assert_int_equal(
	    record_open(meta.body.data + meta.rows[2].offset, meta.rows[2].length, &config, NULL),
	    0);
	assert_true(record_find(&config, "devices", &devices));
	assert_true(record_next(&devices, &position, &first));
	assert_true(record_find(&first, "options", &options));
	assert_true(record_find(&options, "x", &item));
	assert_int_equal(item.count, changes ? sizeof(text) - 1 : 0);
	assert_int_equal(meta.count, sizeof(tags) / sizeof(tags[0]));
	for (size_t i = 0; i < meta.count; i++) {
		assert_int_equal(meta.rows[i].tag, tags[i]);
		assert_int_equal(meta.rows[i].index, indices[i]);
		assert_int_equal(
		    meta.rows[i].flags,
		    tags[i] == SECTION_TIME || tags[i] == SECTION_NAMES ? SECTION_SKIPPABLE : 0);
		assert_int_equal(meta.rows[i].offset,
				 i ? meta.rows[i - 1].offset + meta.rows[i - 1].length : 0);
	}
	before = meta.body.length - before;
	snapshot_meta_free(&meta);
	return before;
}

/* A capture saves the sections of this machine in the order of the table: the config in the stop
 * only if a device has changed it. */
static void
a_capture_is_in_the_tables_order(void **state)
{
	size_t without = capture_in_order(*state, false), with = capture_in_order(*state, true);

	assert_true(with >= without + 4095);
	assert_true(capture_in_order(*state, false) == without);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(order_is_kvms),
		cmocka_unit_test(duplicates_are_refused),
		cmocka_unit_test(state_makes_the_round_trip),
		cmocka_unit_test(empty_records_are_not_valid),
		cmocka_unit_test(room_is_enough),
		cmocka_unit_test(devices_are_not_mixed_up),
		cmocka_unit_test(memory_map_is_the_machines),
		cmocka_unit_test(time_catches_up),
		cmocka_unit_test(config_and_host_are_readable),
		cmocka_unit_test(a_capture_is_in_the_tables_order),
	};

	return cmocka_run_group_tests_name("sections", tests, setup, teardown);
}
