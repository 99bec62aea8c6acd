/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads symbols of code, and finds the one at an address. */
#include "base/symbols.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"

#define KERNEL 0xffffffff80000000ull /* of Linux on x86-64: its own code */
#define TEXT_MAX (64u << 20)         /* bytes of a System.map; Linux's have 5 MiB */
#define LAST 4096u                   /* bytes of the last symbol of a System.map */

/* An open file. */
struct reading {
	int fd;
	uint64_t size;
	struct symbols *to;
	struct why *why;
};

static int
read_at(const struct reading *r, void *to, uint64_t offset, uint64_t length)
{
	uint8_t *bytes = to;

	if (offset > r->size || length > r->size - offset)
		return why_set(r->why, "is damaged: a part of it is behind its end");
	while (length) {
		ssize_t n = pread(r->fd, bytes, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return why_set(r->why, "cannot be read: %s",
				       n ? limit_error(errno).text : "it was truncated");
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

/* Reads a part of the file into a new buffer, with a NUL behind it. NULL: the reason is in why. */
static void *
read_new(const struct reading *r, uint64_t offset, uint64_t length)
{
	char *bytes;

	if (offset > r->size || length > r->size - offset) {
		why_set(r->why, "is damaged: a part of it is behind its end");
		return NULL;
	}
	bytes = malloc(length + 1);
	if (!bytes)
		why_no_memory(r->why);
	else if (read_at(r, bytes, offset, length)) {
		free(bytes);
		bytes = NULL;
	} else
		bytes[length] = '\0';
	return bytes;
}

static int
add(struct symbols *s, const struct symbol *symbol, struct why *why)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 256;
		struct symbol *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return why_no_memory(why);
		s->list = list;
		s->room = room;
	}
	s->list[s->count++] = *symbol;
	return 0;
}

/* --- ELF --- */

/* A section, of either class. */
struct elf_section {
	uint64_t type, flags, at, offset, size, link;
};

struct elf {
	bool wide; /* 64 bits */
	struct elf_section *sections;
	uint32_t count;
};

static struct elf_section
elf_section_of(const struct elf *elf, const uint8_t *headers, uint32_t index)
{
	Elf64_Shdr h64;
	Elf32_Shdr h32;

	if (elf->wide) {
		memcpy(&h64, headers + index * sizeof(h64), sizeof(h64));
		return (struct elf_section){ h64.sh_type,   h64.sh_flags, h64.sh_addr,
					     h64.sh_offset, h64.sh_size,  h64.sh_link };
	}
	memcpy(&h32, headers + index * sizeof(h32), sizeof(h32));
	return (struct elf_section){ h32.sh_type,   h32.sh_flags, h32.sh_addr,
				     h32.sh_offset, h32.sh_size,  h32.sh_link };
}

static int
read_sections(const struct reading *r, struct elf *elf)
{
	const size_t size = elf->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	uint64_t offset, entry;
	uint8_t *headers;
	Elf64_Ehdr e64 = { 0 };
	Elf32_Ehdr e32 = { 0 };

	if (elf->wide ? read_at(r, &e64, 0, sizeof(e64)) : read_at(r, &e32, 0, sizeof(e32)))
		return -1;
	offset = elf->wide ? e64.e_shoff : e32.e_shoff;
	entry = elf->wide ? e64.e_shentsize : e32.e_shentsize;
	elf->count = elf->wide ? e64.e_shnum : e32.e_shnum;
	if (!elf->count || entry != size)
		return why_set(r->why, "has no table of sections, and so no symbols");
	headers = read_new(r, offset, elf->count * size);
	elf->sections = headers ? calloc(elf->count, sizeof(*elf->sections)) : NULL;
	for (uint32_t i = 0; elf->sections && i < elf->count; i++)
		elf->sections[i] = elf_section_of(elf, headers, i);
	if (headers && !elf->sections)
		why_no_memory(r->why);
	free(headers);
	return elf->sections ? 0 : -1;
}

/* A sized function is a better name than a label; of labels, a global one. */
static uint32_t
rank(unsigned type, unsigned binding, uint64_t size)
{
	return (type == STT_FUNC ? 4u : 0) + (size ? 2u : 0) + (binding == STB_GLOBAL ? 1u : 0);
}

/* Takes a symbol, if it is in a section of code. */
static int
take_symbol(const struct reading *r, const struct elf *elf, const Elf64_Sym *from)
{
	unsigned type = ELF64_ST_TYPE(from->st_info);
	const struct elf_section *in;
	struct symbol symbol = { .at = from->st_value, .name = from->st_name };

	if (from->st_shndx == SHN_UNDEF || from->st_shndx >= elf->count ||
	    (type != STT_FUNC && type != STT_NOTYPE) || from->st_name >= r->to->names_size ||
	    !r->to->names[from->st_name])
		return 0;
	in = &elf->sections[from->st_shndx];
	if (!(in->flags & SHF_EXECINSTR) || symbol.at < in->at || symbol.at - in->at >= in->size ||
	    __builtin_add_overflow(symbol.at,
				   from->st_size ? from->st_size : in->size - (symbol.at - in->at),
				   &symbol.end))
		return 0;
	symbol.rank = rank(type, ELF64_ST_BIND(from->st_info), from->st_size);
	return add(r->to, &symbol, r->why);
}

static Elf64_Sym
symbol_of(const struct elf *elf, const uint8_t *table, uint64_t index)
{
	Elf64_Sym s64;
	Elf32_Sym s32;

	if (elf->wide) {
		memcpy(&s64, table + index * sizeof(s64), sizeof(s64));
		return s64;
	}
	memcpy(&s32, table + index * sizeof(s32), sizeof(s32));
	return (Elf64_Sym){ .st_name = s32.st_name,
			    .st_info = s32.st_info,
			    .st_shndx = s32.st_shndx,
			    .st_value = s32.st_value,
			    .st_size = s32.st_size };
}

static int
read_table(const struct reading *r, const struct elf *elf, const struct elf_section *symtab)
{
	const size_t size = elf->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	const struct elf_section *strings;
	uint8_t *table;
	int failed = 0;

	if (symtab->link >= elf->count)
		return why_set(r->why, "is damaged: its symbols have no names");
	strings = &elf->sections[symtab->link];
	r->to->names = read_new(r, strings->offset, strings->size);
	r->to->names_size = strings->size;
	table = r->to->names ? read_new(r, symtab->offset, symtab->size) : NULL;
	for (uint64_t i = 0; table && i < symtab->size / size && !failed; i++) {
		const Elf64_Sym symbol = symbol_of(elf, table, i);

		failed = take_symbol(r, elf, &symbol);
	}
	free(table);
	return table ? failed : -1;
}

static int
read_elf(const struct reading *r, const uint8_t *ident)
{
	struct elf elf = { .wide = ident[EI_CLASS] == ELFCLASS64 };
	int failed;

	if (ident[EI_DATA] != ELFDATA2LSB ||
	    (ident[EI_CLASS] != ELFCLASS64 && ident[EI_CLASS] != ELFCLASS32))
		return why_set(r->why, "is an ELF file for another machine");
	failed = read_sections(r, &elf);
	for (uint32_t i = 0; !failed && elf.sections && i < elf.count && !r->to->names; i++)
		if (elf.sections[i].type == SHT_SYMTAB)
			failed = read_table(r, &elf, &elf.sections[i]);
	free(elf.sections);
	return failed;
}

/* --- System.map --- */

/* Takes a line "ffffffff81000000 T _stext", whose newline is a NUL; other lines are an error. */
static int
take_line(const struct reading *r, char *line)
{
	struct symbol symbol = { .rank = 0 };
	char *end;

	symbol.at = strtoull(line, &end, 16);
	if (end - line < 8 || end - line > 16 || end[0] != ' ' || !end[1] || end[2] != ' ' ||
	    !end[3])
		return why_set(r->why, "is neither an ELF file nor a System.map");
	symbol.name = (uint32_t)(end + 3 - r->to->names);
	symbol.rank = end[1] == 'T';
	return strchr("TtWw", end[1]) ? add(r->to, &symbol, r->why) : 0;
}

static int
read_map(const struct reading *r)
{
	char *line, *newline;
	int failed = 0;

	if (r->size > TEXT_MAX)
		return why_set(r->why, "is neither an ELF file nor a System.map");
	r->to->names = read_new(r, 0, r->size);
	r->to->names_size = r->size;
	for (line = r->to->names; line && *line && !failed; line = newline) {
		newline = strchr(line, '\n');
		if (newline)
			*newline++ = '\0';
		failed = take_line(r, line);
	}
	return r->to->names ? failed : -1;
}

/* --- Both --- */

static int
compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Sorts them. In a System.map, a symbol ends where the next one begins. */
static void
sort(struct symbols *s)
{
	qsort(s->list, s->count, sizeof(*s->list), compare);
	for (size_t i = s->count; i--;)
		if (!s->list[i].end && i + 1 == s->count)
			s->list[i].end = s->list[i].at + LAST;
		else if (!s->list[i].end)
			s->list[i].end = s->list[i + 1].at > s->list[i].at ? s->list[i + 1].at
									   : s->list[i + 1].end;
}

int
symbols_open(struct symbols *symbols, const char *path, struct why *why)
{
	struct reading r = { .fd = file_open(path, FILE_READ), .to = symbols, .why = why };
	uint8_t ident[EI_NIDENT] = { 0 };
	struct stat st;
	int failed = -1;

	*symbols = (struct symbols){ 0 };
	if (r.fd < 0 || fstat(r.fd, &st))
		why_set(why, "cannot be opened: %s", limit_error(errno).text);
	else if (!S_ISREG(st.st_mode))
		why_set(why, "is not a file");
	else {
		r.size = (uint64_t)st.st_size;
		failed = r.size < sizeof(ident) ? 0 : read_at(&r, ident, 0, sizeof(ident));
		if (!failed)
			failed =
			    memcmp(ident, ELFMAG, SELFMAG) ? read_map(&r) : read_elf(&r, ident);
	}
	if (!failed && !symbols->count)
		failed = why_set(why, "has no symbols of code: it may be stripped");
	if (!failed)
		sort(symbols);
	if (r.fd >= 0)
		close(r.fd);
	return failed;
}

void
symbols_free(struct symbols *symbols)
{
	free(symbols->list);
	free(symbols->names);
	*symbols = (struct symbols){ 0 };
}

bool
symbols_kernel(const struct symbols *symbols)
{
	return symbols->count && symbols->list[symbols->count - 1].at >= KERNEL;
}

const char *
symbols_text(const struct symbols *symbols, uint64_t address, char *buffer, size_t size)
{
	const uint64_t wanted = address - symbols->shift;
	size_t low = 0, high = symbols->count; /* the last one that is not above is below high */
	const struct symbol *found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols->list[middle].at <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || symbols->list[low - 1].end <= wanted)
		return NULL;
	found = &symbols->list[low - 1];
	snprintf(buffer, size, "%s+0x%" PRIx64, symbols->names + found->name, wanted - found->at);
	return buffer;
}
