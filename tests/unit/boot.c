/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading images: flat images, valid ELF files, and malicious ELF files. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "boot/boot.h"
#include "boot/boot_file.h"

#include <cmocka.h>

#include "said.h"
#include "seed.h"

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

static const uint8_t *
at(struct bench *bench, gpa_t gpa)
{
	return memory_at(&bench->memory, gpa, 1);
}

/* Expects this byte in all of [from, to). */
static void
assert_bytes(struct bench *bench, gpa_t from, gpa_t to, uint8_t byte)
{
	for (; from < to; from++)
		if (*at(bench, from) != byte)
			fail_msg("0x%llx holds 0x%02x, not 0x%02x", (unsigned long long)from,
				 *at(bench, from), byte);
}

static void
assert_untouched(struct bench *bench)
{
	assert_bytes(bench, MEMORY_AT, MEMORY_AT + MEMORY_SIZE, DIRT);
}

/* ---- ELF ---- */

#define TEXT 0x200 /* offset of the segments' bytes in the file */
#define IMAGE_SIZE 0x300

/* A valid file: code at 0x2000, then 0x10 bytes of data with 0x100 of bss, linked at 0x80005000. */
struct image64 {
	Elf64_Ehdr header;
	Elf64_Phdr rows[3];
	uint8_t padding[TEXT - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
	uint8_t bytes[IMAGE_SIZE - TEXT];
};

static struct image64
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

static int
load(struct bench *bench, const void *image, size_t length, struct boot_entry *entry)
{
	struct boot_file file = { .name = "good.elf",
				  .what = "image",
				  .fd = memfd_create("good.elf", MFD_CLOEXEC),
				  .length = length };
	int status;

	assert_int_equal(write(file.fd, image, length), length);
	status = boot_elf(&bench->config, &file, &bench->memory, entry);
	close(file.fd);
	return status;
}

static void
test_elf64(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	assert_int_equal(load(bench, &image, sizeof(image), &entry), 0);
	assert_int_equal(entry.entry, 0x5008);
	assert_int_equal(entry.end, 0x5110);
	assert_bytes(bench, MEMORY_AT, 0x2000, DIRT);
	assert_bytes(bench, 0x2000, 0x2040, 0xc0);
	assert_bytes(bench, 0x2040, 0x5000, DIRT);
	assert_bytes(bench, 0x5000, 0x5010, 0xda);
	assert_bytes(bench, 0x5010, 0x5110, 0);
	assert_bytes(bench, 0x5110, MEMORY_AT + MEMORY_SIZE, DIRT);
}

/* An entry that is not in a segment by its virtual address is physical, as in a Linux kernel. */
static void
test_elf_physical_entry(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	image.header.e_entry = 0x5004;
	assert_int_equal(load(bench, &image, sizeof(image), &entry), 0);
	assert_int_equal(entry.entry, 0x5004);
}

static void
test_elf32(void **state)
{
	struct bench *bench = *state;
	struct boot_entry entry;
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr row;
		uint8_t bytes[16];
	} image = {
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_EXEC,
			    .e_machine = EM_386,
			    .e_entry = 0x3001,
			    .e_phoff = sizeof(Elf32_Ehdr),
			    .e_phentsize = sizeof(Elf32_Phdr),
			    .e_phnum = 1 },
		.row = { .p_type = PT_LOAD,
			 .p_offset = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
			 .p_vaddr = 0x3000,
			 .p_paddr = 0x3000,
			 .p_filesz = 16,
			 .p_memsz = 0x20 },
		.bytes = "sixteen bytes..",
	};

	assert_int_equal(load(bench, &image, sizeof(image), &entry), 0);
	assert_int_equal(entry.entry, 0x3001);
	assert_memory_equal(at(bench, 0x3000), image.bytes, 16);
	assert_bytes(bench, 0x3010, 0x3020, 0);

	image.header.e_machine = EM_X86_64;
	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	said_begin(&bench->said);
	assert_int_equal(load(bench, &image, sizeof(image), &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "good.elf", "ELF32", "machine 62", "386 (3)");
	assert_untouched(bench);
}

