/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk's bytes: which layer has them, and how they get there. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fallocate */
#endif
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

static bool
has(const struct disk_layer *layer, uint64_t cluster)
{
	return !layer->overlay ||
	       __atomic_load_n(&layer->present[cluster / 8], __ATOMIC_ACQUIRE) >> cluster % 8 & 1;
}

/* After they have been written: whoever sees the bit finds the cluster. */
static void
mark(struct disk_layer *layer, uint64_t first, uint64_t last)
{
	for (uint64_t c = first; c <= last; c++)
		__atomic_fetch_or(&layer->present[c / 8], (uint8_t)(1u << c % 8), __ATOMIC_RELEASE);
	if (layer->marked_end <= layer->marked || first / 8 < layer->marked)
		layer->marked = first / 8;
	if (last / 8 + 1 > layer->marked_end)
		layer->marked_end = last / 8 + 1;
}

static struct disk_layer *
top(struct disk *disk)
{
	return &disk->layers[disk->count - 1];
}

/* The uppermost layer that has a cluster. */
static uint32_t
layer_of(const struct disk *disk, uint64_t cluster)
{
	uint32_t layer = disk->count - 1;

	while (!has(&disk->layers[layer], cluster))
		layer--;
	return layer;
}

/* Where one is in pieces of memory. */
struct cursor {
	const struct iovec *pieces;
	size_t skip; /* bytes of the first */
};

/* The next bytes, as pieces of their own; returns how many pieces. */
static int
take(struct cursor *cursor, uint64_t length, struct iovec *pieces)
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

