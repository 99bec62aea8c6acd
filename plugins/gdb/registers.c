/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes registers of a vCPU for gdb. */
#include "registers.h"
#include "gdb.h"

#define CR0_PE 0x1u
#define RFLAGS_VM 0x20000u
#define EFER_LMA 0x400u
#define SEGMENT_LONG 0x2000u /* attributes of a segment: L and D */
#define SEGMENT_32 0x4000u

static const uint32_t msr_indices[MSR_COUNT] = {
	[MSR_KERNEL_GS_BASE] = 0xc0000102, [MSR_STAR] = 0xc0000081,  [MSR_LSTAR] = 0xc0000082,
	[MSR_CSTAR] = 0xc0000083,          [MSR_FMASK] = 0xc0000084,
};

static const struct set {
	enum minivmm_register_set set;
	size_t offset, size;
} sets[SET_COUNT] = {
	{ MINIVMM_GENERAL, offsetof(struct registers, general), sizeof(struct minivmm_general) },
	{ MINIVMM_SYSTEM, offsetof(struct registers, system), sizeof(struct minivmm_system) },
	{ MINIVMM_XSAVE, offsetof(struct registers, xsave), XSAVE_SIZE },
	{ MINIVMM_MSRS, offsetof(struct registers, msrs), sizeof(struct minivmm_msr) * MSR_COUNT },
};

/* Reads these sets, SET_..., if they are not there. Returns 0; or -1 if one of them cannot be
 * read; the others are there then. */
static int
load(struct minivmm_device *dev, uint32_t vcpu, struct registers *r, unsigned which)
{
	int result = 0;

	for (unsigned i = 0; i < SET_COUNT; i++) {
		uint8_t *to = (uint8_t *)r + sets[i].offset;

		if (!(which & ~r->loaded & 1u << i))
			continue;
		for (unsigned m = 0; i == 3 && m < MSR_COUNT; m++)
			r->msrs[m] = (struct minivmm_msr){ .index = msr_indices[m] };
		if (minivmm_registers_read(dev, vcpu, sets[i].set, to, sets[i].size))
			result = -1;
		else
			r->loaded |= 1u << i;
	}
	return result;
}

/* Writes the sets that have changed. Returns 0 or -1. */
static int
store(struct minivmm_device *dev, uint32_t vcpu, struct registers *r)
{
	int result = 0;

	for (unsigned i = 0; i < SET_COUNT; i++)
		if ((r->changed & 1u << i) &&
		    minivmm_registers_write(dev, vcpu, sets[i].set, (uint8_t *)r + sets[i].offset,
					    sets[i].size))
			result = -1;
	r->changed = 0;
	return result;
}

/* The tag of a register of the x87 FPU, from its 80 bits: valid, zero or special. FXSAVE keeps only
 * whether it is empty (Intel's manual, volume 1, section 8.1.7). */
static unsigned
tag(const uint8_t *st)
{
	uint64_t mantissa;
	unsigned exponent = (st[8] | (unsigned)st[9] << 8) & 0x7fff;

	memcpy(&mantissa, st, 8);
	if (!exponent && !mantissa)
		return 1;
	return !exponent || exponent == 0x7fff || !(mantissa >> 63) ? 2 : 0;
}

static uint16_t
tags(const struct registers *r)
{
	const uint8_t *area = r->xsave;
	unsigned top = area[3] >> 3 & 7, word = 0;

	for (unsigned i = 0; i < 8; i++) /* physical registers; the area has them from the top */
		word |= (area[4] >> i & 1 ? tag(area + 32 + 16 * ((i - top) & 7)) : 3) << 2 * i;
	return (uint16_t)word;
}

static uint64_t
components(const struct registers *r)
{
	uint64_t bits;

	memcpy(&bits, r->xsave + XSTATE_BV, sizeof(bits));
	return bits;
}