/* Sets one member of a valid file to an invalid value. The message must name the error. */
#define HOSTILE(member, hostile, ...)                                                              \
	do {                                                                                       \
		struct image64 image = good64();                                                   \
		struct boot_entry entry;                                                           \
                                                                                                   \
		image.member = (hostile);                                                          \
		said_begin(&bench->said);                                                          \
		assert_int_equal(load(bench, &image, sizeof(image), &entry), -STATUS_USAGE);       \
		SAID(said_end(&bench->said), "good.elf", __VA_ARGS__);                             \
		assert_untouched(bench);                                                           \
	} while (0)

static void
test_hostile_headers(void **state)
{
	struct bench *bench = *state;

	HOSTILE(header.e_ident[0], 'E', "not an ELF file", "format = flat");
	HOSTILE(header.e_ident[EI_CLASS], 0, "class 0");
	HOSTILE(header.e_ident[EI_CLASS], ELFCLASS32, "machine 62", "386");
	HOSTILE(header.e_ident[EI_DATA], ELFDATA2MSB, "big-endian");
	HOSTILE(header.e_machine, EM_AARCH64, "machine 183", "x86-64 (62)");
	HOSTILE(header.e_machine, EM_386, "machine 3", "x86-64 (62)");
	HOSTILE(header.e_type, ET_DYN, "position-independent", "-no-pie");
	HOSTILE(header.e_type, ET_REL, "object file");
	HOSTILE(header.e_phnum, 0, "0 program headers");
	HOSTILE(header.e_phnum, 0xffff, "65535 program headers", "128");
	HOSTILE(header.e_phentsize, 0, "of 0 bytes", "56");
	HOSTILE(header.e_phentsize, 64, "of 64 bytes", "56");
	HOSTILE(header.e_phoff, IMAGE_SIZE - 1, "0x2ff", "end of the file, 0x300");
	HOSTILE(header.e_phoff, ~0ull, "0xffffffffffffffff", "end of the file");
	HOSTILE(header.e_phoff, ~0ull - 56, "end of the file");
	HOSTILE(header.e_entry, 0x100000, "entry point 0x100000", "0x1000-0x10fff");
	HOSTILE(header.e_entry, ~0ull, "entry point 0xffffffffffffffff");
}

static void
test_hostile_segments(void **state)
{
	struct bench *bench = *state;

	HOSTILE(rows[2].p_offset, IMAGE_SIZE - 15, "segment 2", "0x5000", "the file is truncated");
	HOSTILE(rows[2].p_offset, ~0ull - 4, "segment 2", "0xfffffffffffffffb",
		"the file is truncated");
	HOSTILE(rows[2].p_filesz, 0x111, "segment 2", "0x111 bytes in the file", "0x110 in memory");
	HOSTILE(rows[2].p_memsz, 0x0f, "segment 2", "0x10 bytes in the file", "0xf in memory");
	HOSTILE(rows[2].p_memsz, 0, "segment 2", "0x10 bytes in the file", "0x0 in memory");
	HOSTILE(rows[2].p_memsz, ~0ull, "segment 2", "the last address");
	HOSTILE(rows[2].p_vaddr, ~0ull - 0x110, "entry point 0x80005008");
	HOSTILE(rows[2].p_vaddr, ~0ull - 0x10f, "segment 2", "the last address");
	HOSTILE(rows[2].p_paddr, ~0ull, "segment 2", "the last address");
	HOSTILE(rows[2].p_paddr, 0xfff, "segment 2", "0xfff-0x110e",
		"memory, which is 0x1000-0x10fff", "memory_at");
	HOSTILE(rows[2].p_paddr, 0x10ef1, "segment 2", "0x10ef1-0x11000", "not inside memory");
	HOSTILE(rows[2].p_memsz, MEMORY_SIZE, "segment 2", "0x5000-0x14fff");
	HOSTILE(rows[2].p_paddr, 0x203f,
		"segments 0 at 0x2000-0x203f and 2 at 0x203f-0x214e overlap");
	HOSTILE(rows[2].p_paddr, 0x1f00, "overlap");
	HOSTILE(rows[0].p_memsz, 0x3001, "segments 0 at 0x2000-0x5000 and 2 at 0x5000", "overlap");
	HOSTILE(rows[1].p_type, PT_INTERP, "dynamic linker", "-static");
}

