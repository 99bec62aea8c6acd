/* SPDX-License-Identifier: BSD-2-Clause */
/* The config: parsing of text and --set, and files that it names. */
#include "unit/config_bench.h"

#include <sys/stat.h>

static void
defaults(void **state)
{
	struct config c;

	read_good(&c, "", NULL);
	assert_int_equal(c.vm.memory, 64 << 10);
	assert_int_equal(c.vm.memory_at, 0);
	assert_null(c.vm.memory_file);
	assert_int_equal(c.vm.cpus, 1);
	assert_false(c.vm.irqchip);
	assert_int_equal(c.boot.format, FORMAT_AUTO);
	assert_null(c.boot.image);
	assert_int_equal(c.boot.at, 0);
	assert_int_equal(c.cpu.mode, MODE_REAL);
	assert_null(c.snapshot.at);
	assert_null(c.plugin_path);
	assert_int_equal(c.device_count, 0);
	config_free(&c);

	read_good(&c, "[vm]\nmemory_at = 0x1000\n", NULL);
	assert_int_equal(c.boot.at, 0x1000);
	config_free(&c);
}

static void
reads_everything(void **state)
{
	struct config_option *option;
	struct config_device *device;
	char where[64];
	struct config c;

	read_good(&c, everything, NULL);
	assert_int_equal(c.vm.memory, 1 << 20);
	assert_int_equal(c.vm.memory_at, 0x2000);
	assert_string_equal(c.vm.memory_file, "ram.img");
	assert_true(c.vm.irqchip);
	assert_true(c.vm.dirty_log);
	assert_string_equal(c.boot.image, "conf/../guests/simple.bin");
	assert_int_equal(c.boot.format, FORMAT_FLAT);
	assert_int_equal(c.boot.at, 0x3000);
	assert_string_equal(config_where(c.boot.place, where, sizeof(where)), "conf/x.ini:13");
	assert_int_equal(c.cpu.mode, MODE_LONG);
	assert_int_equal(c.cpu.register_count, 2);
	assert_string_equal(c.cpu.registers[1].name, "cs.base");
	assert_int_equal(c.cpu.registers[1].value, 0x10);
	assert_int_equal(c.cpu.registers[1].place.line, 19);
	assert_string_equal(c.snapshot.at, "output:serial0:a;b=c");
	assert_string_equal(c.snapshot.file, "simple.snap");
	assert_int_equal(c.snapshot.then, THEN_EXIT);
	assert_int_equal(c.snapshot.place.line, 21);
	assert_string_equal(c.plugin_path, "conf/a:/b:conf/c/d");
	assert_int_equal(c.device_count, 2);
	device = config_device_find(&c, "serial0");
	assert_non_null(device);
	assert_string_equal(device->plugin, "serial");
	assert_int_equal(device->place.line, 26);
	assert_int_equal(device->option_count, 2);
	option = config_option_find(device, "port");
	assert_string_equal(option->value, "0x3f8");
	assert_true(option->used);
	assert_int_equal(option->place.line, 28);
	assert_string_equal(config_option_find(device, "input")->value, "");
	assert_null(config_option_find(device, "plugin"));
	device = config_device_find(&c, "my-dev_2");
	assert_string_equal(device->plugin, "conf/./mine.so");
	assert_null(config_device_find(&c, "serial1"));
	config_free(&c);
}

