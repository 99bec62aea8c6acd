/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers. The bottom layer is raw: a file, a block device or an NBD export. The layers
 * above it are overlays. An overlay contains the clusters that were written since it was created.
 * Only the top layer is written. A snapshot freezes the top overlay and creates a new one above it,
 * so snapshots and clones share their common layers and copy nothing.
 */
#ifndef PLUGINS_COMMON_DISK_DISK_H
#define PLUGINS_COMMON_DISK_DISK_H

#include <minivmm/plugin.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define DISK_LAYERS 128u
#define DISK_CLUSTER 4096u
#define DISK_PIECES 256u /* memory segments (struct iovec) per call */

/* How a range is cleared. DISK_ZERO: zeros, which stay allocated. DISK_UNMAP: zeros, which may be
 * deallocated. DISK_DISCARD: any content. */
enum disk_zero { DISK_ZERO, DISK_UNMAP, DISK_DISCARD };

/* DISK_READ_NOWAIT: fails with EAGAIN where DISK_READ might wait for a device; the content of the
 * memory is then undefined. Where the file system cannot tell, it is the same as DISK_READ. */
enum disk_way { DISK_READ, DISK_READ_NOWAIT, DISK_WRITE };

struct disk_layer;
struct nbd;

/*
 * How a layer's bytes are accessed: file.c, nbd.c. Offsets are those of the file or export.
 * Functions return 0, or -1 with errno, and log nothing. They may change pieces. Several threads
 * may call them at the same time.
 */
struct disk_store {
	int (*transfer)(struct disk_layer *layer, enum disk_way way, struct iovec *pieces,
			int count, uint64_t at);
	/* -1 with EOPNOTSUPP: the caller must write zeros. */
	int (*zero)(struct disk_layer *layer, enum disk_zero how, uint64_t length, uint64_t at);
	int (*flush)(struct disk_layer *layer);
	void (*close)(struct disk_layer *layer);
};
extern const struct disk_store disk_file, disk_nbd;

struct disk_layer {
	const struct disk_store *store;
	int fd;          /* of a file; else -1 */
	struct nbd *nbd; /* of an NBD export; else NULL */
	char *path;      /* owned; NULL: the file has no name */
	char *full_path; /* the same, absolute; owned; NULL: a snapshot has yet to look it up */
	char *temporary_name; /* of a file that should have no name; unlinked on close */
	bool overlay;         /* false: a raw layer */
	bool written_here;    /* this machine may have written it */
	bool frozen;    /* an overlay: its header has the flag FROZEN, since snapshots contain it */
	bool sealed;    /* a snapshot of this machine has frozen it, and it is locked for reading */
	uint8_t id[16]; /* of an overlay */
	uint8_t *present; /* of an overlay: one bit per cluster that it contains; read without the
			     lock */
	uint8_t *unsaved; /* one byte per page of present that is not in the file yet */
	uint32_t unsaved_count;
	uint64_t clusters;     /* set bits of present */
	uint64_t data;         /* file offset of cluster 0 of an overlay; 0 for a raw layer */
	atomic_bool no_nowait; /* its file system lacks RWF_NOWAIT */
	atomic_bool written;   /* since it was created or opened */
};

/* A range of clusters that are being written to an overlay for the first time. A write of part of a
 * cluster copies the rest from below; until it is done, no other write may touch the cluster. */
struct disk_claim {
	struct disk_claim *next;
	uint64_t first, last;
};

/* Layers that are being merged: merge.c. Of the I/O thread, but as stated. */
struct disk_merge {
	bool wanted;             /* look for layers: the chain has changed */
	bool running;            /* thread is to be joined */
	pthread_t thread;        /* it has from, count, into and retired until it has ended */
	atomic_bool cancelled;   /* the thread ends soon */
	atomic_bool ended;       /* the thread waits to be joined */
	sem_t begun, joined;     /* the thread waits for the second at its end */
	bool has_begun;          /* begun was taken */
	uint8_t *buffer;         /* the thread's; malloced */
	int error;               /* an errno, or 0 */
	uint32_t first, count;   /* layers of the chain; count 0: none */
	struct disk_layer *from; /* copies of those; malloced. The chain owns what they refer to */
	struct disk_layer into;
	struct disk_layer *retired; /* out of the chain, to be closed; malloced */
	uint32_t retired_count;
};

