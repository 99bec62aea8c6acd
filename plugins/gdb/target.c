/* SPDX-License-Identifier: BSD-2-Clause */
/* Documents that gdb reads by qXfer: target.xml and the memory map. */
#include <stdlib.h>

#include "gdb.h"
#include "registers.h"

/* Bits of registers, by the names of Intel's manual, volume 1, sections 3.4.3 and 10.2.3, and
 * volume 3, sections 2.2.1 and 2.5. */
static const struct flag {
	const char *name;
	unsigned bit;
} eflags[] = {
	{ "CF", 0 },  { "", 1 },    { "PF", 2 },  { "AF", 4 },  { "ZF", 6 },   { "SF", 7 },
	{ "TF", 8 },  { "IF", 9 },  { "DF", 10 }, { "OF", 11 }, { "NT", 14 },  { "RF", 16 },
	{ "VM", 17 }, { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 }, { NULL, 0 },
}, mxcsr[] = {
	{ "IE", 0 },  { "DE", 1 },  { "ZE", 2 },  { "OE", 3 },  { "UE", 4 },  { "PE", 5 },
	{ "DAZ", 6 }, { "IM", 7 },  { "DM", 8 },  { "ZM", 9 },  { "OM", 10 }, { "UM", 11 },
	{ "PM", 12 }, { "FZ", 15 }, { NULL, 0 },
}, cr0[] = {
	{ "PE", 0 },  { "MP", 1 },  { "EM", 2 },  { "TS", 3 },  { "ET", 4 },  { "NE", 5 },
	{ "WP", 16 }, { "AM", 18 }, { "NW", 29 }, { "CD", 30 }, { "PG", 31 }, { NULL, 0 },
}, cr4[] = {
	{ "VME", 0 },       { "PVI", 1 },         { "TSD", 2 },   { "DE", 3 },
	{ "PSE", 4 },       { "PAE", 5 },         { "MCE", 6 },   { "PGE", 7 },
	{ "PCE", 8 },       { "OSFXSR", 9 },      { "OSXMMEXCPT", 10 }, { "UMIP", 11 },
	{ "LA57", 12 },     { "VMXE", 13 },       { "SMXE", 14 }, { "FSGSBASE", 16 },
	{ "PCIDE", 17 },    { "OSXSAVE", 18 },    { "SMEP", 20 }, { "SMAP", 21 },
	{ "PKE", 22 },      { "CET", 23 },        { "PKS", 24 },  { NULL, 0 },
}, efer[] = {
	{ "SCE", 0 }, { "LME", 8 }, { "LMA", 10 }, { "NXE", 11 }, { "SVME", 12 }, { NULL, 0 },
};

static const struct flags {
	const char *type, *feature;
	unsigned size;
	const struct flag *flags;
} flag_types[] = {
	{ "i386_eflags", "core", 4, eflags }, { "i386_mxcsr", "sse", 4, mxcsr },
	{ "cr0_flags", "system", 8, cr0 },    { "cr4_flags", "system", 8, cr4 },
	{ "efer_flags", "system", 8, efer },
};

/* The views of an XMM register. */
static const struct vector {
	const char *field, *id, *type;
	unsigned count;
} vectors[] = {
	{ "v4_float", "v4f", "ieee_single", 4 }, { "v2_double", "v2d", "ieee_double", 2 },
	{ "v16_int8", "v16i8", "int8", 16 },     { "v8_int16", "v8i16", "int16", 8 },
	{ "v4_int32", "v4i32", "int32", 4 },     { "v2_int64", "v2i64", "int64", 2 },
};
#define VECTORS (sizeof(vectors) / sizeof(*vectors))

static void
describe_types(FILE *out, const char *feature)
{
	const char *name = strrchr(feature, '.') + 1;

	for (size_t i = 0; i < sizeof(flag_types) / sizeof(*flag_types); i++) {
		const struct flags *t = &flag_types[i];

		if (strcmp(t->feature, name))
			continue;
		fprintf(out, "<flags id=\"%s\" size=\"%u\">\n", t->type, t->size);
		for (const struct flag *f = t->flags; f->name; f++)
			fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>\n", f->name,
				f->bit, f->bit);
		fprintf(out, "</flags>\n");
	}
	if (strcmp(name, "sse"))
		return;
	for (size_t i = 0; i < VECTORS; i++)
		fprintf(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>\n", vectors[i].id,
			vectors[i].type, vectors[i].count);
	fprintf(out, "<union id=\"vec128\">\n");
	for (size_t i = 0; i < VECTORS; i++)
		fprintf(out, "<field name=\"%s\" type=\"%s\"/>\n", vectors[i].field, vectors[i].id);
	fprintf(out, "<field name=\"uint128\" type=\"uint128\"/>\n</union>\n");
}

