/* SPDX-License-Identifier: BSD-2-Clause */
/* A layer in a file or on a block device. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fallocate, preadv2 */
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "disk.h"

static ssize_t
transfer_some(struct disk_layer *layer, enum disk_way way, const struct iovec *pieces, int count,
	      off_t at)
{
	if (way == DISK_WRITE)
		return pwritev(layer->fd, pieces, count, at);
	if (way == DISK_READ_NOWAIT && !layer->no_nowait) {
		ssize_t n = preadv2(layer->fd, pieces, count, at, RWF_NOWAIT);

		if (n >= 0 || errno != EOPNOTSUPP)
			return n;
		layer->no_nowait = true;
	}
	return preadv(layer->fd, pieces, count, at);
}

static int
file_transfer(struct disk_layer *layer, enum disk_way way, struct iovec *pieces, int count,
	      uint64_t at)
{
	while (count) {
		ssize_t n = transfer_some(layer, way, pieces, count, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) /* the file has been truncated */
			errno = ENODATA;
		if (n <= 0)
			return -1;
		at += (uint64_t)n;
		while (count && (size_t)n >= pieces->iov_len) {
			n -= (ssize_t)pieces->iov_len;
			pieces++;
			count--;
		}
		if (count) {
			pieces->iov_base = (uint8_t *)pieces->iov_base + n;
			pieces->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* With EOPNOTSUPP, the caller writes zeros. */
static int
file_zero(struct disk_layer *layer, enum disk_zero how, uint64_t length, uint64_t at)
{
	int mode =
	    FALLOC_FL_KEEP_SIZE | (how == DISK_ZERO ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);

	if (!fallocate(layer->fd, mode, (off_t)at, (off_t)length))
		return 0;
	if (how == DISK_DISCARD && errno == EOPNOTSUPP)
		return 0; /* a discard is only a hint */
	errno = EOPNOTSUPP;
	return -1;
}

static int
file_flush(struct disk_layer *layer)
{
	return fdatasync(layer->fd);
}

static void
file_close(struct disk_layer *layer)
{
	if (layer->fd >= 0)
		close(layer->fd);
}

const struct disk_store disk_file = {
	.transfer = file_transfer,
	.zero = file_zero,
	.flush = file_flush,
	.close = file_close,
};
