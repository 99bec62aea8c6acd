/* SPDX-License-Identifier: BSD-2-Clause */
/* Initial registers: the three modes, the tables of long mode walked as a CPU does, [cpu]. */
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "boot/boot.h"

#include <cmocka.h>

#include "said.h"

#define MEMORY_AT 0x1000
#define MEMORY_SIZE 0x10000
#define MIB (1ull << 20)
#define GIB (1ull << 30)

struct bench {
	struct memory memory;
	struct config config;
	struct config_register own[4];
	struct boot_entry entry;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct said said;
	char name[8];
};

/* The registers of a fresh vCPU in KVM that matter here. */
static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	strcpy(bench->name, "x.ini");
	bench->config.file = bench->name;
	bench->config.cpu.registers = bench->own;
	bench->entry = (struct boot_entry){ .entry = 0x1234, .end = 0x2000 };
	bench->regs.rdx = 0x600;
	bench->sregs.cr0 = 0x60000010;
	bench->sregs.cs = (struct kvm_segment){ .base = 0xffff0000,
						.limit = 0xffff,
						.selector = 0xf000,
						.type = 0xb,
						.present = 1,
						.s = 1 };
	bench->sregs.ds = (struct kvm_segment){ .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	return memory_add(&bench->memory, MEMORY_AT, MEMORY_SIZE);
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	memory_free(&bench->memory);
	free(bench);
	return 0;
}

static int
registers(struct bench *bench, enum config_mode mode)
{
	bench->entry.mode = mode;
	return boot_registers(&bench->config, &bench->entry, &bench->memory, &bench->regs,
			      &bench->sregs);
}

static void
own(struct bench *bench, char *name, uint64_t value)
{
	size_t n = bench->config.cpu.register_count++;

	bench->own[n] = (struct config_register){ name, value, { "x.ini", (unsigned)n + 1 } };
}

static void
test_real(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(registers(bench, MODE_REAL), 0);
	assert_int_equal(bench->regs.rip, 0x1234);
	assert_int_equal(bench->regs.rflags, 2);
	assert_int_equal(bench->regs.rdx, 0);
	assert_int_equal(bench->sregs.cs.base, 0);
	assert_int_equal(bench->sregs.cs.selector, 0);
	assert_int_equal(bench->sregs.cs.limit, 0xffff);
	assert_int_equal(bench->sregs.cr0 & 1, 0);
}

static void
test_protected(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(registers(bench, MODE_PROTECTED), 0);
	assert_int_equal(bench->regs.rip, 0x1234);
	assert_int_equal(bench->regs.rsp, MEMORY_AT + MEMORY_SIZE);
	assert_int_equal(bench->sregs.cr0, 0x33);
	assert_int_equal(bench->sregs.efer, 0);
	assert_int_equal(bench->sregs.cs.selector, BOOT_KERNEL_CODE);
	assert_int_equal(bench->sregs.cs.limit, 0xffffffff);
	assert_int_equal(bench->sregs.cs.db, 1);
	assert_int_equal(bench->sregs.cs.l, 0);
	assert_int_equal(bench->sregs.ss.base, 0);
	assert_int_equal(bench->sregs.ss.limit, 0xffffffff);
	assert_int_equal(bench->sregs.gs.type, 3);
}

/* ---- long mode ---- */

/* Translates a linear address by the tables at CR3. user: every level allows CPL 3. */
static uint64_t
walk(struct bench *bench, uint64_t linear, bool *user, bool *writable)
{
	uint64_t table = bench->sregs.cr3, entry = 0;
	unsigned shift = 39;

	*user = *writable = true;
	for (;; shift -= 9) {
		gpa_t at = table + 8 * (linear >> shift & 511);

		if (memory_read(&bench->memory, at, &entry, 8))
			fail_msg("a table lies outside memory, at 0x%llx", (unsigned long long)at);
		if (!(entry & 1))
			fail_msg("0x%llx is not mapped", (unsigned long long)linear);
		*writable &= entry >> 1 & 1;
		*user &= entry >> 2 & 1;
		table = entry & 0x000ffffffffff000;
		if (shift == 12 || (entry & 0x80))
			break;
	}
	return table + (linear & ((1ull << shift) - 1));
}

