/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols of code: ELF files of both classes, System.map, and damaged files of both kinds. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "base/symbols.h"

/* A file with these bytes. */
struct sample {
	int fd;
	char path[32];
};

static struct sample
sample(const void *bytes, size_t length)
{
	struct sample s = { .fd = memfd_create("symbols", MFD_CLOEXEC) };

	assert_int_equal(write(s.fd, bytes, length), length);
	snprintf(s.path, sizeof(s.path), "/proc/self/fd/%d", s.fd);
	return s;
}

static void
refuses(const void *bytes, size_t length, const char *reason)
{
	struct sample s = sample(bytes, length);
	struct symbols symbols;
	struct why why;

	assert_int_equal(symbols_open(&symbols, s.path, &why), -1);
	if (!strstr(why.text, reason))
		fail_msg("\"%s\", not \"%s\"", why.text, reason);
	symbols_free(&symbols);
	close(s.fd);
}

/* Compares the name of an address; NULL: none. */
static void
names(const struct symbols *symbols, uint64_t address, const char *expected)
{
	char buffer[64];
	const char *text = symbols_text(symbols, address, buffer, sizeof(buffer));

	if (!expected || !text)
		assert_ptr_equal(text, expected);
	else
		assert_string_equal(text, expected);
}

#define TEXT 0x1000u

/* An ELF file: two sections of code and data, five symbols. */
struct elf64 {
	Elf64_Ehdr header;
	Elf64_Shdr sections[5];
	Elf64_Sym symbols[7];
	char strings[64];
};

#define AT(member) offsetof(struct elf64, member)

static struct elf64
make_elf64(void)
{
	return (struct elf64){
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			    .e_shoff = AT(sections),
			    .e_shentsize = sizeof(Elf64_Shdr),
			    .e_shnum = 5 },
		.sections = { { .sh_type = SHT_NULL },
			      { .sh_type = SHT_PROGBITS,
				.sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				.sh_addr = TEXT,
				.sh_size = 0x100 },
			      { .sh_type = SHT_PROGBITS,
				.sh_flags = SHF_ALLOC | SHF_WRITE,
				.sh_addr = 0x2000,
				.sh_size = 0x100 },
			      { .sh_type = SHT_SYMTAB,
				.sh_offset = AT(symbols),
				.sh_size = sizeof(((struct elf64 *)0)->symbols),
				.sh_link = 4 },
			      { .sh_type = SHT_STRTAB, .sh_offset = AT(strings), .sh_size = 64 } },
		.symbols = { { 0 },
			     { .st_name = 1, .st_shndx = 1, .st_value = TEXT }, /* a label */
			     { .st_name = 7,
			       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			       .st_shndx = 1,
			       .st_value = TEXT + 0x10,
			       .st_size = 8 },
			     { .st_name = 12, .st_shndx = 1, .st_value = TEXT + 0x10 },
			     { .st_name = 12, .st_shndx = 2, .st_value = 0x2000 }, /* data */
			     { .st_name = 12, .st_shndx = SHN_ABS, .st_value = TEXT + 1 },
			     { .st_name = 17, .st_shndx = 1, .st_value = TEXT + 0x20 } },
		.strings = "\0start\0func\0also\0end",
	};
}

static void
elf_of_64_bits(void **state)
{
	const struct elf64 elf = make_elf64();
	struct sample s = sample(&elf, sizeof(elf));
	struct symbols symbols;
	struct why why;

	assert_int_equal(symbols_open(&symbols, s.path, &why), 0);
	assert_int_equal(symbols.count, 4);
	assert_false(symbols_kernel(&symbols));
	names(&symbols, TEXT - 1, NULL);
	names(&symbols, TEXT, "start+0x0");
	names(&symbols, TEXT + 0xf, "start+0xf");
	names(&symbols, TEXT + 0x10, "func+0x0"); /* a function, not the label beside it */
	names(&symbols, TEXT + 0x17, "func+0x7");
	names(&symbols, TEXT + 0x18, NULL); /* behind its size */
	names(&symbols, TEXT + 0x20, "end+0x0");
	names(&symbols, TEXT + 0xff, "end+0xdf");
	names(&symbols, TEXT + 0x100, NULL); /* behind the section */
	names(&symbols, 0x2000, NULL);
	names(&symbols, ~0ull, NULL);
	symbols.shift = 0x5000;
	names(&symbols, TEXT, NULL);
	names(&symbols, TEXT + 0x5011, "func+0x1");
	symbols_free(&symbols);
	close(s.fd);
}

