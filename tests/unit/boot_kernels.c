/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels started by PVH: the data that they receive, the precedence of formats. */
#include "unit/kernel_bench.h"

#include <linux/kvm.h>

static void
test_pvh(void **state)
{
	struct bench *bench = *state;
	gpa_t info, module, map;

	bench->config.boot.cmdline = (char[]){ "quiet 1" };
	bench->config.boot.initrd = bench->file;
	bench->config.vm.irqchip = true;
	host_write_file(bench->file, "module", 6);
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_PVH);
	assert_int_equal(bench->entry.entry, 0x100020);
	assert_int_equal(bench->entry.end, 0x100200);
	assert_bytes(bench, 0x100000, 0x100100, 0xc0);
	assert_bytes(bench, 0x100100, 0x100200, 0);
	assert_bytes(bench, 0x100200, 0x101000, DIRT);
	info = bench->entry.info;
	assert_int_equal(word(bench, info, 4), 0x336ec578);
	assert_int_equal(word(bench, info + 4, 4), 1);
	assert_int_equal(word(bench, info + 8, 4), 0);
	assert_int_equal(word(bench, info + 12, 4), 1);
	module = word(bench, info + 16, 8);
	assert_int_equal(word(bench, module, 8), MEMORY_SIZE - 0x1000);
	assert_int_equal(word(bench, module + 8, 8), 6);
	assert_string_equal(text(bench, word(bench, module + 16, 8)), "file");
	assert_memory_equal(text(bench, MEMORY_SIZE - 0x1000), "module", 6);
	assert_string_equal(text(bench, word(bench, info + 24, 8)), "quiet 1");
	assert_int_equal(word(bench, info + 32, 8), LAYOUT_ACPI);
	map = word(bench, info + 40, 8);
	assert_int_equal(word(bench, info + 48, 4), 3);
	assert_int_equal(word(bench, map + 0, 8), 0);
	assert_int_equal(word(bench, map + 8, 8), 0x9fc00);
	assert_int_equal(word(bench, map + 16, 8), 1);
	assert_int_equal(word(bench, map + 24, 8), 0x9fc00);
	assert_int_equal(word(bench, map + 40, 8), 2);
	assert_int_equal(word(bench, map + 48, 8), 0x100000);
	assert_int_equal(word(bench, map + 56, 8), MEMORY_SIZE - 0x100000);
}

/* The state of the machine that PVH and multiboot require. */
static void
test_registers(void **state)
{
	struct bench *bench = *state;
	struct kvm_sregs sregs = { .cr0 = 0x60000010, .cs.limit = 0xffff };
	struct kvm_regs regs;

	assert_int_equal(load(bench), 0);
	assert_int_equal(
	    boot_registers(&bench->config, &bench->entry, &bench->memory, &regs, &sregs), 0);
	assert_int_equal(regs.rip, 0x100020);
	assert_int_equal(regs.rbx, bench->entry.info);
	assert_int_equal(regs.rax, 0);
	assert_int_equal(regs.rflags, 2);
	assert_int_equal(sregs.cr0, 0x11);
	assert_int_equal(sregs.cr4 | sregs.efer, 0);
	assert_int_equal(sregs.cs.limit, 0xffffffff);
	assert_int_equal(sregs.cs.type, 0xb);
	assert_int_equal(sregs.cs.db, 1);
	assert_int_equal(sregs.ss.limit, 0xffffffff);
	assert_int_equal(sregs.ss.type, 3);
	assert_int_equal(sregs.tr.base, 0);
	assert_int_equal(sregs.tr.limit, 0x67);
	assert_int_equal(sregs.tr.type, 0xb);
	bench->entry.protocol = BOOT_MULTIBOOT;
	assert_int_equal(
	    boot_registers(&bench->config, &bench->entry, &bench->memory, &regs, &sregs), 0);
	assert_int_equal(regs.rax, 0x2badb002);
	assert_int_equal(regs.rbx, bench->entry.info);
}

