/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes the disk: finds the layer of each cluster, and fills new clusters of the top
 * overlay. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fcntl.h defines the flags of falloc.h too */
#endif
#include "disk.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

static bool
has(const struct disk_layer *layer, uint64_t cluster)
{
	return !layer->overlay ||
	       __atomic_load_n(&layer->present[cluster / 8], __ATOMIC_ACQUIRE) >> cluster % 8 & 1;
}

static bool
has_all(const struct disk_layer *layer, uint64_t first, uint64_t last)
{
	while (first <= last && has(layer, first))
		first++;
	return first > last;
}

static struct disk_layer *
top(struct disk *disk)
{
	return &disk->layers[disk->count - 1];
}

/* Returns the uppermost layer that contains a cluster. */
static uint32_t
layer_of(const struct disk *disk, uint64_t cluster)
{
	uint32_t layer = disk->count - 1;

	while (!has(&disk->layers[layer], cluster))
		layer--;
	return layer;
}

/* Returns how many of the length bytes at this offset are in one layer, and that layer. */
static uint64_t
run_of(const struct disk *disk, uint64_t length, uint64_t at, uint32_t *layer)
{
	uint64_t part = DISK_CLUSTER - at % DISK_CLUSTER;

	*layer = layer_of(disk, at / DISK_CLUSTER);
	if (!*layer && disk->count == 1)
		return length;
	while (part < length && layer_of(disk, (at + part) / DISK_CLUSTER) == *layer)
		part += DISK_CLUSTER;
	return part < length ? part : length;
}

/*
 * Claims clusters unless another claim overlaps. Returns whether it did. Call with the lock held.
 */
static bool
claim(struct disk *disk, struct disk_claim *mine)
{
	for (const struct disk_claim *c = disk->claims; c; c = c->next)
		if (c->first <= mine->last && mine->first <= c->last)
			return false;
	mine->next = disk->claims;
	disk->claims = mine;
	return true;
}

static void
release_claim(struct disk *disk, struct disk_claim *mine)
{
	struct disk_claim **c = &disk->claims;

	while (*c != mine)
		c = &(*c)->next;
	*c = mine->next;
	pthread_cond_broadcast(&disk->unclaimed);
}

static void
mark(struct disk *disk, uint64_t at, uint64_t length)
{
	pthread_mutex_lock(&disk->lock);
	overlay_mark(top(disk), at / DISK_CLUSTER, (at + length - 1) / DISK_CLUSTER);
	pthread_mutex_unlock(&disk->lock);
}

/* A position in a list of memory segments. */
struct cursor {
	const struct iovec *pieces;
	size_t skip; /* bytes of the first segment that are done */
};

/* Stores the next length bytes as segments. Returns the number of segments. */
static int
next_segments(struct cursor *cursor, uint64_t length, struct iovec *pieces)
{
	int count = 0;

	while (length) {
		size_t part = cursor->pieces->iov_len - cursor->skip;

		part = part < length ? part : (size_t)length;
		if (part)
			pieces[count++] =
			    (struct iovec){ (uint8_t *)cursor->pieces->iov_base + cursor->skip,
					    part };
		cursor->skip += part;
		length -= part;
		if (cursor->skip == cursor->pieces->iov_len) {
			cursor->pieces++;
			cursor->skip = 0;
		}
	}
	return count;
}

/* Transfers bytes of one layer. */
static int
transfer(struct disk_layer *layer, enum disk_way way, struct cursor *cursor, uint64_t length,
	 uint64_t at)
{
	struct iovec pieces[DISK_PIECES + 1];
	int count = next_segments(cursor, length, pieces);

	return layer->store->transfer(layer, way, pieces, count, layer->data + at);
}

/* Reads each part from its layer. */
static int
read_layers(struct disk *disk, enum disk_way way, struct cursor *cursor, uint64_t length,
	    uint64_t at)
{
	while (length) {
		uint32_t layer;
		uint64_t part = run_of(disk, length, at, &layer);

		if (transfer(&disk->layers[layer], way, cursor, part, at))
			return -1;
		at += part;
		length -= part;
	}
	return 0;
}

