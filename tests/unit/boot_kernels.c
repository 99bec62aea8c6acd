/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels started by PVH and multiboot: the data that they receive, the precedence of formats, and
 * malicious headers.
 */
#include <elf.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"
#include "boot/kernel.h"
#include "machine/layout.h"

#include <cmocka.h>

#include "said.h"
#include "seed.h"

#define MEMORY_SIZE 0x200000u
#define DIRT 0xa5 /* contents of memory before */
#define TEXT 0x200
#define MULTIBOOT 0x1badb002u

/*
 * An ELF file with a note and room for a multiboot header. Its segment is loaded to 0x100000: 0x100
 * bytes and 0x100 of bss.
 */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr rows[2];
	struct {
		Elf32_Nhdr header;
		char owner[4];
		uint64_t entry;
	} note __attribute__((packed));
	uint32_t multiboot[8] __attribute__((aligned(4)));
	uint8_t padding[TEXT - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr) - 24 - 32];
	uint8_t bytes[0x100];
};
_Static_assert(offsetof(struct image, bytes) == TEXT, "no holes");

struct bench {
	struct memory memory;
	struct said said;
	char folder[32], path[64], file[64], name[8];
	struct config config;
	struct boot_entry entry;
	struct image image;
	size_t length;
};

static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	strcpy(bench->folder, "/tmp/boot.XXXXXX");
	if (!mkdtemp(bench->folder) || memory_add(&bench->memory, 0, MEMORY_SIZE))
		return -1;
	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	snprintf(bench->path, sizeof(bench->path), "%s/image", bench->folder);
	snprintf(bench->file, sizeof(bench->file), "%s/file", bench->folder);
	strcpy(bench->name, "x.ini");
	bench->config.boot.image = bench->path;
	bench->config.boot.place = (struct config_place){ "x.ini", 7 };
	bench->config.file = bench->name;
	bench->length = sizeof(bench->image);
	bench->image = (struct image){
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_EXEC,
			    .e_machine = EM_X86_64,
			    .e_entry = 0xffffffff80000010,
			    .e_phoff = offsetof(struct image, rows),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 2 },
		.rows = { { .p_type = PT_LOAD,
			    .p_offset = TEXT,
			    .p_vaddr = 0xffffffff80000000,
			    .p_paddr = 0x100000,
			    .p_filesz = 0x100,
			    .p_memsz = 0x200 },
			  { .p_type = PT_NOTE,
			    .p_offset = offsetof(struct image, note),
			    .p_filesz = sizeof(bench->image.note),
			    .p_align = 4 } },
		.note = { .header = { 4, 8, 18 }, .owner = "Xen", .entry = 0x100020 },
	};
	memset(bench->image.bytes, 0xc0, sizeof(bench->image.bytes));
	return 0;
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	unlink(bench->path);
	unlink(bench->file);
	rmdir(bench->folder);
	memory_free(&bench->memory);
	free(bench);
	return 0;
}

static void
write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static void
multiboot(struct bench *bench, uint32_t flags)
{
	bench->image.multiboot[0] = MULTIBOOT;
	bench->image.multiboot[1] = flags;
	bench->image.multiboot[2] = -(MULTIBOOT + flags);
}

/* The addresses of a flat image with the header of struct image, loaded as a whole to 0x100000. */
static void
addresses(struct bench *bench)
{
	multiboot(bench, 0x10000);
	bench->image.multiboot[3] = 0x100000 + offsetof(struct image, multiboot);
	bench->image.multiboot[4] = 0x100000;
	bench->image.multiboot[5] = 0;
	bench->image.multiboot[6] = 0;
	bench->image.multiboot[7] = 0x100200;
}

static int
load(struct bench *bench)
{
	write_file(bench->path, &bench->image, bench->length);
	return boot_load(&bench->config, &bench->memory, &bench->entry);
}

static void
refused(struct bench *bench, const char *words, const char *more)
{
	said_begin(&bench->said);
	assert_int_equal(load(bench), -STATUS_USAGE);
	SAID(said_end(&bench->said), "image", words, more);
}

static void
assert_bytes(struct bench *bench, gpa_t from, gpa_t to, uint8_t byte)
{
	for (; from < to; from++)
		assert_int_equal(*(uint8_t *)memory_at(&bench->memory, from, 1), byte);
}

static uint64_t
word(struct bench *bench, gpa_t at, size_t length)
{
	uint64_t value = 0;

	assert_int_equal(memory_read(&bench->memory, at, &value, length), 0);
	return value;
}

static const char *
text(struct bench *bench, gpa_t at)
{
	return memory_at(&bench->memory, at, 1);
}