static void
test_pvh_notes(void **state)
{
	struct bench *bench = *state;

	bench->config.boot.format = FORMAT_PVH;
	bench->image.note.header.n_descsz = 4;
	bench->image.note.entry |= 0xffffffff00000000;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.entry, 0x100020);
	bench->image.note.header.n_descsz = 6;
	refused(bench, "PVH note has 6 bytes", "format = elf");
	bench->image.note.header.n_descsz = 9;
	refused(bench, "no note (Xen, type 18)", "format = auto");
	bench->image.note.header.n_descsz = UINT32_MAX;
	refused(bench, "no note", "");
	bench->image.note.header.n_descsz = 8;
	bench->image.note.header.n_namesz = UINT32_MAX;
	refused(bench, "no note", "");
	bench->image.note.header.n_namesz = 5;
	refused(bench, "no note", "");
	bench->image.note.header.n_namesz = 4;
	bench->image.note.header.n_type = 17;
	refused(bench, "no note", "");
	bench->image.note.header.n_type = 18;
	bench->image.note.owner[0] = 'x';
	refused(bench, "no note", "");
	bench->image.note.owner[0] = 'X';
	bench->image.note.entry = 0x1000000000;
	refused(bench, "entry point 0x1000000000 is not below 4 GiB", "");
	bench->image.note.entry = MEMORY_SIZE;
	refused(bench, "entry point 0x200000 is not inside memory", "0x0-0x1fffff");
	bench->image.note.entry = 0x100020;
	bench->image.rows[1].p_filesz = UINT64_MAX;
	refused(bench, "no note", "");
	bench->image.rows[1].p_filesz = sizeof(bench->image.note) - 1;
	refused(bench, "no note", "");
	bench->image.rows[1].p_offset = UINT64_MAX;
	refused(bench, "no note", "");
	bench->config.boot.format = FORMAT_AUTO;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_RAW);
}

static void
test_precedence(void **state)
{
	struct bench *bench = *state;
	uint8_t *bytes = (uint8_t *)&bench->image;

	multiboot(bench, 3);
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_PVH);
	bench->image.rows[1].p_type = PT_NULL;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_MULTIBOOT);
	multiboot(bench, 4); /* its requirement cannot be met: no other format is used */
	refused(bench, "video mode", "");
	bench->image.multiboot[0] = 0;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_RAW);
	assert_int_equal(bench->entry.entry, 0x100010);
	bench->image.header.e_ident[0] = 0;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.entry, 0);
	addresses(bench);
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_MULTIBOOT);

	/* A Linux header has precedence over all of them. */
	bench->image.header.e_ident[0] = ELFMAG0;
	bench->image.rows[1].p_type = PT_NOTE;
	bytes[0x1fe] = 0x55;
	bytes[0x1ff] = 0xaa;
	memcpy(bytes + 0x202, "HdrS", 4);
	refused(bench, "a zImage", "");
	bench->config.boot.format = FORMAT_PVH;
	assert_int_equal(load(bench), 0);
}

/* If the program is loaded low, its start info is placed after it; ACPI's tables cannot move. */
static void
test_places(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(load(bench), 0);
	assert_in_range(bench->entry.info, 0x6000, 0x9fc00);
	bench->image.rows[0].p_paddr = 0x9fff;
	bench->image.note.entry = 0x9fff;
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.info >> 16, 0);
	assert_in_range(bench->entry.info, 0xb000, bench->entry.end);
	assert_bytes(bench, 0x9fff, 0xa0ff, 0xc0);

	bench->image.rows[0].p_paddr = LAYOUT_HIGH - 1;
	bench->image.note.entry = LAYOUT_HIGH;
	assert_int_equal(load(bench), 0);
	bench->config.vm.irqchip = true;
	refused(bench, "between 0xe0000 and 0x100000", "irqchip = off");

	bench->config.vm.irqchip = false;
	bench->image.rows[0].p_paddr = 0x6000;
	bench->image.rows[0].p_memsz = MEMORY_SIZE - 0x6000;
	bench->image.note.entry = 0x6000;
	refused(bench, "no memory for them at 0x200000, behind it", "enlarge [vm] memory");
	bench->config.boot.initrd = bench->file;
	bench->image.rows[0].p_paddr = bench->image.note.entry = 0x100000;
	bench->image.rows[0].p_memsz = 0xff001;
	host_write_file(bench->file, "module", 6);
	refused(bench, "the initrd",
		"end of the kernel, 0x1ff001, and 0x200000; enlarge [vm] memory");
	bench->image.rows[0].p_memsz = 0xff000;
	assert_int_equal(load(bench), 0);
}