static void
elf_of_32_bits(void **state)
{
	struct {
		Elf32_Ehdr header;
		Elf32_Shdr sections[3];
		Elf32_Sym symbols[1];
		char strings[8];
	} elf = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
			    .e_shoff = sizeof(Elf32_Ehdr),
			    .e_shentsize = sizeof(Elf32_Shdr),
			    .e_shnum = 3 },
		.sections = { { .sh_type = SHT_PROGBITS,
				.sh_flags = SHF_EXECINSTR,
				.sh_addr = TEXT,
				.sh_size = 0x100 },
			      { .sh_type = SHT_SYMTAB, .sh_size = sizeof(Elf32_Sym), .sh_link = 2 },
			      { .sh_type = SHT_STRTAB, .sh_size = 8 } },
		.symbols = { { .st_name = 1, .st_value = TEXT + 4, .st_shndx = 0 } },
		.strings = "\0main",
	};
	struct symbols symbols;
	struct sample s;
	struct why why;

	elf.symbols[0].st_shndx = 0; /* SHN_UNDEF */
	elf.sections[1].sh_offset = (Elf32_Off)((char *)elf.symbols - (char *)&elf);
	elf.sections[2].sh_offset = (Elf32_Off)(elf.strings - (char *)&elf);
	refuses(&elf, sizeof(elf), "has no symbols of code");
	elf.sections[2].sh_type = SHT_STRTAB;
	/* Section 0 cannot have symbols: swap it with the names. */
	elf.sections[0].sh_type = SHT_STRTAB;
	elf.sections[2] = elf.sections[0];
	elf.sections[2].sh_type = SHT_PROGBITS;
	elf.sections[0].sh_offset = (Elf32_Off)(elf.strings - (char *)&elf);
	elf.sections[0].sh_size = 8;
	elf.sections[1].sh_link = 0;
	elf.symbols[0].st_shndx = 2;
	s = sample(&elf, sizeof(elf));
	assert_int_equal(symbols_open(&symbols, s.path, &why), 0);
	names(&symbols, TEXT + 5, "main+0x1");
	symbols_free(&symbols);
	close(s.fd);
}

static void
system_map(void **state)
{
	static const char map[] = "ffffffff81000000 T _stext\n"
				  "ffffffff81000010 t helper\n"
				  "ffffffff81000010 T call\n"
				  "ffffffff81000020 D data\n"
				  "0000000000001000 A absolute\n"
				  "ffffffff81000040 W last";
	struct sample s = sample(map, sizeof(map) - 1);
	struct symbols symbols;
	struct why why;

	assert_int_equal(symbols_open(&symbols, s.path, &why), 0);
	assert_true(symbols_kernel(&symbols));
	names(&symbols, 0xffffffff8100000f, "_stext+0xf");
	names(&symbols, 0xffffffff81000010, "call+0x0");
	names(&symbols, 0xffffffff8100003f, "call+0x2f");
	names(&symbols, 0xffffffff81000040, "last+0x0");
	names(&symbols, 0xffffffff81001040, NULL);
	names(&symbols, 0x1000, NULL);
	symbols_free(&symbols);
	close(s.fd);
	refuses("text\n", 5, "is neither an ELF file nor a System.map");
	refuses("ffffffff81000000 T \n", 20, "is neither an ELF file nor a System.map");
	refuses("ffffffff81000000 T", 18, "is neither an ELF file nor a System.map");
	refuses("ffffffff81000020 D data\n", 24, "has no symbols of code");
	refuses("", 0, "has no symbols of code");
}

/* Each kind of damage that a check is for. */
static void
damaged(void **state)
{
	struct elf64 elf = make_elf64();
	struct symbols symbols;
	struct sample s;
	struct why why;

	assert_int_equal(symbols_open(&symbols, "/nowhere", &why), -1);
	assert_non_null(strstr(why.text, "cannot be opened: No such file"));
	symbols_free(&symbols);
	assert_int_equal(symbols_open(&symbols, "/", &why), -1);
	symbols_free(&symbols);
#define DAMAGE(member, value, reason)                                                              \
	elf = make_elf64();                                                                        \
	elf.member = value;                                                                        \
	refuses(&elf, sizeof(elf), reason)
	DAMAGE(header.e_ident[EI_DATA], ELFDATA2MSB, "for another machine");
	DAMAGE(header.e_ident[EI_CLASS], 7, "for another machine");
	DAMAGE(header.e_shnum, 0, "has no table of sections");
	DAMAGE(header.e_shentsize, 1, "has no table of sections");
	DAMAGE(header.e_shoff, sizeof(elf), "behind its end");
	DAMAGE(header.e_shoff, UINT64_MAX, "behind its end");
	DAMAGE(header.e_shnum, 0xffff, "behind its end");
	DAMAGE(sections[3].sh_link, 5, "have no names");
	DAMAGE(sections[3].sh_size, UINT64_MAX, "behind its end");
	DAMAGE(sections[3].sh_offset, UINT64_MAX - 1, "behind its end");
	DAMAGE(sections[4].sh_size, UINT64_MAX, "behind its end");
	DAMAGE(sections[3].sh_type, SHT_DYNSYM, "has no symbols of code");
	DAMAGE(sections[4].sh_size, 0, "has no symbols of code");
	elf = make_elf64();
	refuses(&elf, sizeof(Elf64_Ehdr) - 1, "behind its end");
	/* Damaged symbols are left out. */
	elf.symbols[1].st_name = UINT32_MAX;
	elf.symbols[2].st_size = UINT64_MAX;
	elf.symbols[3].st_shndx = 0xfff0;
	elf.symbols[6].st_value = TEXT + 0x100;
	refuses(&elf, sizeof(elf), "has no symbols of code");
	/* The last name has no end. */
	elf = make_elf64();
	memset(elf.strings + 17, 'x', sizeof(elf.strings) - 17);
	s = sample(&elf, sizeof(elf));
	assert_int_equal(symbols_open(&symbols, s.path, &why), 0);
	names(&symbols, TEXT + 0x20, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx+0x0");
	symbols_free(&symbols);
	close(s.fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf_of_64_bits),
		cmocka_unit_test(elf_of_32_bits),
		cmocka_unit_test(system_map),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