/* ---- PVH ---- */

static void
test_pvh(void **state)
{
	struct bench *bench = *state;
	gpa_t info, module, map;

	bench->config.boot.cmdline = (char[]){ "quiet 1" };
	bench->config.boot.initrd = bench->file;
	bench->config.vm.irqchip = true;
	write_file(bench->file, "module", 6);
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

/* ---- multiboot ---- */

static void
test_multiboot(void **state)
{
	struct bench *bench = *state;
	char modules[160];
	gpa_t info, module, map;

	multiboot(bench, 3);
	snprintf(modules, sizeof(modules), "%s:%s", bench->file, bench->path);
	bench->config.boot.format = FORMAT_MULTIBOOT;
	bench->config.boot.cmdline = (char[]){ "" };
	bench->config.boot.modules = modules;
	write_file(bench->file, "module", 6);
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_MULTIBOOT);
	assert_int_equal(bench->entry.entry, 0x100010);
	assert_bytes(bench, 0x100100, 0x100200, 0);
	info = bench->entry.info;
	assert_int_equal(word(bench, info, 4), 0x24d);
	assert_int_equal(word(bench, info + 4, 4), 639);
	assert_int_equal(word(bench, info + 8, 4), 1024);
	assert_int_equal(word(bench, 0x413, 2), 639);
	assert_int_equal(word(bench, 0x40e, 2), 0x9fc0);
	assert_string_equal(text(bench, word(bench, info + 16, 4)), "");
	assert_int_equal(word(bench, info + 20, 4), 2);
	module = word(bench, info + 24, 4);
	assert_int_equal(word(bench, module, 4), MEMORY_SIZE - 0x1000);
	assert_int_equal(word(bench, module + 4, 4), MEMORY_SIZE - 0x1000 + 6);
	assert_string_equal(text(bench, word(bench, module + 8, 4)), "file");
	assert_int_equal(word(bench, module + 16, 4), MEMORY_SIZE - 0x2000);
	assert_int_equal(word(bench, module + 20, 4), MEMORY_SIZE - 0x2000 + sizeof(bench->image));
	assert_string_equal(text(bench, word(bench, module + 24, 4)), "image");
	assert_memory_equal(text(bench, MEMORY_SIZE - 0x2000), &bench->image, sizeof(bench->image));
	assert_int_equal(word(bench, info + 44, 4), 3 * 24);
	map = word(bench, info + 48, 4);
	assert_int_equal(word(bench, map, 4), 20);
	assert_int_equal(word(bench, map + 12, 8), 0x9fc00);
	assert_int_equal(word(bench, map + 20, 4), 1);
	assert_int_equal(word(bench, map + 48 + 4, 8), 0x100000);
	assert_memory_equal(text(bench, word(bench, info + 64, 4)), "minivmm ", 8);
}

static void
test_multiboot_addresses(void **state)
{
	struct bench *bench = *state;
	uint32_t *h = bench->image.multiboot;

	addresses(bench);
	bench->image.header.e_ident[0] = 0; /* as a flat file */
	assert_int_equal(load(bench), 0);
	assert_int_equal(bench->entry.protocol, BOOT_MULTIBOOT);
	assert_int_equal(bench->entry.entry, 0x100200);
	assert_int_equal(bench->entry.end, 0x100000 + sizeof(bench->image));
	assert_memory_equal(text(bench, 0x100000), &bench->image, sizeof(bench->image));

	h[4] = h[3]; /* from the header, 0x20 bytes, with bss */
	h[5] = h[4] + 0x20;
	h[6] = h[4] + 0x1000;
	h[7] = h[4];
	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	assert_int_equal(load(bench), 0);
	assert_memory_equal(text(bench, h[4]), h, 0x20);
	assert_bytes(bench, h[5], h[6], 0);
	assert_bytes(bench, h[6], h[6] + 0x100, DIRT);
	assert_bytes(bench, 0x100000, h[4], DIRT);
}

