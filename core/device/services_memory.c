/* SPDX-License-Identifier: BSD-2-Clause */
/* The services of guest memory. Mappings are recorded, so that an unmap cannot mark bytes that the
 * plugin has not mapped. */
#include <stdlib.h>

#include "base/lock.h"
#include "device/device.h"

#define MAPPINGS_MAX 65536u

/* Whether the device may reach memory: one in a PCI slot only as a bus master. Counts if not. */
static bool
is_master(struct device *d)
{
	if (atomic_load_explicit(&d->masters, memory_order_relaxed))
		return true;
	atomic_fetch_add(&d->unmastered, 1);
	return false;
}

static int
read_memory(struct minivmm_device *public, uint64_t gpa, void *to, size_t length)
{
	if (!service_enter(public, SERVICE(memory_read)) || !is_master(device_from(public)))
		return -1;
	return memory_read(&device_from(public)->all->machine->memory, gpa, to, length);
}

static int
write_memory(struct minivmm_device *public, uint64_t gpa, const void *from, size_t length)
{
	if (!service_enter(public, SERVICE(memory_write)) || !is_master(device_from(public)))
		return -1;
	return memory_write(&device_from(public)->all->machine->memory, gpa, from, length);
}

static int
discard_memory(struct minivmm_device *public, uint64_t gpa, uint64_t length)
{
	if (!service_enter(public, SERVICE(memory_discard)) || !is_master(device_from(public)))
		return -1;
	if (gpa % PAGE_SIZE || length % PAGE_SIZE) {
		service_refuse(public, SERVICE(memory_discard),
			       "0x%llx bytes at 0x%llx are not whole pages",
			       (unsigned long long)length, (unsigned long long)gpa);
		return -1;
	}
	return memory_discard(&device_from(public)->all->machine->memory, gpa, length);
}

static uint64_t
size_of_memory(struct minivmm_device *public)
{
	uint64_t size = service_enter(public, SERVICE(memory_size))
			    ? device_from(public)->all->machine->memory.size
			    : 0;

	return size ? size : UINT64_MAX;
}

/* Records a mapping. False: no memory, or too many. With the lock held. */
static bool
add_mapping(struct device *d, uint64_t gpa, size_t length)
{
	bool added = true;

	if (d->mapping_count == d->mapping_room) {
		size_t room = d->mapping_room ? 2 * d->mapping_room : 16;
		struct device_mapping *more =
		    room <= MAPPINGS_MAX ? realloc(d->mappings, room * sizeof(*more)) : NULL;

		added = more != NULL;
		if (added) {
			d->mappings = more;
			d->mapping_room = room;
		}
	}
	if (added)
		d->mappings[d->mapping_count++] = (struct device_mapping){ gpa, length };
	return added;
}

/* Removes a mapping that starts at gpa and has at least length bytes. False: there is none. */
static bool
remove_mapping(struct device *d, uint64_t gpa, size_t length)
{
	bool found = false;

	lock_take(&d->mapping_lock);
	for (size_t i = d->mapping_count; i-- && !found;) {
		found = d->mappings[i].gpa == gpa && d->mappings[i].length >= length;
		if (found)
			d->mappings[i] = d->mappings[--d->mapping_count];
	}
	lock_release(&d->mapping_lock);
	return found;
}

bool
device_has_mappings(struct device *d)
{
	bool any;

	lock_take(&d->mapping_lock);
	any = d->mapping_count;
	lock_release(&d->mapping_lock);
	return any;
}

static void *
map_memory(struct minivmm_device *public, uint64_t gpa, size_t length)
{
	struct device *d = device_from(public);
	void *place = NULL;
	bool full = false;

	/* A pause that begins now either finds the mapping, or the phase refuses it:
	 * devices_pause() sets the phase before it takes the lock. */
	lock_take(&d->mapping_lock);
	if (service_enter(public, SERVICE(memory_map)) && is_master(d))
		place = memory_at(&d->all->machine->memory, gpa, length);
	if (place)
		full = !add_mapping(d, gpa, length);
	lock_release(&d->mapping_lock);
	if (!full)
		return place;
	service_refuse(public, SERVICE(memory_map), "no memory for another mapping, or %u exist",
		       MAPPINGS_MAX);
	return NULL;
}

static void
unmap_memory(struct minivmm_device *public, uint64_t gpa, size_t written)
{
	struct device *d = device_from(public);

	if (!service_enter(public, SERVICE(memory_unmap)))
		return;
	if (!remove_mapping(d, gpa, written))
		service_refuse(public, SERVICE(memory_unmap),
			       "no mapping at 0x%llx has 0x%zx bytes or more",
			       (unsigned long long)gpa, written);
	else if (written)
		memory_mark_written(&d->all->machine->memory, gpa, written);
}

const struct service_set device_memory_services = {
	SERVICE_ROW(memory_read, read_memory, "memory_read", SERVICE_START_TO_STOP,
		    SERVICE_CALLBACKS),
	SERVICE_ROW(memory_write, write_memory, "memory_write", SERVICE_START_TO_STOP,
		    SERVICE_CALLBACKS),
	SERVICE_ROW(memory_discard, discard_memory, "memory_discard", SERVICE_START_TO_STOP,
		    SERVICE_CALLBACKS),
	SERVICE_ROW(memory_size, size_of_memory, "memory_size", SERVICE_ALWAYS, SERVICE_ANY_THREAD),
	SERVICE_ROW(memory_map, map_memory, "memory_map",
		    SERVICE_START_TO_STOP & ~(SERVICE_PAUSE | SERVICE_PAUSED), SERVICE_ANY_THREAD),
	SERVICE_ROW(memory_unmap, unmap_memory, "memory_unmap",
		    SERVICE_START_TO_STOP | SERVICE_DESTROY, SERVICE_ANY_THREAD),
};
