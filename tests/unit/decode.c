/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts that inspect decodes: XSAVE areas, the LAPIC's page, MSRs, CPUID, MP state; and items
 * with unexpected shapes.
 */
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/decode.h"
#include "cli/show.h"

/* Offsets of the components, from a CPUID made here. */
enum { AVX_AT = 576, K_AT = 832, HIGH_AT = 896, UPPER_AT = 1408, PKRU_AT = 2432, AREA = 2440 };

static void
put_cpuid(struct record_writer *writer, uint32_t avx_at)
{
	const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 1, .eax = 0x1234 },
		{ .function = 7 }, /* describes no component */
		{ .function = 0xd, .index = 2, .eax = 256, .ebx = avx_at },
		{ .function = 0xd, .index = 5, .eax = 64, .ebx = K_AT },
		{ .function = 0xd, .index = 6, .eax = 512, .ebx = HIGH_AT },
		{ .function = 0xd, .index = 7, .eax = 1024, .ebx = UPPER_AT },
		{ .function = 0xd, .index = 9, .eax = 8, .ebx = PKRU_AT },
	};

	record_begin(writer, "cpuid", RECORD_GROUP);
	record_put(writer, "entries", RECORD_U32, entries, sizeof(entries) / 4, true);
	record_end(writer);
}

/* A view of a vCPU whose FPU state is area. */
static void
view_area(struct view *view, const uint8_t *area, size_t length, uint32_t avx_at)
{
	struct record_writer writer = { 0 };
	struct record vcpu;

	put_cpuid(&writer, avx_at);
	record_begin(&writer, "xsave", RECORD_GROUP);
	record_put_bytes(&writer, "area", area, length);
	record_end(&writer);
	assert_int_equal(record_open(writer.data, writer.length, &vcpu, NULL), 0);
	assert_int_equal(view_vcpu(view, &vcpu), 0);
	record_writer_free(&writer);
}

static struct record
group_of(const struct view *view, const char *name)
{
	struct record group;

	assert_true(record_find(&view->root, name, &group));
	assert_int_equal(group.type, RECORD_GROUP);
	return group;
}