static void
set_overrides_the_file(void **state)
{
	const char *const set[] = { "vm.memory=2M",
				    "vm.memory=3M",
				    "vm.dirty_log=yes",
				    "cpu.cs.base=7",
				    "device.serial0.port=0x2f8",
				    "device.serial0.input=file:a = b ; c",
				    "device.serial0.plugin=x/y.so",
				    "boot.image=k.bin",
				    "plugins.path=p",
				    NULL };
	struct config_option *option;
	struct config_device *device;
	struct config c;
	char *path;

	/* It also replaces invalid values in the file. */
	read_good(&c, "[vm]\nmemory = nonsense\n[device serial0]\nport = 1\nplugin = serial\n",
		  set);
	assert_int_equal(c.vm.memory, 3 << 20);
	assert_true(c.vm.dirty_log);
	assert_string_equal(c.cpu.registers[0].name, "cs.base");
	assert_string_equal(c.boot.image, "k.bin");
	assert_string_equal(c.plugin_path, "p");
	device = config_device_find(&c, "serial0");
	assert_string_equal(device->plugin, "x/y.so");
	option = config_option_find(device, "port");
	assert_string_equal(option->value, "0x2f8");
	assert_string_equal(option->place.file, CONFIG_SET);
	assert_int_equal(option->place.line, 0);
	option = config_option_find(device, "input");
	assert_string_equal(option->value, "file:a = b ; c");

	path = config_resolve(&c, option->place, "f");
	assert_string_equal(path, "f");
	free(path);
	path = config_resolve(&c, device->place, "f");
	assert_string_equal(path, "conf/f");
	free(path);
	path = config_resolve(&c, device->place, "/f");
	assert_string_equal(path, "/f");
	free(path);
	config_free(&c);
}

static int
no_boot(const char *text, size_t length, struct why *why)
{
	return length >= 6 && !memcmp(text, "[boot]", 6) ? why_set(why, "it begins with [boot]")
							 : 0;
}

static void
files(void **state)
{
	char folder[] = "/tmp/config-XXXXXX", path[64];
	struct config c;
	struct said said;
	FILE *file;

	assert_non_null(mkdtemp(folder));
	said_begin(&said);
	assert_int_equal(config_read(&c, folder, NULL, NULL, 0), -STATUS_USAGE);
	SAID(said_end(&said), "reading the config /tmp/config-", "it is a directory");
	config_free(&c);

	snprintf(path, sizeof(path), "%s/x.ini", folder);
	said_begin(&said);
	assert_int_equal(config_read(&c, path, NULL, NULL, 0), -STATUS_USAGE);
	SAID(said_end(&said), "x.ini: No such file or directory");
	config_free(&c);

	file = fopen(path, "w");
	fputs("[boot]\nimage = a.bin\n", file);
	fclose(file);
	said_begin(&said);
	assert_int_equal(config_read(&c, path, NULL, NULL, 0), 0);
	assert_string_equal(said_end(&said), "");
	assert_string_equal(c.file, path);
	assert_string_equal(c.folder, folder);
	assert_memory_equal(c.boot.image, folder, strlen(folder));
	assert_string_equal(c.boot.image + strlen(folder), "/a.bin");
	config_free(&c);

	said_begin(&said);
	assert_int_equal(config_read(&c, path, no_boot, NULL, 0), -STATUS_USAGE);
	SAID(said_end(&said), "x.ini: it begins with [boot]");
	config_free(&c);

	if (geteuid()) { /* root can read any file */
		chmod(path, 0);
		said_begin(&said);
		assert_int_equal(config_read(&c, path, NULL, NULL, 0), -STATUS_USAGE);
		SAID(said_end(&said), "x.ini: Permission denied");
		config_free(&c);
	}

	assert_int_equal(truncate(path, (1 << 20) + 1), 0);
	chmod(path, 0600);
	said_begin(&said);
	assert_int_equal(config_read(&c, path, NULL, NULL, 0), -STATUS_USAGE);
	SAID(said_end(&said), "it exceeds 1 MiB");
	config_free(&c);
	unlink(path);
	rmdir(folder);
}

static void
places_of_set(void **state)
{
	struct config_place given = { "--set", 0 }, file = { "x.ini", 3 };
	struct config_place loaded = { "--set of the run that made the snapshot", 0 };
	char where[128];

	assert_string_equal(config_key_where(given, "vm", "cpus", where, sizeof(where)),
			    "--set vm.cpus");
	assert_string_equal(config_key_where(file, "vm", "cpus", where, sizeof(where)), "x.ini:3");
	assert_string_equal(config_option_where(loaded, "device", "a", "irq", where, sizeof(where)),
			    "--set device.a.irq of the run that made the snapshot");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(set_overrides_the_file),
		cmocka_unit_test(files),
		cmocka_unit_test(places_of_set),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
