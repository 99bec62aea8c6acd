/* SPDX-License-Identifier: BSD-2-Clause */
/* The config: every message about its text and about --set. */
#include "unit/config_bench.h"

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
	{ "[tool a]\nplugin=x\n[tool a]\nplugin=x\n",
	  WHERE "3: duplicate section [tool a], first at line 1; rename one" },
	{ "[tool]\nplugin = x\n", WHERE "1: [tool ]: the name must be a letter a to z" },
	{ "[tool A]\nplugin = x\n", WHERE "1: [tool A]: the name must be a letter a to z" },
	{ "[tool gdb0]\nlisten = none\n", WHERE "1: [tool gdb0] has no plugin; add plugin = NAME" },
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
	{ "[snapshot]\non_term = save\n", WHERE "2: [snapshot] on_term = save needs a file" },
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_each_error),
		cmocka_unit_test(reports_each_error_of_set),
		cmocka_unit_test(reports_all_errors_in_one_run),
		cmocka_unit_test(line_length),
		cmocka_unit_test(zero_byte),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests_name("config_errors", tests, NULL, NULL);
}
