/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers for gdb: each that target.xml describes can be read, and what is written arrives. */
#include "unit/gdb_bench.h"

static int
setup_i386(void **state)
{
	return bench_begin(ARCHITECTURE_I386);
}

/* The whole document, in parts of size bytes. */
static char *
transfer(const char *document, unsigned size)
{
	static char text[FAKE_BUFFER];
	size_t length = 0;
	char packet[80];

	for (;;) {
		const char *part;

		snprintf(packet, sizeof(packet), "qXfer:%s:%zx,%x", document, length, size);
		part = bench_ask(packet);
		assert_true(*part == 'm' || *part == 'l');
		assert_in_range(strlen(part), 1, size + 1);
		strcpy(text + length, part + 1);
		length += strlen(part + 1);
		if (*part == 'l')
			return text;
		assert_int_equal(strlen(part), size + 1);
	}
}

struct described {
	char name[16];
	unsigned number, bytes, at; /* at: in the packet g, in bytes */
};

/* Finds a register in target.xml. Returns whether it is there. */
static bool
describe(const char *name, struct described *d)
{
	char *xml = transfer("features:read:target.xml", 0x1000), *at = xml;
	unsigned bits;

	memset(d, 0, sizeof(*d));
	for (d->number = 0; (at = strstr(at, "<reg name=\"")); d->number++) {
		assert_int_equal(
		    sscanf(at, "<reg name=\"%15[^\"]\" bitsize=\"%u\"", d->name, &bits), 2);
		d->bytes = bits / 8;
		if (!strcmp(d->name, name))
			return true;
		d->at += d->bytes;
		at++;
	}
	return false;
}

/* The value of a register in the packet p, as hexadecimal digits; checks that g has the same. */
static const char *
value(const char *name)
{
	static char text[40];
	struct described d;
	char packet[40];

	assert_true(describe(name, &d));
	snprintf(packet, sizeof(packet), "p%x", d.number);
	snprintf(text, sizeof(text), "%s", bench_ask(packet));
	assert_int_equal(strlen(text), 2 * d.bytes);
	assert_memory_equal(bench_ask("g") + 2 * d.at, text, 2 * d.bytes);
	return text;
}

static void
write_value(const char *name, const char *digits)
{
	struct described d;
	char packet[80];

	assert_true(describe(name, &d));
	assert_int_equal(strlen(digits), 2 * d.bytes);
	snprintf(packet, sizeof(packet), "P%x=%s", d.number, digits);
	assert_string_equal(bench_ask(packet), "OK");
	assert_string_equal(value(name), digits);
}

static void
each_register_is_in_both_packets(void **state)
{
	char *xml = strdup(transfer("features:read:target.xml", 0x1000)), name[16];
	unsigned count = 0, bytes = 0, bits;

	for (char *at = xml; (at = strstr(at, "<reg name=\"")); at++) {
		assert_int_equal(sscanf(at, "<reg name=\"%15[^\"]\" bitsize=\"%u\"", name, &bits),
				 2);
		value(name);
		bytes += bits / 8;
		count++;
	}
	free(xml);
	assert_int_equal(strlen(bench_ask("g")), 2 * bytes);
	assert_in_range(count, 60, 200);
	snprintf(name, sizeof(name), "p%x", count);
	assert_string_equal(bench_ask(name), "E01");
}

/* gdb requires these names. */
static void
standard_features(void **state)
{
	static const char *const order[] = { "rax",   "rbx",   "rcx",   "rdx",   "rsi",  "rdi",
					     "rbp",   "rsp",   "r8",    "r9",    "r10",  "r11",
					     "r12",   "r13",   "r14",   "r15",   "rip",  "eflags",
					     "cs",    "ss",    "ds",    "es",    "fs",   "gs",
					     "st0",   "st1",   "st2",   "st3",   "st4",  "st5",
					     "st6",   "st7",   "fctrl", "fstat", "ftag", "fiseg",
					     "fioff", "foseg", "fooff", "fop",   "xmm0" };
	struct described d;

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
		assert_true(describe(order[i], &d));
		assert_int_equal(d.number, i);
	}
	assert_true(describe("mxcsr", &d));
	assert_int_equal(d.number, 56);
	assert_true(describe("ymm15h", &d));
	assert_true(describe("fs_base", &d));
	assert_true(describe("lstar", &d));
	assert_non_null(strstr(transfer("features:read:target.xml", 0x1000), "i386:x86-64"));
}

