/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers: at the bottom a raw file, a block device or an NBD export, upon it overlays,
 * each of which holds the clusters that have been written since it was begun. Only the uppermost is
 * ever written; when a snapshot is taken it becomes one that is not, and a new one is begun. So
 * snapshots and clones share what they have in common, and no byte is copied.
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

/* What becomes of bytes that are not wanted: zeros, that keep their place on the disk or need not,
 * or anything. */
enum disk_zero { DISK_ZERO, DISK_UNMAP, DISK_DISCARD };

struct disk_layer;
struct nbd;

/*
 * Where a layer's bytes are: file.c, nbd.c. Places are the store's own, pieces of memory may be
 * changed. errno says what went wrong, nothing is logged. Any thread, several at a time.
 */
struct disk_store {
	int (*transfer)(struct disk_layer *layer, bool write, struct iovec *pieces, int count,
			uint64_t at);
	/* -1 with EOPNOTSUPP: zeros are to be written. */
	int (*zero)(struct disk_layer *layer, enum disk_zero how, uint64_t length, uint64_t at);
	int (*flush)(struct disk_layer *layer);
	void (*close)(struct disk_layer *layer);
};
extern const struct disk_store disk_file, disk_nbd;

struct disk_layer {
	const struct disk_store *store;
	int fd;           /* a file's; else -1 */
	struct nbd *nbd;  /* an export's */
	char *path;       /* ours; NULL: the file has no name */
	char *hidden;     /* the name of one that is to have none; goes with the layer */
	bool overlay;     /* else raw */
	bool ours;        /* this machine has written it, or might have */
	bool frozen;      /* an overlay: its file says that snapshots hold it */
	uint8_t id[16];   /* an overlay's */
	uint8_t *present; /* an overlay's clusters, a bit each; read without the lock */
	uint8_t *unsaved; /* pages of present that the file does not have yet, a byte each */
	uint32_t unsaved_count;
	uint64_t data;       /* where an overlay's first cluster would lie */
	atomic_bool written; /* since it was begun or opened */
};

/*
 * Clusters of an overlay that somebody writes for the first time. Who writes less than one fetches
 * the rest of it from below: nobody else may write there meanwhile.
 */
struct disk_claim {
	struct disk_claim *next;
	uint64_t first, last;
};

struct disk {
	struct minivmm_device *dev; /* for errors */
	pthread_mutex_t lock;       /* of claims, and of what is marked; held for a moment only */
	pthread_cond_t unclaimed;
	struct disk_claim *claims;
	pthread_mutex_t flushing; /* an overlay's bits come to its file one flush after the other */
	uint64_t bytes;           /* its size */
	bool readonly;
	uint32_t count; /* of layers */
	struct disk_layer layers[DISK_LAYERS];
};

void disk_init(struct disk *disk, struct minivmm_device *dev, bool readonly);
void disk_destroy(struct disk *disk);

/*
 * What follows says what went wrong and returns -1, unless it says otherwise. Offsets and lengths
 * are inside the disk; those of read, write and zero may be any.
 */

/*
 * The raw layer, and the overlays upon it that snapshots hold, a ':' between two ("" none): they
 * are only read, except for a raw layer that is to be written itself.
 */
int disk_open(struct disk *disk, const char *path, const char *layers, bool write);
/*
 * A new overlay upon them. path: its name, which may not exist yet; NULL: it has none, and lies in
 * the folder of the layer below or, where that can't be written, among temporary files.
 */
int disk_begin(struct disk *disk, const char *path);
/* Goes on with an overlay that is there. */
int disk_continue(struct disk *disk, const char *path);
void disk_close(struct disk *disk);

/*
 * length bytes of the pieces of memory, which hold as many or more. errno says what went wrong;
 * nothing is logged. Any thread, several at a time.
 */
int disk_read(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	      uint64_t at);
int disk_write(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	       uint64_t at);
int disk_zero(struct disk *disk, enum disk_zero how, uint64_t length, uint64_t at);
int disk_flush(struct disk *disk);

/*
 * For who makes the system call himself: whether one on one file does it all, which file and where,
 * or how for zeros (fallocate's mode). Never waits. What has begun so must end so; done: all of it
 * went well.
 */
struct disk_call {
	int fd; /* -1: there is nothing to do */
	int mode;
	uint64_t at;
	bool claims;
	struct disk_claim claim;
};
bool disk_call_read(struct disk *disk, uint64_t length, uint64_t at, struct disk_call *call);
bool disk_call_write(struct disk *disk, uint64_t length, uint64_t at, struct disk_call *call);
bool disk_call_zero(struct disk *disk, enum disk_zero how, uint64_t length, uint64_t at,
		    struct disk_call *call);
bool disk_call_flush(struct disk *disk, struct disk_call *call);
void disk_call_end(struct disk *disk, struct disk_call *call, bool done);

/*
 * The disk as it is stays so for a snapshot; what is written goes to a new overlay from here on.
 * stem: what files that get a name are called, with a number behind it; NULL: there is no such
 * name.
 */
int disk_freeze(struct disk *disk, const char *stem);
/* What such a stem may be, malloced: of an overlay that was given, or else of what the disk lies
 * in; NULL: there is none. */
char *disk_stem(const struct disk *disk, const char *overlay);
/* The overlays that are not written, absolute, as disk_open takes them; malloced. */
char *disk_layers(const struct disk *disk);
/* Forgets all above so many layers, and begins a new overlay upon them that has no name. */
int disk_reset(struct disk *disk, uint32_t layers);
/* When the raw layer was last written, in ns; 0: that can't be told. */
uint64_t disk_changed(const struct disk *disk);
/* Says what became of connections since the last call. */
void disk_news(struct disk *disk);

/* Within: overlay.c. All say what went wrong. */
int overlay_create(const struct disk *disk, struct disk_layer *layer);
/* 1: snapshots hold it. */
int overlay_open(const struct disk *disk, struct disk_layer *layer);
void overlay_free(struct disk_layer *layer);
/* Nobody goes on with it. */
int overlay_freeze(struct disk *disk, struct disk_layer *layer);
/* Clusters have come to its file, are marked, and on the disk when sync is set. errno; nothing is
 * logged. */
int overlay_flush(struct disk *disk, struct disk_layer *layer, bool sync);
/* The lock is held: these clusters are in the file; whoever sees the bit finds the cluster. */
void overlay_mark(struct disk_layer *layer, uint64_t first, uint64_t last);

/* Within: nbd.c. */
bool export_is(const char *path);
/* The layer's store, and the disk's size. */
int export_open(struct disk *disk, struct disk_layer *layer, const char *path, bool write);
void export_news(struct disk *disk, struct disk_layer *layer);

#endif
