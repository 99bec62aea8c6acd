/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merges of layers without a name: a disk is frozen for branches, which stand on its layers while
 * it continues; all are compared with arrays. Merges, in threads of pthread_create(), end late or
 * not at all.
 */
#include "unit/disk_bench.h"

#define BRANCHES 5u

/* A disk that stands on the layers of another one, with the contents that it must have. */
struct stand {
	bool on;
	struct disk disk;
	uint8_t model[BYTES];
};

static struct disk disk;
static struct stand stands[BRANCHES];
static char *stem;

static void
wait_for_merge(void)
{
	while (disk.merge.running && !atomic_load(&disk.merge.ended))
		usleep(50);
}

static void
begin(void)
{
	make_raw();
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	free(stem);
	stem = strdup("raw");
}

/* The layers below the top one, as a branch gets them. */
static void
list_layers(char *list, size_t size)
{
	*list = '\0';
	for (uint32_t i = 1; i + 1 < disk.count; i++)
		snprintf(list + strlen(list), size - strlen(list), "%s/proc/self/fd/%d",
			 i > 1 ? ":" : "", disk.layers[i].fd);
}

static void
stand_on(struct stand *stand)
{
	char layers[DISK_LAYERS * 24];

	list_layers(layers, sizeof(layers));
	open_disk(&stand->disk, layers, false);
	stand->disk.origin = stand->disk.count;
	disk_inherit(&stand->disk);
	assert_int_equal(disk_create_overlay(&stand->disk, NULL), 0);
	memcpy(stand->model, model, sizeof(model));
	stand->on = true;
}

/* Compares a branch with its array, and ends it. */
static void
leave(struct stand *stand)
{
	static uint8_t ours[BYTES];

	if (!stand->on)
		return;
	memcpy(ours, model, sizeof(ours));
	memcpy(model, stand->model, sizeof(model));
	assert_same(&stand->disk);
	memcpy(model, ours, sizeof(model));
	disk_destroy(&stand->disk);
	stand->on = false;
}

static void
freeze_for_branch(void)
{
	assert_int_equal(disk_freeze(&disk, stem, true), 0);
	assert_same(&disk);
}

static void
test_branches(void **state)
{
	unsigned branches = 0, merges = 0;
	uint32_t most = 0, before;

	begin();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one(&disk, false);
		if (pick(20))
			continue;
		before = disk.count;
		freeze_for_branch();
		merges += disk.count < before;
		most = disk.count > most ? disk.count : most;
		leave(&stands[branches % BRANCHES]);
		stand_on(&stands[branches++ % BRANCHES]);
		disk_merge_start(&disk);
		if (pick(4))
			wait_for_merge();
		assert_same(&disk);
	}
	for (unsigned i = 0; i < BRANCHES; i++)
		leave(&stands[i]);
	assert_same(&disk);
	disk_destroy(&disk);
	assert_in_range(branches, 300, OPERATIONS);
	assert_in_range(merges, 20, branches);
	assert_in_range(most, 3, 40);
}

/* Snapshots give layers names, and those that have one stay. */
static void
test_snapshots(void **state)
{
	begin();
	for (unsigned i = 0; i < 600; i++) {
		one(&disk, false);
		if (pick(10))
			continue;
		if (pick(6) || disk.count > 100)
			freeze_for_branch();
		else
			free(freeze(&disk));
		disk_merge_start(&disk);
		if (pick(3))
			wait_for_merge();
		assert_same(&disk);
	}
	for (uint32_t i = 1; i + 1 < disk.count; i++)
		if (disk.layers[i].path)
			assert_int_equal(access(disk.layers[i].path, F_OK), 0);
	disk_destroy(&disk);
}

