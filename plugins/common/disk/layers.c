/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens and creates the layers of a disk. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, F_OFD_SETLK */
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

#define BRANCHED "/proc/self/fd/" /* paths of minivmm_branch_file() */

/* The remedies for a disk that can be read and not written. */
#define READ_INSTEAD "set readonly = yes, or overlay = FILE to write to another file"

void
disk_init(struct disk *disk, struct minivmm_device *dev, bool readonly)
{
	disk->dev = dev;
	disk->readonly = readonly;
	pthread_mutex_init(&disk->lock, NULL);
	pthread_mutex_init(&disk->flushing, NULL);
	pthread_cond_init(&disk->unclaimed, NULL);
}

void
disk_destroy(struct disk *disk)
{
	disk_close(disk);
	pthread_cond_destroy(&disk->unclaimed);
	pthread_mutex_destroy(&disk->flushing);
	pthread_mutex_destroy(&disk->lock);
}

int
disk_error(struct disk *disk, const char *what, const char *path, const char *why)
{
	minivmm_error(disk->dev, "%s %s: %s", what, path, why);
	return -1;
}

int
disk_lock_file(struct disk *disk, int fd, const char *path, bool write)
{
	struct flock l = { .l_type = write ? F_WRLCK : F_RDLCK,
			   .l_whence = SEEK_SET,
			   .l_len = DISK_BEGINNING };
	struct flock other = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = DISK_BEGINNING };
	bool readers;

	if (!fcntl(fd, F_OFD_SETLK, &l) || (errno != EAGAIN && errno != EACCES))
		return 0;
	/* What only readers use can be read; what another one writes cannot be used at all. */
	readers = write && !fcntl(fd, F_OFD_GETLK, &other) && other.l_type == F_UNLCK;
	return disk_error(disk, "cannot use the disk", path,
			  readers
			      ? "another machine or device reads it: " READ_INSTEAD
			      : "another machine or device writes to it: end the machine, remove "
				"the device, or use a copy");
}

/* Initialises the layer above the top one. It counts once the caller increments disk->count. */
static struct disk_layer *
add(struct disk *disk, int fd, const char *path)
{
	struct disk_layer *layer = &disk->layers[disk->count];

	*layer = (struct disk_layer){ .store = &disk_file,
				      .fd = fd,
				      .path = path ? strdup(path) : NULL };
	return layer;
}

void
disk_unlink_temporary(struct disk_layer *layer)
{
	if (layer->temporary_name)
		unlink(layer->temporary_name);
	free(layer->temporary_name);
	layer->temporary_name = NULL;
}

void
disk_layer_close(struct disk_layer *layer)
{
	layer->store->close(layer);
	disk_unlink_temporary(layer);
	free(layer->path);
	free(layer->full_path);
	overlay_free(layer);
}

int
disk_room(struct disk *disk)
{
	if (disk->count < DISK_LAYERS)
		return 0;
	minivmm_error(
	    disk->dev,
	    "the disk has %u layers, which is the maximum: copy its content into one file",
	    disk->count);
	return -1;
}

void
disk_check_room(struct disk *disk)
{
	bool full = disk->count == DISK_LAYERS && !disk->readonly && !disk->merge.wanted &&
		    !disk->merge.count;

	if (full != disk->full)
		minivmm_branch_obstacle(disk->dev,
					full ? "its disk has 128 layers, which is the maximum: "
					       "copy its content into one file"
					     : NULL);
	disk->full = full;
}

static int
open_file(struct disk *disk, const char *path, bool write)
{
	struct stat st;
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && write && (errno == EACCES || errno == EROFS) && !access(path, R_OK))
		return disk_error(disk, "cannot open the disk", path,
				  "it cannot be written: " READ_INSTEAD);
	if (fd < 0)
		return disk_error(disk, "cannot open the disk", path,
				  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	add(disk, fd, path)->written_here = write;
	disk->count++;
	if (fstat(fd, &st))
		return disk_error(disk, "cannot open the disk", path,
				  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	disk->bytes = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) && (!S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &disk->bytes)))
		return disk_error(disk, "cannot use the disk", path,
				  "it is neither a file nor a block device");
	return disk_lock_file(disk, fd, path, write);
}

