/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of an overlay: a header, one bit per cluster of the disk that tells whether the file
 * contains it, and the clusters at the same relative offsets as on the disk, with holes for those
 * that are missing. Integers are little-endian.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE */
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

#define MAGIC "MVMMOVL\x1a"
#define VERSION 1u
#define PRESENT_AT 4096u
#define PAGE 4096u /* unit in which present is written to the file */
#define FROZEN 1u  /* flag: snapshots contain the overlay, so it is never written */

struct header {
	char magic[8];
	uint32_t version, cluster; /* bytes of a cluster */
	uint64_t bytes;            /* size of the disk */
	uint64_t data;             /* file offset of cluster 0 */
	uint8_t id[16],
	    below[16]; /* id: random; below: id of the layer below, zeros for a raw layer */
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

static uint64_t
present_pages(const struct disk *disk)
{
	return (present_bytes(disk) + PAGE - 1) / PAGE;
}

static int
move_bytes(int fd, bool write, void *bytes, size_t length, uint64_t at)
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

/* Returns the id of the layer below a layer that is or becomes disk->layers[disk->count]. */
static const uint8_t *
id_below(const struct disk *disk)
{
	return disk->layers[disk->count - 1].id;
}

static int
overlay_error(const struct disk *disk, const struct disk_layer *layer, const char *what)
{
	minivmm_error(disk->dev, "cannot use the overlay %s: %s",
		      layer->path ? layer->path : "without a name", what);
	return -1;
}

void
overlay_free(struct disk_layer *layer)
{
	free(layer->present);
	free(layer->unsaved);
	layer->present = layer->unsaved = NULL;
	layer->unsaved_count = 0;
}

/* Allocates the bits of an overlay without clusters. */
static int
allocate(const struct disk *disk, struct disk_layer *layer)
{
	layer->present = calloc(1, present_bytes(disk));
	layer->unsaved = calloc(1, present_pages(disk));
	layer->unsaved_count = 0;
	layer->clusters = 0;
	return layer->present && layer->unsaved ? 0 : overlay_error(disk, layer, "out of memory");
}

static int
create_file(const struct disk *disk, struct disk_layer *layer, const uint8_t *id,
	    const uint8_t *below, uint32_t flags)
{
	struct header h = { .version = VERSION,
			    .cluster = DISK_CLUSTER,
			    .bytes = disk->bytes,
			    .data = data_at(disk),
			    .flags = flags };

	memcpy(h.magic, MAGIC, sizeof(h.magic));
	memcpy(h.below, below, sizeof(h.below));
	memcpy(h.id, id, sizeof(h.id));
	memcpy(layer->id, id, sizeof(layer->id));
	layer->overlay = true;
	layer->data = h.data;
	if (allocate(disk, layer))
		return -1;
	/* A machine that is killed leaves an empty file, the header alone, or all of it: the file
	 * can be used. */
	if (ftruncate(layer->fd, 0) || move_bytes(layer->fd, true, &h, sizeof(h), 0) ||
	    ftruncate(layer->fd, (off_t)(h.data + disk->bytes)))
		return overlay_error(disk, layer,
				     minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	return 0;
}

int
overlay_create(const struct disk *disk, struct disk_layer *layer)
{
	uint8_t id[sizeof(layer->id)];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return overlay_error(disk, layer, "cannot get a random id");
	return create_file(disk, layer, id, id_below(disk), 0);
}

int
overlay_create_frozen(const struct disk *disk, struct disk_layer *layer, const uint8_t *id,
		      const uint8_t *below)
{
	layer->frozen = true;
	return create_file(disk, layer, id, below, FROZEN);
}

/* Returns what is wrong with a header; NULL: nothing. */
static const char *
check(const struct disk *disk, const struct header *h)
{
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)))
		return "it is not an overlay: its first bytes are wrong; name another file";
	if (h->version != VERSION || h->cluster != DISK_CLUSTER)
		return "this plugin does not support its version";
	if (h->bytes != disk->bytes || h->data != data_at(disk))
		return "it belongs to a disk of another size";
	if (memcmp(h->below, id_below(disk), sizeof(h->below)))
		return "it belongs on another layer: name the layers in the order of their "
		       "creation";
	return NULL;
}

