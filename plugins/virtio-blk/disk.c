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
	return !layer->overlay || layer->present[cluster / 8] >> cluster % 8 & 1;
}

static void
mark(struct disk_layer *layer, uint64_t first, uint64_t last)
{
	for (uint64_t c = first; c <= last; c++)
		layer->present[c / 8] |= (uint8_t)(1u << c % 8);
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

/* The uppermost layer, of the lowest so many, that has a cluster. */
static uint32_t
layer_of(const struct disk *disk, uint32_t layers, uint64_t cluster)
{
	while (!has(&disk->layers[layers - 1], cluster))
		layers--;
	return layers - 1;
}

/* Bytes of one layer. */
static int
transfer(const struct disk_layer *layer, bool write, uint8_t *bytes, uint64_t length, uint64_t at)
{
	at += layer->data;
	for (uint64_t done = 0; done < length;) {
		ssize_t n = write
				? pwrite(layer->fd, bytes + done, length - done, (off_t)(at + done))
				: pread(layer->fd, bytes + done, length - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) /* somebody has cut the file */
			errno = ENODATA;
		if (n <= 0)
			return -1;
		done += (uint64_t)n;
	}
	return 0;
}

/* Out of the lowest so many layers. */
static int
read_layers(const struct disk *disk, uint32_t layers, uint8_t *to, uint64_t length, uint64_t at)
{
	while (length) {
		uint32_t layer = layer_of(disk, layers, at / DISK_CLUSTER);
		uint64_t part = DISK_CLUSTER - at % DISK_CLUSTER;

		/* As far as the same layer has it. */
		while (part < length && layer_of(disk, layers, (at + part) / DISK_CLUSTER) == layer)
			part += DISK_CLUSTER;
		part = part < length ? part : length;
		if (transfer(&disk->layers[layer], false, to, part, at))
			return -1;
		to += part;
		at += part;
		length -= part;
	}
	return 0;
}

int
disk_read(struct disk *disk, void *to, uint64_t length, uint64_t at)
{
	if (disk->count == 1)
		return transfer(top(disk), false, to, length, at);
	return read_layers(disk, disk->count, to, length, at);
}

/* What an overlay gets less of than a cluster: the rest of it comes from below. */
static int
write_part(struct disk *disk, const uint8_t *from, uint64_t length, uint64_t at)
{
	uint64_t start = at / DISK_CLUSTER * DISK_CLUSTER, size = disk->bytes - start;
	uint8_t cluster[DISK_CLUSTER];

	size = size < DISK_CLUSTER ? size : DISK_CLUSTER;
	if (read_layers(disk, disk->count, cluster, size, start))
		return -1;
	memcpy(cluster + (at - start), from, length);
	return transfer(top(disk), true, cluster, size, start);
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

int
disk_write(struct disk *disk, const void *from, uint64_t length, uint64_t at)
{
	struct disk_layer *layer = top(disk);
	const uint8_t *bytes = from;

	layer->written = true;
	if (!layer->overlay)
		return transfer(layer, true, (uint8_t *)bytes, length, at);
	while (length) {
		bool whole;
		uint64_t part = piece(disk, length, at, &whole);

		if (whole || has(layer, at / DISK_CLUSTER)
			? transfer(layer, true, (uint8_t *)bytes, part, at)
			: write_part(disk, bytes, part, at))
			return -1;
		mark(layer, at / DISK_CLUSTER, (at + part - 1) / DISK_CLUSTER);
		bytes += part;
		at += part;
		length -= part;
	}
	return 0;
}

static int
write_zeroes(struct disk *disk, uint64_t length, uint64_t at)
{
	static const uint8_t zeroes[16 * DISK_CLUSTER];

	for (uint64_t done = 0, part; done < length; done += part) {
		part = length - done < sizeof(zeroes) ? length - done : sizeof(zeroes);
		if (disk_write(disk, zeroes, part, at + done))
			return -1;
	}
	return 0;
}

/* Where the file system has no holes, what is to be zero is written; so is less than a cluster of an overlay. */
int
disk_zero(struct disk *disk, uint64_t length, uint64_t at, bool unmap)
{
	struct disk_layer *layer = top(disk);
	int mode = FALLOC_FL_KEEP_SIZE |
		   (unmap || layer->overlay ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	layer->written = true;
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

/*
 * An overlay's clusters come to the disk before the bits that say that they are there: after a crash of the host, what was
 * never flushed may be old, but is not lost.
 */
int
disk_flush(struct disk *disk)
{
	struct disk_layer *layer = top(disk);

	if (disk->readonly || (layer->overlay && !layer->path)) /* nobody would find it */
		return 0;
	if (fdatasync(layer->fd))
		return -1;
	if (!layer->overlay || layer->marked_end <= layer->marked)
		return 0;
	return overlay_mark(layer) || fdatasync(layer->fd) ? -1 : 0;
}
