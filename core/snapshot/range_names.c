/* SPDX-License-Identifier: BSD-2-Clause */
/* Saves and loads the names of address ranges. */
#include "snapshot/range_names.h"

#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "machine/machine.h"

static const char *
space_name(uint32_t space)
{
	return space == MINIVMM_PIO ? "pio" : "mmio";
}

static void
put(struct record_writer *writer, const char *name, const char *space, uint64_t at, uint64_t size)
{
	record_begin(writer, NULL, RECORD_GROUP);
	record_put_text(writer, "name", name);
	record_put_text(writer, "space", space);
	record_put_u64(writer, "at", at);
	record_put_u64(writer, "size", size);
	record_end(writer);
}

static void
put_device(const struct device *device, struct record_writer *writer)
{
	static const uint32_t spaces[] = { MINIVMM_PIO, MINIVMM_MMIO };

	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		const struct bus_range *range = NULL;

		while ((range = device_range(device, spaces[i], range)))
			put(writer, device_name(device), space_name(spaces[i]), range->base,
			    range->length);
	}
}

void
range_names_save(const struct machine *machine, const struct devices *devices,
		 struct record_writer *writer)
{
	const struct memory *memory = &machine->memory;

	record_begin(writer, "ranges", RECORD_LIST);
	for (uint32_t i = 0; i < memory->name_count; i++) {
		const struct memory_name *name = memory_name_at(memory, i);

		put(writer, name->text, "memory", name->gpa, name->size);
	}
	for (size_t i = 0; machine_irqchip(machine) && layout_chip_number(i); i++) {
		const struct layout_chip *chip = layout_chip_number(i);

		put(writer, chip->name, space_name(chip->space), chip->first,
		    chip->last - chip->first + 1);
	}
	for (size_t i = 0; i < devices->count; i++)
		put_device(devices_at(devices, i), writer);
	record_end(writer);
}

/* Reads an element of the list. *space is not terminated. */
static int
get(const struct record *item, struct record *name, struct record *space, uint64_t *at,
    uint64_t *size, struct why *why)
{
	static const char *const names[] = { "name", "space", "at", "size", NULL };

	if (!record_find(item, "name", name) || name->type != RECORD_TEXT ||
	    !record_find(item, "space", space) || space->type != RECORD_TEXT ||
	    !record_get_u64(item, "at", at) || !record_get_u64(item, "size", size))
		return why_set(why, "ranges has an element without name, space, at or size");
	return record_only(item, names, why);
}

int
range_names_valid(const struct record *record, struct why *why)
{
	static const char *const names[] = { "ranges", NULL };
	struct record list, item, name, space;
	size_t position = 0;
	uint64_t at, size;

	if (!record_find(record, "ranges", &list) || list.type != RECORD_LIST)
		return why_set(why, "ranges is missing or is not a list");
	while (record_next(&list, &position, &item))
		if (get(&item, &name, &space, &at, &size, why))
			return -1;
	return record_only(record, names, why);
}

void
range_names_load(struct memory *memory, const struct record *record)
{
	struct record list, item, name = { 0 }, space = { 0 };
	uint64_t at = 0, size = 0;
	size_t position = 0;
	char text[64];

	if (!record || !record_find(record, "ranges", &list))
		return;
	while (record_next(&list, &position, &item)) {
		if (get(&item, &name, &space, &at, &size, NULL) || space.count != 6 ||
		    memcmp(space.data, "memory", 6))
			continue;
		snprintf(text, sizeof(text), "%.*s", name.count < 63 ? (int)name.count : 63,
			 (const char *)name.data);
		memory_note(memory, text, NULL, at, size);
	}
}