int
overlay_open(const struct disk *disk, struct disk_layer *layer)
{
	struct header h;
	const char *wrong;
	struct stat st;

	if (move_bytes(layer->fd, false, &h, sizeof(h), 0))
		return overlay_error(
		    disk, layer,
		    errno == ENODATA
			? "it is not an overlay: the file is too short; name another file"
			: minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	wrong = check(disk, &h);
	if (wrong)
		return overlay_error(disk, layer, wrong);
	/* See overlay_create(). */
	if (fstat(layer->fd, &st) ||
	    (st.st_size == sizeof(h) && ftruncate(layer->fd, (off_t)(h.data + disk->bytes))))
		return overlay_error(disk, layer, "it is not complete");
	memcpy(layer->id, h.id, sizeof(layer->id));
	layer->overlay = true;
	layer->data = h.data;
	if (allocate(disk, layer))
		return -1;
	if (move_bytes(layer->fd, false, layer->present, present_bytes(disk), PRESENT_AT))
		return overlay_error(disk, layer,
				     minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	for (uint64_t i = 0; i < present_bytes(disk); i++)
		layer->clusters += (unsigned)__builtin_popcount(layer->present[i]);
	layer->frozen = h.flags & FROZEN;
	return layer->frozen ? 1 : 0;
}

void
overlay_mark(struct disk_layer *layer, uint64_t first, uint64_t last)
{
	for (uint64_t c = first; c <= last; c++) {
		uint8_t bit = (uint8_t)(1u << c % 8), *page = &layer->unsaved[c / 8 / PAGE];

		if (__atomic_fetch_or(&layer->present[c / 8], bit, __ATOMIC_RELEASE) & bit)
			continue;
		layer->clusters++;
		layer->unsaved_count += !*page;
		*page = 1;
	}
}

/* A copy of pages of present. */
struct pages {
	uint64_t count;
	struct page {
		uint64_t number;
		uint8_t bits[PAGE];
	} * list;
};

static size_t
page_length(const struct disk *disk, uint64_t number)
{
	uint64_t left = present_bytes(disk) - number * PAGE;

	return left < PAGE ? (size_t)left : PAGE;
}

/* Copies the pages that are not in the file, and marks them as saved. Call with the lock held. */
static int
take_unsaved(const struct disk *disk, struct disk_layer *layer, struct pages *pages)
{
	*pages = (struct pages){ .list = malloc(layer->unsaved_count * sizeof(struct page)) };
	if (!pages->list && layer->unsaved_count)
		return -1;
	for (uint64_t n = 0; n < present_pages(disk) && layer->unsaved_count; n++) {
		struct page *page = &pages->list[pages->count];

		if (!layer->unsaved[n])
			continue;
		layer->unsaved[n] = 0;
		layer->unsaved_count--;
		page->number = n;
		memcpy(page->bits, layer->present + n * PAGE, page_length(disk, n));
		pages->count++;
	}
	return 0;
}

static int
write_pages(const struct disk *disk, const struct disk_layer *layer, const struct pages *pages)
{
	for (uint64_t i = 0; i < pages->count; i++)
		if (move_bytes(layer->fd, true, pages->list[i].bits,
			       page_length(disk, pages->list[i].number),
			       PRESENT_AT + pages->list[i].number * PAGE))
			return -1;
	return 0;
}

/* Marks the pages as unsaved again, after a failure. */
static void
restore_unsaved(struct disk *disk, struct disk_layer *layer, const struct pages *pages)
{
	int error = errno;

	pthread_mutex_lock(&disk->lock);
	for (uint64_t i = 0; i < pages->count; i++) {
		uint8_t *page = &layer->unsaved[pages->list[i].number];

		layer->unsaved_count += !*page;
		*page = 1;
	}
	pthread_mutex_unlock(&disk->lock);
	errno = error;
}

/*
 * Clusters are on stable storage before the bits that mark them as present. So after a crash of the
 * host, data that was not flushed may be old, but the overlay is consistent. Writers do not wait
 * for a flush.
 */
int
overlay_flush(struct disk *disk, struct disk_layer *layer, bool sync)
{
	struct pages pages = { 0 };
	int r;

	pthread_mutex_lock(&disk->flushing);
	pthread_mutex_lock(&disk->lock);
	r = take_unsaved(disk, layer, &pages);
	pthread_mutex_unlock(&disk->lock);
	if (!r && sync)
		r = fdatasync(layer->fd);
	if (!r && pages.count)
		r = write_pages(disk, layer, &pages) || (sync && fdatasync(layer->fd)) ? -1 : 0;
	if (r)
		restore_unsaved(disk, layer, &pages);
	free(pages.list);
	pthread_mutex_unlock(&disk->flushing);
	return r;
}

int
overlay_write_present(const struct disk *disk, const struct disk_layer *layer)
{
	return move_bytes(layer->fd, true, layer->present, present_bytes(disk), PRESENT_AT);
}

int
overlay_freeze(struct disk *disk, struct disk_layer *layer)
{
	uint32_t flags = FROZEN;

	if (overlay_flush(disk, layer, false) ||
	    (!layer->frozen &&
	     move_bytes(layer->fd, true, &flags, sizeof(flags), offsetof(struct header, flags))))
		return overlay_error(disk, layer,
				     minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	layer->frozen = true;
	return 0;
}
