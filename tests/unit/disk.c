/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers, compared with an array, through reads, writes, zeroing, flushes, freezes and
 * reopening.
 */
#include "unit/disk_bench.h"

static void
test_model(void **state)
{
	struct disk disk;
	char *layers = NULL;
	static uint8_t then[BYTES];
	unsigned frozen = 0;

	make_raw();
	found = 0;
	open_disk(&disk, "", true);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one(&disk, !frozen);
		if (!pick(100))
			assert_int_equal(disk_flush(&disk), 0);
		if (!pick(500))
			assert_same(&disk);
		if (!pick(400) && disk.count < 30) {
			free(layers);
			layers = freeze(&disk);
			frozen = disk.count;
			memcpy(then, model, sizeof(then));
		}
	}
	assert_same(&disk);
	assert_true(disk.count > 10);
	assert_true(found <= disk.count); /* once for each layer, not for each snapshot */
	/* Continues with the last overlay, as flushed. */
	assert_int_equal(disk_flush(&disk), 0);
	layers = (free(layers), disk_layers(&disk));
	char *top = strdup(disk.layers[disk.count - 1].path);
	disk_destroy(&disk);
	open_disk(&disk, layers, false);
	assert_int_equal(disk_open_overlay(&disk, top), 0);
	assert_same(&disk);
	disk_destroy(&disk);
	/* And without it. */
	open_disk(&disk, layers, false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	memcpy(model, then, sizeof(then));
	assert_same(&disk);
	disk_destroy(&disk);
	free(layers);
	free(top);
}

static void
test_reset(void **state)
{
	static uint8_t then[BYTES];
	struct disk disk;

	make_raw();
	memcpy(then, model, sizeof(then));
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		one(&disk, false);
		if (!pick(100))
			free(freeze(&disk));
		if (!pick(20)) {
			assert_int_equal(disk_reset(&disk, 1), 0);
			memcpy(model, then, sizeof(then));
			assert_same(&disk);
		}
	}
	disk_destroy(&disk);
}

/* A free name is found among many that are taken, without a look at each. */
static void
test_names(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 3, 7, 8, 9, 3000 };
	unsigned made = 0;
	char name[32];
	uint32_t n;

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		while (made < counts[i]) {
			snprintf(name, sizeof(name), "names.%u", ++made);
			close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		}
		lookups = 0;
		assert_int_equal(disk_free_number("names", &n), 0);
		assert_int_equal(n, made + 1);
		assert_in_range(lookups, 1, 30);
	}
	lookups = 0;
	assert_int_equal(disk_free_number("names.1/x", &n), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(lookups, 1);
	/* A link that leads nowhere is not free. */
	assert_int_equal(symlink("nowhere", "dangling.1"), 0);
	assert_int_equal(disk_free_number("dangling", &n), 0);
	assert_int_equal(n, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