/* Small parts of a document make the same text. */
static void
documents_in_parts(void **state)
{
	char *whole = strdup(transfer("features:read:target.xml", 0xffff));

	assert_string_equal(transfer("features:read:target.xml", 0x7f), whole);
	free(whole);
	assert_string_equal(bench_ask("qXfer:features:read:target.xml:fffff,10"), "E01");
	assert_string_equal(bench_ask("qXfer:features:read:other.xml:0,10"), "E00");
	assert_string_equal(bench_ask("qXfer:auxv:read::0,10"), "");
	assert_string_equal(bench_ask("qXfer:features:read:target.xml:0"), "E01");
}

static void
general_registers(void **state)
{
	struct minivmm_general *r = &machine.vcpus[0].general;

	bench_ask("?");
	r->r15 = 0x0123456789abcdef;
	assert_string_equal(value("r15"), "efcdab8967452301");
	write_value("rbp", "8877665544332211");
	assert_int_equal(r->rbp, 0x1122334455667788);
	write_value("eflags", "02030000");
	assert_int_equal(r->rflags, 0x302);
	/* Of the other vCPU. */
	assert_string_equal(bench_ask("Hg2"), "OK");
	assert_string_equal(value("rip"), "0020000000000000");
	write_value("rip", "3412000000000000");
	assert_int_equal(machine.vcpus[1].general.rip, 0x1234);
	assert_int_equal(machine.vcpus[0].general.rip, 0x1000);
}

static void
system_registers(void **state)
{
	struct machine_vcpu *v = &machine.vcpus[0];

	bench_ask("?");
	v->system.gs.base = 0xffff888000000000;
	assert_string_equal(value("gs_base"), "000000008088ffff");
	write_value("fs_base", "0100000000000000");
	assert_int_equal(v->system.fs.base, 1);
	assert_int_equal(v->system.gs.base, 0xffff888000000000);
	v->msrs[2] = 0xffffffff81000000; /* LSTAR; KERNEL_GS_BASE has the same low bits */
	assert_string_equal(value("lstar"), "00000081ffffffff");
	write_value("cr3", "0010000000000000");
	assert_int_equal(v->system.cr3, 0x1000);
	v->system.idt_limit = 0xfff;
	assert_string_equal(value("idt_limit"), "ff0f0000");
	/* In protected mode the base of a segment is another register. */
	write_value("ds", "18000000");
	assert_int_equal(v->system.ds.selector, 0x18);
	assert_int_equal(v->system.ds.base, 0);
	/* A selector has 16 bits. */
	assert_string_equal(bench_ask("P12=00000100"), "E01");
	v->system.cr0 = 0x10;
	write_value("ds", "00b80000");
	assert_int_equal(v->system.ds.base, 0xb8000);
	machine.cannot_write_registers = true;
	assert_string_equal(bench_ask("P10=0000000000000000"), "E01");
}

