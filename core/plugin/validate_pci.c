/* SPDX-License-Identifier: BSD-2-Clause */
/* Validates the table pci: PCI functions and their BARs. */
#include <string.h>

#include "base/text.h"
#include "plugin/adopt.h"

#define BARS 6u
#define ALL_BARS ((1u << BARS) - 1)
#define SLOT_MOST 31u
#define MSIX_MOST 2048u
#define MSI_MOST 32u
#define CAPABILITY_MOST 190u /* bytes in config space behind the header and an id */

bool
plugin_has_bar(const struct plugin *plugin, uint32_t range)
{
	for (uint32_t i = 0; i < plugin->pci_count; i++)
		for (const struct minivmm_bar *b = plugin->descriptor.pci[i].bars; b && b->type;
		     b++)
			if (b->range == range)
				return true;
	return false;
}

const char *
plugin_range_name(const struct plugin *plugin, uint32_t range)
{
	static const char *const names[] = { "bar0", "bar1", "bar2", "bar3", "bar4", "bar5" };

	if (plugin->descriptor.ranges[range].at)
		return plugin->descriptor.ranges[range].at;
	for (uint32_t i = 0; i < plugin->pci_count; i++)
		for (const struct minivmm_bar *b = plugin->descriptor.pci[i].bars; b && b->type;
		     b++)
			if (b->range == range && b->number < BARS)
				return b->type == MINIVMM_BAR_ROM ? "rom" : names[b->number];
	return "?";
}

/* Checks one BAR. taken: a bit for each number that has one; bit BARS: the ROM. */
static int
check_bar(struct adoption *a, uint32_t index, const struct minivmm_bar *bar, uint32_t *taken)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;
	uint32_t number = bar->type == MINIVMM_BAR_ROM ? BARS : bar->number;
	uint32_t space = bar->type == MINIVMM_BAR_PORTS ? MINIVMM_PIO : MINIVMM_MMIO, bits;

	if (adopt_flags(a, "a BAR of ", a->plugin->descriptor.pci[index].slot, bar->flags, 0))
		return -1;
	if (!bar->type || bar->type > MINIVMM_BAR_ROM)
		return why_set(a->why, "pci[%u] has a BAR of the unknown type %u", index,
			       bar->type);
	if (bar->number >= BARS || (plugin_bar_is_wide(bar) && bar->number == BARS - 1) ||
	    (bar->type == MINIVMM_BAR_ROM && bar->number))
		return why_set(a->why, "pci[%u] has no room for a BAR %u", index, bar->number);
	bits = plugin_bar_is_wide(bar) ? 3u << number : 1u << number;
	if (*taken & bits)
		return why_set(a->why, "pci[%u] defines a second BAR %u", index, bar->number);
	*taken |= bits;
	if (bar->range >= a->plugin->range_count)
		return why_set(a->why, "pci[%u]: BAR %u refers to range %u, the table has %u rows",
			       index, bar->number, bar->range, a->plugin->range_count);
	if (d->ranges[bar->range].space != space)
		return why_set(a->why, "pci[%u]: BAR %u and its range %u differ in space", index,
			       bar->number, bar->range);
	return 0;
}

/* A range has one BAR at most: it is at one address. */
static int
check_ranges_once(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;

	for (uint32_t range = 0; range < a->plugin->range_count; range++) {
		uint32_t bars = 0;

		for (uint32_t i = 0; i < a->plugin->pci_count; i++)
			for (const struct minivmm_bar *b = d->pci[i].bars; b && b->type; b++)
				bars += b->range == range;
		if (bars > 1)
			return why_set(a->why, "range %u has %u BARs; it can have one", range,
				       bars);
	}
	return 0;
}

/* A member for interrupts: the vectors, or the one for the pin. */
struct member {
	const char *name;
	uint64_t offset, bytes;
};

static struct member
member_of(const struct minivmm_pci *row, bool pin)
{
	const uint64_t one = sizeof(struct minivmm_irq);

	return pin ? (struct member){ "interrupt", row->intx_offset, row->has_intx ? one : 0 }
		   : (struct member){ "vectors", row->vectors_offset, row->vectors * one };
}

/* The core writes handles into the members of interrupts: no other row has a part of them. */
static int
check_member(struct adoption *a, uint32_t index, bool pin)
{
	const struct minivmm_pci *rows = a->plugin->descriptor.pci;
	const struct member m = member_of(&rows[index], pin);
	const char *kind, *name = m.bytes ? adopt_user(a->plugin, m.offset, m.bytes, &kind) : NULL;

	if (name)
		return why_set(a->why, "pci[%u]: its %s and %s %s share a member; use another one",
			       index, m.name, kind, name);
	for (uint32_t i = 0; i < 2 * index + pin; i++) {
		const struct member other = member_of(&rows[i / 2], i % 2);

		if (m.bytes && other.bytes && m.offset < other.offset + other.bytes &&
		    other.offset < m.offset + m.bytes)
			return why_set(a->why,
				       "pci[%u]: its %s and the %s of pci[%u] share a member; use "
				       "another one",
				       index, m.name, other.name, i / 2);
	}
	return 0;
}

