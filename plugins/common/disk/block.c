/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a disk behind a front end: its options, start, snapshots and end. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "jobs.h"

enum { REFUSE, ACCEPT };

int
block_configure(struct minivmm_device *dev, const struct block_front *front)
{
	struct block *b = block_of(dev);

	b->front = front;
	b->dev = dev;
	disk_init(&b->disk, dev, b->readonly);
	workers_init(&b->workers);
	if (rate_configure(dev, &b->limit, b->rate, b->burst))
		return -1;
	if (b->readonly + b->temporary + !!*b->overlay <= 1)
		return 0;
	minivmm_error(dev, "readonly, temporary and overlay exclude each other: each selects where "
			   "writes go; set only one");
	return -1;
}

static int
open_disk(struct minivmm_device *dev, struct block *b)
{
	bool above = *b->overlay || b->temporary;

	if (!b->readonly && *b->layers && !above) {
		minivmm_error(dev, "the layers belong to snapshots and cannot be written: set "
				   "overlay = FILE, temporary = yes or readonly = yes");
		return -1;
	}
	if (disk_open(&b->disk, b->path, b->layers, !b->readonly && !above))
		return -1;
	b->bytes = b->disk.bytes;
	b->changed_at = disk_changed(&b->disk);
	if (!above)
		return 0;
	return b->temporary ? disk_create_overlay(&b->disk, NULL)
			    : disk_open_overlay(&b->disk, b->overlay);
}

/* A restored machine writes to a new overlay, so that the snapshot can be restored again. */
static int
restore_disk(struct minivmm_device *dev, struct block *b, bool branch)
{
	if (disk_open(&b->disk, b->path, b->layers, false))
		return -1;
	if (b->disk.bytes != b->bytes) {
		minivmm_error(
		    dev, "the disk %s has %llu bytes, but %llu in the snapshot: it is another disk",
		    b->path, (unsigned long long)b->disk.bytes, (unsigned long long)b->bytes);
		return -1;
	}
	if (b->changed == REFUSE && disk_changed(&b->disk) != b->changed_at) {
		minivmm_error(dev,
			      "the disk %s was modified after the snapshot, or is a copy; if its "
			      "content is the same, use --set device.%s.changed=accept",
			      b->path, dev->name);
		return -1;
	}
	b->disk.origin = b->disk.count;
	if (branch)
		disk_inherit(&b->disk);
	return b->readonly ? 0 : disk_create_overlay(&b->disk, *b->overlay ? b->overlay : NULL);
}

int
block_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct block *b = block_of(dev);
	int r = 0;

	if (start->reason == MINIVMM_FRESH)
		r = open_disk(dev, b);
	else if (start->reason == MINIVMM_RESTORED)
		r = restore_disk(
		    dev, b, start->size > offsetof(struct minivmm_start, branch) && start->branch);
	else if (!b->readonly)
		r = disk_reset(&b->disk, b->disk.origin);
	disk_check_room(&b->disk);
	if (!r && b->io == BLOCK_IO_URING)
		r = ring_start(b);
	if (!r && block_binds(b))
		r = workers_start(b);
	return r;
}

int
block_capture(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);
	char *layers, *stem = disk_stem(&b->disk, b->overlay);
	int branch = minivmm_branch_file(dev, -1, NULL),
	    r = branch < 0 ? -1 : disk_freeze(&b->disk, stem, branch);

	free(stem);
	if (r)
		return -1;
	b->changed_at = disk_changed(&b->disk);
	layers = disk_layers(&b->disk);
	if (!layers)
		minivmm_error(dev, "cannot list the layers of the disk %s for the snapshot",
			      b->path);
	r = !layers || minivmm_option_set(dev, "layers", layers) ||
	    minivmm_option_set(dev, "overlay", "") || minivmm_option_set(dev, "temporary", "no");
	free(layers);
	disk_check_room(&b->disk);
	return r ? -1 : 0;
}

int
block_stop(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);

	disk_hurry(&b->disk, true); /* the guest's requests; the flush has its time */
	block_reset(dev);
	disk_hurry(&b->disk, false);
	workers_end(&b->workers);
	if (b->ring)
		minivmm_watch(dev, b->front->ring_watch, -1, 0);
	ring_end(b);
	if (!b->disk.count || !disk_flush(&b->disk))
		return 0;
	minivmm_error(dev, "cannot flush the disk %s: %s", b->path,
		      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
	return -1;
}

void
block_destroy(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);

	workers_end(&b->workers);
	ring_end(b);
	while (b->spare) {
		struct block_job *job = b->spare;

		b->spare = job->next;
		free(job);
	}
	workers_destroy(&b->workers);
	disk_destroy(&b->disk);
}

const char *const block_ios[] = { "auto", "sync", "threads", "io_uring", NULL };
const char *const block_formats[] = { "raw", NULL };
const char *const block_changes[] = { "refuse", "accept", NULL };