int
disk_read(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	  uint64_t at)
{
	struct cursor cursor = { .pieces = pieces };

	return read_layers(disk, DISK_READ, &cursor, length, at);
}

int
disk_read_nowait(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
		 uint64_t at)
{
	struct cursor cursor = { .pieces = pieces };

	return read_layers(disk, DISK_READ_NOWAIT, &cursor, length, at);
}

/* Writes part of a cluster that the overlay does not contain: copies the rest from below. */
static int
write_part(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	uint64_t start = at / DISK_CLUSTER * DISK_CLUSTER, size = disk->bytes - start;
	uint8_t cluster[DISK_CLUSTER];
	const struct iovec whole = { cluster, sizeof(cluster) };
	struct iovec pieces[DISK_PIECES + 1];
	struct cursor read = { .pieces = &whole }, write = { .pieces = &whole };
	int count = next_segments(cursor, length, pieces);

	size = size < DISK_CLUSTER ? size : DISK_CLUSTER;
	if (read_layers(disk, DISK_READ, &read, size, start))
		return -1;
	for (int i = 0; i < count; i++) {
		memcpy(cluster + (at - start), pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	return transfer(top(disk), DISK_WRITE, &write, size, start);
}

/* Returns how many of the bytes one call can write. whole: they are whole clusters, or extend to
 * the end of the disk. */
static uint64_t
piece(const struct disk *disk, uint64_t length, uint64_t at, bool *whole)
{
	uint64_t in = at % DISK_CLUSTER, end = at + length;

	*whole = !in && (length >= DISK_CLUSTER || end == disk->bytes);
	if (*whole)
		return end == disk->bytes ? length : length / DISK_CLUSTER * DISK_CLUSTER;
	return length < DISK_CLUSTER - in ? length : DISK_CLUSTER - in;
}

/* Writes memory segments, or zeros if cursor is NULL. */
static int
write_piece(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at, bool whole)
{
	static const uint8_t zeroes[16 * DISK_CLUSTER];
	const struct iovec all = { (uint8_t *)zeroes, sizeof(zeroes) };
	struct disk_layer *layer = top(disk);
	bool part = !whole && !has(layer, at / DISK_CLUSTER);

	if (cursor)
		return part ? write_part(disk, cursor, length, at)
			    : transfer(layer, DISK_WRITE, cursor, length, at);
	if (whole && !layer->store->zero(layer, DISK_UNMAP, length, at + layer->data))
		return 0;
	for (uint64_t done = 0, some; done < length; done += some) {
		struct cursor none = { .pieces = &all };

		some = length - done < sizeof(zeroes) ? length - done : sizeof(zeroes);
		if (part ? write_part(disk, &none, some, at + done)
			 : transfer(layer, DISK_WRITE, &none, some, at + done))
			return -1;
	}
	return 0;
}

static int
write_overlay(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	while (length) {
		bool whole;
		uint64_t part = piece(disk, length, at, &whole);

		if (write_piece(disk, cursor, part, at, whole))
			return -1;
		mark(disk, at, part);
		at += part;
		length -= part;
	}
	return 0;
}

/* Writes to an overlay, and claims the clusters that it does not contain yet. */
static int
write_claimed(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	struct disk_claim mine = { .first = at / DISK_CLUSTER,
				   .last = (at + length - 1) / DISK_CLUSTER };
	int r, error;

	if (has_all(top(disk), mine.first, mine.last))
		return write_overlay(disk, cursor, length, at);
	pthread_mutex_lock(&disk->lock);
	while (!claim(disk, &mine))
		pthread_cond_wait(&disk->unclaimed, &disk->lock);
	pthread_mutex_unlock(&disk->lock);
	r = write_overlay(disk, cursor, length, at);
	error = errno;
	pthread_mutex_lock(&disk->lock);
	release_claim(disk, &mine);
	pthread_mutex_unlock(&disk->lock);
	errno = error;
	return r;
}

int
disk_write(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	   uint64_t at)
{
	struct cursor cursor = { .pieces = pieces };

	if (!length)
		return 0;
	top(disk)->written = true;
	return top(disk)->overlay ? write_claimed(disk, &cursor, length, at)
				  : transfer(top(disk), DISK_WRITE, &cursor, length, at);
}

int
disk_zero(struct disk *disk, enum disk_zero how, uint64_t length, uint64_t at)
{
	struct disk_layer *layer = top(disk);

	if (!length)
		return 0;
	layer->written = true;
	if (layer->overlay)
		return write_claimed(disk, NULL, length, at);
	if (!layer->store->zero(layer, how, length, at))
		return 0;
	return errno == EOPNOTSUPP ? write_piece(disk, NULL, length, at, false) : -1;
}

/* An overlay without a name cannot be reopened after a crash, so it needs no flush. */
static bool
needs_flush(struct disk *disk)
{
	return !disk->readonly && !(top(disk)->overlay && !top(disk)->path);
}

int
disk_flush(struct disk *disk)
{
	if (!needs_flush(disk))
		return 0;
	return top(disk)->overlay ? overlay_flush(disk, top(disk), true)
				  : top(disk)->store->flush(top(disk));
}

bool
disk_call_read(struct disk *disk, uint64_t length, uint64_t at, struct disk_call *call)
{
	uint32_t layer;

	if (!length || run_of(disk, length, at, &layer) != length)
		return false;
	*call =
	    (struct disk_call){ .fd = disk->layers[layer].fd, .at = disk->layers[layer].data + at };
	return call->fd >= 0;
}

/* Describes a change of the top layer. An overlay must contain the clusters already, or the call
 * must write whole clusters. */
static bool
call_change(struct disk *disk, uint64_t length, uint64_t at, struct disk_call *call)
{
	struct disk_layer *layer = top(disk);
	bool whole;

	*call = (struct disk_call){ .fd = layer->fd, .at = layer->data + at };
	if (!length || layer->fd < 0)
		return false;
	layer->written = true;
	if (!layer->overlay)
		return true;
	call->claim.first = at / DISK_CLUSTER;
	call->claim.last = (at + length - 1) / DISK_CLUSTER;
	if (has_all(layer, call->claim.first, call->claim.last))
		return true;
	if (piece(disk, length, at, &whole) != length || !whole)
		return false;
	pthread_mutex_lock(&disk->lock);
	call->claims = claim(disk, &call->claim);
	pthread_mutex_unlock(&disk->lock);
	return call->claims;
}

bool
disk_call_write(struct disk *disk, uint64_t length, uint64_t at, struct disk_call *call)
{
	return call_change(disk, length, at, call);
}

bool
disk_call_zero(struct disk *disk, enum disk_zero how, uint64_t length, uint64_t at,
	       struct disk_call *call)
{
	bool overlay = top(disk)->overlay, whole = true;

	/* Part of a cluster is zeroed by writing, which is faster than punching a hole. */
	if (!length || (overlay && (piece(disk, length, at, &whole) != length || !whole)) ||
	    !call_change(disk, length, at, call))
		return false;
	call->mode = FALLOC_FL_KEEP_SIZE |
		     (how == DISK_ZERO && !overlay ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
	return true;
}

bool
disk_call_flush(struct disk *disk, struct disk_call *call)
{
	bool one;

	*call = (struct disk_call){ .fd = -1 };
	if (!needs_flush(disk))
		return true;
	pthread_mutex_lock(&disk->lock);
	one = top(disk)->fd >= 0 && !top(disk)->unsaved_count;
	pthread_mutex_unlock(&disk->lock);
	call->fd = top(disk)->fd;
	return one;
}

void
disk_call_end(struct disk *disk, struct disk_call *call, bool done)
{
	if (!call->claims)
		return;
	pthread_mutex_lock(&disk->lock);
	if (done)
		overlay_mark(top(disk), call->claim.first, call->claim.last);
	release_claim(disk, &call->claim);
	pthread_mutex_unlock(&disk->lock);
	call->claims = false;
}
