/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshot files whose metadata is as expensive as the format allows, with valid checksums. Each is
 * made from a snapshot of the program, by a row of costly_kinds, with a number of items. For tests,
 * the fuzzer and the benchmarks.
 */
#ifndef UNIT_COSTLY_H
#define UNIT_COSTLY_H

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot/crc.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

/* Items under construction. No checks: names may repeat. */
struct costly_bytes {
	uint8_t *data;
	size_t length, room;
};

static inline uint8_t *
costly_extend(struct costly_bytes *to, size_t length)
{
	while (to->length + length > to->room) {
		to->room = to->room ? 2 * to->room : 4096;
		to->data = realloc(to->data, to->room);
		if (!to->data)
			err(2, "realloc");
	}
	to->length += length;
	return to->data + to->length - length;
}

/* Returns the offset of the item, for costly_end. */
static inline size_t
costly_put(struct costly_bytes *to, const char *name, uint8_t type, const void *bytes,
	   uint32_t count)
{
	size_t length = strlen(name), begin = to->length;
	size_t size = count * record_width((enum record_type)(type & ~RECORD_ARRAY));
	uint8_t *at = costly_extend(to, 6 + length + size);

	at[0] = type;
	at[1] = (uint8_t)length;
	memcpy(at + 2, name, length);
	memcpy(at + 2 + length, &count, 4);
	if (size)
		memcpy(at + 6 + length, bytes, size);
	return begin;
}

/* Ends a group or list that costly_put began with count 0. */
static inline void
costly_end(struct costly_bytes *to, size_t begin)
{
	uint8_t *at = to->data + begin;
	uint32_t count = (uint32_t)(to->length - begin - 6 - at[1]);

	memcpy(at + 2 + at[1], &count, 4);
}

static inline void
costly_value(struct costly_bytes *to, unsigned long number, uint8_t value)
{
	char name[64];

	snprintf(name, sizeof(name), "%lx", number);
	costly_put(to, name, RECORD_U8, &value, 1);
}

#define COSTLY_GROUP 4000ul /* items in a group, below RECORD_ITEMS */

/* Groups of items with a value, with names in descending order if reversed. */
static inline void
costly_groups(struct costly_bytes *to, unsigned long items, bool reversed, uint8_t value)
{
	for (unsigned long first = 0; first < items; first += COSTLY_GROUP) {
		unsigned long count = items - first < COSTLY_GROUP ? items - first : COSTLY_GROUP;
		char name[32];
		size_t group;

		snprintf(name, sizeof(name), "g%lx", first);
		group = costly_put(to, name, RECORD_GROUP, NULL, 0);
		for (unsigned long i = 0; i < count; i++)
			costly_value(to, reversed ? count - i : i + 1, value);
		costly_end(to, group);
	}
}

static inline void
costly_items(struct costly_bytes *to, unsigned long items)
{
	costly_groups(to, items, false, 1);
}

static inline void
costly_reversed(struct costly_bytes *to, unsigned long items)
{
	costly_groups(to, items, true, 1);
}

static inline void
costly_changed(struct costly_bytes *to, unsigned long items)
{
	costly_groups(to, items, false, 2);
}

/* An empty group in a list costs six bytes. */
static inline void
costly_list(struct costly_bytes *to, unsigned long items)
{
	size_t list = costly_put(to, "list", RECORD_LIST, NULL, 0);

	for (unsigned long i = 0; i < items; i++)
		costly_put(to, "", RECORD_GROUP, NULL, 0);
	costly_end(to, list);
}

/* The items are at the bottom of the deepest nest. */
static inline void
costly_nest(struct costly_bytes *to, unsigned long items)
{
	size_t open[RECORD_DEPTH - 3];
	unsigned depth = 0;

	for (; depth < sizeof(open) / sizeof(*open); depth++)
		open[depth] = costly_put(to, "~", RECORD_GROUP, NULL, 0);
	costly_groups(to, items, false, 1);
	while (depth)
		costly_end(to, open[--depth]);
}