/* The value of a register, row->size bytes. */
static void
register_get(const struct registers *r, const struct register_row *row, uint8_t value[REGISTER_MAX])
{
	uint16_t word;

	memset(value, 0, REGISTER_MAX);
	if (row->kind == REGISTER_TAGS) {
		word = tags(r);
		memcpy(value, &word, sizeof(word));
		return;
	}
	/* The upper halves that are in their initial state are zero, whatever the area contains. */
	if (row->component == 2 && !(components(r) & 4))
		return;
	memcpy(value, (const uint8_t *)r + row->offset, row->stored);
}

static bool
real_mode(const struct registers *r)
{
	return !(r->system.cr0 & CR0_PE) || (r->general.rflags & RFLAGS_VM);
}

/* In protected mode the hidden part of a segment stays as it is. */
static void
load_segment(struct registers *r, const struct register_row *row)
{
	struct minivmm_segment *segment =
	    (struct minivmm_segment *)((uint8_t *)r + row->offset -
				       offsetof(struct minivmm_segment, selector));

	if (real_mode(r))
		segment->base = (uint64_t)segment->selector << 4;
}

/* Sets a register to a value of row->size bytes. Returns 0; or -1: the value is too large. */
static int
register_put(struct registers *r, const struct register_row *row, const uint8_t *value)
{
	uint8_t empty = 0, *to = (uint8_t *)r + row->offset;
	uint64_t bits;

	if (row->kind == REGISTER_TAGS) {
		for (unsigned i = 0; i < 8; i++)
			empty |= (uint8_t)((value[i / 4] >> 2 * (i % 4) & 3) == 3) << i;
		*to = (uint8_t)~empty;
	} else {
		for (unsigned i = row->stored; i < row->size; i++)
			if (value[i])
				return -1;
		memcpy(to, value, row->stored);
	}
	if (row->set == SET_XSAVE) {
		bits = components(r) | 1ull << row->component;
		memcpy(r->xsave + XSTATE_BV, &bits, sizeof(bits));
	}
	if (row->kind == REGISTER_SELECTOR)
		load_segment(r, row);
	r->changed |= row->set;
	return 0;
}

static unsigned
architecture(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);

	return g->architecture == ARCHITECTURE_AMD64 ? IN_AMD64 : IN_I386;
}

/* The row of a number of p and P; NULL: there is none. */
static const struct register_row *
row_of(struct minivmm_device *dev, uint64_t number)
{
	unsigned in = architecture(dev);

	for (size_t i = 0; i < register_row_count; i++)
		if ((register_rows[i].in & in) && !number--)
			return &register_rows[i];
	return NULL;
}

static void
put_value(struct minivmm_device *dev, const struct registers *r, const struct register_row *row)
{
	struct gdb *g = minivmm_state(dev);
	uint8_t value[REGISTER_MAX];

	if (r->loaded & row->set) {
		register_get(r, row, value);
		packet_hex(&g->out, value, row->size);
		return;
	}
	for (unsigned i = 0; i < row->size; i++) /* not available */
		packet_text(&g->out, "xx");
}

void
gdb_read_registers(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	struct registers r = { 0 };
	unsigned in = architecture(dev);

	load(dev, g->vcpu, &r, SET_GENERAL | SET_SYSTEM | SET_XSAVE | SET_MSRS);
	if (!(r.loaded & SET_GENERAL)) {
		packet_reply(&g->out, "E01");
		return;
	}
	packet_begin(&g->out);
	for (size_t i = 0; i < register_row_count; i++)
		if (register_rows[i].in & in)
			put_value(dev, &r, &register_rows[i]);
	packet_end(&g->out);
}

/* Only what differs is written: the base of a segment follows its selector, although the packet has
 * the old base, too. */
void
gdb_write_registers(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	struct registers r = { 0 }, before;
	uint8_t value[REGISTER_MAX], old[REGISTER_MAX];
	unsigned in = architecture(dev);
	int result = load(dev, g->vcpu, &r, SET_GENERAL | SET_SYSTEM | SET_XSAVE | SET_MSRS);

	before = r;
	for (size_t i = 0; i < register_row_count && !result; i++) {
		const struct register_row *row = &register_rows[i];

		if (!(row->in & in))
			continue;
		if (!packet_bytes(&at, value, row->size)) {
			result = -1;
			break;
		}
		register_get(&before, row, old);
		if (memcmp(value, old, row->size))
			result = register_put(&r, row, value);
	}
	if (result || *at || store(dev, g->vcpu, &r))
		packet_reply(&g->out, "E01");
	else
		packet_reply(&g->out, "OK");
}