/* Bytes of one layer. */
static int
transfer(const struct disk_layer *layer, bool write, struct cursor *cursor, uint64_t length,
	 uint64_t at)
{
	struct iovec pieces[DISK_PIECES + 1], *next = pieces;
	int count = take(cursor, length, pieces);

	at += layer->data;
	while (count) {
		ssize_t n = write ? pwritev(layer->fd, next, count, (off_t)at)
				  : preadv(layer->fd, next, count, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) /* somebody has cut the file */
			errno = ENODATA;
		if (n <= 0)
			return -1;
		at += (uint64_t)n;
		while (count && (size_t)n >= next->iov_len) {
			n -= (ssize_t)next->iov_len;
			next++;
			count--;
		}
		if (count) {
			next->iov_base = (uint8_t *)next->iov_base + n;
			next->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* Out of whichever layers have it. */
static int
read_layers(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	while (length) {
		uint32_t layer = layer_of(disk, at / DISK_CLUSTER);
		uint64_t part = DISK_CLUSTER - at % DISK_CLUSTER;

		/* As far as the same layer has it. */
		while (part < length && layer_of(disk, (at + part) / DISK_CLUSTER) == layer)
			part += DISK_CLUSTER;
		part = part < length ? part : length;
		if (transfer(&disk->layers[layer], false, cursor, part, at))
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

	return disk->count == 1 ? transfer(top(disk), false, &cursor, length, at)
				: read_layers(disk, &cursor, length, at);
}

/* What an overlay gets less of than a cluster: the rest of it comes from below. */
static int
write_part(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	uint64_t start = at / DISK_CLUSTER * DISK_CLUSTER, size = disk->bytes - start;
	uint8_t cluster[DISK_CLUSTER];
	const struct iovec whole = { cluster, sizeof(cluster) };
	struct iovec pieces[DISK_PIECES + 1];
	struct cursor read = { .pieces = &whole }, write = { .pieces = &whole };
	int count = take(cursor, length, pieces);

	size = size < DISK_CLUSTER ? size : DISK_CLUSTER;
	if (read_layers(disk, &read, size, start))
		return -1;
	for (int i = 0; i < count; i++) {
		memcpy(cluster + (at - start), pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	return transfer(top(disk), true, &write, size, start);
}

/* How much of what is to be written at a place can be, in one piece; whole: as whole clusters, or as the disk's end. */
static uint64_t
piece(const struct disk *disk, uint64_t length, uint64_t at, bool *whole)
{
	uint64_t in = at % DISK_CLUSTER, end = at + length;

	*whole = !in && (length >= DISK_CLUSTER || end == disk->bytes);
	if (*whole)
		return end == disk->bytes ? length : length / DISK_CLUSTER * DISK_CLUSTER;
	return length < DISK_CLUSTER - in ? length : DISK_CLUSTER - in;
}

static int
write_overlay(struct disk *disk, struct cursor *cursor, uint64_t length, uint64_t at)
{
	struct disk_layer *layer = top(disk);

	while (length) {
		bool whole;
		uint64_t part = piece(disk, length, at, &whole);

		if (whole || has(layer, at / DISK_CLUSTER) ? transfer(layer, true, cursor, part, at)
							   : write_part(disk, cursor, part, at))
			return -1;
		mark(layer, at / DISK_CLUSTER, (at + part - 1) / DISK_CLUSTER);
		at += part;
		length -= part;
	}
	return 0;
}

int
disk_write(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	   uint64_t at)
{
	struct cursor cursor = { .pieces = pieces };
	int r;

	top(disk)->written = true;
	if (!top(disk)->overlay)
		return transfer(top(disk), true, &cursor, length, at);
	pthread_mutex_lock(&disk->lock);
	r = write_overlay(disk, &cursor, length, at);
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int
write_zeroes(struct disk *disk, uint64_t length, uint64_t at)
{
	static const uint8_t zeroes[16 * DISK_CLUSTER];
	const struct iovec all = { (uint8_t *)zeroes, sizeof(zeroes) };

	for (uint64_t done = 0, part; done < length; done += part) {
		struct cursor cursor = { .pieces = &all };

		part = length - done < sizeof(zeroes) ? length - done : sizeof(zeroes);
		if (top(disk)->overlay ? write_overlay(disk, &cursor, part, at + done)
				       : transfer(top(disk), true, &cursor, part, at + done))
			return -1;
	}
	return 0;
}

/* Where the file system has no holes, what is to be zero is written; so is less than a cluster of an overlay. */
static int
zero(struct disk *disk, uint64_t length, uint64_t at, bool unmap)
{
	struct disk_layer *layer = top(disk);
	int mode = FALLOC_FL_KEEP_SIZE |
		   (unmap || layer->overlay ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	while (length) {
		bool whole = true;
		uint64_t part = layer->overlay ? piece(disk, length, at, &whole) : length;

		if (!whole || fallocate(layer->fd, mode, (off_t)(layer->data + at), (off_t)part)) {
			if (write_zeroes(disk, part, at))
				return -1;
		} else if (layer->overlay)
			mark(layer, at / DISK_CLUSTER, (at + part - 1) / DISK_CLUSTER);
		at += part;
		length -= part;
	}
	return 0;
}

int
disk_zero(struct disk *disk, uint64_t length, uint64_t at, bool unmap)
{
	int r;

	top(disk)->written = true;
	pthread_mutex_lock(&disk->lock);
	r = zero(disk, length, at, unmap);
	pthread_mutex_unlock(&disk->lock);
	return r;
}

/*
 * An overlay's clusters come to the disk before the bits that say that they are there: after a crash of the host, what was
 * never flushed may be old, but is not lost.
 */
int
disk_flush(struct disk *disk)
{
	struct disk_layer *layer = top(disk);
	int r;

	if (disk->readonly || (layer->overlay && !layer->path)) /* nobody would find it */
		return 0;
	if (!layer->overlay)
		return fdatasync(layer->fd);
	pthread_mutex_lock(&disk->lock);
	r = fdatasync(layer->fd);
	if (!r && layer->marked_end > layer->marked)
		r = overlay_mark(layer) || fdatasync(layer->fd) ? -1 : 0;
	pthread_mutex_unlock(&disk->lock);
	return r;
}
