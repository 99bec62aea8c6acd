/* SPDX-License-Identifier: BSD-2-Clause */
/* The config in a snapshot: it is restored as it was, and a damaged one is refused. */
#include <errno.h>
#include <stdio.h>

#include "unit/config_bench.h"

/* A config that is saved, loaded and saved again gives the same bytes. */
static void
save_and_load(void **state)
{
	const char *const set[] = { "device.serial0.output=file:out\nput", NULL };
	struct record_writer w[2] = { { 0 }, { 0 } };
	struct config c, loaded;
	struct config_option *option;
	struct record root;
	char *path;
	struct why why;

	read_good(&c, everything, set);
	config_save(&c, &w[0]);
	config_free(&c);
	assert_false(w[0].failed);
	assert_int_equal(record_open(w[0].data, w[0].length, &root, NULL), 0);
	assert_int_equal(config_load(&loaded, &root, &why), 0);
	assert_int_equal(loaded.vm.memory, 1 << 20);
	assert_int_equal(loaded.vm.memory_at, 0x2000);
	assert_null(loaded.vm.memory_file);
	assert_true(loaded.vm.irqchip);
	assert_null(loaded.boot.image);
	assert_null(loaded.snapshot.at);
	assert_null(loaded.plugin_path);
	assert_int_equal(loaded.device_count, 2);
	option = config_option_find(&loaded.devices[0], "port");
	assert_string_equal(option->value, "0x3f8");
	path = config_resolve(&loaded, option->place, "in");
	assert_string_equal(path, "conf/in"); /* relative, since conf does not exist */
	free(path);
	option = config_option_find(&loaded.devices[0], "output");
	assert_string_equal(option->value, "file:out\nput");
	assert_string_not_equal(option->place.file, CONFIG_SET); /* not set in this run */
	path = config_resolve(&loaded, option->place, "in");
	assert_string_equal(path, "in");
	free(path);
	config_save(&loaded, &w[1]);
	config_free(&loaded);
	assert_int_equal(w[0].length, w[1].length);
	assert_memory_equal(w[0].data, w[1].data, w[0].length);
	record_writer_free(&w[0]);
	record_writer_free(&w[1]);
}

static bool exists;    /* all paths, or none */
static unsigned found; /* calls of realpath() */

/* Takes the place of the C library's. */
char *
realpath(const char *path, char *room)
{
	char *full = NULL;

	found++;
	if (!exists)
		errno = ENOENT;
	else if (asprintf(&full, "/full/%s", path) < 0)
		full = NULL;
	if (!room || !full)
		return full;
	strcpy(room, full);
	free(full);
	return room;
}

/* The guest stands while the config is saved. */
static void
paths_are_found_before_a_save(void **state)
{
	static const char *const text =
	    "[device a]\nplugin = ./a.so\n[device b]\nplugin = serial\n";
	struct record_writer w = { 0 };
	struct record root, devices, device;
	char *folder, *plugin;
	size_t position = 0;
	struct config c;

	read_good(&c, text, NULL);
	exists = true;
	found = 0;
	config_find_paths(&c);
	assert_int_equal(found, 2);
	config_save(&c, &w);
	assert_int_equal(found, 2);
	exists = false;
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
	assert_int_equal(record_copy_text(&root, "folder", &folder, NULL), 0);
	assert_string_equal(folder, "/full/conf");
	assert_true(record_find(&root, "devices", &devices));
	assert_true(record_next(&devices, &position, &device));
	assert_int_equal(record_copy_text(&device, "plugin", &plugin, NULL), 0);
	assert_string_equal(plugin, "/full/conf/./a.so");
	free(folder);
	free(plugin);
	record_writer_free(&w);
	config_free(&c);
}