static void
test_multiboot_hostile(void **state)
{
	struct bench *bench = *state;
	uint32_t *h = bench->image.multiboot;

	bench->config.boot.format = FORMAT_MULTIBOOT;
	refused(bench, "no multiboot header in its first 8192 bytes", "format = auto");
	multiboot(bench, 4);
	refused(bench, "requires a video mode (bit 2", "no display");
	multiboot(bench, 0x8007);
	refused(bench, "requires the unsupported flags 0x8004", "");
	multiboot(bench, 3);
	h[2]++;
	refused(bench, "no multiboot header", "");
	multiboot(bench, 3);
	bench->image.header.e_ident[0] = 0;
	refused(bench, "no addresses (bit 16 of its flags)", "format = flat");

#define HOSTILE(i, value, words, more)                                                             \
	do {                                                                                       \
		addresses(bench);                                                                  \
		h[i] = (value);                                                                    \
		refused(bench, words, more);                                                       \
		assert_bytes(bench, 0, MEMORY_SIZE, DIRT);                                         \
	} while (0)
	HOSTILE(3, 0xfffff, "not in the file", "header_addr 0xfffff");
	HOSTILE(3, 0x100400, "not in the file", "load_addr 0x100000");
	HOSTILE(3, UINT32_MAX, "not in the file", "");
	HOSTILE(4, 0, "not in the file", "");
	HOSTILE(4, UINT32_MAX, "not in the file", "");
	HOSTILE(5, 0xfffff, "not in ascending order", "load_end_addr 0xfffff");
	HOSTILE(5, 0x100000 + sizeof(bench->image) + 1, "the file is truncated", "");
	HOSTILE(5, UINT32_MAX, "the file is truncated", "segment 0 at 0x100000");
	HOSTILE(6, 0xfffff, "not in ascending order", "bss_end_addr 0xfffff");
	HOSTILE(6, 0x100001, "bytes in the file but 0x1 in memory", "");
	HOSTILE(6, UINT32_MAX, "not inside memory", "0x100000-0xfffffffe");
	HOSTILE(7, MEMORY_SIZE, "entry point 0x200000 is not inside memory", "");
	addresses(bench);
	bench->length = offsetof(struct image, multiboot) + 31;
	refused(bench, "no multiboot header", "");
	bench->length = offsetof(struct image, multiboot) + 32;
	h[7] = 0x100000;
	assert_int_equal(load(bench), 0);
}

/* With any numbers, only the program and the start info are written. */
static void
test_random(void **state)
{
	struct bench *bench = *state;
	uint64_t seed = random_seed();
	struct image good = bench->image;
	unsigned taken = 0;

	said_begin(&bench->said);
	for (int i = 0; i < 3000; i++) {
		uint8_t *bytes = (uint8_t *)&bench->image;

		bench->image = good;
		bench->config.boot.format = random_below(&seed, 2) ? FORMAT_PVH : FORMAT_MULTIBOOT;
		if (random_below(&seed, 2))
			addresses(bench);
		else
			multiboot(bench, 3);
		for (uint64_t n = 1 + random_below(&seed, 3); n; n--)
			bytes[random_below(&seed, offsetof(struct image, padding))] =
			    (uint8_t)random_next(&seed);
		bench->image.multiboot[2] = -(MULTIBOOT + bench->image.multiboot[1]);
		if (load(bench))
			continue;
		taken++;
		assert_non_null(memory_at(&bench->memory, bench->entry.entry, 1));
		assert_non_null(memory_at(&bench->memory, bench->entry.info, 56));
		assert_in_range(bench->entry.end, 1, MEMORY_SIZE);
	}
	said_end(&bench->said);
	assert_true(taken > 100 && taken < 2900);
}

/* ---- precedence and addresses ---- */

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
	write_file(bench->file, "module", 6);
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
	write_file(bench->file, "a b\r\n\n", 6);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 3, &got), 0);
	assert_string_equal(got, "a b");
	free(got);
	said_begin(&bench->said);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 2, &got), -STATUS_USAGE);
	SAID(said_end(&bench->said), "image", bench->file, "has 3 bytes",
	     "kernel is 2; shorten it");
	assert_null(got);
	write_file(bench->file, "a\0b\n", 4);
	said_begin(&bench->said);
	assert_int_equal(kernel_cmdline(&bench->config, "image", 3, &got), -STATUS_USAGE);
	SAID(said_end(&bench->said), bench->file, "byte 1 is NUL");

	memset(line, 'x', CMDLINE_MAX + 1);
	memcpy(line + CMDLINE_MAX, "\n", 2);
	write_file(bench->file, line, CMDLINE_MAX + 1);
	assert_int_equal(load(bench), 0);
	line[CMDLINE_MAX] = '\0';
	assert_string_equal(text(bench, word(bench, bench->entry.info + 24, 8)), line);
	line[CMDLINE_MAX] = 'x';
	write_file(bench->file, line, CMDLINE_MAX + 1);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pvh),       TEST(test_registers),           TEST(test_pvh_notes),
		TEST(test_multiboot), TEST(test_multiboot_addresses), TEST(test_multiboot_hostile),
		TEST(test_random),    TEST(test_precedence),          TEST(test_places),
		TEST(test_map),       TEST(test_cmdline_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