static void
floating_point(void **state)
{
	struct machine_vcpu *v = &machine.vcpus[0];
	uint64_t bits;

	bench_ask("?");
	/* Stack top 6: ST0 is 1.0 in register 6, ST1 is 0 in register 7. */
	v->xsave[2] = 0x00;
	v->xsave[3] = 6 << 3;
	v->xsave[4] = 0xc0;
	memcpy(v->xsave + 32, "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
	assert_string_equal(value("st0"), "0000000000000080ff3f");
	assert_string_equal(value("ftag"), "ff4f0000");
	memcpy(v->xsave + 32, "\0\0\0\0\0\0\0\x80\xff\x7f", 10); /* infinite: special */
	assert_string_equal(value("ftag"), "ff6f0000");
	write_value("ftag", "ffff0000");
	assert_int_equal(v->xsave[4], 0);
	write_value("fctrl", "7f030000");
	assert_int_equal(v->xsave[0] | v->xsave[1] << 8, 0x37f);
	memcpy(&bits, v->xsave + XSTATE_BV, sizeof(bits));
	assert_int_equal(bits, 1);
}

static void
vector_registers(void **state)
{
	struct machine_vcpu *v = &machine.vcpus[0];
	uint64_t bits;

	bench_ask("?");
	write_value("xmm3", "000102030405060708090a0b0c0d0e0f");
	assert_memory_equal(v->xsave + 160 + 48, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
	memcpy(&bits, v->xsave + XSTATE_BV, sizeof(bits));
	assert_int_equal(bits, 2);
	/* Upper halves in their initial state are zero. */
	memset(v->xsave + 576, 0xaa, 256);
	assert_string_equal(value("ymm15h"), "00000000000000000000000000000000");
	write_value("ymm15h", "00112233445566778899aabbccddeeff");
	memcpy(&bits, v->xsave + XSTATE_BV, sizeof(bits));
	assert_int_equal(bits, 6);
	write_value("mxcsr", "801f0000");
	assert_int_equal(v->xsave[24] | v->xsave[25] << 8, 0x1f80);
}

/* G with one value changed changes only that. */
static void
all_at_once(void **state)
{
	struct machine_vcpu before;
	struct described d;
	char *packet;

	bench_ask("?");
	for (unsigned i = 0; i < sizeof(before.xsave); i++)
		machine.vcpus[0].xsave[i] = (uint8_t)i;
	memset(machine.vcpus[0].xsave + XSTATE_BV, 7, 1);
	before = machine.vcpus[0];
	assert_true(describe("r8", &d));
	packet = malloc(FAKE_BUFFER);
	snprintf(packet, FAKE_BUFFER, "G%s", bench_ask("g"));
	assert_string_equal(bench_ask(packet), "OK");
	assert_memory_equal(&machine.vcpus[0], &before, sizeof(before));
	memcpy(packet + 1 + 2 * d.at, "11", 2);
	assert_string_equal(bench_ask(packet), "OK");
	before.general.r8 = 0x11;
	assert_memory_equal(&machine.vcpus[0], &before, sizeof(before));
	packet[strlen(packet) - 1] = '\0';
	assert_string_equal(bench_ask(packet), "E01");
	assert_memory_equal(&machine.vcpus[0], &before, sizeof(before));
	free(packet);
}

static void
i386(void **state)
{
	static const char *const order[] = { "eax", "ecx", "edx", "ebx",    "esp", "ebp",
					     "esi", "edi", "eip", "eflags", "cs",  "ss",
					     "ds",  "es",  "fs",  "gs",     "st0" };
	struct described d;

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
		assert_true(describe(order[i], &d));
		assert_int_equal(d.number, i);
	}
	assert_true(describe("xmm7", &d));
	assert_false(describe("xmm8", &d));
	assert_false(describe("rax", &d));
	assert_false(describe("lstar", &d));
	bench_ask("?");
	machine.vcpus[0].general.rcx = 0x12345678;
	assert_string_equal(value("ecx"), "78563412");
	write_value("cs_base", "0000010000000000");
	assert_int_equal(machine.vcpus[0].system.cs.base, 0x10000);
	assert_null(strstr(transfer("features:read:target.xml", 0x1000), "x86-64"));
}

static void
hostile_packets(void **state)
{
	static const char *const packets[] = { "p",
					       "p-1",
					       "pffffffffffffffff",
					       "P",
					       "P0",
					       "P0=",
					       "P0=0",
					       "P0=00000000000000zz",
					       "P0=00000000000000",
					       "P0=000000000000000000",
					       "Pffff=00",
					       "G",
					       "Gzz",
					       "p0,0" };

	bench_ask("?");
	for (unsigned i = 0; i < sizeof(packets) / sizeof(*packets); i++)
		assert_string_equal(bench_ask(packets[i]), "E01");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_register_is_in_both_packets, bench_setup,
						bench_end),
		cmocka_unit_test_setup_teardown(each_register_is_in_both_packets, setup_i386,
						bench_end),
		cmocka_unit_test_setup_teardown(standard_features, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(documents_in_parts, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(general_registers, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(system_registers, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(floating_point, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(vector_registers, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(all_at_once, bench_setup, bench_end),
		cmocka_unit_test_setup_teardown(i386, setup_i386, bench_end),
		cmocka_unit_test_setup_teardown(hostile_packets, bench_setup, bench_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