static int
open_raw(struct disk *disk, const char *path, bool write)
{
	int r;

	if (export_is(path)) {
		r = export_open(disk, add(disk, -1, path), path, write);
		if (r)
			disk_layer_close(&disk->layers[disk->count]);
		disk->count += !r;
	} else {
		r = open_file(disk, path, write);
	}
	disk->bytes &= ~511ull;
	return !r && !disk->bytes
		   ? disk_error(disk, "cannot use the disk", path, "it is smaller than a sector")
		   : r;
}

/* Opens the existing overlay in fd, which the layer owns. Returns 1 if snapshots contain it. */
static int
open_overlay(struct disk *disk, int fd, const char *path, bool write)
{
	struct disk_layer *layer = add(disk, fd, path);
	int r = disk_lock_file(disk, fd, path ? path : "without a name", write);

	if (!r)
		r = overlay_open(disk, layer);
	if (r < 0)
		disk_layer_close(layer);
	else
		disk->count++;
	return r;
}

/* Opens a frozen overlay, an input like the disk. */
static int
open_frozen(struct disk *disk, const char *path)
{
	int fd;

	if (disk_room(disk))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && !strncmp(path, BRANCHED, strlen(BRANCHED)))
		path = NULL; /* a branch has inherited it; it has no name */
	return fd < 0 ? disk_error(disk, "cannot open the overlay", path,
				   minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text)
		      : open_overlay(disk, fd, path, false);
}

int
disk_open(struct disk *disk, const char *path, const char *layers, bool write)
{
	char *copy = strdup(layers), *rest = copy, *name;
	int r = copy ? 0 : disk_error(disk, "cannot open the disk", path, "no memory");

	if (!r)
		r = open_raw(disk, path, write);
	while (r >= 0 && (name = strsep(&rest, ":")))
		if (*name)
			r = open_frozen(disk, name);
	free(copy);
	return r < 0 ? -1 : 0;
}

char *
disk_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *
disk_temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : "/var/tmp";
}

bool
disk_regular(const struct disk_layer *layer)
{
	struct stat st;

	return layer->fd >= 0 && !fstat(layer->fd, &st) && S_ISREG(st.st_mode);
}

/*
 * Creates a file without a name. If the file system does not support that (NFS, overlayfs before
 * Linux 6.6), creates one with a unique name: *temporary_name, malloced, which is unlinked with the
 * layer.
 */
static int
unnamed_in(const char *folder, char **temporary_name)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	if (asprintf(temporary_name, "%s/.minivmm-XXXXXX", folder) < 0) {
		*temporary_name = NULL;
		return -1;
	}
	fd = mkostemp(*temporary_name, O_CLOEXEC);
	if (fd < 0) {
		free(*temporary_name);
		*temporary_name = NULL;
	}
	return fd;
}

/* Creates a file without a name in the folder of the nearest layer below, which is likely to have
 * the space. */
static int
unnamed(const struct disk *disk, char **temporary_name)
{
	int fd = -1;

	for (uint32_t i = disk->count; i-- && fd < 0;)
		if (disk->layers[i].path && disk_regular(&disk->layers[i])) {
			char *folder = disk_folder(disk->layers[i].path);

			if (folder)
				fd = unnamed_in(folder, temporary_name);
			free(folder);
		}
	return fd >= 0 ? fd : unnamed_in(disk_temporary_folder(), temporary_name);
}

/* Makes an overlay of the empty file in fd, which the layer owns. path: its name, or NULL. */
static int
create_overlay(struct disk *disk, int fd, const char *path, char *temporary_name)
{
	struct disk_layer *layer = add(disk, fd, path);

	layer->temporary_name = temporary_name;
	layer->written_here = true;
	if (!disk_lock_file(disk, fd, path ? path : "", true) && !overlay_create(disk, layer)) {
		disk->count++;
		return 0;
	}
	disk_layer_close(layer);
	return -1;
}

