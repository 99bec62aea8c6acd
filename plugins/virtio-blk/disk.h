/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers: at the bottom a raw file or a block device, upon it overlays, each of which holds the clusters that
 * have been written since it was begun. Only the uppermost is ever written; when a snapshot is taken it becomes one that
 * is not, and a new one is begun. So snapshots and clones share what they have in common, and no byte is copied.
 */
#ifndef PLUGINS_VIRTIO_BLK_DISK_H
#define PLUGINS_VIRTIO_BLK_DISK_H

#include <minivmm/plugin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define DISK_LAYERS 128u
#define DISK_CLUSTER 4096u
#define DISK_PIECES 256u /* of memory that one call takes */

struct disk_layer {
	int fd;
	char *path;          /* ours; NULL: the file has no name */
	bool overlay;        /* else raw */
	uint8_t id[16];      /* an overlay's */
	uint8_t *present;    /* an overlay's clusters, a bit each; read without the lock */
	uint64_t data;       /* where an overlay's first cluster would lie */
	atomic_bool written; /* since it was begun or opened */
	/* Bytes of present, from and to, that the file has not yet; both 0: none. */
	uint64_t marked, marked_end;
};

struct disk {
	struct minivmm_device *dev; /* for errors */
	pthread_mutex_t lock;       /* of writes to an overlay: they may share a cluster */
	uint64_t bytes;             /* its size */
	bool readonly;
	uint32_t count; /* of layers */
	struct disk_layer layers[DISK_LAYERS];
};

/*
 * What follows says what went wrong and returns -1, unless it says otherwise. Offsets and lengths are inside the disk; those
 * of read, write and zero may be any.
 */

/*
 * The raw layer, and the overlays upon it that snapshots hold, a ':' between two ("" none): they are only read, except
 * for a raw layer that is to be written itself. disk->dev and readonly are set.
 */
int disk_open(struct disk *disk, const char *path, const char *layers, bool write);
/*
 * A new overlay upon them. path: its name, which may not exist yet; NULL: it has none, and lies in the folder of the
 * layer below or, where that can't be written, among temporary files.
 */
int disk_begin(struct disk *disk, const char *path);
/* Goes on with an overlay that is there. */
int disk_continue(struct disk *disk, const char *path);
void disk_close(struct disk *disk);

/*
 * length bytes of the pieces of memory, which hold as many or more. errno says what went wrong; nothing is logged. Any
 * thread, several at a time.
 */
int disk_read(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	      uint64_t at);
int disk_write(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	       uint64_t at);
int disk_zero(struct disk *disk, uint64_t length, uint64_t at, bool unmap);
int disk_flush(struct disk *disk);

/*
 * The disk as it is stays so for a snapshot; what is written goes to a new overlay from here on. stem: what files that
 * get a name are called, with a number behind it; NULL: there is no such name.
 */
int disk_freeze(struct disk *disk, const char *stem);
/* The overlays that are not written, absolute, as disk_open takes them; malloced. */
char *disk_layers(const struct disk *disk);
/* Forgets all above so many layers, and begins a new overlay upon them that has no name. */
int disk_reset(struct disk *disk, uint32_t layers);
/* When the raw layer was last written, in ns; 0: that can't be told. */
uint64_t disk_changed(const struct disk *disk);

/* Within: overlay.c. All say what went wrong. */
int overlay_create(const struct disk *disk, struct disk_layer *layer);
/* 1: snapshots hold it. */
int overlay_open(const struct disk *disk, struct disk_layer *layer);
/* Its clusters are marked in the file as well. errno; nothing is logged. */
int overlay_mark(struct disk_layer *layer);
/* Nobody goes on with it. */
int overlay_freeze(const struct disk *disk, struct disk_layer *layer);

#endif