struct disk {
	struct minivmm_device *dev; /* for minivmm_error() */
	pthread_mutex_t
	    lock; /* protects claims, present and unsaved; held briefly, never during I/O */
	pthread_cond_t unclaimed;
	struct disk_claim *claims;
	pthread_mutex_t flushing; /* serialises flushes of an overlay */
	uint64_t bytes;           /* size of the disk */
	bool readonly;
	uint32_t count;  /* number of layers */
	uint32_t origin; /* number of those at the restore, or the beginning of a branch; 0: none */
	bool full;       /* the host knows that the disk has DISK_LAYERS */
	struct disk_merge merge;
	struct disk_layer layers[DISK_LAYERS];
};

void disk_init(struct disk *disk, struct minivmm_device *dev, bool readonly);
void disk_destroy(struct disk *disk);

/* Functions below log an error and return -1 on failure, unless stated otherwise. Offsets (at) and
 * lengths are in bytes and inside the disk. Those of read, write and zero need no alignment. */

/*
 * Opens the raw layer at path, and the frozen overlays above it: their paths, oldest first, with
 * ':' between them ("": none). All are opened for reading only, except that write opens the raw
 * layer for writing.
 */
int disk_open(struct disk *disk, const char *path, const char *layers, bool write);
/*
 * Creates an overlay on top. path: its file, which must not exist. NULL: a file without a name, in
 * the folder of the layer below or, if that folder cannot be written, in the folder for temporary
 * files.
 */
int disk_create_overlay(struct disk *disk, const char *path);
/* Opens an overlay on top, for writing; creates it if it is missing. */
int disk_open_overlay(struct disk *disk, const char *path);
void disk_close(struct disk *disk);
/* While set, requests to a server that does not answer fail after 2 s. */
void disk_hurry(struct disk *disk, bool hurry);
/* Whether a part of it is on a server, which may be slow or not answer. */
bool disk_remote(const struct disk *disk);

/* Transfer length bytes; the count pieces of memory have at least this size. Return 0, or -1 with
 * errno, and log nothing. Several threads may call these at the same time. */
int disk_read(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	      uint64_t at);
int disk_read_nowait(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
		     uint64_t at);
int disk_write(struct disk *disk, const struct iovec *pieces, uint32_t count, uint64_t length,
	       uint64_t at);
int disk_zero(struct disk *disk, enum disk_zero how, uint64_t length, uint64_t at);
int disk_flush(struct disk *disk);

/*
 * For callers that make the system call themselves (io_uring). Each function returns true if one
 * call on one file does the whole operation, and describes that call: the file, the offset, and for
 * zeros the mode of fallocate(). They never block. After true, call disk_call_end(); done: the call
 * succeeded as a whole.
 */