/* MSRs and CPUID leaves, as many as inspect decodes. */
static inline void
costly_msrs(struct costly_bytes *to, unsigned long items)
{
	uint32_t count = (uint32_t)(items < RECORD_ITEMS ? items : RECORD_ITEMS), *words;
	size_t group;

	words = calloc(count, 12);
	if (!words)
		err(2, "calloc");
	for (uint32_t i = 0; i < count; i++)
		words[i] = i;
	group = costly_put(to, "msrs", RECORD_GROUP, NULL, 0);
	costly_put(to, "index", RECORD_U32 | RECORD_ARRAY, words, count);
	costly_put(to, "value", RECORD_U64 | RECORD_ARRAY, words, count);
	costly_end(to, group);
	group = costly_put(to, "cpuid", RECORD_GROUP, NULL, 0);
	costly_put(to, "entries", RECORD_U32 | RECORD_ARRAY, words, count / 10 * 10);
	costly_end(to, group);
	free(words);
}

/* Where the items go. */
enum costly_place {
	COSTLY_STATE,    /* into the state of the first device */
	COSTLY_VCPU,     /* beside the items of the vCPU */
	COSTLY_VM,       /* beside those of the machine */
	COSTLY_OPTIONS,  /* into the options of the first device in the config */
	COSTLY_SECTIONS, /* each into a device section of its own */
	COSTLY_DEVICES,  /* each as a device of the config, and a section */
	COSTLY_CHIP,     /* as vCPU 0, in place of its MSRs and CPUID */
	COSTLY_MEMORY,   /* each as 64 KiB of memory, a hole whose checksum says that it is none */
};

static const struct costly_kind {
	const char *name;
	enum costly_place place;
	void (*put)(struct costly_bytes *to, unsigned long items);
	unsigned long max; /* items; 0: no limit but the size of the metadata */
} costly_kinds[] = {
	{ "items", COSTLY_STATE, costly_items, 0 },
	{ "reversed", COSTLY_STATE, costly_reversed, 0 },
	{ "changed", COSTLY_STATE, costly_changed, 0 }, /* other values than those of items */
	{ "list", COSTLY_STATE, costly_list, 0 },
	{ "nest", COSTLY_STATE, costly_nest, 0 },
	{ "vcpu-items", COSTLY_VCPU, costly_items, 0 },
	{ "vm-items", COSTLY_VM, costly_items, 0 },
	{ "msrs", COSTLY_CHIP, costly_msrs, RECORD_ITEMS },
	{ "options", COSTLY_OPTIONS, NULL, 1000 },
	{ "sections", COSTLY_SECTIONS, NULL, 4000 },
	{ "devices", COSTLY_DEVICES, NULL, 1000 },
	{ "holes", COSTLY_MEMORY, NULL, 60000 },
};
#define COSTLY_KINDS (sizeof(costly_kinds) / sizeof(*costly_kinds))

static inline const struct costly_kind *
costly_find(const char *name)
{
	for (size_t i = 0; i < COSTLY_KINDS; i++)
		if (!strcmp(costly_kinds[i].name, name))
			return &costly_kinds[i];
	errx(2, "there is no kind %s", name);
}

/* Copies a group's items; the one with this name gets the extra bytes at its end. */
static inline void
costly_copy(struct costly_bytes *to, const struct record *group, const char *name,
	    const struct costly_bytes *extra)
{
	struct record item;
	size_t position = 0;

	while (record_next(group, &position, &item)) {
		size_t size = item.count * record_width((enum record_type)item.type);
		const uint8_t *begin = (const uint8_t *)item.name - 2;
		size_t at = to->length;

		memcpy(costly_extend(to, 6u + item.name_length + size), begin,
		       6u + item.name_length + size);
		if (!name || !record_is(&item, name))
			continue;
		if (extra->length)
			memcpy(costly_extend(to, extra->length), extra->data, extra->length);
		costly_end(to, at);
	}
}

