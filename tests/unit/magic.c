/* SPDX-License-Identifier: BSD-2-Clause */
/* Magic numbers: which formats are wrong for which use, and heads of any length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/magic.h"

#include <cmocka.h>

#define K MAGIC_KERNEL
#define I MAGIC_INITRD
#define D MAGIC_DISK

/* Written from the formats' own descriptions. */
static const struct {
	const char *bytes;
	size_t length;
	uint32_t offset;
	unsigned wrong;
	const char *name;
} cases[] = {
	{ "\x1f\x8b\x08\0", 4, 0, K | D, "gzip" },
	{ "\xfd\x37\x7a\x58\x5a\0", 6, 0, K | D, "xz" },
	{ "\x28\xb5\x2f\xfd", 4, 0, K | D, "zstd" },
	{ "BZh9", 4, 0, K | D, "bzip2" },
	{ "\x04\x22\x4d\x18", 4, 0, K | D, "lz4" },
	{ "\x02\x21\x4c\x18", 4, 0, K | D, "lz4" },
	{ "\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" },
	{ "\x5d\0\0\x04\0\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" }, /* -0 */
	{ "\x5d\0\0\x10\0\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" }, /* -1 */
	{ "\x5d\0\0\x20\0\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" }, /* -2 */
	{ "\x5d\0\0\x40\0\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" }, /* -3 */
	{ "\x5d\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" },   /* -7 */
	{ "\x5d\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" },   /* -8 */
	{ "\x5d\0\0\0\4\xff\xff\xff\xff\xff\xff\xff\xff", 13, 0, K | D, "lzma" },   /* -9 */
	{ "\x50\x2a\x4d\x18\4\0\0\0", 8, 0, K | I | D, "pzstd" },
	{ "LZIP\1", 5, 0, K | I | D, "lzip" },
	{ "7z\xbc\xaf\x27\x1c\0\4", 8, 0, K | I | D, "7-Zip" },
	{ "\xed\xab\xee\xdb\3\0", 6, 0, K | I | D, "RPM" },
	{ "070702", 6, 0, K, "cpio" },
	{ "QFI\xfb\0\0\0\2", 8, 0, K | I | D, "qcow2" },
	{ "KDMV\1\0\0\0", 8, 0, K | I | D, "VMDK" },
	{ "# Disk DescriptorFile", 21, 0, K | I | D, "VMDK" },
	{ "conectix", 8, 0, K | I | D, "VHD" },
	{ "vhdxfile", 8, 0, K | I | D, "VHDX" },
	{ "\x7f\x10\xda\xbe", 4, 64, K | I | D, "VDI" },
	{ "ustar\0", 6, 257, K | D, "tar" },
	{ "CD001\1", 6, 32769 - 1 + 0, 0, NULL }, /* one byte early */
	{ "CD001", 5, 32769, K, "ISO 9660" },
	{ "MZ\x90\0", 4, 0, K, "EFI" },
	{ "MZ\0\0zimg", 8, 0, K, "zboot" },
	{ "\x27\x05\x19\x56", 4, 0, K | I | D, "uImage" },
	{ "\xd0\x0d\xfe\xed", 4, 0, K | I | D, "FIT" },
	{ "\x0b\x01\x64\0", 4, 0, K, "a.out" },
	{ "\xcf\xfa\xed\xfe", 4, 0, K, "Mach-O" },
	{ "ANDROID!", 8, 0, K | I | D, "Android" },
	{ "070701", 6, 0, K, "cpio" },
	{ "MINIVMM\x1a", 8, 0, K | I | D, "snapshot" },
	{ "MINIVMM\x1e", 8, 0, K | I | D, "stream" },
	{ "MVMMOVL\x1a", 8, 0, K | I | D, "overlay" },
	{ "\x7f"
	  "ELF",
	  4, 0, 0, NULL },
	{ "\xb0\x48\xba\xf8", 4, 0, 0, NULL }, /* code */
};

static void
formats_are_recognised(void **state)
{
	static const enum magic_use uses[] = { K, I, D };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t length = cases[i].offset + cases[i].length;
		/* Exactly as long as the head, so that a sanitizer detects a read past its end. */
		uint8_t *head = calloc(1, length);

		memcpy(head + cases[i].offset, cases[i].bytes, cases[i].length);
		for (size_t u = 0; u < 3; u++) {
			const struct magic *m = magic_find(uses[u], head, length);

			if (!m != !(cases[i].wrong & uses[u]))
				fail_msg("case %zu, use %u: %s", i, uses[u], m ? m->name : "none");
			if (m && !strstr(m->name, cases[i].name))
				fail_msg("case %zu is called %s", i, m->name);
			assert_true(!m || strlen(m->remedy) > 10);
			assert_null(magic_find(uses[u], head, cases[i].wrong ? 1 : 0));
		}
		free(head);
	}
}

/* MAGIC_HEAD contains all magic numbers: more bytes never change the answer. */
static void
the_head_is_long_enough(void **state)
{
	static uint8_t head[2 * MAGIC_HEAD];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memset(head, 0, sizeof(head));
		memcpy(head + cases[i].offset, cases[i].bytes, cases[i].length);
		assert_ptr_equal(magic_find(K | I | D, head, sizeof(head)),
				 magic_find(K | I | D, head, MAGIC_HEAD));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_are_recognised),
		cmocka_unit_test(the_head_is_long_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
