/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts the pages of a snapshot by kind, and collects the names of its addresses. */
#include "cli/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "snapshot/linear.h"

#define VCPUS_SHOWN 4u

static int
add_view(struct map *map, gpa_t from, uint64_t size, uint64_t cell)
{
	struct map_view *view = &map->views[map->view_count];

	while ((size + cell - 1) / cell > MAP_COLUMNS * MAP_ROWS)
		cell *= 2;
	*view = (struct map_view){ .from = from, .size = size, .cell = cell };
	view->count = (size + cell - 1) / cell;
	view->cells = calloc(view->count, sizeof(*view->cells));
	if (!view->cells)
		return fail_memory("inspect: --map");
	map->view_count++;
	return 0;
}

/* Parts of the first region, if its own view has larger cells. */
static int
add_views(struct map *map)
{
	static const uint64_t sizes[] = { 64 << 20, 1 << 20 };
	const struct snapshot_region *region;
	int failed = 0;

	for (size_t i = 0; i < map->snapshot->region_count && !failed; i++) {
		region = snapshot_region(map->snapshot, i);
		failed = add_view(map, region->gpa, region->size, PAGE_SIZE);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && !failed; i++) {
		uint64_t cell = sizes[i] / MAP_COLUMNS / MAP_ROWS;

		cell = cell > PAGE_SIZE ? cell : PAGE_SIZE;
		if (map->view_count && map->views[0].cell > cell)
			failed = add_view(map, map->views[0].from, sizes[i], cell);
	}
	return failed;
}

static void
count_in_view(struct map_view *view, gpa_t gpa, uint64_t size, enum snapshot_kind kind)
{
	uint64_t from = gpa > view->from ? gpa - view->from : 0, end;

	if (gpa >= view->from + view->size || gpa + size <= view->from)
		return;
	end = gpa + size - view->from;
	end = end < view->size ? end : view->size;
	while (from < end) {
		uint64_t next = (from / view->cell + 1) * view->cell;

		next = next < end ? next : end;
		view->cells[from / view->cell].pages[kind] += (next - from) / PAGE_SIZE;
		from = next;
	}
}

static void
count_run(void *context, gpa_t gpa, uint64_t size, enum snapshot_kind kind)
{
	struct map *map = context;

	map->pages[kind] += size / PAGE_SIZE;
	for (size_t i = 0; i < map->view_count; i++)
		count_in_view(&map->views[i], gpa, size, kind);
}

static void
add_label(struct map *map, const struct map_label *label)
{
	if (map->label_count < MAP_LABELS)
		map->labels[map->label_count++] = *label;
	else
		map->left_out++;
}

static void
add_regions(struct map *map)
{
	for (size_t i = 0; i < map->snapshot->region_count; i++) {
		const struct snapshot_region *region = snapshot_region(map->snapshot, i);

		add_label(map, &(struct map_label){ .first = region->gpa,
						    .last = region->gpa + region->size - 1,
						    .region = true,
						    .text = "memory" });
	}
}

/* An item of the list of names. A file may hold anything: what makes no sense is left out. */
static void
add_name(struct map *map, const struct record *item)
{
	static const char *const spaces[] = { "memory", "mmio", "pio" };
	struct map_label label = { .space = MAP_MEMORY };
	char *space = NULL, *name = NULL;
	uint64_t size = 0;
	size_t i = 0;

	record_copy_text(item, "space", &space, NULL);
	record_copy_text(item, "name", &name, NULL);
	while (space && i < 3 && strcmp(spaces[i], space))
		i++;
	if (name && space && i < 3 && record_get_u64(item, "at", &label.first) &&
	    record_get_u64(item, "size", &size) && size &&
	    !__builtin_add_overflow(label.first, size - 1, &label.last)) {
		label.space = (enum map_space)i;
		snprintf(label.text, sizeof(label.text), "%s", name);
		add_label(map, &label);
	}
	free(space);
	free(name);
}