/* A device section, or a device of the config. */
static inline void
costly_device(struct costly_bytes *to, unsigned long number, bool section)
{
	char name[32];
	size_t group;

	snprintf(name, sizeof(name), "d%lx", number);
	costly_put(to, "name", RECORD_TEXT, name, (uint32_t)strlen(name));
	costly_put(to, "plugin", RECORD_TEXT, "serial", 6);
	if (section)
		costly_put(to, "version", RECORD_U32, "\1\0\0", 1);
	for (int i = 0; i < (section ? 3 : 2); i++) {
		static const char *const groups[] = { "options", "set", "state", "timers",
						      "streams" };

		group = costly_put(to, groups[section ? 2 + i : i], RECORD_GROUP, NULL, 0);
		costly_end(to, group);
	}
	if (section)
		costly_put(to, "random", RECORD_U64 | RECORD_ARRAY,
			   "........................................", 4);
}

/* The config with more options of its first device, or more devices. */
static inline void
costly_config(struct costly_bytes *to, const struct record *config, const struct costly_kind *kind,
	      unsigned long items)
{
	struct costly_bytes extra = { .data = NULL }, device = { .data = NULL };
	size_t position = 0, element = 0;
	struct record item, first;

	while (record_next(config, &position, &item)) {
		size_t list, at;

		if (!record_is(&item, "devices")) {
			size_t size = item.count * record_width((enum record_type)item.type);

			memcpy(costly_extend(to, 6u + item.name_length + size),
			       (const uint8_t *)item.name - 2, 6u + item.name_length + size);
			continue;
		}
		list = costly_put(to, "devices", RECORD_LIST, NULL, 0);
		record_next(&item, &element, &first);
		at = costly_put(to, "", RECORD_GROUP, NULL, 0);
		for (unsigned long i = 0; kind->place == COSTLY_OPTIONS && i < items; i++) {
			char name[32];

			snprintf(name, sizeof(name), "o%lx", i);
			costly_put(&extra, name, RECORD_TEXT, "", 0);
		}
		costly_copy(to, &first, "options", &extra);
		costly_end(to, at);
		for (unsigned long i = 0; kind->place == COSTLY_DEVICES && i < items; i++) {
			at = costly_put(to, "", RECORD_GROUP, NULL, 0);
			costly_device(to, i, false);
			costly_end(to, at);
		}
		costly_end(to, list);
	}
	free(extra.data);
	free(device.data);
}

/* The section, changed as the kind says. */
static inline void
costly_section(struct costly_bytes *to, uint32_t tag, const struct record *record,
	       const struct costly_kind *kind, unsigned long items)
{
	struct costly_bytes extra = { .data = NULL };
	struct record item;
	size_t position = 0;

	if (kind->put)
		kind->put(&extra, items);
	if (tag == SECTION_CONFIG)
		costly_config(to, record, kind, items);
	else if (tag == SECTION_DEVICE && kind->place == COSTLY_STATE)
		costly_copy(to, record, "state", &extra);
	else if (tag == SECTION_VCPU && kind->place == COSTLY_CHIP) {
		while (record_next(record, &position, &item))
			if (!record_is(&item, "msrs") && !record_is(&item, "cpuid"))
				memcpy(costly_extend(
					   to, 6u + item.name_length +
						   item.count *
						       record_width((enum record_type)item.type)),
				       (const uint8_t *)item.name - 2,
				       6u + item.name_length +
					   item.count * record_width((enum record_type)item.type));
		memcpy(costly_extend(to, extra.length), extra.data, extra.length);
	} else {
		costly_copy(to, record, NULL, NULL);
		if ((tag == SECTION_VCPU && kind->place == COSTLY_VCPU) ||
		    (tag == SECTION_VM && kind->place == COSTLY_VM))
			memcpy(costly_extend(to, extra.length), extra.data, extra.length);
	}
	free(extra.data);
}

/* A memory map of one region. */
static inline void
costly_map(struct costly_bytes *to, uint64_t gpa, uint64_t size)
{
	size_t list = costly_put(to, "regions", RECORD_LIST, NULL, 0);
	size_t group = costly_put(to, "", RECORD_GROUP, NULL, 0);
	const uint64_t offset = 0;

	costly_put(to, "gpa", RECORD_U64, &gpa, 1);
	costly_put(to, "size", RECORD_U64, &size, 1);
	costly_put(to, "offset", RECORD_U64, &offset, 1);
	costly_end(to, group);
	costly_end(to, list);
}

