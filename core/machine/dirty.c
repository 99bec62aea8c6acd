/* SPDX-License-Identifier: BSD-2-Clause */
/* Merges KVM's dirty log and the record of device writes. */
#include "machine/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "machine/machine.h"

int
dirty_start(struct machine *m)
{
	size_t largest = 0;

	for (uint32_t i = 0; i < m->memory.count; i++)
		if (m->memory.regions[i].size > largest)
			largest = m->memory.regions[i].size;
	if (!m->dirty.log)
		m->dirty.log = calloc(largest / PAGE_SIZE / 64 + 1, sizeof(*m->dirty.log));
	if (!m->dirty.written)
		m->dirty.written = calloc(memory_words(&m->memory) + 1, sizeof(*m->dirty.written));
	if (!m->dirty.log || !m->dirty.written)
		return fail_memory("a bitmap of guest memory");
	for (uint32_t i = 0; i < m->memory.count && !m->dirty.on; i++) {
		const struct memory_region *region = &m->memory.regions[i];
		int r = kvm_memory(&m->kvm, i, region->gpa, region->size, region->host, true);

		if (r)
			return r;
	}
	m->dirty.on = true;
	return 0;
}

bool
dirty_on(const struct machine *m)
{
	return m->dirty.on;
}

/* ORs a region's bitmap of count pages into the image's, from bit first on. */
static void
add(uint64_t *pages, uint64_t first, const uint64_t *log, uint64_t count)
{
	for (uint64_t i = 0; i < (count + 63) / 64; i++) {
		uint64_t at = first + i * 64, word = log[i];

		if (!word)
			continue;
		pages[at / 64] |= word << at % 64;
		if (at % 64 && word >> (64 - at % 64))
			pages[at / 64 + 1] |= word >> (64 - at % 64);
	}
}

static void
merge(uint64_t *pages, const uint64_t *written, size_t words)
{
	for (size_t i = 0; pages && i < words; i++)
		pages[i] |= written[i];
}

void
dirty_mark(struct machine *m, const uint64_t *pages)
{
	for (const struct dirty_watch *w = m->dirty.watches; w; w = w->next)
		if (w->pages != pages)
			merge(w->pages, pages, memory_words(&m->memory));
}

int
dirty_poll(struct machine *m, uint64_t *pages)
{
	size_t words = memory_words(&m->memory);
	uint64_t *written;
	int r = dirty_start(m);

	if (r)
		return r;
	written = m->dirty.written;
	memset(written, 0, words * sizeof(*written));
	for (uint32_t i = 0; i < m->memory.count && !r; i++) {
		const struct memory_region *region = &m->memory.regions[i];

		r = kvm_dirty_log(&m->kvm, i, m->dirty.log);
		if (!r && !mutant("dirty", "log"))
			add(written, region->offset / PAGE_SIZE, m->dirty.log,
			    region->size / PAGE_SIZE);
	}
	merge(m->dirty.guest, written, words);
	if (!mutant("dirty", "devices"))
		memory_take_written(&m->memory, written);
	/* Even after an error: reading the log has cleared it. */
	merge(pages, written, words);
	dirty_mark(m, written);
	return r;
}

void
dirty_watch_add(struct machine *m, struct dirty_watch *watch)
{
	watch->next = m->dirty.watches;
	m->dirty.watches = watch;
}

void
dirty_watch_remove(struct machine *m, struct dirty_watch *watch)
{
	for (struct dirty_watch **w = &m->dirty.watches; *w; w = &(*w)->next)
		if (*w == watch) {
			*w = watch->next;
			return;
		}
}

const uint64_t *
dirty_guest(const struct machine *m)
{
	return m->dirty.guest;
}

void
dirty_free(struct machine *m)
{
	free(m->dirty.log);
	free(m->dirty.written);
	free(m->dirty.guest);
}