/* A saved config of one device. `which` selects one change to it, and counts the changes. */
static void
write_hostile(struct record_writer *w, int which)
{
	int at = 0, devices;
#define NEXT (at++ == which)
	record_begin(w, "vm", RECORD_GROUP);
	record_put_u64(w, "memory", NEXT ? 0 : NEXT ? 4097 : NEXT ? 8ull << 40 : 4096);
	if (!NEXT)
		record_put_u64(w, "memory_at",
			       NEXT   ? UINT64_MAX - 4095
			       : NEXT ? 0xfffffffff000 << 8
				      : 0);
	if (NEXT)
		record_put_u64(w, "cpus", 1);
	else
		record_put_u32(w, "cpus", NEXT ? 0 : NEXT ? 2 : NEXT ? 65 : 1);
	if (NEXT)
		record_put_text(w, "irqchip", "on");
	else
		record_put_bool(w, "irqchip", false);
	record_put_bool(w, "dirty_log", false);
	if (NEXT)
		record_put_text(w, "memory_file", "/etc/passwd");
	if (NEXT)
		record_put_u32(w, "more", 1);
	record_end(w);
	if (!NEXT)
		record_put_text(w, "folder", "/conf");
	if (NEXT)
		record_put_text(w, "plugin_path", "/evil");
	record_begin(w, "devices", RECORD_LIST);
	devices = NEXT ? 1025 : 1;
	for (int i = 0; i < devices; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%d", i);
		record_begin(w, NULL, RECORD_GROUP);
		if (!NEXT)
			record_put_text(w, "name", NEXT ? "" : NEXT ? "A" : NEXT ? "a\nb" : name);
		if (NEXT)
			record_put_u32(w, "plugin", 1);
		else if (!NEXT)
			record_put_text(w, "plugin", NEXT ? "" : "serial");
		if (NEXT)
			record_put_u32(w, "options", 1);
		else {
			record_begin(w, "options", RECORD_GROUP);
			record_put_text(w, "port", "1");
			if (NEXT)
				record_put_u32(w, "number", 1);
			record_end(w);
		}
		record_begin(w, "set", RECORD_GROUP);
		if (NEXT)
			record_put_text(w, "port", "2");
		record_end(w);
		if (NEXT)
			record_put_u32(w, "more", 1);
		record_end(w);
		if (NEXT) {
			record_begin(w, NULL, RECORD_GROUP);
			record_put_text(w, "name", name);
			record_put_text(w, "plugin", "serial");
			record_begin(w, "options", RECORD_GROUP);
			record_end(w);
			record_begin(w, "set", RECORD_GROUP);
			record_end(w);
			record_end(w);
		}
	}
	record_end(w);
#undef NEXT
	assert_false(w->failed);
}

static void
load_refuses(void **state)
{
	static const char *const whys[] = {
		"vm.memory, 0x0, is out of range",
		"vm.memory, 0x1001, is not a multiple",
		"vm.memory, 0x80000000000, is out of range",
		"vm.memory_at is missing",
		"vm.memory_at, 0xfffffffffffff000, is out of range",
		"vm.memory_at, 0xfffffffff00000, is out of range",
		"vm.cpus has the wrong type",
		"vm.cpus, 0x0, is out of range",
		"it is more than 1; set irqchip = on",
		"vm.cpus, 0x41, is out of range",
		"vm.irqchip has the wrong type",
		"vm.memory_file is unknown",
		"vm.more is unknown",
		"folder is missing",
		"plugin_path is unknown",
		"more than 1024 devices",
		"name is missing",
		" is invalid or duplicate",
		"A is invalid or duplicate",
		"is invalid or duplicate",
		"plugin is missing or is not a text",
		"plugin is missing or is not a text",
		"device d0 has no plugin",
		"options is missing or is not a group",
		"number is not a text",
		"device d0 has port twice",
		"more is unknown",
		"the device name d0 is invalid or duplicate",
	};
	const size_t count = sizeof(whys) / sizeof(whys[0]);

	for (size_t i = 0; i <= count; i++) {
		struct record_writer w = { 0 };
		struct record root;
		struct config c;
		struct why why;
		int r;

		write_hostile(&w, (int)i);
		assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
		r = config_load(&c, &root, &why);
		config_free(&c);
		record_writer_free(&w);
		if (i == count) /* the unchanged config */
			assert_int_equal(r, 0);
		else if (r != -1 || !strstr(why.text, whys[i]))
			fail_msg("case %zu, %s: %d, %s", i, whys[i], r, why.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(paths_are_found_before_a_save),
		cmocka_unit_test(load_refuses),
	};

	return cmocka_run_group_tests_name("config_save", tests, NULL, NULL);
}
