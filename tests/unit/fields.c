/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of fields: round trips and versions; a refused load changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/fields.h"

struct sample {
	uint8_t byte;
	uint32_t limited;
	bool flag;
	uint16_t fixed[3];
	uint8_t fifo[8], marks[8]; /* share a counter */
	uint8_t fifo_count;
	uint64_t newer;
	uint32_t ram_size;
	uint8_t *ram;
};

static const struct minivmm_field rows[] = {
	MINIVMM_FIELD(struct sample, byte, .initial = 5),
	MINIVMM_FIELD(struct sample, limited, .initial = 1, .max = 9),
	MINIVMM_FIELD(struct sample, flag, .initial = 1),
	MINIVMM_FIELD(struct sample, fixed, .initial = 0x102, .max = 0x200),
	MINIVMM_FIELD_COUNTED(struct sample, fifo, fifo_count),
	MINIVMM_FIELD_COUNTED(struct sample, marks, fifo_count),
	MINIVMM_FIELD(struct sample, newer, .initial = 77, .since = 2),
	MINIVMM_FIELD_POINTER(struct sample, ram, ram_size),
	MINIVMM_END,
};

static const struct sample filled = {
	.byte = 200,
	.limited = 9,
	.fixed = { 1, 2, 3 },
	.fifo = { 10, 11, 12 },
	.marks = { 1, 0, 1 },
	.fifo_count = 3,
	.newer = UINT64_MAX,
	.ram_size = 4,
};

static void
round_trip(void **state)
{
	struct record_writer w = { 0 };
	uint8_t from_ram[] = "ram", to_ram[4] = { 0 };
	struct sample from, to;
	struct record group;
	struct why why;

	memset(&to, 0, sizeof(to)); /* also the padding, since the test compares bytes */
	to.ram_size = 4;
	to.ram = to_ram;
	memcpy(&from, &filled, sizeof(from));
	from.ram = from_ram;
	fields_save(rows, &from, &w);
	assert_false(w.failed);
	assert_int_equal(record_open(w.data, w.length, &group, NULL), 0);
	assert_int_equal(fields_load(rows, &to, &group, 2, &why), 0);
	assert_memory_equal(to_ram, "ram", 4);
	to.ram = from_ram;
	assert_memory_equal(&from, &to, sizeof(from));
	record_writer_free(&w);
}

static void
reset_sets_initial_values(void **state)
{
	uint8_t ram[4] = { 1, 2, 3, 4 };
	struct sample s = filled;

	fields_reset(rows, &s); /* ram is NULL: it must not be written */
	s.ram = ram;
	fields_reset(rows, &s);
	assert_int_equal(s.byte, 5);
	assert_int_equal(s.limited, 1);
	assert_true(s.flag);
	assert_int_equal(s.fixed[0], 0x102);
	assert_int_equal(s.fixed[2], 0x102);
	assert_int_equal(s.fifo_count, 0);
	assert_true(s.newer == 77);
	assert_int_equal(s.ram_size, 4);
	assert_memory_equal(ram, "\0\0\0\0", 4);
}

/* A saved sample with one item changed or left out. */
static void
write_but(struct record_writer *w, const char *but)
{
	uint16_t fixed[3] = { 1, 2, 3 };
	uint8_t byte = 1;

#define BUT(name) (!but || strcmp(but, name))
	if (BUT("byte"))
		record_put(w, "byte", RECORD_U8, &byte, 1, false);
	if (BUT("limited"))
		record_put_u32(w, "limited", 2);
	if (BUT("flag"))
		record_put_bool(w, "flag", false);
	if (BUT("fixed"))
		record_put(w, "fixed", RECORD_U16, fixed, 3, true);
	if (BUT("fifo"))
		record_put_bytes(w, "fifo", "abc", 3);
	if (BUT("marks"))
		record_put_bytes(w, "marks", "\0\1\0", 3);
	if (BUT("newer"))
		record_put_u64(w, "newer", 1);
	if (BUT("ram"))
		record_put_bytes(w, "ram", "RAM", 4);
#undef BUT
}

/* Loads into another sample. A refused load must not change it. */
static int
load(struct record_writer *w, uint32_t version, struct sample *s, struct why *why)
{
	uint8_t ram[4] = "old";
	struct sample before;
	struct record group;
	int r;

	memcpy(s, &filled, sizeof(*s));
	s->ram = ram;
	memcpy(&before, s, sizeof(before));
	why->text[0] = '\0';
	assert_false(w->failed);
	assert_int_equal(record_open(w->data, w->length, &group, NULL), 0);
	r = fields_load(rows, s, &group, version, why);
	record_writer_free(w);
	if (r) {
		assert_memory_equal(s, &before, sizeof(before));
		assert_memory_equal(ram, "old", 4);
		assert_true(why->text[0]);
	}
	s->ram = NULL;
	return r;
}