static void
add_names(struct map *map)
{
	const struct record *section = snapshot_section(map->snapshot, SECTION_NAMES, 0);
	struct record list, item;
	size_t position = 0;

	if (!section || !record_find(section, "ranges", &list) || list.type != RECORD_LIST)
		return;
	while (record_next(&list, &position, &item))
		add_name(map, &item);
}

static void
add_place(struct map *map, uint32_t vcpu, const char *what, gpa_t gpa)
{
	struct map_label label = { .first = gpa, .last = gpa };

	snprintf(label.text, sizeof(label.text), "%s of vCPU %u", what, vcpu);
	if (snapshot_extent(map->snapshot, gpa))
		add_label(map, &label);
}

/* Where the vCPUs execute, and where their page tables are. */
static void
add_vcpus(struct map *map)
{
	struct snapshot_cpu cpu;
	gpa_t gpa;

	for (uint32_t i = 0; i < VCPUS_SHOWN && snapshot_cpu(map->snapshot, i, &cpu); i++) {
		if (!snapshot_translate(map->snapshot, &cpu, snapshot_cpu_code(&cpu), &gpa, NULL))
			add_place(map, i, "rip", gpa);
		if (snapshot_cpu_paging(&cpu))
			add_place(map, i, "page tables", cpu.cr3 & ~0xfffull);
	}
}

static int
compare_labels(const void *left, const void *right)
{
	const struct map_label *a = left, *b = right;

	if (a->space != b->space)
		return a->space > b->space ? 1 : -1;
	if (a->first != b->first)
		return a->first > b->first ? 1 : -1;
	if (a->region != b->region)
		return a->region ? -1 : 1;
	if (a->last != b->last)
		return a->last < b->last ? 1 : -1;
	return strcmp(a->text, b->text);
}

int
map_make(struct map *map, const struct snapshot *snapshot)
{
	int failed;

	*map = (struct map){ .snapshot = snapshot };
	failed = add_views(map);
	if (!failed)
		failed = snapshot_kinds(snapshot, count_run, map);
	add_regions(map);
	add_vcpus(map);
	add_names(map);
	qsort(map->labels, map->label_count, sizeof(map->labels[0]), compare_labels);
	return failed;
}

void
map_free(struct map *map)
{
	for (size_t i = 0; i < MAP_VIEWS; i++)
		free(map->views[i].cells);
}

unsigned
map_level(const struct map_cell *cell, enum snapshot_kind kind)
{
	uint64_t all = 0;

	for (int i = 0; i < SNAPSHOT_KINDS; i++)
		all += cell->pages[i];
	if (!cell->pages[kind])
		return 0;
	if (cell->pages[kind] == all)
		return 4;
	return 1 + (unsigned)(cell->pages[kind] * 4 / all > 2 ? 2 : cell->pages[kind] * 4 / all);
}

const struct map_label *
map_label_in(const struct map *map, size_t *position, uint64_t first, uint64_t last)
{
	while (*position < map->label_count) {
		const struct map_label *label = &map->labels[(*position)++];

		if (label->space == MAP_MEMORY && !label->region && label->first >= first &&
		    label->first <= last)
			return label;
	}
	return NULL;
}

const char *
map_pages_size(uint64_t pages, char *buffer, size_t size)
{
	static const char units[] = "KMGT";
	uint64_t bytes = pages * PAGE_SIZE;
	unsigned i = 0;

	while (units[i + 1] && bytes >> 10 * (i + 2))
		i++;
	if (!(bytes & ((1ull << 10 * (i + 1)) - 1)))
		return format_bytes(bytes, buffer, size);
	snprintf(buffer, size, "%llu.%llu%c", (unsigned long long)(bytes >> 10 * (i + 1)),
		 (unsigned long long)((bytes >> 10 * i & 1023) * 10 / 1024), units[i]);
	return buffer;
}

const char *
map_label_size(const struct map_label *label, char *buffer, size_t size)
{
	return format_bytes(label->last - label->first + 1, buffer, size);
}