static void
test_no_loadable_segment(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	image.rows[0].p_type = PT_NULL;
	image.rows[2].p_type = PT_NOTE;
	said_begin(&bench->said);
	assert_int_equal(load(bench, &image, sizeof(image), &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "none of its 3 program headers", "PT_LOAD");
	assert_untouched(bench);
}

/* Segments may touch, be empty, and end at the end of memory. */
static void
test_tight_segments(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	image.rows[0].p_paddr = MEMORY_AT;
	image.rows[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = IMAGE_SIZE, .p_paddr = 1 };
	image.rows[2].p_paddr = MEMORY_AT + 0x40;
	image.rows[2].p_memsz = MEMORY_SIZE - 0x40;
	assert_int_equal(load(bench, &image, sizeof(image), &entry), 0);
	assert_int_equal(entry.entry, MEMORY_AT + 0x48);
	assert_int_equal(entry.end, MEMORY_AT + MEMORY_SIZE);
	assert_bytes(bench, MEMORY_AT + 0x50, MEMORY_AT + MEMORY_SIZE, 0);
}

static void
test_truncated(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;
	size_t needed = TEXT + 0x50; /* the rest is padding */

	for (size_t length = 0; length < needed; length++) {
		said_begin(&bench->said);
		if (load(bench, &image, length, &entry) != -STATUS_USAGE)
			fail_msg("taken when cut to %zu bytes", length);
		SAID(said_end(&bench->said), "good.elf");
	}
	assert_untouched(bench);
	assert_int_equal(load(bench, &image, needed, &entry), 0);
}

/*
 * With any headers, the loader stays inside the file and memory, and does not write if it refuses
 * the file.
 */
static void
test_random_headers(void **state)
{
	struct bench *bench = *state;
	uint64_t seed = random_seed();
	unsigned taken = 0;

	said_begin(&bench->said);
	for (int i = 0; i < 20000; i++) {
		struct image64 image = good64();
		uint8_t *bytes = (uint8_t *)&image;
		struct boot_entry entry;

		for (uint64_t n = 1 + random_below(&seed, 4); n; n--)
			bytes[random_below(&seed, offsetof(struct image64, padding))] =
			    (uint8_t)random_next(&seed);
		if (load(bench, &image, sizeof(image), &entry)) {
			assert_untouched(bench);
			continue;
		}
		taken++;
		assert_non_null(memory_at(&bench->memory, entry.entry, 1));
		assert_in_range(entry.end, MEMORY_AT, MEMORY_AT + MEMORY_SIZE);
		memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	}
	said_end(&bench->said);
	assert_true(taken > 100 && taken < 19900);
}

/* ---- files and code ---- */

static void
write_image(struct bench *bench, const void *bytes, size_t length)
{
	FILE *file = fopen(bench->path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static void
test_formats(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	write_image(bench, &image, sizeof(image));
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.entry, 0x5008);

	bench->config.boot.format = FORMAT_FLAT;
	bench->config.boot.at = 0x4321;
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.entry, 0x4321);
	assert_int_equal(entry.end, 0x4321 + sizeof(image));
	assert_memory_equal(at(bench, 0x4321), &image, sizeof(image));

	bench->config.boot.format = FORMAT_ELF;
	write_image(bench, "flat", 4);
	said_begin(&bench->said);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), bench->path, "not an ELF file");
}