static void
assert_mapped(struct bench *bench, uint64_t from, uint64_t to)
{
	for (; from < to; from += MIB / 2) {
		uint64_t address = from + 0x123;
		bool user, writable;

		assert_int_equal(walk(bench, address, &user, &writable), address);
		assert_true(user && writable);
	}
}

static uint64_t
descriptor(struct bench *bench, unsigned selector)
{
	uint64_t row;

	assert_true((selector | 7) <= bench->sregs.gdt.limit);
	assert_int_equal(
	    memory_read(&bench->memory, bench->sregs.gdt.base + (selector & ~7u), &row, 8), 0);
	return row;
}

/* Expects that KVM's segment equals the entry in the GDT. */
static void
assert_segment(struct bench *bench, const struct kvm_segment *s)
{
	uint64_t row = descriptor(bench, s->selector);
	uint32_t limit = (uint32_t)((row & 0xffff) | (row >> 32 & 0xf0000));

	assert_int_equal((row >> 16 & 0xffffff) | (row >> 56) << 24, s->base);
	assert_int_equal(row >> 55 & 1 ? limit << 12 | 0xfff : limit, s->limit);
	assert_int_equal(row >> 40 & 0xf, s->type);
	assert_int_equal(row >> 44 & 1, s->s);
	assert_int_equal(row >> 45 & 3, s->dpl);
	assert_int_equal(row >> 47 & 1, s->present);
	assert_int_equal(row >> 53 & 1, s->l);
}

static void
test_long(void **state)
{
	struct bench *bench = *state;
	struct kvm_sregs *s = &bench->sregs;

	assert_int_equal(registers(bench, MODE_LONG), 0);
	assert_int_equal(bench->regs.rip, 0x1234);
	assert_int_equal(s->cr0, 0x80010033); /* PG, WP, NE, ET, MP, PE */
	assert_int_equal(s->cr4, 0x620);      /* PAE, OSFXSR, OSXMMEXCPT */
	assert_int_equal(s->efer, 0x500);     /* LME, LMA */
	assert_int_equal(s->cr3, MEMORY_AT + MEMORY_SIZE - 0x7000);
	assert_int_equal(bench->regs.rsp, s->cr3);
	assert_int_equal(s->cs.l, 1);
	assert_int_equal(s->cs.db, 0);
	assert_int_equal(s->cs.selector, BOOT_KERNEL_CODE);
	assert_int_equal(s->ss.selector, BOOT_KERNEL_DATA);
	assert_segment(bench, &s->cs);
	assert_segment(bench, &s->ds);
	assert_segment(bench, &s->ss);
	assert_mapped(bench, 0, 4 * GIB);
}

/* The segments used by long.ini and by guests with SYSRET. */
static void
test_long_user_segments(void **state)
{
	struct bench *bench = *state;
	uint64_t code, data;

	assert_int_equal(registers(bench, MODE_LONG), 0);
	code = descriptor(bench, BOOT_USER_CODE);
	data = descriptor(bench, BOOT_USER_DATA);
	assert_int_equal(code, descriptor(bench, BOOT_KERNEL_CODE) | 3ull << 45);
	assert_int_equal(data, descriptor(bench, BOOT_KERNEL_DATA) | 3ull << 45);
	assert_int_equal(descriptor(bench, 0), 0);
	assert_int_equal(BOOT_USER_DATA, (0x10 | 3) + 8); /* from STAR, as in SYSRET */
	assert_int_equal(BOOT_USER_CODE, (0x10 | 3) + 16);
}

/* Every port below 0x7800 is allowed. The bitmap ends inside the TSS, as required. */
static void
test_long_tss(void **state)
{
	struct bench *bench = *state;
	const struct kvm_segment *tr = &bench->sregs.tr;
	uint8_t tss[4096];
	uint16_t bitmap;
	uint64_t high;

	assert_int_equal(registers(bench, MODE_LONG), 0);
	assert_int_equal(tr->selector, BOOT_TSS);
	assert_int_equal(tr->type, 0xb);
	assert_segment(bench, tr);
	high = descriptor(bench, BOOT_TSS + 8);
	assert_int_equal(high, 0);
	assert_true(tr->limit < sizeof(tss));
	assert_int_equal(memory_read(&bench->memory, tr->base, tss, tr->limit + 1), 0);
	memcpy(&bitmap, tss + 0x66, 2);
	assert_in_range(bitmap, 104, tr->limit - 0x7800 / 8 - 1);
	for (unsigned i = 0; i < 0x7800 / 8; i++)
		assert_int_equal(tss[bitmap + i], 0);
	assert_int_equal(tss[tr->limit], 0xff);
}

