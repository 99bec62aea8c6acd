/* SPDX-License-Identifier: BSD-2-Clause */
/* The config: parsing of text and --set, and every message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h" /* before cmocka's macro fail */
#include "config/config.h"

#include <cmocka.h>

#include "said.h"

/* Reads text as conf/x.ini. Returns the status and the messages. */
static int
read_config(struct config *config, struct said *said, const char *text, size_t length,
	    const char *const *set)
{
	size_t count = 0;
	int status;

	while (set && set[count])
		count++;
	said_begin(said);
	status =
	    config_read_text(config, "conf/x.ini", "conf", text, length, (char *const *)set, count);
	said_end(said);
	return status;
}

static void
read_good(struct config *config, const char *text, const char *const *set)
{
	struct said said;

	assert_int_equal(read_config(config, &said, text, strlen(text), set), 0);
	assert_string_equal(said.text, "");
}

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

static const char everything[] = "\xef\xbb\xbf; a comment\n"
				 "# another, longer than any line may be .......................\n"
				 "  ; indented comments are fine\n"
				 "\n"
				 "[vm]\n"
				 "memory = 1M ; inline\n"
				 "memory_at=0x2000\r\n"
				 "memory_file\t=\tram.img\n"
				 "cpus = 1\n"
				 "irqchip = on\n"
				 "dirty_log = yes\n"
				 "[boot] ; comment\n"
				 "image = ../guests/simple.bin\n"
				 "format = flat\n"
				 "at = 0x3000\n"
				 "[ cpu ]\n"
				 "mode = long\n"
				 "rax = 2\n"
				 "cs.base = 0x10\n"
				 "[snapshot]\n"
				 "at = output:serial0:a;b=c\n"
				 "file = simple.snap\n"
				 "then = exit\n"
				 "[plugins]\n"
				 "path = a:/b::c/d\n"
				 "[device   serial0]\n"
				 "plugin = serial\n"
				 "port = 0x3f8\n"
				 "input =\n"
				 "[device my-dev_2]\n"
				 "plugin = ./mine.so";

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

struct mistake {
	const char *text, *said;
};
#define WHERE "minivmm: conf/x.ini:"

