/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An overlay's file: a header, a bit per cluster of the disk that says whether it is here, and at the same distances as
 * on the disk the clusters, holes where there are none. Integers are little-endian.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE */
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "disk.h"

#define MAGIC "MVMMOVL\x1a"
#define VERSION 1u
#define PRESENT_AT 4096u
#define FROZEN 1u /* flag: snapshots hold it */

struct header {
	char magic[8];
	uint32_t version, cluster; /* bytes of one */
	uint64_t bytes;            /* of the disk */
	uint64_t data;             /* where the first cluster would lie */
	uint8_t id[16], below[16]; /* random; below: zeros: a raw layer */
	uint32_t flags, reserved;
};

static uint64_t
present_bytes(const struct disk *disk)
{
	return (disk->bytes / DISK_CLUSTER + 8) / 8;
}

static uint64_t
data_at(const struct disk *disk)
{
	return (PRESENT_AT + present_bytes(disk) + DISK_CLUSTER - 1) / DISK_CLUSTER * DISK_CLUSTER;
}

static int
transfer(int fd, bool write, void *bytes, size_t length, uint64_t at)
{
	for (size_t done = 0; done < length;) {
		ssize_t n =
		    write ? pwrite(fd, (char *)bytes + done, length - done, (off_t)(at + done))
			  : pread(fd, (char *)bytes + done, length - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENODATA;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

/* The id of what lies below a layer that is or will be disk->layers[disk->count]. */
static const uint8_t *
below(const struct disk *disk)
{
	return disk->layers[disk->count - 1].id;
}

static int
trouble(const struct disk *disk, const struct disk_layer *layer, const char *what)
{
	minivmm_error(disk->dev, "the overlay %s %s", layer->path ? layer->path : "without a name",
		      what);
	return -1;
}

int
overlay_create(const struct disk *disk, struct disk_layer *layer)
{
	struct header h = { .version = VERSION,
			    .cluster = DISK_CLUSTER,
			    .bytes = disk->bytes,
			    .data = data_at(disk) };

	memcpy(h.magic, MAGIC, sizeof(h.magic));
	memcpy(h.below, below(disk), sizeof(h.below));
	if (getrandom(h.id, sizeof(h.id), 0) != sizeof(h.id))
		return trouble(disk, layer, "gets no id");
	memcpy(layer->id, h.id, sizeof(layer->id));
	layer->overlay = true;
	layer->data = h.data;
	layer->present = calloc(1, present_bytes(disk));
	if (!layer->present)
		return trouble(disk, layer, "has no memory for its clusters");
	if (ftruncate(layer->fd, 0) || ftruncate(layer->fd, (off_t)(h.data + disk->bytes)) ||
	    transfer(layer->fd, true, &h, sizeof(h), 0))
		return trouble(disk, layer, strerror(errno));
	return 0;
}

/* What is wrong with a header; NULL: nothing. */
static const char *
check(const struct disk *disk, const struct header *h)
{
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)))
		return "is no overlay: its first bytes are others";
	if (h->version != VERSION || h->cluster != DISK_CLUSTER)
		return "is of a version that this plugin does not know";
	if (h->bytes != disk->bytes || h->data != data_at(disk))
		return "belongs to a disk of another size";
	if (memcmp(h->below, below(disk), sizeof(h->below)))
		return "lies upon another layer than the one it is given to lie upon: name the "
		       "layers in the order in which they were begun";
	return NULL;
}

int
overlay_open(const struct disk *disk, struct disk_layer *layer)
{
	struct header h;
	const char *wrong;

	if (transfer(layer->fd, false, &h, sizeof(h), 0))
		return trouble(disk, layer,
			       errno == ENODATA ? "is no overlay: it is too short"
						: strerror(errno));
	wrong = check(disk, &h);
	if (wrong)
		return trouble(disk, layer, wrong);
	memcpy(layer->id, h.id, sizeof(layer->id));
	layer->overlay = true;
	layer->data = h.data;
	layer->present = calloc(1, present_bytes(disk));
	if (!layer->present)
		return trouble(disk, layer, "has no memory for its clusters");
	if (transfer(layer->fd, false, layer->present, present_bytes(disk), PRESENT_AT))
		return trouble(disk, layer, strerror(errno));
	return h.flags & FROZEN ? 1 : 0;
}

int
overlay_mark(struct disk_layer *layer)
{
	if (layer->marked_end <= layer->marked)
		return 0;
	if (transfer(layer->fd, true, layer->present + layer->marked,
		     layer->marked_end - layer->marked, PRESENT_AT + layer->marked))
		return -1;
	layer->marked = layer->marked_end = 0;
	return 0;
}

int
overlay_freeze(const struct disk *disk, struct disk_layer *layer)
{
	uint32_t flags = FROZEN;

	if (overlay_mark(layer) ||
	    transfer(layer->fd, true, &flags, sizeof(flags), offsetof(struct header, flags)))
		return trouble(disk, layer, strerror(errno));
	return 0;
}
