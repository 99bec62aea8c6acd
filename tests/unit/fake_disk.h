/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sources of a disk behind a front end, for a test that needs neither io_uring nor an NBD
 * server: their functions are empty. The test includes the sources of the front end.
 */
#ifndef UNIT_FAKE_DISK_H
#define UNIT_FAKE_DISK_H

#include "../../plugins/common/disk/block.c"
#include "../../plugins/common/disk/disk.c"
#include "../../plugins/common/disk/file.c"
#include "../../plugins/common/disk/freeze.c"
#include "../../plugins/common/disk/jobs.c"
#include "../../plugins/common/disk/layers.c"
#include "../../plugins/common/disk/merge.c"
#include "../../plugins/common/disk/names.c"
#include "../../plugins/common/disk/overlay.c"
#include "../../plugins/common/disk/step.c"
#include "../../plugins/common/disk/workers.c"
#include "fake_export.h"

int
ring_start(struct block *b)
{
	return -1;
}

void
ring_end(struct block *b)
{
}

bool
ring_give(struct block *b, struct block_job *job)
{
	return false;
}

void
ring_submit(struct block *b)
{
}

struct block_job *
ring_take(struct block *b)
{
	return NULL;
}

struct block_job *
ring_ready(struct block *b)
{
	return NULL;
}

struct block_job *
ring_recall(struct block *b)
{
	return NULL;
}

#endif
