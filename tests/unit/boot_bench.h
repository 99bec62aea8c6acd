/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a guest, full of dirt, and the config of an image to load; an ELF file. */
#ifndef TESTS_BOOT_BENCH_H
#define TESTS_BOOT_BENCH_H

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"

#include <cmocka.h>

#include "unit/said.h"

#define MEMORY_AT 0x1000
#define MEMORY_SIZE 0x10000
#define DIRT 0xa5 /* contents of memory before: a loader must not rely on zeros */

struct bench {
	struct memory memory;
	struct said said;
	char folder[32], path[64], name[8];
	struct config config;
};

static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	strcpy(bench->folder, "/tmp/boot.XXXXXX");
	if (!mkdtemp(bench->folder) || memory_add(&bench->memory, MEMORY_AT, MEMORY_SIZE))
		return -1;
	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	snprintf(bench->path, sizeof(bench->path), "%s/image", bench->folder);
	bench->config.boot.image = bench->path;
	bench->config.boot.at = MEMORY_AT;
	bench->config.boot.place = (struct config_place){ "x.ini", 7 };
	strcpy(bench->name, "x.ini");
	bench->config.file = bench->name;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	unlink(bench->path);
	rmdir(bench->folder);
	memory_free(&bench->memory);
	free(bench);
	return 0;
}

static inline const uint8_t *
at(struct bench *bench, gpa_t gpa)
{
	return memory_at(&bench->memory, gpa, 1);
}

/* Expects this byte in all of [from, to). */
static inline void
assert_bytes(struct bench *bench, gpa_t from, gpa_t to, uint8_t byte)
{
	for (; from < to; from++)
		if (*at(bench, from) != byte)
			fail_msg("0x%llx holds 0x%02x, not 0x%02x", (unsigned long long)from,
				 *at(bench, from), byte);
}

static inline void
assert_untouched(struct bench *bench)
{
	assert_bytes(bench, MEMORY_AT, MEMORY_AT + MEMORY_SIZE, DIRT);
}

#define TEXT 0x200 /* offset of the segments' bytes in the file */
#define IMAGE_SIZE 0x300

/* A valid file: code at 0x2000, then 0x10 bytes of data with 0x100 of bss, linked at 0x80005000. */
struct image64 {
	Elf64_Ehdr header;
	Elf64_Phdr rows[3];
	uint8_t padding[TEXT - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
	uint8_t bytes[IMAGE_SIZE - TEXT];
};

static inline struct image64
good64(void)
{
	struct image64 image = {
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_EXEC,
			    .e_machine = EM_X86_64,
			    .e_version = EV_CURRENT,
			    .e_entry = 0x80005008,
			    .e_phoff = offsetof(struct image64, rows),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 3 },
		.rows = { { .p_type = PT_LOAD,
			    .p_offset = TEXT,
			    .p_vaddr = 0x2000,
			    .p_paddr = 0x2000,
			    .p_filesz = 0x40,
			    .p_memsz = 0x40 },
			  { .p_type = PT_NOTE, .p_offset = ~0ull, .p_filesz = ~0ull },
			  { .p_type = PT_LOAD,
			    .p_offset = TEXT + 0x40,
			    .p_vaddr = 0x80005000,
			    .p_paddr = 0x5000,
			    .p_filesz = 0x10,
			    .p_memsz = 0x110 } },
	};

	memset(image.bytes, 0xc0, 0x40);
	memset(image.bytes + 0x40, 0xda, 0x10);
	return image;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