/* A branch returns to its beginning, below which layers are merged, too, but not across it. */
static void
test_beginning(void **state)
{
	static uint8_t then[BYTES];
	struct stand *stand = &stands[0];

	begin();
	for (unsigned i = 0; i < 12; i++) {
		one(&disk, false);
		freeze_for_branch();
	}
	stand_on(stand);
	disk_destroy(&disk);
	memcpy(then, model, sizeof(then));
	for (unsigned i = 0; i < 400; i++) {
		one(&stand->disk, false);
		if (!pick(8)) {
			assert_int_equal(disk_freeze(&stand->disk, stem, true), 0);
			disk_merge_start(&stand->disk);
			while (pick(3) && stand->disk.merge.running &&
			       !atomic_load(&stand->disk.merge.ended))
				usleep(50);
		}
		if (!pick(60)) {
			assert_int_equal(disk_reset(&stand->disk, stand->disk.origin), 0);
			memcpy(model, then, sizeof(then));
		}
		assert_same(&stand->disk);
	}
	assert_in_range(stand->disk.origin, 2, 8); /* of 13 layers */
	memcpy(stand->model, model, sizeof(model));
	leave(stand);
}

/* A layer that is much larger than those above it is not copied again and again. */
static void
test_large(void **state)
{
	static uint8_t bytes[BYTES];
	const struct iovec all = { bytes, sizeof(bytes) };
	const struct iovec little = { bytes, 512 };
	int large;

	begin();
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = model[i] = (uint8_t)i;
	assert_int_equal(disk_write(&disk, &all, 1, BYTES, 0), 0);
	large = disk.layers[disk.count - 1].fd;
	for (unsigned i = 0; i < 10; i++) {
		freeze_for_branch();
		disk_merge_start(&disk);
		wait_for_merge();
		assert_int_equal(disk_write(&disk, &little, 1, 512, i % 2 * DISK_CLUSTER), 0);
		memcpy(model + i % 2 * DISK_CLUSTER, bytes, 512);
	}
	freeze_for_branch();
	assert_int_equal(disk.layers[1].fd, large);
	assert_in_range(disk.count, 3, 6);
	disk_destroy(&disk);
}

/* Without space, the layers stay as they are. */
static void
test_failure(void **state)
{
	begin();
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(disk_write(&disk, &(struct iovec){ model, 512 }, 1, 512, 0), 0);
		freeze_for_branch();
	}
	*host.last = '\0';
	fail_after = 1; /* after the header */
	disk_merge_start(&disk);
	wait_for_merge();
	fail_after = -1;
	freeze_for_branch();
	assert_int_equal(disk.count, 8);
	assert_string_equal(host.last, "cannot merge 6 layers of the disk: Input/output error");
	disk_merge_start(&disk);
	wait_for_merge();
	freeze_for_branch();
	assert_in_range(disk.count, 3, 7);
	disk_destroy(&disk);
}

/* A merge does not take the space that the guest may need meanwhile. */
static void
test_room(void **state)
{
	const struct iovec part = { model, DISK_CLUSTER };

	begin();
	for (unsigned i = 0; i < 6; i++) { /* four clusters, two of them twice */
		assert_int_equal(disk_write(&disk, &part, 1, 512, i % 4 * DISK_CLUSTER), 0);
		memcpy(model + i % 4 * DISK_CLUSTER, model, 512);
		freeze_for_branch();
	}
	atomic_store(&space, 8 * DISK_CLUSTER - 512);
	disk_merge_start(&disk);
	wait_for_merge();
	*host.last = '\0';
	freeze_for_branch();
	assert_int_equal(disk.count, 8);
	assert_string_equal(host.last,
			    "cannot merge 6 layers of the disk: No space left on device");
	atomic_store(&space, 8 * DISK_CLUSTER);
	disk_merge_start(&disk);
	wait_for_merge();
	atomic_store(&space, 1ul << 40);
	freeze_for_branch();
	assert_int_equal(disk.count, 3);
	disk_destroy(&disk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_branches),  cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_beginning), cmocka_unit_test(test_large),
		cmocka_unit_test(test_failure),   cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