static void
expect_text(const struct record *group, const char *name, const char *expected)
{
	char *text;

	assert_int_equal(record_copy_text(group, name, &text, NULL), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void
expect_number(const struct record *group, const char *name, uint64_t expected)
{
	uint64_t value;

	assert_true(record_get_u64(group, name, &value));
	assert_int_equal(value, expected);
}

static bool
has(const struct record *group, const char *name)
{
	struct record item;

	return record_find(group, name, &item);
}

static void
fpu(void **state)
{
	uint8_t area[AREA] = { 0x7f, 0x03, 0x41 };
	const long double pi = 3.14159265358979323846264L;
	struct view view = { 0 };
	struct record group;
	uint64_t present = 0x2e7;
	char *text = NULL;
	size_t length;
	FILE *out;

	area[24] = 0x80, area[25] = 0x1f;
	memcpy(area + 32 + 16, &pi, 10);
	area[160 + 16 * 3] = 0x11;
	area[160 + 16 * 15 + 15] = 0x22;
	memcpy(area + 512, &present, 8);
	area[AVX_AT + 16 * 3] = 0x33;
	area[K_AT + 8] = 0x44;
	area[HIGH_AT + 32 * 3] = 0x55;
	area[UPPER_AT + 64 * 15 + 63] = 0x66;
	area[PKRU_AT] = 0x77;
	view_area(&view, area, sizeof(area), AVX_AT);
	group = group_of(&view, "fpu");
	expect_number(&group, "fcw", 0x37f);
	expect_number(&group, "fsw", 0x41);
	expect_number(&group, "mxcsr", 0x1f80);
	expect_text(&group, "st0", "0x0");
	expect_text(&group, "st1", "0x4000c90fdaa22168c235");
	expect_text(&group, "xmm3", "0x00000000000000000000000000000011");
	expect_text(&group, "xmm15", "0x22000000000000000000000000000000");
	expect_text(&group, "ymm3",
		    "0x0000000000000000000000000000003300000000000000000000000000000011");
	expect_text(&group, "zmm3",
		    "0x0000000000000000000000000000000000000000000000000000000000000055"
		    "0000000000000000000000000000003300000000000000000000000000000011");
	expect_text(&group, "zmm31",
		    "0x6600000000000000000000000000000000000000000000000000000000000000"
		    "0000000000000000000000000000000000000000000000000000000000000000");
	expect_text(&group, "k1", "0x0000000000000044");
	assert_true(has(&group, "component9"));

	out = open_memstream(&text, &length);
	show_group(out, &view.root, 0);
	fclose(out);
	assert_non_null(strstr(text, "st1 = 0x4000c90fdaa22168c235 (3.1415926535897932385)\n"));
	assert_non_null(strstr(text, "component9 = 77 00 00 00 00 00 00 00\n"));
	free(text);
	view_free(&view);
}

/* Components that are in their initial state, or incomplete, are left out. */
static void
fpu_components(void **state)
{
	uint8_t area[AREA] = { 0 };
	struct record group;
	uint64_t present = 0x7;
	static const uint32_t wrong[] = { 0, 100, 575, AREA - 255, AREA, UINT32_MAX };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct view view = { 0 };

		memcpy(area + 512, &present, 8);
		view_area(&view, area, sizeof(area), wrong[i]);
		group = group_of(&view, "fpu");
		assert_true(has(&group, "xmm0"));
		assert_false(has(&group, "ymm0"));
		view_free(&view);
	}
	for (unsigned byte = 0; byte < 2; byte++) { /* zeros are the initial state, too */
		area[AVX_AT + 255] = (uint8_t)byte;
		for (present = 0; present < 8;
		     present += 3) { /* 0, 3, 6: AVX in the last one only */
			struct view view = { 0 };

			memcpy(area + 512, &present, 8);
			view_area(&view, area, sizeof(area), AVX_AT);
			group = group_of(&view, "fpu");
			assert_int_equal(has(&group, "ymm0"), present == 6 && byte);
			assert_false(has(&group, "zmm0"));
			view_free(&view);
		}
	}
}

/* An area that is too short is not decoded. */
static void
fpu_short(void **state)
{
	uint8_t area[575] = { 0 };
	struct view view = { 0 };
	struct record group;

	view_area(&view, area, sizeof(area), AVX_AT);
	group = group_of(&view, "xsave");
	assert_true(has(&group, "area"));
	assert_false(has(&view.root, "fpu"));
	view_free(&view);
}

static void
others(void **state)
{
	uint8_t page[KVM_APIC_REG_SIZE] = { 0 };
	const uint32_t index[] = { 0x10, 0xc0000082, 0x4711 };
	const uint64_t value[] = { 1, 2, 3 };
	struct record_writer writer = { 0 };
	struct view view = { 0 };
	struct record vcpu, group, item;

	page[0x20 + 3] = 1;
	page[0x320] = 0x31;
	page[0x250] = 0x80; /* vector 5 * 32 + 7 is requested */
	page[0x2a0] = 9;    /* has no name */
	put_cpuid(&writer, AVX_AT);
	record_begin(&writer, "lapic", RECORD_GROUP);
	record_put_bytes(&writer, "regs", page, sizeof(page));
	record_end(&writer);
	record_begin(&writer, "msrs", RECORD_GROUP);
	record_put(&writer, "index", RECORD_U32, index, 3, true);
	record_put(&writer, "value", RECORD_U64, value, 3, true);
	record_end(&writer);
	record_begin(&writer, "mp_state", RECORD_GROUP);
	record_put_u32(&writer, "mp_state", KVM_MP_STATE_HALTED);
	record_end(&writer);
	record_put_bool(&writer, "halted", true);
	assert_int_equal(record_open(writer.data, writer.length, &vcpu, NULL), 0);
	assert_int_equal(view_vcpu(&view, &vcpu), 0);
	record_writer_free(&writer);

	group = group_of(&view, "lapic");
	expect_number(&group, "id", 0x1000000);
	expect_number(&group, "lvt_timer", 0x31);
	expect_number(&group, "0x2a0", 9);
	assert_true(record_find(&group, "irr", &item));
	assert_int_equal(item.count, 8);
	assert_int_equal(record_number(&item, 5), 0x80);
	group = group_of(&view, "msrs");
	expect_number(&group, "0x10.TSC", 1);
	expect_number(&group, "0xc0000082.LSTAR", 2);
	expect_number(&group, "0x4711", 3);
	group = group_of(&view, "cpuid");
	assert_true(record_find(&group, "0x1.0", &item));
	assert_int_equal(record_number(&item, 0), 0x1234);
	assert_false(has(&group, "0x7.0"));
	expect_text(&view.root, "mp_state", "halted");
	assert_true(has(&view.root, "halted"));
	view_free(&view);
}

/* An item with an unexpected shape is shown without decoding. */
static void
unexpected_shapes(void **state)
{
	struct record_writer writer = { 0 };
	struct view view = { 0 };
	struct record vcpu, group;
	const uint32_t three[3] = { 1, 2, 3 };

	record_begin(&writer, "lapic", RECORD_GROUP);
	record_put_bytes(&writer, "regs", "short", 5);
	record_end(&writer);
	record_begin(&writer, "msrs", RECORD_GROUP);
	record_put(&writer, "index", RECORD_U32, three, 3, true);
	record_put(&writer, "value", RECORD_U32, three, 3, true);
	record_end(&writer);
	record_begin(&writer, "cpuid", RECORD_GROUP);
	record_put(&writer, "entries", RECORD_U32, three, 3, true);
	record_end(&writer);
	record_put_u32(&writer, "mp_state", 77);
	record_put_text(&writer, "xsave", "none");
	assert_int_equal(record_open(writer.data, writer.length, &vcpu, NULL), 0);
	assert_int_equal(view_vcpu(&view, &vcpu), 0);
	record_writer_free(&writer);
	group = group_of(&view, "lapic");
	assert_true(has(&group, "regs"));
	group = group_of(&view, "msrs");
	assert_true(has(&group, "index"));
	group = group_of(&view, "cpuid");
	assert_true(has(&group, "entries"));
	expect_number(&view.root, "mp_state", 77);
	expect_text(&view.root, "xsave", "none");
	view_free(&view);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fpu),
		cmocka_unit_test(fpu_components),
		cmocka_unit_test(fpu_short),
		cmocka_unit_test(others),
		cmocka_unit_test(unexpected_shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