void
gdb_describe_registers(FILE *out, uint32_t architecture)
{
	unsigned in = architecture == ARCHITECTURE_AMD64 ? IN_AMD64 : IN_I386;
	const char *feature = NULL;

	for (size_t i = 0; i < register_row_count; i++) {
		const struct register_row *row = &register_rows[i];

		if (!(row->in & in))
			continue;
		if (!feature || strcmp(feature, row->feature)) {
			fprintf(out, "%s<feature name=\"%s\">\n", feature ? "</feature>\n" : "",
				row->feature);
			describe_types(out, row->feature);
			feature = row->feature;
		}
		fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s%s%s/>\n", row->name,
			row->size * 8u, row->type, row->group ? " group=\"" : "",
			row->group ? row->group : "", row->group ? "\"" : "");
	}
	fprintf(out, "</feature>\n");
}

int
gdb_create_target(struct minivmm_device *dev)
{
	static const char *const names[] = { "i386:x86-64", "i386", "i8086" }; /* gdb's */
	struct gdb *g = minivmm_state(dev);
	FILE *out;

	free(g->target);
	g->target = NULL;
	out = open_memstream(&g->target, &g->target_length);
	if (out) {
		fprintf(out,
			"<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
			"<target version=\"1.0\">\n<architecture>%s</architecture>\n",
			names[g->architecture]);
		gdb_describe_registers(out, g->architecture);
		fprintf(out, "</target>\n");
	}
	if (!out || fclose(out)) {
		minivmm_error(dev, "no memory for the description of the machine");
		return -1;
	}
	return 0;
}

static void
put_range(char *text, size_t size, uint64_t start, uint64_t length)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used,
		 "<memory type=\"ram\" start=\"0x%llx\" length=\"0x%llx\"/>\n",
		 (unsigned long long)start, (unsigned long long)length);
}

/*
 * gdb reads the map once, and then refuses all addresses outside of it. Which linear addresses are
 * mapped changes with the guest's page tables: their map contains all, in two halves, as the length
 * of the whole has 65 bits. Physical addresses have the machine's.
 */
static void
memory_map(struct minivmm_device *dev, char *text, size_t size)
{
	struct gdb *g = minivmm_state(dev);
	struct minivmm_machine_state state;

	snprintf(text, size,
		 "<?xml version=\"1.0\"?>\n<!DOCTYPE memory-map PUBLIC "
		 "\"+//IDN gnu.org//DTD GDB Memory Map V1.0//EN\" "
		 "\"http://sourceware.org/gdb/gdb-memory-map.dtd\">\n<memory-map>\n");
	if (!g->physical) {
		put_range(text, size, 0, 1ull << 63);
		put_range(text, size, 1ull << 63, 1ull << 63);
	} else if (!minivmm_machine_state(dev, &state)) {
		for (uint32_t i = 0; i < state.memory_ranges && i < MINIVMM_MEMORY_RANGES; i++)
			put_range(text, size, state.memory[i].start, state.memory[i].length);
	}
	snprintf(text + strlen(text), size - strlen(text), "</memory-map>\n");
}

/* Sends a part of a document: "m" and bytes, or "l" and the last ones. */
static void
send_part(struct minivmm_device *dev, const char *text, size_t size, uint64_t offset,
	  uint64_t length)
{
	struct gdb *g = minivmm_state(dev);
	size_t left, mark;

	if (offset > size) {
		packet_reply(&g->out, "E01");
		return;
	}
	left = size - (size_t)offset;
	if (length > left)
		length = left;
	packet_begin(&g->out);
	mark = g->out.length;
	packet_text(&g->out, "l");
	if (packet_binary(&g->out, text + offset, (size_t)length) < left)
		g->out.bytes[mark] = 'm';
	packet_end(&g->out);
}

void
gdb_transfer(struct minivmm_device *dev, const char *at)
{
	static const char features[] = "features:read:target.xml:", map[] = "memory-map:read::";
	struct gdb *g = minivmm_state(dev);
	char text[1024];
	uint64_t offset, length;
	bool target = !strncmp(at, features, sizeof(features) - 1);

	if (!target && strncmp(at, map, sizeof(map) - 1)) {
		packet_reply(&g->out, strncmp(at, "features:read:", 14) ? "" : "E00");
		return;
	}
	at += target ? sizeof(features) - 1 : sizeof(map) - 1;
	if (!packet_number(&at, &offset) || !packet_char(&at, ',') ||
	    !packet_number(&at, &length) || *at) {
		packet_reply(&g->out, "E01");
		return;
	}
	if (!target)
		memory_map(dev, text, sizeof(text));
	send_part(dev, target ? g->target : text, target ? g->target_length : strlen(text), offset,
		  length);
}
