/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks that a plugin's registration, descriptor and tables can be read, before any row is used:
 * each lies in the segments of a loaded object, and a table has an end. A table without MINIVMM_END
 * continues into the bytes that the linker has placed behind it. Two more tests detect this: a
 * table does not reach the start of another known table, and the texts of its rows lie in loaded
 * segments. (Zeros behind a table end it like MINIVMM_END.) Finds the code of an object, too.
 */
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "plugin/adopt.h"

#define ROWS_MAX 4096u
#define TEXTS 6 /* maximum number of texts in a row */

struct rest {
	uintptr_t at;
	size_t length; /* from at to the end of its segment; 0: it is in none */
};

static int
find_segment(struct dl_phdr_info *object, size_t size, void *context)
{
	struct rest *rest = context;

	for (unsigned i = 0; i < object->dlpi_phnum && !rest->length; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t offset = rest->at - (object->dlpi_addr + p->p_vaddr);

		if (p->p_type == PT_LOAD && p->p_flags & PF_R && offset < p->p_memsz)
			rest->length = p->p_memsz - offset;
	}
	return rest->length != 0;
}

/* The code of the object that contains an address. */
struct code {
	uintptr_t of, begin, end;
};

static int
find_code(struct dl_phdr_info *object, size_t size, void *context)
{
	struct code *code = context;
	uintptr_t begin = UINTPTR_MAX, end = 0;
	bool wanted = false;

	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t at = object->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		wanted |= code->of - at < p->p_memsz;
		if (p->p_flags & PF_X) {
			begin = at < begin ? at : begin;
			end = at + p->p_memsz > end ? at + p->p_memsz : end;
		}
	}
	if (wanted && begin < end) {
		code->begin = begin;
		code->end = end;
	}
	return wanted;
}

void
plugin_find_code(struct plugin *plugin, const struct minivmm_registration *registration)
{
	struct code code = { .of = (uintptr_t)registration };

	dl_iterate_phdr(find_code, &code);
	plugin->code = code.begin;
	plugin->code_end = code.end;
}

size_t
adopt_loaded(const void *at)
{
	struct rest rest = { .at = (uintptr_t)at };

	dl_iterate_phdr(find_segment, &rest);
	return rest.length;
}

/* Copies bytes if they are loaded. They may lie behind the end of a table, where AddressSanitizer
 * would report the read. */
