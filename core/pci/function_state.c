/* SPDX-License-Identifier: BSD-2-Clause */
/* Saves and loads a PCI function. */
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"
#include "pci/function_parts.h"

#define SAVED PCI_EXTENDED /* bytes of config space; there are no extended capabilities */
#define SAVED_REST 128u    /* bytes of pci_function_save for the rest, with names */

/* The words of a vector in "vectors". */
enum { ADDRESS_LOW, ADDRESS_HIGH, DATA, FLAGS, WORDS };
#define FLAG_MASKED 1u
#define FLAG_PENDING 2u

/* Stores the words of one vector. */
static void
save_vector(const struct pci_vector *v, uint8_t *to)
{
	const uint32_t words[WORDS] = {
		[ADDRESS_LOW] = (uint32_t)v->message.address,
		[ADDRESS_HIGH] = (uint32_t)(v->message.address >> 32),
		[DATA] = v->message.data,
		[FLAGS] = (v->masked ? FLAG_MASKED : 0) | (v->pending ? FLAG_PENDING : 0),
	};

	memcpy(to, words, sizeof(words));
}

void
pci_function_save(struct pci_function *f, struct record_writer *writer)
{
	uint8_t *to;

	pthread_mutex_lock(&f->lock);
	record_put_bytes(writer, "config", f->config, SAVED);
	record_put_bool(writer, "intx", f->intx);
	record_put_u32(writer, "msi_pending", f->msi_pending);
	record_put_u64(writer, "dropped", f->dropped);
	to = record_put_room(writer, "vectors", RECORD_U32, f->vector_count * (size_t)WORDS);
	for (uint32_t i = 0; to && i < f->vector_count; i++)
		save_vector(&f->vectors[i], to + i * WORDS * sizeof(uint32_t));
	pthread_mutex_unlock(&f->lock);
}

size_t
pci_function_state_size(const struct pci_function *f)
{
	return SAVED_REST + SAVED + f->vector_count * WORDS * sizeof(uint32_t);
}

/* Returns the array with this type and number of elements, or NULL. */
static const uint8_t *
array(const struct record *group, const char *name, enum record_type type, size_t count)
{
	struct record item;

	return record_find(group, name, &item) && item.type == type && item.array &&
		       item.count == count
		   ? item.data
		   : NULL;
}

int
pci_function_valid(const struct pci_function *f, const struct record *group, struct why *why)
{
	static const char *const names[] = { "config",  "intx",    "msi_pending",
					     "dropped", "vectors", NULL };
	const uint32_t messages = f->msi_count == 32 ? ~0u : (1u << f->msi_count) - 1;
	const uint8_t *words = array(group, "vectors", RECORD_U32, f->vector_count * (size_t)WORDS);
	uint64_t pending, dropped;
	struct record intx;

	if (!array(group, "config", RECORD_U8, SAVED) || !words ||
	    !record_find(group, "intx", &intx) || intx.type != RECORD_BOOL || intx.array ||
	    !record_get_u64(group, "msi_pending", &pending) ||
	    !record_get_u64(group, "dropped", &dropped))
		return why_set(why, "it is incomplete, or belongs to another function");
	if (pending & ~(uint64_t)messages)
		return why_set(why, "msi_pending has a message that the function lacks");
	for (uint32_t i = 0; i < f->vector_count; i++)
		if (pci_get(words, (i * WORDS + FLAGS) * 4, 4) & ~(FLAG_MASKED | FLAG_PENDING))
			return why_set(why, "vector %u has unknown flags", i);
	return record_only(group, names, why);
}

/* Loads the bits that the guest can change. The others identify the function. */
static void
load_config(struct pci_function *f, const uint8_t *config)
{
	for (uint32_t i = 0; i < SAVED && !mutant("pci", "config"); i++)
		f->config[i] =
		    (uint8_t)((f->config[i] & ~f->writable[i]) | (config[i] & f->writable[i]));
}

/* words: the WORDS of one vector. */
static void
load_vector(struct pci_vector *v, const uint8_t *words)
{
	uint64_t address = pci_get(words, ADDRESS_LOW * 4, 4) & ~3u;
	uint32_t flags = pci_get(words, FLAGS * 4, 4);

	address |= (uint64_t)pci_get(words, ADDRESS_HIGH * 4, 4) << 32;
	if (!mutant("pci", "vector_address"))
		v->message.address = address;
	if (!mutant("pci", "vector_data"))
		v->message.data = pci_get(words, DATA * 4, 4);
	if (!mutant("pci", "vector_masked"))
		v->masked = flags & FLAG_MASKED;
	if (!mutant("pci", "vector_pending"))
		v->pending = flags & FLAG_PENDING;
}

void
pci_function_load(struct pci_function *f, const struct record *group)
{
	const uint8_t *words = array(group, "vectors", RECORD_U32, f->vector_count * (size_t)WORDS);
	uint64_t pending = 0;
	struct record intx;

	pthread_mutex_lock(&f->lock);
	load_config(f, array(group, "config", RECORD_U8, SAVED));
	record_get_u64(group, "msi_pending", &pending);
	record_get_u64(group, "dropped", &f->dropped);
	if (!mutant("pci", "msi_pending"))
		f->msi_pending = (uint32_t)pending;
	if (!mutant("pci", "intx"))
		f->intx = record_find(group, "intx", &intx) && record_number(&intx, 0);
	for (uint32_t i = 0; i < f->vector_count; i++)
		load_vector(&f->vectors[i], words + i * WORDS * sizeof(uint32_t));
	f->waiting = true;
	if (!mutant("pci", "places"))
		pci_place_regions(f);
	if (!mutant("pci", "master"))
		f->hooks->master(f, f->config[PCI_COMMAND] & PCI_BUS_MASTER);
	pthread_mutex_unlock(&f->lock);
}