static void
test_map(void **state)
{
	struct memory memory = { .count = 2 };
	struct kernel_map map;

	memory.regions[0] = (struct memory_region){ .gpa = 0, .size = 0xc0000000 };
	memory.regions[1] = (struct memory_region){ .gpa = 1ull << 32, .size = 0x40000000 };
	kernel_map(&memory, &map);
	assert_int_equal(map.count, 4);
	assert_int_equal(map.rows[2].at, 0x100000);
	assert_int_equal(map.rows[2].size, 0xc0000000 - 0x100000);
	assert_int_equal(map.rows[3].at, 1ull << 32);
	assert_int_equal(map.rows[3].size, 0x40000000);
	assert_int_equal(map.rows[3].type, KERNEL_RAM);
	memory_reserve(&memory, 0xe0000000, 0x100000);
	kernel_map(&memory, &map);
	assert_int_equal(map.count, 5);
	assert_int_equal(map.rows[3].at, 0xe0000000);
	assert_int_equal(map.rows[3].size, 0x100000);
	assert_int_equal(map.rows[3].type, KERNEL_RESERVED);
	assert_int_equal(map.rows[4].at, 1ull << 32);
	memory_reserve(&memory, 0, 0);
	memory.count = 1;
	memory.regions[0] = (struct memory_region){ .gpa = 0x1000, .size = 0x1000 };
	kernel_map(&memory, &map);
	assert_int_equal(map.count, 1);
	assert_int_equal(map.rows[0].at, 0x1000);
	assert_int_equal(map.rows[0].size, 0x1000);
	memory.regions[0] = (struct memory_region){ .gpa = 0xff000, .size = 0x1000 };
	kernel_map(&memory, &map);
	assert_int_equal(map.count, 1);
	assert_int_equal(map.rows[0].type, KERNEL_RESERVED);
}

static void
test_cmdline_file(void **state)
{
	struct bench *bench = *state;
	char *line = malloc(CMDLINE_MAX + 8), *got;

	bench->config.boot.cmdline_file = bench->file;
	host_write_file(bench->file, "a b\r\n\n", 6);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 3, &got), 0);
	assert_string_equal(got, "a b");
	free(got);
	said_begin(&bench->said);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 2, &got), -STATUS_USAGE);
	SAID(said_end(&bench->said), "image", bench->file, "has 3 bytes",
	     "kernel is 2; shorten it");
	assert_null(got);
	host_write_file(bench->file, "a\0b\n", 4);
	said_begin(&bench->said);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 3, &got), -STATUS_USAGE);
	SAID(said_end(&bench->said), bench->file, "byte 1 is NUL");

	memset(line, 'x', CMDLINE_MAX + 1);
	memcpy(line + CMDLINE_MAX, "\n", 2);
	host_write_file(bench->file, line, CMDLINE_MAX + 1);
	assert_int_equal(load(bench), 0);
	line[CMDLINE_MAX] = '\0';
	assert_string_equal(text(bench, word(bench, bench->entry.info + 24, 8)), line);
	line[CMDLINE_MAX] = 'x';
	host_write_file(bench->file, line, CMDLINE_MAX + 1);
	refused(bench, "has 65536 bytes, the limit of this kernel is 65535; shorten it",
		bench->file);
	assert_int_equal(truncate(bench->file, 1 << 30), 0);
	refused(bench, "has 1073741824 bytes", bench->file);
	free(line);
	unlink(bench->file);
	said_begin(&bench->said);
	assert_int_equal(load(bench), -STATUS_USAGE);
	SAID(said_end(&bench->said), "x.ini:7", "opening the cmdline_file", "No such file");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pvh),          TEST(test_registers), TEST(test_pvh_notes),
		TEST(test_precedence),   TEST(test_places),    TEST(test_map),
		TEST(test_cmdline_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