/* Sets vm.memory in a copied config. */
static inline void
costly_set_memory(struct costly_bytes *config, uint64_t size)
{
	const struct record root = { .type = RECORD_GROUP,
				     .count = (uint32_t)config->length,
				     .data = config->data };
	struct record vm, memory;

	if (record_find(&root, "vm", &vm) && record_find(&vm, "memory", &memory))
		memcpy(config->data + (memory.data - config->data), &size, sizeof(size));
}

/* The metadata of the base, changed. */
static inline void
costly_meta(struct snapshot_meta *meta, const struct snapshot *base, const struct costly_kind *kind,
	    unsigned long items)
{
	bool more = kind->place == COSTLY_SECTIONS || kind->place == COSTLY_DEVICES;

	for (uint32_t i = 0; i < base->header.sections; i++) {
		const struct snapshot_row *row = &base->rows[i];
		const uint8_t *data = (const uint8_t *)base->rows + row->offset;
		struct costly_bytes body = { .data = NULL };

		if (row->tag == SECTION_SUMS && kind->place == COSTLY_MEMORY) {
			memset(costly_extend(&body, items * 4), 1, items * 4);
			snapshot_meta_add(meta, row->tag, row->index, row->flags, body.data,
					  body.length);
			free(body.data);
			continue;
		}
		if (!base->sections[i].data) {
			snapshot_meta_add(meta, row->tag, row->index, row->flags, data,
					  row->length);
			continue;
		}
		if (row->tag == SECTION_MEMORY && kind->place == COSTLY_MEMORY)
			costly_map(&body, base->regions[0].gpa, items * SNAPSHOT_CHUNK);
		else
			costly_section(&body, row->tag, &base->sections[i], kind, items);
		if (row->tag == SECTION_CONFIG && kind->place == COSTLY_MEMORY)
			costly_set_memory(&body, items * SNAPSHOT_CHUNK);
		snapshot_meta_add(meta, row->tag, row->index, row->flags,
				  body.data ? body.data : (uint8_t *)"", body.length);
		free(body.data);
		for (unsigned long n = 0; more && row->tag == SECTION_DEVICE && n < items; n++) {
			body = (struct costly_bytes){ .data = NULL };
			costly_device(&body, n, true);
			snapshot_meta_add(meta, row->tag, (uint32_t)n + 1, row->flags, body.data,
					  body.length);
			free(body.data);
		}
	}
}

/*
 * Writes a file of a kind with a number of items, from a snapshot with one device. Returns the size
 * of its metadata. Ends the process if that fails.
 */
static inline size_t
costly_write(const char *path, const char *from, const struct costly_kind *kind,
	     unsigned long items)
{
	struct snapshot base;
	struct snapshot_meta meta = { 0 };
	struct snapshot_header header = { .version = 0 };
	uint8_t *bytes, *memory;
	uint64_t size, held;
	int fd;

	if (snapshot_open(&base, from))
		errx(2, "%s: no snapshot to start from", from);
	if (kind->max && items > kind->max)
		items = kind->max;
	items = items ? items : 1;
	costly_meta(&meta, &base, kind, items);
	size = held = base.header.memory_size;
	if (kind->place == COSTLY_MEMORY) {
		size = items * SNAPSHOT_CHUNK;
		held = 0;
	}
	memcpy(header.id, base.header.id, sizeof(header.id));
	bytes = snapshot_meta_seal(&meta, &header, size);
	memory = calloc(1, held + 1);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!bytes || !memory || fd < 0 ||
	    snapshot_pread(&base, memory, held, base.header.memory_offset) ||
	    pwrite(fd, bytes, sizeof(header), 0) != sizeof(header) ||
	    pwrite(fd, memory, held, SNAPSHOT_MEMORY_OFFSET) != (ssize_t)held ||
	    pwrite(fd, bytes + sizeof(header), header.table_size, (off_t)header.table_offset) !=
		(ssize_t)header.table_size)
		err(2, "%s", path);
	close(fd);
	free(bytes);
	free(memory);
	snapshot_meta_free(&meta);
	snapshot_close(&base);
	return header.table_size;
}

#endif
