/* SPDX-License-Identifier: BSD-2-Clause */
/* Config space of a PCI function: registers, BARs, capabilities. message.c has its messages. */
#include "pci/function.h"

#include <stdlib.h>
#include <string.h>

#include "pci/function_parts.h"

#define PORT_MIN 4u
#define MEMORY_MIN 16u
#define MSIX_MIN 4096u
#define ROM_MIN 2048u
#define FLR (1u << 15)         /* of Device Control, PCI Express capability + 8 */
#define FLR_CAPABLE (1u << 28) /* of Device Capabilities */

uint32_t
pci_get(const uint8_t *bytes, uint32_t offset, uint32_t width)
{
	uint32_t value = 0;

	memcpy(&value, bytes + offset, width); /* little-endian, as the host */
	return value;
}

void
pci_put(uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t value)
{
	memcpy(bytes + offset, &value, width);
}

void
pci_function_init(struct pci_function *f, const struct pci_identity *identity,
		  const struct pci_hooks *hooks, void *context)
{
	memset(f, 0, sizeof(*f));
	f->hooks = hooks;
	f->context = context;
	f->next = PCI_FIRST_CAPABILITY;
	pthread_mutex_init(&f->lock, NULL);
	pci_put(f->config, PCI_VENDOR, 2, identity->vendor);
	pci_put(f->config, PCI_DEVICE, 2, identity->device);
	pci_put(f->config, PCI_REVISION, 1, identity->revision);
	pci_put(f->config, PCI_CLASS, 3, identity->class_code);
	pci_put(f->config, PCI_SUBSYSTEM_VENDOR, 2, identity->subsystem_vendor);
	pci_put(f->config, PCI_SUBSYSTEM, 2, identity->subsystem);
	pci_put(f->config, PCI_INTERRUPT_PIN, 1, identity->pin);
	pci_put(f->config, PCI_INTERRUPT_LINE, 1, PCI_LINE_NONE);
	pci_put(f->writable, PCI_COMMAND, 2, PCI_BUS_MASTER | (identity->pin ? PCI_NO_INTX : 0));
	pci_put(f->writable, PCI_CACHE_LINE, 1, 0xff);
	pci_put(f->writable, PCI_INTERRUPT_LINE, 1, 0xff);
}

void
pci_function_free(struct pci_function *f)
{
	free(f->vectors);
	pthread_mutex_destroy(&f->lock);
}

static uint64_t
power_of_two(uint64_t size)
{
	return size < 2 ? 1 : 1ull << (64 - __builtin_clzll(size - 1));
}

int
pci_function_region(struct pci_function *f, uint32_t index, uint32_t space, uint64_t size,
		    bool wide, bool prefetchable)
{
	struct pci_region *r = &f->regions[index];
	uint32_t at = index == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * index;
	uint64_t least = index == PCI_ROM ? ROM_MIN : space == MINIVMM_PIO ? PORT_MIN : MEMORY_MIN;
	uint64_t mask;

	if (r->size || !size || size > PCI_REGION_MOST(wide) ||
	    (wide && (index + 1 >= PCI_BARS || f->regions[index + 1].size)) ||
	    (index && index < PCI_BARS && f->regions[index - 1].wide))
		return -1;
	*r = (struct pci_region){
		.size = power_of_two(size < least ? least : size),
		.space = space,
		.wide = wide,
		.prefetchable = prefetchable,
	};
	mask = ~(r->size - 1);
	pci_put(f->writable, at, 4, (uint32_t)mask | (index == PCI_ROM));
	if (space == MINIVMM_PIO)
		pci_put(f->config, at, 4, 1);
	else if (index != PCI_ROM)
		pci_put(f->config, at, 4, (wide ? 4u : 0) | (prefetchable ? 8u : 0));
	if (wide)
		pci_put(f->writable, at + 4, 4, (uint32_t)(mask >> 32));
	f->writable[PCI_COMMAND] |= space == MINIVMM_PIO ? PCI_DECODE_IO : PCI_DECODE_MEMORY;
	return 0;
}

uint32_t
pci_function_capability(struct pci_function *f, uint8_t id, const void *bytes, const void *writable,
			size_t length)
{
	uint32_t at = f->next;

	if (length < 2 || length > PCI_EXTENDED - at)
		return 0;
	memcpy(f->config + at, bytes, length);
	f->config[at] = id;
	f->config[at + 1] = 0;
	if (writable)
		memcpy(f->writable + at, writable, length);
	f->writable[at] = f->writable[at + 1] = 0;
	f->config[f->last ? f->last + 1 : PCI_CAPABILITIES] = (uint8_t)at;
	f->config[PCI_STATUS] |= PCI_STATUS_LIST;
	f->last = at;
	f->next = (uint32_t)((at + length + 3) & ~3ull);
	return at;
}

int
pci_function_express(struct pci_function *f)
{
	/* Version 2, an endpoint in the root complex: no link registers. */
	uint8_t bytes[0x3c] = { 0, 0, 0x92, 0 }, writable[0x3c] = { 0 };

	pci_put(bytes, 4, 4, FLR_CAPABLE);
	pci_put(writable, 8, 2, 0x7fff); /* Device Control; FLR reads as 0 */
	f->express = pci_function_capability(f, PCI_CAP_EXPRESS, bytes, writable, sizeof(bytes));
	return f->express ? 0 : -1;
}

