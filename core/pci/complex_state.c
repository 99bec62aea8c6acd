/* SPDX-License-Identifier: BSD-2-Clause */
/* Saves and loads the root complex with its functions. */
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"
#include "pci/complex.h"

#define ADDRESS_BITS 0x80fffffcu
#define PCI_NAME_BYTES 32u /* of the header of a function, or of "address" with its value */

/* For example "3.1": slot and number of the function. */
static const char *
name_of(const struct pci_member *member, char *buffer, size_t size)
{
	snprintf(buffer, size, "%u.%u", member->slot, member->number);
	return buffer;
}

void
pci_complex_save(struct pci_complex *c, struct record_writer *writer)
{
	char name[16];

	record_known_names(writer, true);
	record_put_u32(writer, "address", atomic_load(&c->root.address));
	for (uint32_t i = 0; i < c->count; i++) {
		record_begin(writer, name_of(&c->members[i], name, sizeof(name)), RECORD_GROUP);
		pci_function_save(&c->members[i].function, writer);
		record_end(writer);
	}
	record_known_names(writer, false);
}

size_t
pci_complex_state_size(const struct pci_complex *c)
{
	size_t sum = PCI_NAME_BYTES;

	for (uint32_t i = 0; i < c->count; i++)
		sum += PCI_NAME_BYTES + pci_function_state_size(&c->members[i].function);
	return sum;
}

int
pci_complex_valid(const struct pci_complex *c, const struct record *group, struct why *why)
{
	uint64_t address;
	struct record item;
	struct why inner;
	char name[16];
	size_t position = 0, items = 0;

	if (!record_get_u64(group, "address", &address) || address & ~(uint64_t)ADDRESS_BITS)
		return why_set(why, "address is missing or invalid");
	for (uint32_t i = 0; i < c->count; i++) {
		name_of(&c->members[i], name, sizeof(name));
		if (!record_find(group, name, &item) || item.type != RECORD_GROUP)
			return why_set(why, "function %s is missing", name);
		if (pci_function_valid(&c->members[i].function, &item, &inner))
			return why_set(why, "function %s: %s", name, inner.text);
	}
	while (record_next(group, &position, &item))
		items++;
	return items == c->count + 1 ? 0 : why_set(why, "it has a function that no device has");
}

void
pci_complex_load(struct pci_complex *c, const struct record *group)
{
	struct bus *bus = &c->machine->bus;
	struct record_lookup lookup;
	uint64_t address = 0;
	struct record item;
	char name[16];

	record_get_u64(group, "address", &address);
	if (!mutant("pci", "config_address"))
		atomic_store(&c->root.address, (uint32_t)address);
	bus_place_many(bus, true);
	record_lookup_open(&lookup, group);
	for (uint32_t i = 0; i < c->count; i++) {
		name_of(&c->members[i], name, sizeof(name));
		if (record_lookup_find(&lookup, name, strlen(name), &item))
			pci_function_load(&c->members[i].function, &item);
	}
	record_lookup_close(&lookup);
	bus_place_many(bus, false);
}