struct disk_call {
	int fd; /* -1: nothing to do */
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

/* Freezes the disk's content for a snapshot; later writes go to a new overlay. stem: files that
 * need a name get the stem and a number; NULL: no such name is possible. branch: no file needs one,
 * and the layers pass to the new machines. */
int disk_freeze(struct disk *disk, const char *stem, bool branch);
/* The open layers belong to a branch: the machine that it copies has written and frozen them, and
 * the next snapshot must flush them. */
void disk_inherit(struct disk *disk);
/* Returns a stem for disk_freeze(), malloced: from the overlay option, or else from the disk's
 * files. NULL: there is none. */
char *disk_stem(const struct disk *disk, const char *overlay);
/* Returns the absolute paths of the frozen overlays, in the form that disk_open() takes; malloced.
 * NULL after an error. */
char *disk_layers(struct disk *disk);
/* Drops all layers above this number and creates an overlay without a name. */
int disk_reset(struct disk *disk, uint32_t layers);

/* Tells the host whether another branch may need more layers than a disk can have. I/O thread. */
void disk_check_room(struct disk *disk);

/* merge.c: merges layers without a name in the background. Those that fail log it; the disk
 * continues with the layers that it has. I/O thread. */
/* Begins if disk_freeze() has changed the chain. */
void disk_merge_start(struct disk *disk);
/* Puts layers that have been merged into the chain. No request is in flight. */
void disk_merge_use(struct disk *disk);
/* Cancels a merge and waits for its thread, which takes milliseconds unless the host is slow. */
void disk_merge_end(struct disk *disk);
/* Returns the modification time of the raw layer, in ns since 1970; 0: unknown. */
uint64_t disk_changed(const struct disk *disk);
/* Logs whether a connection was lost or restored since the last call. */
void disk_log_connection(struct disk *disk);

/* Internal: layers.c. Those that return int return -1 on failure, logged. */
/* Logs "WHAT PATH: WHY", and returns -1. */
int disk_error(struct disk *disk, const char *what, const char *path, const char *why);
/* Locks a file: for writing against all other users, for reading against writers. A file system
 * without locks is not an error. */
int disk_lock_file(struct disk *disk, int fd, const char *path, bool write);
#define DISK_BEGINNING (1ull << 62) /* disk_lock_file() locks the offsets below */
/* Locks the layer that a branch begins on. As long as it is locked, no other machine merges it. */
void disk_lock_beginning(const struct disk_layer *layer);
void disk_layer_close(struct disk_layer *layer);
/* Creates a frozen overlay without a name, which is not in the chain. */
int disk_create_merged(struct disk *disk, struct disk_layer *layer, const uint8_t *below,
		       const uint8_t *id);
/* Refuses another layer if the disk has DISK_LAYERS. */
int disk_room(struct disk *disk);
/* Creates an overlay in a new file. Returns 1 with EEXIST, not logged, if the file exists. */
int disk_create_named(struct disk *disk, const char *path);
void disk_unlink_temporary(struct disk_layer *layer);
/* Whether the layer is a regular file. */
bool disk_regular(const struct disk_layer *layer);
char *disk_folder(const char *path); /* of this file, malloced; NULL: no memory */
/* For files that have no better place and must survive a reboot. */
const char *disk_temporary_folder(void);

/* Internal: names.c. */
#define DISK_NAMES 100000u /* numbers of overlays below this are tried */
/* Stores a number for which STEM.N does not exist, while N - 1 exists or is 0; DISK_NAMES: none was
 * found. Returns 0, or -1 with errno. */
int disk_free_number(const char *stem, uint32_t *n);
/* Links the layer's file, which has no name, to a name STEM.N that does not exist. Returns the
 * name, malloced; NULL with errno. */
char *disk_link_next(const char *stem, const struct disk_layer *layer);

/* Internal: overlay.c. All log errors. */
int overlay_create(const struct disk *disk, struct disk_layer *layer);
/* The same for one that is frozen; id: its own, below: of the layer below. */
int overlay_create_frozen(const struct disk *disk, struct disk_layer *layer, const uint8_t *id,
			  const uint8_t *below);
/* Returns 1 if snapshots contain the overlay. */
int overlay_open(const struct disk *disk, struct disk_layer *layer);
void overlay_free(struct disk_layer *layer);
/* Marks the overlay in its file as frozen: it is never written again. */
int overlay_freeze(struct disk *disk, struct disk_layer *layer);
/* Writes the unsaved bits of present to the file. With sync, clusters and bits are on stable
 * storage on return. Returns 0, or -1 with errno; logs nothing. */
int overlay_flush(struct disk *disk, struct disk_layer *layer, bool sync);
/* Writes all of present to the file, which nobody else uses. Returns 0, or -1 with errno; logs
 * nothing. */
int overlay_write_present(const struct disk *disk, const struct disk_layer *layer);
/* Marks clusters as present; their data must be in the file already, since readers take no lock.
 * Call with the lock held. */
void overlay_mark(struct disk_layer *layer, uint64_t first, uint64_t last);

/* Internal: nbd.c. */
bool export_is(const char *path);
/* Connects, and sets the layer's store and the disk's size. */
int export_open(struct disk *disk, struct disk_layer *layer, const char *path, bool write);
void export_hurry(struct disk_layer *layer, bool hurry);
void export_log_connection(struct disk *disk, struct disk_layer *layer);

#endif