__attribute__((no_sanitize("address"))) static bool
copy_loaded(void *to, const void *from, size_t length)
{
	const volatile uint8_t *bytes = from;

	if (adopt_loaded(from) < length)
		return false;
	for (size_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = bytes[i];
	return true;
}

__attribute__((no_sanitize("address"))) static bool
is_text(const char *text)
{
	const volatile char *c = text;
	size_t left = adopt_loaded(text);

	for (; left && *c; left--)
		c++;
	return left;
}

static bool
are_texts(const char *const *texts)
{
	const char *text = NULL;

	while (copy_loaded(&text, texts++, sizeof(text)) && text)
		if (!is_text(text))
			return false;
	return !text;
}

enum {
	OPTIONS,
	RANGES,
	TIMERS,
	STREAMS,
	WATCHES,
	POSTS,
	FIELDS,
	ACPI,
	PCI,
	REGISTERS,
	BARS,
	CAPABILITIES,
	KINDS
};
enum { DESCRIPTOR = KINDS, REGISTRATION, PLACES };

/* The kinds of tables. at: offset of the table's pointer in the descriptor. texts: offsets of the
 * text pointers in a row, each plus 1; 0 ends the list. */
static const struct kind {
	const char *name;
	size_t at;
	uint16_t texts[TEXTS];
} kinds[KINDS] = {
#define TABLE(name) #name, offsetof(struct minivmm_plugin, name)
#define TEXT(row, member) offsetof(struct minivmm_##row, member) + 1
	[OPTIONS] = { TABLE(options),
		      { TEXT(option, name), TEXT(option, initial), TEXT(option, help) } },
	[RANGES] = { TABLE(ranges),
		     { TEXT(range, at), TEXT(range, at_initial), TEXT(range, length_option),
		       TEXT(range, help) } },
	[TIMERS] = { TABLE(timers), { TEXT(timer, name), TEXT(timer, help) } },
	[STREAMS] = { TABLE(streams),
		      { TEXT(stream, name), TEXT(stream, output), TEXT(stream, input),
			TEXT(stream, output_initial), TEXT(stream, input_initial),
			TEXT(stream, help) } },
	[WATCHES] = { TABLE(watches), { TEXT(watch, name), TEXT(watch, help) } },
	[POSTS] = { TABLE(posts), { TEXT(post, name), TEXT(post, help) } },
	[FIELDS] = { TABLE(fields), { TEXT(field, name), TEXT(field, help) } },
	[ACPI] = { TABLE(acpi),
		   { TEXT(acpi, hid), TEXT(acpi, cid), TEXT(acpi, only), TEXT(acpi, ddn),
		     TEXT(acpi, page) } },
	[PCI] = { TABLE(pci), { TEXT(pci, slot), TEXT(pci, slot_initial), TEXT(pci, help) } },
	[BARS] = { "bars", SIZE_MAX, { 0 } },
	[CAPABILITIES] = { "capabilities", SIZE_MAX, { 0 } },
	[REGISTERS] = { "registers", SIZE_MAX, { TEXT(register, read), TEXT(register, write) } },
#undef TABLE
#undef TEXT
};

struct bounds {
	const void *places[PLACES]; /* starts of tables, descriptor and registration; NULL for
				       registers */
	uint32_t sizes[KINDS];      /* of a row, in bytes */
};

/* False if a pointer of the row cannot be that of a text: the bytes are not a row. */
static bool
plausible(const struct bounds *b, int kind, const uint8_t *row)
{
	union {
		const char *text;
		const char *const *texts;
		uint32_t type;
	} value;
	const size_t type = offsetof(struct minivmm_option, type),
		     values = offsetof(struct minivmm_option, values);

	for (int i = 0; i < TEXTS && kinds[kind].texts[i]; i++) {
		size_t at = kinds[kind].texts[i] - 1u;

		if (at + sizeof(value.text) > b->sizes[kind])
			continue;
		memcpy(&value.text, row + at, sizeof(value.text));
		if (value.text && !is_text(value.text))
			return false;
	}
	if (kind != OPTIONS || b->sizes[kind] < values + sizeof(value.texts))
		return true;
	memcpy(&value.type, row + type, sizeof(value.type));
	if (value.type != MINIVMM_ENUM)
		return true;
	memcpy(&value.texts, row + values, sizeof(value.texts));
	return !value.texts || are_texts(value.texts);
}

static bool table_ends(const struct bounds *b, int kind, const void *table);

/* The tables that rows have. */
static const struct {
	int kind, of;
	size_t at; /* offset of the table's pointer in the row */
} inner_tables[] = {
	{ REGISTERS, RANGES, offsetof(struct minivmm_range, registers) },
	{ BARS, PCI, offsetof(struct minivmm_pci, bars) },
	{ CAPABILITIES, PCI, offsetof(struct minivmm_pci, capabilities) },
};

/* True if each table of a row has an end. */
static bool
inner_ends(const struct bounds *b, int kind, const uint8_t *row)
{
	const void *inner;

	for (size_t i = 0; i < sizeof(inner_tables) / sizeof(*inner_tables); i++) {
		if (inner_tables[i].of != kind ||
		    b->sizes[kind] < inner_tables[i].at + sizeof(inner))
			continue;
		memcpy(&inner, row + inner_tables[i].at, sizeof(inner));
		if (inner && !table_ends(b, inner_tables[i].kind, inner))
			return false;
	}
	return true;
}

static bool
table_ends(const struct bounds *b, int kind, const void *table)
{
	uint32_t stride = b->sizes[kind];
	const uint8_t *at = table;
	uint8_t row[ADOPT_SIZE_MAX], any;

	if (!adopt_size(stride))
		return true; /* plugin_adopt() reports it */
	for (uint32_t i = 0; i < ROWS_MAX; i++, at += stride) {
		for (int other = 0; other < PLACES; other++) {
			uintptr_t into = (uintptr_t)b->places[other] - (uintptr_t)at;

			if (other != kind && into < stride)
				return false;
		}
		if (!copy_loaded(row, at, stride))
			return false;
		any = 0;
		for (uint32_t n = 0; n < stride; n++)
			any |= row[n];
		if (!any)
			return true;
		if (!plausible(b, kind, row) || !inner_ends(b, kind, row))
			return false;
	}
	return false;
}

/* Copies the registration, and checks that the descriptor and its texts are loaded. */
static int
check_descriptor(struct minivmm_registration *r, const struct minivmm_registration *registration,
		 struct why *why)
{
	const size_t head = offsetof(struct minivmm_registration, plugin_size);
	struct minivmm_plugin d = { 0 };

	if (!copy_loaded(r, registration, head))
		return why_set(why, "its registration is too short; use MINIVMM_REGISTER()");
	if (r->abi != MINIVMM_ABI)
		return 0; /* plugin_adopt() reports it */
	if (!copy_loaded(r, registration, r->size < sizeof(*r) ? r->size : sizeof(*r)))
		return why_set(why, "its registration is not in its file; use MINIVMM_REGISTER()");
	if (r->needs && !are_texts(r->needs))
		return why_set(why, "its list of features is not in its file; use "
				    "MINIVMM_REGISTER()");
	if (!r->plugin || !adopt_size(r->plugin_size))
		return 0; /* plugin_adopt() reports it */
	if (adopt_loaded(r->plugin) < r->plugin_size)
		return why_set(why, "its descriptor is not in its file; use MINIVMM_REGISTER() "
				    "with a static descriptor");
	memcpy(&d, r->plugin, r->plugin_size < sizeof(d) ? r->plugin_size : sizeof(d));
	if ((d.name && !is_text(d.name)) || (d.summary && !is_text(d.summary)))
		return why_set(why, "its name or summary is not a text in its file");
	return 0;
}

/* Checks that the machine language of each row is loaded. The table has an end. */
static int
check_aml(const uint8_t *row, uint32_t stride, struct why *why)
{
	struct minivmm_acpi acpi = { 0 };

	for (uint32_t i = 0; row && adopt_size(stride); i++, row += stride) {
		memcpy(&acpi, row, stride < sizeof(acpi) ? stride : sizeof(acpi));
		if (acpi.aml && adopt_loaded(acpi.aml) < acpi.aml_length)
			return why_set(why, "acpi[%u]: aml of %u bytes is not in its file", i,
				       acpi.aml_length);
		if (!memcmp(row, (const uint8_t[ADOPT_SIZE_MAX]){ 0 }, stride))
			break;
	}
	return 0;
}

int
plugin_bounds(const struct minivmm_registration *registration, struct why *why)
{
	struct minivmm_registration r = { 0 };
	struct bounds b;
	const uint8_t *descriptor;

	if (check_descriptor(&r, registration, why))
		return -1;
	descriptor = (const uint8_t *)r.plugin;
	if (r.abi != MINIVMM_ABI || !descriptor || !adopt_size(r.plugin_size))
		return 0; /* plugin_adopt() reports it */
	b = (struct bounds){
		.sizes = { r.option_size, r.range_size, r.timer_size, r.stream_size, r.watch_size,
			   r.post_size, r.field_size, r.acpi_size, r.pci_size, r.register_size,
			   r.bar_size, r.capability_size },
		.places = { [DESCRIPTOR] = descriptor, [REGISTRATION] = registration }
	};
	for (int i = 0; i < REGISTERS; i++)
		if (r.plugin_size >= kinds[i].at + sizeof(*b.places))
			memcpy(&b.places[i], descriptor + kinds[i].at, sizeof(*b.places));
	for (int i = 0; i < REGISTERS; i++) {
		if (!b.places[i] || table_ends(&b, i, b.places[i]))
			continue;
		return why_set(why, "its table of %s%s has no end; end it with MINIVMM_END",
			       kinds[i].name,
			       i == RANGES ? ", or one of its registers,"
			       : i == PCI  ? ", or one of its bars or capabilities,"
					   : "");
	}
	return check_aml(b.places[ACPI], r.acpi_size, why);
}