void
pci_function_multiple(struct pci_function *f)
{
	f->config[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
	f->initial[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
}

void
pci_function_seal(struct pci_function *f)
{
	memcpy(f->initial, f->config, sizeof(f->initial));
}

/* The address in a BAR's registers. */
static uint64_t
address_of(const struct pci_function *f, uint32_t index)
{
	const struct pci_region *r = &f->regions[index];
	uint32_t at = index == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * index;
	uint64_t address = pci_get(f->config, at, 4);

	if (r->wide)
		address |= (uint64_t)pci_get(f->config, at + 4, 4) << 32;
	return address & ~(r->size - 1);
}

static bool
decodes(const struct pci_function *f, uint32_t index)
{
	const struct pci_region *r = &f->regions[index];
	uint32_t bit = r->space == MINIVMM_PIO ? PCI_DECODE_IO : PCI_DECODE_MEMORY;

	return r->size && (f->config[PCI_COMMAND] & bit) &&
	       (index != PCI_ROM || (f->config[PCI_ROM_ADDRESS] & 1));
}

void
pci_place_regions(struct pci_function *f)
{
	for (uint32_t i = 0; i < PCI_REGIONS; i++) {
		struct pci_region *r = &f->regions[i], was = *r;

		r->mapped = decodes(f, i);
		r->base = address_of(f, i);
		if (r->mapped != was.mapped || (r->mapped && r->base != was.base))
			f->hooks->moved(f, i, &was);
	}
}

void
pci_show_line(struct pci_function *f)
{
	bool enabled =
	    !(pci_get(f->config, PCI_COMMAND, 2) & PCI_NO_INTX) && !pci_messages_enabled(f);

	f->hooks->line(f, f->intx && enabled);
}

/* Updates the bits of config space that the device changes. */
static void
refresh(struct pci_function *f)
{
	pci_put(f->config, PCI_STATUS, 1,
		(f->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (f->intx ? PCI_STATUS_INTX : 0));
	pci_refresh_pending(f);
}

int
pci_function_watch(struct pci_function *f, uint32_t at, uint32_t length)
{
	if (f->watched_count == PCI_WATCHED)
		return -1;
	f->watched[f->watched_count].at = at;
	f->watched[f->watched_count++].length = length;
	return 0;
}

/* Returns the number of the watched capability that contains these bytes, and copies it to bytes;
 * PCI_WATCHED: there is none. */
static uint32_t
watched(const struct pci_function *f, uint32_t offset, uint32_t width, uint8_t *bytes)
{
	for (uint32_t i = 0; i < f->watched_count; i++) {
		uint32_t at = f->watched[i].at, length = f->watched[i].length;

		if (offset >= at && offset + width <= at + length) {
			memcpy(bytes, f->config + at, length);
			return i;
		}
	}
	return PCI_WATCHED;
}

uint32_t
pci_function_read(struct pci_function *f, uint32_t offset, uint32_t width)
{
	uint8_t bytes[PCI_EXTENDED];
	uint32_t value, number;

	pthread_mutex_lock(&f->lock);
	refresh(f);
	value = pci_get(f->config, offset, width);
	number = watched(f, offset, width, bytes);
	pthread_mutex_unlock(&f->lock);
	if (number < PCI_WATCHED)
		f->hooks->read(f, number, bytes, offset - f->watched[number].at, width, &value);
	return value;
}

static bool
touches(uint32_t offset, uint32_t width, uint32_t at, uint32_t bytes)
{
	return offset < at + bytes && offset + width > at;
}

/* Returns the bits of a write to offset that belong to the register at the offset at. */
static uint64_t
part(uint32_t offset, uint32_t value, uint32_t at)
{
	return at >= offset ? (uint64_t)value >> 8 * (at - offset)
			    : (uint64_t)value << 8 * (offset - at);
}

void
pci_function_write(struct pci_function *f, uint32_t offset, uint32_t width, uint32_t value)
{
	uint8_t bytes[PCI_EXTENDED];
	uint32_t number;
	bool reset;

	pthread_mutex_lock(&f->lock);
	reset = f->express && touches(offset, width, f->express + 8, 2) &&
		(part(offset, value, f->express + 8) & FLR);
	for (uint32_t i = 0; i < width; i++) {
		uint8_t bits = f->writable[offset + i], byte = (uint8_t)(value >> (8 * i));

		f->config[offset + i] = (uint8_t)((f->config[offset + i] & ~bits) | (byte & bits));
	}
	if (touches(offset, width, PCI_COMMAND, 2))
		f->hooks->master(f, f->config[PCI_COMMAND] & PCI_BUS_MASTER);
	if (touches(offset, width, PCI_COMMAND, 2) ||
	    touches(offset, width, PCI_BAR0, 4 * PCI_BARS) ||
	    touches(offset, width, PCI_ROM_ADDRESS, 4))
		pci_place_regions(f);
	pci_messages_changed(f);
	pci_show_line(f);
	number = watched(f, offset, width, bytes);
	pthread_mutex_unlock(&f->lock);
	if (number < PCI_WATCHED)
		f->hooks->written(f, number, bytes, offset - f->watched[number].at, width);
	if (reset) {
		f->hooks->reset(f);
		pci_function_reset(f);
	}
}

void
pci_function_reset(struct pci_function *f)
{
	pthread_mutex_lock(&f->lock);
	memcpy(f->config, f->initial, sizeof(f->config));
	pci_messages_reset(f);
	f->intx = false;
	f->hooks->master(f, false);
	pci_place_regions(f);
	pci_show_line(f);
	pthread_mutex_unlock(&f->lock);
}

void
pci_function_intx(struct pci_function *f, bool up)
{
	pthread_mutex_lock(&f->lock);
	f->intx = up;
	pci_show_line(f);
	pthread_mutex_unlock(&f->lock);
}