/* A file is read as far as it is loaded: it may be larger than the host's memory. */
static void
test_huge_file(void **state)
{
	static const off_t huge = 1ll << 40;
	struct bench *bench = *state;
	struct image64 image = good64();
	const uint32_t multiboot[] = { 0x1badb002, 3, -(0x1badb002u + 3) };
	struct boot_entry entry;

	/* The whole file is a segment of notes, too. */
	image.rows[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_filesz = (uint64_t)huge, .p_align = 8 };
	write_image(bench, &image, sizeof(image));
	if (truncate(bench->path, huge))
		skip(); /* a file system with small files */
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.end, 0x5110);
	assert_bytes(bench, 0x5000, 0x5010, 0xda);

	image.rows[1].p_offset = sizeof(image);
	image.rows[1].p_filesz -= sizeof(image);
	image.rows[1].p_align = 4;
	write_image(bench, &image, sizeof(image));
	assert_int_equal(truncate(bench->path, huge), 0);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);

	said_begin(&bench->said);
	image.header.e_machine = EM_ARM;
	write_image(bench, &image, sizeof(image));
	assert_int_equal(truncate(bench->path, huge), 0);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "machine 40");

	said_begin(&bench->said);
	write_image(bench, multiboot, sizeof(multiboot));
	assert_int_equal(truncate(bench->path, huge), 0);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "multiboot header has no addresses");
}

static void
test_flat_fits(void **state)
{
	struct bench *bench = *state;
	static uint8_t bytes[MEMORY_SIZE + 1];
	struct boot_entry entry;

	memset(bytes, 0x11, sizeof(bytes));
	write_image(bench, bytes, MEMORY_SIZE);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_bytes(bench, MEMORY_AT, MEMORY_AT + MEMORY_SIZE, 0x11);

	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	write_image(bench, bytes, MEMORY_SIZE + 1);
	said_begin(&bench->said);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "x.ini:7", bench->path, "65537 bytes at 0x1000",
	     "0x1000-0x10fff");
	assert_untouched(bench);

	write_image(bench, bytes, 2);
	for (int i = 0; i < 2; i++) {
		bench->config.boot.at = i ? ~0ull : MEMORY_AT + MEMORY_SIZE - 1;
		said_begin(&bench->said);
		assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
		SAID(said_end(&bench->said), i ? "0xffffffffffffffff" : "0x10fff", "memory");
	}
	assert_untouched(bench);
}

static void
refused(struct bench *bench, const char *words)
{
	struct boot_entry entry;

	said_begin(&bench->said);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "x.ini", words);
	assert_untouched(bench);
}

static void
test_no_image(void **state)
{
	struct bench *bench = *state;
	struct boot_entry entry;

	refused(bench, "No such file");
	bench->config.boot.image = bench->folder;
	refused(bench, "is a directory");
	bench->config.boot.image = (char[]){ "/dev/zero" };
	refused(bench, "a device, pipe or socket");
	bench->config.boot.image = bench->path;
	write_image(bench, "", 0);
	refused(bench, "is empty");
	bench->config.boot.image = NULL;
	refused(bench, "neither image nor code");

	/* The memory may contain the code already, if it is a file. */
	bench->config.vm.memory_file = (char[]){ "ram.img" };
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.entry, MEMORY_AT);
}

static void
test_code(void **state)
{
	struct bench *bench = *state;
	uint8_t code[] = { 0xb0, 0x01, 0xf4 };
	struct boot_entry entry;

	bench->config.boot.image = NULL;
	bench->config.boot.code = code;
	bench->config.boot.code_length = sizeof(code);
	bench->config.boot.at = 0x1234;
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_memory_equal(at(bench, 0x1234), code, sizeof(code));
	assert_int_equal(entry.entry, 0x1234);
	assert_int_equal(entry.end, 0x1237);

	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	bench->config.boot.at = 0x10ffe;
	refused(bench, "3 bytes at 0x10ffe");
	bench->config.boot.code_length = 0;
	refused(bench, "code is empty");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_elf64),
		TEST(test_elf_physical_entry),
		TEST(test_elf32),
		TEST(test_hostile_headers),
		TEST(test_hostile_segments),
		TEST(test_no_loadable_segment),
		TEST(test_tight_segments),
		TEST(test_truncated),
		TEST(test_random_headers),
		TEST(test_formats),
		TEST(test_huge_file),
		TEST(test_flat_fits),
		TEST(test_no_image),
		TEST(test_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
