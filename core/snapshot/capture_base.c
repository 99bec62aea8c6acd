/* SPDX-License-Identifier: BSD-2-Clause */
/* The parent of the next diff: which snapshot it is, and whether a diff is possible. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "machine/dirty.h"
#include "snapshot/capture.h"

/* more: keeps the other ancestors. Without memory capture_base_needs will not know the id. */
static void
add_ancestor(struct capture *c, const uint8_t id[16], bool more)
{
	size_t count = more ? c->base.ancestor_count : 0;
	uint8_t *ids = realloc(c->base.ancestors, (count + 1) * 16);

	if (!ids)
		return;
	memcpy(ids + 16 * count, id, 16);
	c->base.ancestors = ids;
	c->base.ancestor_count = count + 1;
}

void
capture_base_set(struct capture *c)
{
	const char *slash = strrchr(c->request.path, '/');

	add_ancestor(c, c->header.id, c->request.diff);
	free(c->base.name);
	c->base = (struct capture_base){
		.ancestors = c->base.ancestors,
		.ancestor_count = c->base.ancestor_count,
		.metadata = c->header.table_size + (c->request.diff ? c->base.metadata : 0),
		.known = true,
		.tracked = true,
		.checksum = c->header.checksum,
		.name = c->request.fd < 0 ? strdup(slash ? slash + 1 : c->request.path) : NULL,
	};
	memcpy(c->base.id, c->header.id, sizeof(c->base.id));
	memset(c->since, 0, memory_words(&c->machine->memory) * sizeof(*c->since));
}

void
capture_base_free(struct capture *c)
{
	free(c->base.name);
	free(c->base.ancestors);
	c->base = (struct capture_base){ .known = false };
}

void
capture_restored(struct capture *c, const struct snapshot *snapshot)
{
	const char *slash = strrchr(snapshot->path, '/');

	c->base.known = true;
	c->base.tracked = dirty_on(c->machine);
	c->base.checksum = snapshot->header.checksum;
	memcpy(c->base.id, snapshot->header.id, sizeof(c->base.id));
	for (const struct snapshot *s = snapshot; s; s = s->parent) {
		add_ancestor(c, s->header.id, true);
		c->base.metadata += s->header.table_size;
	}
	if (!snapshot->received)
		c->base.name = strdup(slash ? slash + 1 : snapshot->path);
}

void
capture_replaces(struct capture *c, const struct snapshot *snapshot)
{
	if (!snapshot->parent || !dirty_on(c->machine))
		return;
	capture_base_free(c);
	capture_restored(c, snapshot->parent);
	for (uint64_t page = 0; page < memory_words(&c->machine->memory) * 64; page++)
		if (page < snapshot->header.memory_size / PAGE_SIZE &&
		    snapshot_holds(snapshot, page))
			c->since[page / 64] |= 1ull << page % 64;
}

int
capture_branched(struct capture *c, const struct capture *parent)
{
	const struct capture_base *base = &parent->base;
	size_t ancestors = 16 * base->ancestor_count;

	if (!base->known)
		return 0;
	c->base = *base;
	c->base.name = base->name ? strdup(base->name) : NULL;
	c->base.ancestors = malloc(ancestors + 1);
	if (!c->base.ancestors || (base->name && !c->base.name))
		return fail_memory("a branch");
	memcpy(c->base.ancestors, base->ancestors, ancestors);
	memcpy(c->since, parent->since, memory_words(&c->machine->memory) * sizeof(*c->since));
	return 0;
}

bool
capture_base_needs(const struct capture *c, const char *path)
{
	uint8_t id[16];

	if (snapshot_peek_id(path, id))
		for (size_t i = 0; i < c->base.ancestor_count; i++)
			if (!memcmp(c->base.ancestors + 16 * i, id, sizeof(id)))
				return true;
	return false;
}

bool
capture_base_is_full(const struct capture_base *base)
{
	return base->ancestor_count >= SNAPSHOT_CHAIN_MAX ||
	       base->metadata > SNAPSHOT_CHAIN_META_MAX - SNAPSHOT_META_MAX;
}

bool
capture_can_diff(const struct capture *c, const char *path)
{
	return c->base.known && !capture_base_is_full(&c->base) && !capture_base_needs(c, path);
}