int
disk_create_merged(struct disk *disk, struct disk_layer *layer, const uint8_t *below,
		   const uint8_t *id)
{
	char *temporary_name = NULL;
	int fd = unnamed(disk, &temporary_name);

	if (fd < 0)
		return disk_error(disk, "cannot create the overlay", "of merged layers",
				  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	*layer = (struct disk_layer){ .store = &disk_file,
				      .fd = fd,
				      .temporary_name = temporary_name,
				      .written_here = true,
				      .written = true,
				      .sealed = true };
	if (!disk_lock_file(disk, fd, "", false) && !overlay_create_frozen(disk, layer, id, below))
		return 0;
	disk_layer_close(layer);
	return -1;
}

int
disk_create_named(struct disk *disk, const char *path)
{
	int fd = minivmm_file_open(disk->dev, path, MINIVMM_FILE_NEW), r;

	if (fd < 0)
		return errno == EEXIST ? 1 : -1;
	r = create_overlay(disk, fd, path, NULL);
	if (r)
		unlink(path);
	return r;
}

int
disk_create_overlay(struct disk *disk, const char *path)
{
	char *temporary_name = NULL;
	int fd, r;

	if (disk_room(disk))
		return -1;
	if (path) {
		r = disk_create_named(disk, path);
		return r > 0 ? disk_error(disk, "cannot create the overlay", path,
					  "it exists already and contains what another machine "
					  "wrote: use a new name")
			     : r;
	}
	fd = unnamed(disk, &temporary_name);
	if (fd >= 0)
		return create_overlay(disk, fd, NULL, temporary_name);
	return disk_error(disk, "cannot create the overlay", "without a name",
			  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
}

/* A machine that was killed when it had just created its overlay leaves an empty file. */
static bool
is_empty(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_size;
}

int
disk_open_overlay(struct disk *disk, const char *path)
{
	int fd, r;

	if (disk_room(disk))
		return -1;
	r = disk_create_named(disk, path);
	if (r <= 0)
		return r;
	fd = minivmm_file_open(disk->dev, path, 0);
	if (fd < 0)
		return -1;
	if (is_empty(fd))
		return create_overlay(disk, fd, path, NULL);
	r = open_overlay(disk, fd, path, true);
	if (!r) /* its content counts as written */
		disk->layers[disk->count - 1].written = disk->layers[disk->count - 1].written_here =
		    true;
	if (r == 1)
		return disk_error(
		    disk, "cannot continue the overlay", path,
		    "it belongs to a snapshot: move it to layers, and set another overlay");
	return r;
}

void
disk_hurry(struct disk *disk, bool hurry)
{
	if (disk_remote(disk))
		export_hurry(&disk->layers[0], hurry);
}

bool
disk_remote(const struct disk *disk)
{
	return disk->count && disk->layers[0].nbd;
}

void
disk_close(struct disk *disk)
{
	disk_merge_end(disk);
	for (uint32_t i = 0; i < disk->count; i++)
		disk_layer_close(&disk->layers[i]);
	disk->count = 0;
}

int
disk_reset(struct disk *disk, uint32_t layers)
{
	struct disk_layer *layer = &disk->layers[disk->count - 1];

	disk_merge_end(disk);
	if (disk->count == layers + 1 && layer->overlay) {
		if (!layer->written)
			return 0;
		overlay_free(layer);
		layer->written = false;
		disk->count--;
		if (overlay_create(disk, layer)) {
			disk_layer_close(layer);
			return -1;
		}
		disk->count++;
		return 0;
	}
	while (disk->count > layers)
		disk_layer_close(&disk->layers[--disk->count]);
	return disk_create_overlay(disk, NULL);
}

uint64_t
disk_changed(const struct disk *disk)
{
	struct stat st;

	if (!disk_regular(&disk->layers[0]) || fstat(disk->layers[0].fd, &st))
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

void
disk_log_connection(struct disk *disk)
{
	if (disk->count && disk->layers[0].nbd)
		export_log_connection(disk, &disk->layers[0]);
}