static int
check_interrupts(struct adoption *a, uint32_t index, const struct minivmm_pci *row, uint32_t taken)
{
	const uint32_t one = sizeof(struct minivmm_irq);
	uint32_t most = row->flags & MINIVMM_MSI ? MSI_MOST : MSIX_MOST;

	if (row->vectors > most)
		return why_set(a->why, "pci[%u] has %u vectors; at most %u are possible", index,
			       row->vectors, most);
	if (row->flags & MINIVMM_MSI && row->vectors & (row->vectors - 1))
		return why_set(a->why, "pci[%u] has %u MSI vectors, which is not a power of 2",
			       index, row->vectors);
	if (row->vectors &&
	    !adopt_fits(a->plugin, row->vectors_offset, (uint64_t)row->vectors * one))
		return why_set(a->why, "pci[%u]: its vectors lie outside the state", index);
	if (row->has_intx && !adopt_fits(a->plugin, row->intx_offset, one))
		return why_set(a->why, "pci[%u]: its interrupt lies outside the state", index);
	if (row->vectors && !(row->flags & MINIVMM_MSI) && (taken & ALL_BARS) == ALL_BARS)
		return why_set(a->why, "pci[%u] has no BAR left for its MSI-X table", index);
	return check_member(a, index, false) || check_member(a, index, true) ? -1 : 0;
}

/* Whether a row ends its table: all of it is zero. */
static bool
is_end(const struct minivmm_bar *bar)
{
	return !memcmp(bar, &(const struct minivmm_bar){ 0 }, sizeof(*bar));
}

static int
check_capabilities(struct adoption *a, uint32_t index, const struct minivmm_pci *row)
{
	uint32_t i = 0;

	for (const struct minivmm_capability *c = row->capabilities; c && c->id; c++, i++) {
		if (c->id > 255)
			return why_set(a->why,
				       "pci[%u]: capability %u has the id %u; at most 255 "
				       "is possible",
				       index, i, c->id);
		if (!c->length || c->length > CAPABILITY_MOST)
			return why_set(a->why,
				       "pci[%u]: capability %u has %u bytes; 1 to %u are possible",
				       index, i, c->length, CAPABILITY_MOST);
		if (adopt_loaded(c->bytes) < c->length ||
		    (c->writable && adopt_loaded(c->writable) < c->length))
			return why_set(a->why,
				       "pci[%u]: the bytes of capability %u are outside "
				       "the plugin's file",
				       index, i);
	}
	return 0;
}

static int
check_function(struct adoption *a, uint32_t index)
{
	const struct minivmm_pci *first = a->plugin->descriptor.pci, *row = &first[index];
	uint32_t taken = 0;
	uint8_t intx; /* a binding for another language can set any byte */

	if (!row->slot || (index && strcmp(row->slot, first->slot) != 0))
		return why_set(a->why, "pci[%u] has no slot, or another one than pci[0]", index);
	if (row->vendor == 0 || row->vendor == 0xffff || row->class_code > 0xffffff)
		return why_set(a->why,
			       "pci[%u] has vendor 0x%x and class 0x%x, which no function "
			       "can have",
			       index, row->vendor, row->class_code);
	memcpy(&intx, &row->has_intx, sizeof(intx));
	if (intx > 1)
		return why_set(a->why, "pci[%u]: has_intx is %u, neither true nor false", index,
			       intx);
	if (adopt_flags(a, "pci row of ", row->slot, row->flags, MINIVMM_MSI))
		return -1;
	for (const struct minivmm_bar *bar = row->bars; bar && !is_end(bar); bar++)
		if (check_bar(a, index, bar, &taken))
			return -1;
	return check_interrupts(a, index, row, taken) || check_capabilities(a, index, row) ? -1 : 0;
}

static int
check_slot(struct adoption *a, const struct minivmm_pci *row)
{
	const char *initial = row->slot_initial;
	uint64_t slot;

	if (!initial || !strcmp(initial, "none") || !strcmp(initial, "next") ||
	    (!parse_u64(initial, &slot, NULL) && slot && slot <= SLOT_MOST))
		return 0;
	return why_set(a->why, "option %s: initial = %s is neither none, next nor 1 to %u",
		       row->slot, initial, SLOT_MOST);
}

int
adopt_pci(struct adoption *a)
{
	const struct minivmm_pci *rows = a->plugin->descriptor.pci;

	if (a->plugin->pci_count > 8)
		return why_set(a->why, "pci has %u functions; a device has 8 at most",
			       a->plugin->pci_count);
	for (uint32_t i = 0; i < a->plugin->pci_count; i++)
		if (check_function(a, i))
			return -1;
	if (!a->plugin->pci_count)
		return 0;
	if (check_ranges_once(a) || check_slot(a, rows))
		return -1;
	return adopt_option(a, "pci", 0,
			    (struct minivmm_option){ .name = rows->slot,
						     .type = PLUGIN_SLOT,
						     .offset = PLUGIN_NO_MEMBER,
						     .initial = rows->slot_initial,
						     .help = rows->help },
			    !rows->slot_initial);
}
