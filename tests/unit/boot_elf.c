/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading ELF files: valid ones, and malicious ones. */
#include "unit/boot_bench.h"

#include "boot/boot_file.h"

#include "unit/seed.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
