/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading images: their formats, flat images, code in the config. */
#include "unit/boot_bench.h"

#include "unit/host.h"

static void
test_formats(void **state)
{
	struct bench *bench = *state;
	struct image64 image = good64();
	struct boot_entry entry;

	host_write_file(bench->path, &image, sizeof(image));
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.entry, 0x5008);

	bench->config.boot.format = FORMAT_FLAT;
	bench->config.boot.at = 0x4321;
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.entry, 0x4321);
	assert_int_equal(entry.end, 0x4321 + sizeof(image));
	assert_memory_equal(at(bench, 0x4321), &image, sizeof(image));

	bench->config.boot.format = FORMAT_ELF;
	host_write_file(bench->path, "flat", 4);
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
	host_write_file(bench->path, &image, sizeof(image));
	if (truncate(bench->path, huge))
		skip(); /* a file system with small files */
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_int_equal(entry.end, 0x5110);
	assert_bytes(bench, 0x5000, 0x5010, 0xda);

	image.rows[1].p_offset = sizeof(image);
	image.rows[1].p_filesz -= sizeof(image);
	image.rows[1].p_align = 4;
	host_write_file(bench->path, &image, sizeof(image));
	assert_int_equal(truncate(bench->path, huge), 0);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);

	said_begin(&bench->said);
	image.header.e_machine = EM_ARM;
	host_write_file(bench->path, &image, sizeof(image));
	assert_int_equal(truncate(bench->path, huge), 0);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "machine 40");

	said_begin(&bench->said);
	host_write_file(bench->path, multiboot, sizeof(multiboot));
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
	host_write_file(bench->path, bytes, MEMORY_SIZE);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), 0);
	assert_bytes(bench, MEMORY_AT, MEMORY_AT + MEMORY_SIZE, 0x11);

	memset(bench->memory.regions[0].host, DIRT, MEMORY_SIZE);
	host_write_file(bench->path, bytes, MEMORY_SIZE + 1);
	said_begin(&bench->said);
	assert_int_equal(boot_load(&bench->config, &bench->memory, &entry), -STATUS_USAGE);
	SAID(said_end(&bench->said), "x.ini:7", bench->path, "65537 bytes at 0x1000",
	     "0x1000-0x10fff");
	assert_untouched(bench);

	host_write_file(bench->path, bytes, 2);
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
	host_write_file(bench->path, "", 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_formats),  TEST(test_huge_file), TEST(test_flat_fits),
		TEST(test_no_image), TEST(test_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
