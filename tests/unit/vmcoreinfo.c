/* SPDX-License-Identifier: BSD-2-Clause */
/* VMCOREINFO in guest memory: what is one, and what only looks like one. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "snapshot/vmcoreinfo.h"

#define NOTE 0x3000u /* where the note is */
#define UTS 0x6100u  /* where init_uts_ns is */
#define SIZE 0x8000u
#define TEXT                                                                                       \
	"OSRELEASE=6.1.0-57\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff93a05100\n"                \
	"NUMBER(phys_base)=-329248768\nKERNELOFFSET=11c00000\n"

static uint8_t memory[SIZE];

static bool
read_memory(const void *context, uint64_t gpa, void *to, size_t length)
{
	if (gpa > SIZE || length > SIZE - gpa)
		return false;
	memcpy(to, memory + gpa, length);
	return true;
}

/* Writes a note: 0x13a05100 - 329248768 is UTS, the name at 4 and its release at 130. */
static void
write_note(uint32_t name_size, uint32_t size, uint32_t type, const char *name, const char *text)
{
	const Elf64_Nhdr header = { .n_namesz = name_size, .n_descsz = size, .n_type = type };

	memset(memory, 0, sizeof(memory));
	memcpy(memory + NOTE, &header, sizeof(header));
	memcpy(memory + NOTE + sizeof(header), name, strlen(name));
	memcpy(memory + NOTE + VMCOREINFO_HEADER, text, strlen(text));
	strcpy((char *)memory + UTS + 4 + 130, "6.1.0-57");
}

static bool
take(struct vmcoreinfo *info)
{
	return vmcoreinfo_begins(memory + NOTE) && vmcoreinfo_take(info, NOTE, read_memory, NULL);
}

static void
valid(void **state)
{
	struct vmcoreinfo info = { .length = 0 };
	char release[65], small[4];

	write_note(11, sizeof(TEXT) - 1, 0, "VMCOREINFO", TEXT);
	assert_true(take(&info));
	assert_int_equal(info.length, sizeof(TEXT) - 1);
	assert_string_equal(info.text, TEXT);
	vmcoreinfo_release(&info, release, sizeof(release));
	assert_string_equal(release, "6.1.0-57");
	vmcoreinfo_release(&info, small, sizeof(small));
	assert_string_equal(small, "6.1");
	assert_int_equal(vmcoreinfo_offset(&info), 0x11c00000);
	assert_memory_equal(vmcoreinfo_value(&info, "PAGESIZE="), "4096\n", 5);
	assert_null(vmcoreinfo_value(&info, "SIZE="));
	assert_null(vmcoreinfo_value(&info, "CRASHTIME="));
}

static void
others(void **state)
{
	static const struct {
		uint32_t name_size, size, type;
		const char *name, *text;
	} cases[] = {
		{ 10, sizeof(TEXT) - 1, 0, "VMCOREINFO", TEXT },
		{ 11, 0, 0, "VMCOREINFO", TEXT },
		{ 11, VMCOREINFO_MAX + 1, 0, "VMCOREINFO", TEXT },
		{ 11, UINT32_MAX, 0, "VMCOREINFO", TEXT },
		{ 11, sizeof(TEXT) - 1, 1, "VMCOREINFO", TEXT },
		{ 11, sizeof(TEXT) - 1, 0, "VMCOREINFOX", TEXT },
		{ 11, sizeof(TEXT), 0, "VMCOREINFO", TEXT },     /* with a NUL */
		{ 11, sizeof(TEXT) - 2, 0, "VMCOREINFO", TEXT }, /* a line without end */
		{ 11, 18, 0, "VMCOREINFO", "OSRELEASE=6.1.0-57\n" },
		{ 11, 19, 0, "VMCOREINFO", "OSRELEASE=6.1.0-57\n" }, /* no addresses */
		{ 11, 11, 0, "VMCOREINFO", "OSRELEASE=\n" },
		{ 11, 19, 0, "VMCOREINFO", "OSRELEASE=6.1\x1b[0-57\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct vmcoreinfo info = { .length = 0 };

		write_note(cases[i].name_size, cases[i].size, cases[i].type, cases[i].name,
			   cases[i].text);
		assert_false(take(&info));
		assert_int_equal(info.length, 0);
	}
}

/* A page of a file can have the same bytes: the kernel must be where they say. */
static void
copies(void **state)
{
	struct vmcoreinfo info = { .length = 0 };

	write_note(11, sizeof(TEXT) - 1, 0, "VMCOREINFO", TEXT);
	memory[UTS + 4 + 130] = '5';
	assert_false(take(&info));
	write_note(11, sizeof(TEXT) - 1, 0, "VMCOREINFO", TEXT);
	memcpy(strstr((char *)memory + NOTE + VMCOREINFO_HEADER, "93a05100"), "ffffffff", 8);
	assert_false(take(&info));
	assert_int_equal(info.length, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid),
		cmocka_unit_test(others),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
