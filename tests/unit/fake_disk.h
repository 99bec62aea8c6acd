/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sources of virtio-blk for a test that needs neither io_uring nor an NBD server: their
 * functions are empty.
 */
#ifndef UNIT_FAKE_DISK_H
#define UNIT_FAKE_DISK_H

#include "../../plugins/virtio-blk/blk.c"
#include "../../plugins/virtio-blk/disk.c"
#include "../../plugins/virtio-blk/file.c"
#include "../../plugins/virtio-blk/freeze.c"
#include "../../plugins/virtio-blk/layers.c"
#include "../../plugins/virtio-blk/names.c"
#include "../../plugins/virtio-blk/overlay.c"
#include "../../plugins/virtio-blk/queues.c"
#include "../../plugins/virtio-blk/request.c"
#include "../../plugins/virtio-blk/workers.c"
#include "fake_export.h"

int
ring_start(struct minivmm_device *dev)
{
	return -1;
}

void
ring_end(struct blk *b)
{
}

bool
ring_give(struct blk *b, struct blk_job *job)
{
	return false;
}

void
ring_submit(struct minivmm_device *dev)
{
}

struct blk_job *
ring_take(struct blk *b)
{
	return NULL;
}

struct blk_job *
ring_ready(struct blk *b)
{
	return NULL;
}

struct blk_job *
ring_recall(struct blk *b)
{
	return NULL;
}

#endif