/* All of memory is mapped, for any size. */
static void
test_long_large(void **state)
{
	struct bench *bench = *state;

	memory_free(&bench->memory);
	memset(&bench->memory, 0, sizeof(bench->memory));
	assert_int_equal(memory_add(&bench->memory, 0, 4 * MIB), 0);
	assert_int_equal(memory_add(&bench->memory, 5 * GIB, 8 * MIB), 0);
	assert_int_equal(registers(bench, MODE_LONG), 0);
	assert_int_equal(bench->sregs.cr3, 4 * MIB - 9 * 0x1000);
	assert_mapped(bench, 0, 6 * GIB);
}

static void
test_long_needs_room(void **state)
{
	struct bench *bench = *state;

	bench->entry.end = MEMORY_AT + MEMORY_SIZE - 0x7000;
	assert_int_equal(registers(bench, MODE_LONG), 0);
	bench->entry.end++;
	said_begin(&bench->said);
	assert_int_equal(registers(bench, MODE_LONG), -STATUS_USAGE);
	SAID(said_end(&bench->said), "0x7000 bytes", "ends at 0xa001", "memory ends at 0x11000",
	     "set [vm] memory to 0x11000");

	memory_free(&bench->memory);
	memset(&bench->memory, 0, sizeof(bench->memory));
	assert_int_equal(memory_add(&bench->memory, MEMORY_AT, 0x4000), 0);
	bench->entry.end = 0x100c;
	said_begin(&bench->said);
	assert_int_equal(registers(bench, MODE_LONG), -STATUS_USAGE);
	SAID(said_end(&bench->said), "0x7000 bytes", "set [vm] memory to 0x8000");
}

/* ---- [cpu] ---- */

static void
test_own_registers(void **state)
{
	struct bench *bench = *state;

	own(bench, "rax", 0x123456789abcdef0);
	own(bench, "rip", 0x4000);
	own(bench, "cs.selector", 0x23);
	own(bench, "cr4", 0x20);
	assert_int_equal(registers(bench, MODE_LONG), 0);
	assert_int_equal(bench->regs.rax, 0x123456789abcdef0);
	assert_int_equal(bench->regs.rip, 0x4000);
	assert_int_equal(bench->sregs.cs.selector, 0x23);
	assert_int_equal(bench->sregs.cr4, 0x20);
}

static void
test_unknown_registers(void **state)
{
	struct bench *bench = *state;
	const char *text, *second;

	own(bench, "rxa", 1);
	own(bench, "rbx", 2);
	own(bench, "cs.selector", 0x10000);
	said_begin(&bench->said);
	assert_int_equal(registers(bench, MODE_REAL), -STATUS_USAGE);
	text = said_end(&bench->said);
	second = strchr(text, '\n');
	assert_non_null(second);
	assert_non_null(strstr(text, "x.ini:1: [cpu] has no register rxa; did you mean rax?"));
	SAID(second + 1, "x.ini:3", "cs.selector", "0x10000");
	assert_int_equal(bench->regs.rbx, 2);
}

static void
test_start_out_of_reach(void **state)
{
	struct bench *bench = *state;

	bench->entry.entry = 0x10000;
	said_begin(&bench->said);
	assert_int_equal(registers(bench, MODE_REAL), -STATUS_USAGE);
	SAID(said_end(&bench->said), "x.ini", "0x10000", "real mode", "0xffff");
	assert_int_equal(registers(bench, MODE_PROTECTED), 0);
	bench->entry.entry = 1ull << 32;
	said_begin(&bench->said);
	assert_int_equal(registers(bench, MODE_PROTECTED), -STATUS_USAGE);
	SAID(said_end(&bench->said), "0x100000000", "protected mode");
	assert_int_equal(registers(bench, MODE_LONG), 0);
	own(bench, "rip", 0x2000);
	assert_int_equal(registers(bench, MODE_PROTECTED), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_real),
		TEST(test_protected),
		TEST(test_long),
		TEST(test_long_user_segments),
		TEST(test_long_tss),
		TEST(test_long_large),
		TEST(test_long_needs_room),
		TEST(test_own_registers),
		TEST(test_unknown_registers),
		TEST(test_start_out_of_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