void
gdb_read_register(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	const struct register_row *row;
	struct registers r = { 0 };
	uint64_t number;

	row = packet_number(&at, &number) && !*at ? row_of(dev, number) : NULL;
	if (!row) {
		packet_reply(&g->out, "E01");
		return;
	}
	load(dev, g->vcpu, &r, row->set);
	packet_begin(&g->out);
	put_value(dev, &r, row);
	packet_end(&g->out);
}

void
gdb_write_register(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	const struct register_row *row;
	struct registers r = { 0 };
	uint8_t value[REGISTER_MAX];
	uint64_t number;
	unsigned also;

	row = packet_number(&at, &number) && packet_char(&at, '=') ? row_of(dev, number) : NULL;
	also = row && row->kind == REGISTER_SELECTOR ? SET_GENERAL : 0; /* real_mode() */
	if (!row || !packet_bytes(&at, value, row->size) || *at ||
	    load(dev, g->vcpu, &r, row->set | also) || register_put(&r, row, value) ||
	    store(dev, g->vcpu, &r))
		packet_reply(&g->out, "E01");
	else
		packet_reply(&g->out, "OK");
}

void
gdb_expedite(struct minivmm_device *dev, uint32_t vcpu)
{
	struct gdb *g = minivmm_state(dev);
	struct registers r = { 0 };
	unsigned in = architecture(dev), number = 0;

	if (load(dev, vcpu, &r, SET_GENERAL))
		return;
	for (size_t i = 0; i < register_row_count; i++) {
		const struct register_row *row = &register_rows[i];

		if (!(row->in & in))
			continue;
		if (row->offset == offsetof(struct registers, general.rip) ||
		    row->offset == offsetof(struct registers, general.rsp) ||
		    row->offset == offsetof(struct registers, general.rbp)) {
			packet_print(&g->out, "%x:", number);
			put_value(dev, &r, row);
			packet_text(&g->out, ";");
		}
		number++;
	}
}

int
gdb_set_rip(struct minivmm_device *dev, uint32_t vcpu, uint64_t rip)
{
	struct registers r = { .changed = SET_GENERAL };

	if (load(dev, vcpu, &r, SET_GENERAL))
		return -1;
	r.general.rip = rip;
	return store(dev, vcpu, &r);
}

static bool
long_mode(const struct registers *r)
{
	return (r->system.efer & EFER_LMA) && (r->system.cs.attributes & SEGMENT_LONG);
}

int
gdb_get_rip(struct minivmm_device *dev, uint32_t vcpu, uint64_t *rip, uint64_t *linear)
{
	struct registers r = { 0 };

	if (load(dev, vcpu, &r, SET_GENERAL | SET_SYSTEM))
		return -1;
	*rip = *linear = r.general.rip;
	if (!long_mode(&r))
		*linear = (uint32_t)(r.system.cs.base + *rip);
	return 0;
}

void
gdb_mode(struct minivmm_device *dev, uint32_t vcpu, char *text, size_t size)
{
	struct registers r = { 0 };

	*text = '\0';
	if (load(dev, vcpu, &r, SET_GENERAL | SET_SYSTEM))
		return;
	if (!(r.system.cr0 & CR0_PE))
		snprintf(text, size, "real mode");
	else if (r.general.rflags & RFLAGS_VM)
		snprintf(text, size, "virtual-8086 mode");
	else
		snprintf(text, size, "%s-bit, CPL %u",
			 long_mode(&r)                           ? "64"
			 : (r.system.cs.attributes & SEGMENT_32) ? "32"
								 : "16",
			 r.system.ss.attributes >> 5 & 3);
}
