/* SPDX-License-Identifier: BSD-2-Clause */
/* A kernel with a PVH note and room for a multiboot header, and the memory that it is loaded to. */
#ifndef TESTS_KERNEL_BENCH_H
#define TESTS_KERNEL_BENCH_H

#include <elf.h>
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

#include "unit/host.h"
#include "unit/said.h"

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

static inline void
multiboot(struct bench *bench, uint32_t flags)
{
	bench->image.multiboot[0] = MULTIBOOT;
	bench->image.multiboot[1] = flags;
	bench->image.multiboot[2] = -(MULTIBOOT + flags);
}

/* The addresses of a flat image with the header of struct image, loaded as a whole to 0x100000. */
static inline void
addresses(struct bench *bench)
{
	multiboot(bench, 0x10000);
	bench->image.multiboot[3] = 0x100000 + offsetof(struct image, multiboot);
	bench->image.multiboot[4] = 0x100000;
	bench->image.multiboot[5] = 0;
	bench->image.multiboot[6] = 0;
	bench->image.multiboot[7] = 0x100200;
}

static inline int
load(struct bench *bench)
{
	host_write_file(bench->path, &bench->image, bench->length);
	return boot_load(&bench->config, &bench->memory, &bench->entry);
}

static inline void
refused(struct bench *bench, const char *words, const char *more)
{
	said_begin(&bench->said);
	assert_int_equal(load(bench), -STATUS_USAGE);
	SAID(said_end(&bench->said), "image", words, more);
}

static inline void
assert_bytes(struct bench *bench, gpa_t from, gpa_t to, uint8_t byte)
{
	for (; from < to; from++)
		assert_int_equal(*(uint8_t *)memory_at(&bench->memory, from, 1), byte);
}

static inline uint64_t
word(struct bench *bench, gpa_t at, size_t length)
{
	uint64_t value = 0;

	assert_int_equal(memory_read(&bench->memory, at, &value, length), 0);
	return value;
}

static inline const char *
text(struct bench *bench, gpa_t at)
{
	return memory_at(&bench->memory, at, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