static void
loads_valid_items(void **state)
{
	struct record_writer w = { 0 };
	struct sample s;
	struct why why;

	write_but(&w, NULL);
	assert_int_equal(load(&w, 2, &s, &why), 0);
	assert_int_equal(s.byte, 1);
	assert_int_equal(s.limited, 2);
	assert_false(s.flag);
	assert_int_equal(s.fixed[1], 2);
	assert_int_equal(s.fifo_count, 3);
	assert_memory_equal(s.fifo, "abc", 3);
	assert_true(s.newer == 1);
}

static void
older_version_takes_initial_value(void **state)
{
	struct record_writer w = { 0 };
	struct sample s;
	struct why why;

	write_but(&w, "newer");
	assert_int_equal(load(&w, 1, &s, &why), 0);
	assert_true(s.newer == 77);
	write_but(&w, "newer");
	assert_int_equal(load(&w, 2, &s, &why), -1);
	assert_string_equal(why.text, "newer is missing");
	write_but(&w, "byte");
	assert_int_equal(load(&w, 1, &s, &why), -1);
	assert_string_equal(why.text, "byte is missing");
}

struct hostile {
	const char *item; /* replaced */
	enum record_type type;
	size_t count;
	bool array;
	uint64_t value; /* of each element */
	const char *why;
};