/* Each is the only error in its text and is reported in one line. */
static const struct mistake mistakes[] = {
	{ "[vmm]\n", WHERE "1: unknown section [vmm]; did you mean [vm]?" },
	{ "[motor]\nx = 1\n", WHERE "1: unknown section [motor]; use vm, boot" },
	{ "[vm x]\n", WHERE "1: unknown section [vm x]; did you mean [vm]?" },
	{ "[]\n", WHERE "1: unknown section []" },
	{ "[vm]\n\nmemroy = 1M\n", WHERE "3: [vm] has no key memroy; did you mean memory?" },
	{ "[plugins]\nzzzzz = 1\n", WHERE "2: [plugins] has no key zzzzz; use path" },
	{ "[vm]\nmemory = 1M\nmemory = 1M\n", WHERE "3: duplicate key memory, first at line 2" },
	{ "[vm]\n[boot]\n[vm]\ncpus = 1\n",
	  WHERE "3: duplicate section [vm], first at line 1; move its" },
	{ "[device a]\nplugin=x\n[device a]\nplugin=x\n",
	  WHERE "3: duplicate section [device a], first at line 1; rename one" },
	{ "[vm]\nmemory = 12Q\n", WHERE "2: [vm] memory = 12Q is not a size" },
	{ "[vm]\nmemory = \n", WHERE "2: [vm] memory is empty (size of guest memory in bytes)" },
	{ "[vm]\nmemory = ; comment\n", WHERE "2: [vm] memory is empty" },
	{ "[vm]\nmemory = -1\n", WHERE "2: [vm] memory = -1 is not a size" },
	{ "[vm]\nmemory = 0\n", WHERE "2: [vm] memory = 0 is out of range, 0x1000 to" },
	{ "[vm]\nmemory = 8T\n", WHERE "2: [vm] memory = 8T is out of range" },
	{ "[vm]\nmemory = 99999999999G\n", WHERE "2: [vm] memory = 99999999999G does not fit" },
	{ "[vm]\nmemory = 5000\n", WHERE "2: [vm] memory = 5000 is not a multiple of 4096" },
	{ "[vm]\nmemory_at = 0x1001\n", WHERE "2: [vm] memory_at = 0x1001 is not a multiple" },
	{ "[vm]\nmemory_at = 1G\n", WHERE "2: [vm] memory_at = 1G is not a number" },
	{ "[vm]\nmemory_at = 0x10000000000000\n", WHERE "2: [vm] memory_at = 0x10000000000000 is "
							"out of range" },
	{ "[vm]\nmemory_at = 0xffffffffff000\n", WHERE "1: [vm] memory ends above the last" },
	{ "[vm]\ncpus = 2\n", WHERE "2: [vm] cpus is more than 1; set irqchip = on" },
	{ "[vm]\ncpus = 65\n", WHERE "2: [vm] cpus = 65 is out of range" },
	{ "[vm]\ncpus = 4294967297\n", WHERE "2: [vm] cpus = 4294967297 is out of range" },
	{ "[vm]\nirqchip = maybe\n", WHERE "2: [vm] irqchip = maybe is not a boolean" },
	{ "[boot]\ncode = ba f8 0\n",
	  WHERE "2: [boot] code = ba f8 0 has an odd number of hex digits" },
	{ "[boot]\ncode = xy\n", WHERE "2: [boot] code = xy is not a list of hex bytes" },
	{ "[boot]\nimage = a\ncode = f4\n", WHERE "3: [boot] code and image are both given" },
	{ "[boot]\nformat = felf\n",
	  WHERE "2: [boot] format = felf is not auto, flat, elf, linux, multiboot or "
		"pvh; did you mean elf?" },
	{ "[boot]\ncmdline_file = a\ncmdline = b\n",
	  WHERE "2: [boot] cmdline_file and cmdline are both given; remove one" },
	{ "[cpu]\nmode = 16bit\n", WHERE "2: [cpu] mode = 16bit is not real, protected or long (" },
	{ "[cpu]\nrax = two\n", WHERE "2: [cpu] rax = two is not a number" },
	{ "[cpu]\nrax =\n", WHERE "2: [cpu] rax is empty" },
	{ "[cpu]\nRAX = 2\n", WHERE "2: [cpu] has no key RAX; use mode or a register" },
	{ "[snapshot]\nat = hlt\n", WHERE "2: [snapshot] at is given without file" },
	{ "[snapshot]\nfile = x\n", WHERE "2: [snapshot] file is given without at" },
	{ "[plugins]\npath = ::\n", WHERE "2: [plugins] path = :: contains no path" },
	{ "[device]\nplugin = x\n", WHERE "1: [device ]: the name must be a letter a to z" },
	{ "[device 1a]\nplugin = x\n", WHERE "1: [device 1a]: the name must be" },
	{ "[device A]\nplugin = x\n", WHERE "1: [device A]: the name must be" },
	{ "[device a b]\nplugin = x\n", WHERE "1: [device a b]: the name must be" },
	{ "[device a23456789012345678901234567890123]\nplugin = x\n", WHERE "1: [device a234" },
	{ "[device a]\nport = 1\n", WHERE "1: [device a] has no plugin; add plugin = NAME" },
	{ "[device a]\nplugin =\n", WHERE "1: [device a] has no plugin" },
	{ "rax = 1\n", WHERE "1: rax is outside of any section; put a line like [vm] before it" },
	{ "[vm]\nirqchip\n", WHERE "2: irqchip has no '='; write KEY = VALUE" },
	{ "[vm]\nirqchip ; = on\n", WHERE "2: irqchip has no '='" },
	{ "[vm]\nirqchip: on = 1\n", WHERE "2: irqchip has no '='" },
	{ "[vm]\n = 1\n", WHERE "2:  is indented" },
	{ "[vm]\n= 1\n", WHERE "2: no key before the '='" },
	{ "[vm]\nmemory = 1M\n\tcpus = 1\n", WHERE "3: cpus is indented; start each key" },
	{ " [vm]\ncpus = 1\n", WHERE "1: [vm] is indented" },
	{ "[boot]\ncode = b0 41\n  ee f4\n", WHERE "3: ee is indented; start each key" },
	{ "[vm\ncpus = 1\n", WHERE "1: [vm has no ']' at its end" },
	{ "[vm ; ]\ncpus = 1\n", WHERE "1: unknown section [vm ;]" },
	{ "[vm] cpus = 1\n", WHERE "1: [vm]: text after the ']': cpus = 1" },
	{ "[cpu]\nrax = \x1b[31m\n", WHERE "2: [cpu] rax = \\x1b[31m is not a number" },
};

static void
reports_each_error(void **state)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		const struct mistake *m = &mistakes[i];
		struct config c;
		struct said said;
		int status = read_config(&c, &said, m->text, strlen(m->text), NULL);

		config_free(&c);
		if (status != -STATUS_USAGE || strncmp(said.text, m->said, strlen(m->said)))
			fail_msg("status %d for %s: %s", status, m->text, said.text);
		/* " = 1" has two errors. */
		if (strcmp(m->text, "[vm]\n = 1\n"))
			assert_ptr_equal(strchr(said.text, '\n'),
					 said.text + strlen(said.text) - 1);
	}
}

