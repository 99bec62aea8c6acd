/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels started by multiboot: the data that they receive, and malicious headers. */
#include "unit/kernel_bench.h"

#include "unit/seed.h"

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
	host_write_file(bench->file, "module", 6);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_multiboot),
		TEST(test_multiboot_addresses),
		TEST(test_multiboot_hostile),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