static void
refuses_hostile_items(void **state)
{
	static const struct hostile cases[] = {
		{ "byte", RECORD_U16, 1, false, 1, "byte has the wrong type" },
		{ "byte", RECORD_U8, 1, true, 1, "byte has the wrong type" },
		{ "flag", RECORD_U8, 1, false, 1, "flag has the wrong type" },
		{ "limited", RECORD_U32, 1, false, 10, "limited is 0xa, at most 0x9" },
		{ "fixed", RECORD_U16, 2, true, 1, "fixed has 2 elements, expected 3" },
		{ "fixed", RECORD_U16, 4, true, 1, "fixed has 4 elements, expected 3" },
		{ "fixed", RECORD_U16, 1, false, 1, "fixed has the wrong type" },
		{ "fixed", RECORD_U16, 3, true, 0x201, "fixed is 0x201, at most 0x200" },
		{ "fifo", RECORD_U8, 9, true, 1, "fifo has 9 elements, expected at most 8" },
		{ "fifo", RECORD_U8, 4, true, 1, "fifo has 4 elements, but marks says 3" },
		{ "marks", RECORD_U8, 2, true, 1, "marks says 2" },
		{ "ram", RECORD_U8, 3, true, 1, "ram has 3 elements, expected 4" },
		{ "ram", RECORD_U8, 5, true, 1, "ram has 5 elements, expected 4" },
		{ "unknown", RECORD_U8, 1, false, 1, "unknown is unknown" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hostile *c = &cases[i];
		struct record_writer w = { 0 };
		uint8_t values[72];
		struct sample s;
		struct why why;

		for (size_t v = 0; v < c->count; v++)
			memcpy(values + v * record_width(c->type), &c->value,
			       record_width(c->type));
		write_but(&w, c->item);
		record_put(&w, c->item, c->type, values, c->count, c->array);
		assert_int_equal(load(&w, 2, &s, &why), -1);
		if (!strstr(why.text, c->why))
			fail_msg("case %zu: %s", i, why.text);
	}
}

/* The saved counter does not match the number of elements. */
static void
refuses_a_wrong_counter(void **state)
{
	static const struct minivmm_field with_counter[] = {
		MINIVMM_FIELD(struct sample, fifo_count),
		MINIVMM_FIELD_COUNTED(struct sample, fifo, fifo_count),
		MINIVMM_FIELD(struct sample, ram_size, .since = 2),
		MINIVMM_FIELD_POINTER(struct sample, ram, ram_size),
		MINIVMM_END,
	};

	for (uint8_t count = 0; count < 5; count++)
		for (uint32_t size = 3; size < 7; size++) {
			struct record_writer w = { 0 };
			uint8_t ram[4] = { 0 };
			struct sample s = { .ram_size = 4, .ram = ram };
			struct record group;
			struct why why;
			int r;

			record_put(&w, "fifo_count", RECORD_U8, &count, 1, false);
			record_put_bytes(&w, "fifo", "ab", 2);
			if (size < 6)
				record_put_u32(&w, "ram_size", size);
			record_put_bytes(&w, "ram", "RAM", 4);
			assert_int_equal(record_open(w.data, w.length, &group, NULL), 0);
			r = fields_load(with_counter, &s, &group, 1, &why);
			/* Without the item, ram_size has its initial value, 0. */
			assert_int_equal(r, count == 2 && size == 4 ? 0 : -1);
			assert_int_equal(s.ram_size, 4);
			assert_int_equal(s.fifo_count, r ? 0 : 2);
			record_writer_free(&w);
		}
}

static void
pointer_without_memory(void **state)
{
	struct record_writer w = { 0 };
	struct sample s = filled;
	struct record group;
	struct why why;

	fields_save(rows, &s, &w); /* ram_size is 4, but ram is NULL */
	assert_true(w.failed);
	record_writer_free(&w);

	write_but(&w, NULL);
	assert_int_equal(record_open(w.data, w.length, &group, NULL), 0);
	assert_int_equal(fields_load(rows, &s, &group, 2, &why), -1);
	assert_non_null(strstr(why.text, "not allocated"));
	record_writer_free(&w);

	s.ram_size = 0; /* matches ram, which is NULL */
	write_but(&w, "ram");
	record_put_bytes(&w, "ram", "", 0);
	assert_int_equal(record_open(w.data, w.length, &group, NULL), 0);
	assert_int_equal(fields_load(rows, &s, &group, 2, &why), 0);
	record_writer_free(&w);
}

/* After a bug of the plugin, save must not read past the array. */
static void
save_refuses_a_counter_out_of_range(void **state)
{
	struct record_writer w = { 0 };
	struct sample s = filled;

	s.ram_size = 0;
	s.fifo_count = 9;
	fields_save(rows, &s, &w);
	assert_true(w.failed);
	record_writer_free(&w);
}

/* Values that a load would refuse must not be saved. */
static void
finds_invalid_values(void **state)
{
	static const struct minivmm_field *const none = NULL;
	uint8_t ram[4] = { 255, 255, 255, 255 };
	struct sample s = filled;
	uint64_t value;

	s.ram = ram;
	assert_ptr_equal(fields_find_invalid(rows, &s, &value), none);
	s.limited = 10;
	assert_string_equal(fields_find_invalid(rows, &s, &value)->name, "limited");
	assert_int_equal(value, 10);
	s.limited = 9;
	s.fixed[2] = 0x201;
	assert_string_equal(fields_find_invalid(rows, &s, &value)->name, "fixed");
	assert_int_equal(value, 0x201);
	s.fixed[2] = 0x200;
	memset(&s.flag, 2, 1);
	assert_string_equal(fields_find_invalid(rows, &s, &value)->name, "flag");
	s.flag = true;
	memset(&s.marks[3], 2, 1); /* behind the counted elements */
	assert_ptr_equal(fields_find_invalid(rows, &s, &value), none);
	s.fifo_count = 9;
	assert_string_equal(fields_find_invalid(rows, &s, &value)->name, "fifo");
	assert_int_equal(value, 9);
}

/* A row that has no invalid values is not read by the check: its array cannot be read here. The
 * rows beside it are checked. */
static void
skips_values_that_cannot_be_invalid(void **state)
{
	static const uint64_t maxima[] = { 0, UINT8_MAX, UINT64_MAX };
	void *closed = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sample s = filled;
	uint64_t value;

	assert_true(closed != MAP_FAILED);
	s.ram = closed;
	s.ram_size = 1 << 20;
	s.flag = true;
	for (size_t i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
		const struct minivmm_field table[] = {
			MINIVMM_FIELD_POINTER(struct sample, ram, ram_size, .max = maxima[i]),
			MINIVMM_FIELD(struct sample, limited, .max = 9),
			MINIVMM_END,
		};

		s.limited = 9;
		assert_null(fields_find_invalid(table, &s, &value));
		s.limited = 10;
		assert_string_equal(fields_find_invalid(table, &s, &value)->name, "limited");
	}
	munmap(closed, 1 << 20);
}

/* The names of a table are not sorted in each stop; those of a plugin's save beside them are. */
static void
names_of_rows_are_known_to_be_distinct(void **state)
{
	static struct minivmm_field many[RECORD_SEEN + 2];
	static uint32_t values[RECORD_SEEN + 1];
	static char names[RECORD_SEEN + 1][8];
	struct record_writer w = { 0 };

	for (uint32_t i = 0; i <= RECORD_SEEN; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u", i);
		many[i] = (struct minivmm_field){ .name = names[i],
						  .type = MINIVMM_U32,
						  .offset = 4 * i };
	}
	record_begin(&w, "state", RECORD_GROUP);
	fields_save(many, values, &w);
	assert_false(w.names[1].doubtful); /* though there are more names than bits */
	record_end(&w);
	assert_false(w.failed);
	record_begin(&w, "again", RECORD_GROUP);
	fields_save(many, values, &w);
	record_put_u32(&w, "f7", 0);
	record_end(&w);
	assert_true(w.failed);
	record_writer_free(&w);
	record_begin(&w, "before", RECORD_GROUP);
	record_put_u32(&w, "f7", 0);
	fields_save(many, values, &w);
	record_end(&w);
	assert_true(w.failed);
	record_writer_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(reset_sets_initial_values),
		cmocka_unit_test(loads_valid_items),
		cmocka_unit_test(older_version_takes_initial_value),
		cmocka_unit_test(refuses_hostile_items),
		cmocka_unit_test(refuses_a_wrong_counter),
		cmocka_unit_test(pointer_without_memory),
		cmocka_unit_test(save_refuses_a_counter_out_of_range),
		cmocka_unit_test(finds_invalid_values),
		cmocka_unit_test(skips_values_that_cannot_be_invalid),
		cmocka_unit_test(names_of_rows_are_known_to_be_distinct),
	};

	return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