static void
reports_each_error_of_set(void **state)
{
	static const struct mistake sets[] = {
		{ "vm.memory", "minivmm: --set vm.memory: no '='" },
		{ "memory=1M", "minivmm: --set memory: unknown section memory" },
		{ "vmm.memory=1M", "minivmm: --set vmm.memory: unknown section vmm; did you "
				   "mean vm?" },
		{ "vm=1M", "minivmm: --set vm: no key" },
		{ "vm.=1M", "minivmm: --set vm: no key" },
		{ "vm.memroy=1M", "minivmm: --set vm.memroy: [vm] has no key memroy; did you mean "
				  "memory?" },
		{ "vm.memory=x", "minivmm: --set vm.memory: [vm] memory = x is not a size" },
		{ "vm.memory=", "minivmm: --set vm.memory: [vm] memory is empty" },
		{ "vm.memory_at=0xffffffffff000",
		  "minivmm: --set vm.memory: [vm] memory ends above" },
		{ "cpu.rax=x", "minivmm: --set cpu.rax: [cpu] rax = x is not a number" },
		{ "device.serial0=x", "minivmm: --set device.serial0: no key" },
		{ "device.serail0.port=x", "minivmm: --set device.serail0: the config has no "
					   "device serail0; did you mean serial0?" },
		{ "device.serial0.plugin=",
		  "minivmm: conf/x.ini:1: [device serial0] has no plugin" },
		{ "", "minivmm: --set : no '='" },
	};
	const char *text = "[device serial0]\nplugin = serial\n";

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const char *const set[] = { sets[i].text, NULL };
		struct config c;
		struct said said;
		int status = read_config(&c, &said, text, strlen(text), set);

		config_free(&c);
		if (status != -STATUS_USAGE ||
		    strncmp(said.text, sets[i].said, strlen(sets[i].said)))
			fail_msg("status %d for --set %s: %s", status, sets[i].text, said.text);
	}
}

static void
reports_all_errors_in_one_run(void **state)
{
	const char *text = "[vm]\nmemory = x\n  cpus = 3\n[boot\nformat = x\n[cpu]\nrax = x\n"
			   "[device a]\nport\n";
	static const char *const lines[] = {
		":2: ", ":3: cpus is indented", ":3: [vm] cpus", ":4: ", ":5: ", ":7: ", ":8: ",
		":9: "
	};
	struct config c;
	struct said said;

	assert_int_equal(read_config(&c, &said, text, strlen(text), NULL), -STATUS_USAGE);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(said.text, lines[i]))
			fail_msg("no %s in: %s", lines[i], said.text);
	config_free(&c);
}

static void
line_length(void **state)
{
	char text[512], value[256];
	struct config c;
	struct said said;

	memset(value, '0', sizeof(value));
	for (int length = 190; length < 205; length++) {
		int n = snprintf(text, sizeof(text), "[cpu]\nrax = %.*s1\nrbx = 2\n", length - 7,
				 value);
		int status = read_config(&c, &said, text, (size_t)n, NULL);

		assert_int_equal(status, length <= 198 ? 0 : -STATUS_USAGE);
		if (length > 198)
			SAID(said.text, WHERE "2: the line has ", " bytes, the limit is 198");
		assert_int_equal(c.cpu.register_count, length <= 198 ? 2 : 1);
		assert_int_equal(c.cpu.registers[0].value, length <= 198 ? 1 : 2);
		config_free(&c);
	}
}

static void
zero_byte(void **state)
{
	static const char text[] = "[vm]\nmemory = 1M\0 ; x\ndirty_log = on\n";
	struct config c;
	struct said said;

	assert_int_equal(read_config(&c, &said, text, sizeof(text) - 1, NULL), -STATUS_USAGE);
	SAID(said.text, WHERE "2: a NUL byte at column 12");
	assert_true(c.vm.dirty_log);
	config_free(&c);
}

static void
too_many(void **state)
{
	char *text = malloc(1 << 20);
	size_t length = 0;
	struct config c;
	struct said said;

	for (int i = 0; i < 1100; i++)
		length += (size_t)sprintf(text + length, "[device d%d]\nplugin = x\n", i);
	assert_int_equal(read_config(&c, &said, text, length, NULL), -STATUS_USAGE);
	SAID(said.text, WHERE "2049: the config has more than 1024 sections");
	config_free(&c);

	length = (size_t)sprintf(text, "[device d]\nplugin = x\n");
	for (int i = 0; i < 1100; i++)
		length += (size_t)sprintf(text + length, "k%d = 1\n", i);
	assert_int_equal(read_config(&c, &said, text, length, NULL), -STATUS_USAGE);
	SAID(said.text, WHERE "1026: the section has more than 1024 keys");
	config_free(&c);
	free(text);
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

static void
places_of_set(void **state)
{
	struct config_place given = { "--set", 0 }, file = { "x.ini", 3 };
	struct config_place loaded = { "--set of the run that made the snapshot", 0 };
	char where[128];

	assert_string_equal(config_key_where(given, "vm", "cpus", where, sizeof(where)),
			    "--set vm.cpus");
	assert_string_equal(config_key_where(file, "vm", "cpus", where, sizeof(where)), "x.ini:3");
	assert_string_equal(config_option_where(loaded, "a", "irq", where, sizeof(where)),
			    "--set device.a.irq of the run that made the snapshot");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(set_overrides_the_file),
		cmocka_unit_test(reports_each_error),
		cmocka_unit_test(reports_each_error_of_set),
		cmocka_unit_test(reports_all_errors_in_one_run),
		cmocka_unit_test(line_length),
		cmocka_unit_test(zero_byte),
		cmocka_unit_test(too_many),
		cmocka_unit_test(places_of_set),
		cmocka_unit_test(files),
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(load_refuses),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
