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

static int
disk_error(struct disk *disk, const char *what, const char *path, const char *why)
{
	minivmm_error(disk->dev, "%s %s: %s", what, path, why);
	return -1;
}

/* Locks a file: for writing against all other users, for reading against writers. A file system
 * without locks is not an error. */
static int
lock_file(struct disk *disk, int fd, const char *path, bool write)
{
	struct flock l = { .l_type = write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
	struct flock other = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
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

static void
unlink_temporary(struct disk_layer *layer)
{
	if (layer->temporary_name)
		unlink(layer->temporary_name);
	free(layer->temporary_name);
	layer->temporary_name = NULL;
}

static void
layer_close(struct disk_layer *layer)
{
	layer->store->close(layer);
	unlink_temporary(layer);
	free(layer->path);
	overlay_free(layer);
}

static int
room(struct disk *disk)
{
	if (disk->count < DISK_LAYERS)
		return 0;
	minivmm_error(
	    disk->dev,
	    "the disk has %u layers, which is the maximum: copy its content into one file",
	    disk->count);
	return -1;
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
	return lock_file(disk, fd, path, write);
}

static int
open_raw(struct disk *disk, const char *path, bool write)
{
	int r;

	if (export_is(path)) {
		r = export_open(disk, add(disk, -1, path), path, write);
		if (r)
			layer_close(&disk->layers[disk->count]);
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
	int r = lock_file(disk, fd, path, write);

	if (!r)
		r = overlay_open(disk, layer);
	if (r < 0)
		layer_close(layer);
	else
		disk->count++;
	return r;
}

/* Opens a frozen overlay, an input like the disk. */
static int
open_frozen(struct disk *disk, const char *path)
{
	int fd;

	if (room(disk))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

/* Returns the folder of a path, malloced. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Returns the folder for files that have no better place and must survive a reboot. */
static const char *
temporary(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : "/var/tmp";
}

static bool
regular(const struct disk_layer *layer)
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
		if (disk->layers[i].path && regular(&disk->layers[i])) {
			char *folder = folder_of(disk->layers[i].path);

			if (folder)
				fd = unnamed_in(folder, temporary_name);
			free(folder);
		}
	return fd >= 0 ? fd : unnamed_in(temporary(), temporary_name);
}

/* Makes an overlay of the empty file in fd, which the layer owns. path: its name, or NULL. */
static int
create_overlay(struct disk *disk, int fd, const char *path, char *temporary_name)
{
	struct disk_layer *layer = add(disk, fd, path);

	layer->temporary_name = temporary_name;
	layer->written_here = true;
	if (!lock_file(disk, fd, path ? path : "", true) && !overlay_create(disk, layer)) {
		disk->count++;
		return 0;
	}
	layer_close(layer);
	return -1;
}

/* Creates an overlay in a new file. Returns 1 with EEXIST, unreported, if the file exists. */
static int
create_named(struct disk *disk, const char *path)
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

	if (room(disk))
		return -1;
	if (path) {
		r = create_named(disk, path);
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

	if (room(disk))
		return -1;
	r = create_named(disk, path);
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
	for (uint32_t i = 0; i < disk->count; i++)
		layer_close(&disk->layers[i]);
	disk->count = 0;
}

/* Creates a new top layer in a file with a name STEM.N that does not exist. Only the creation
 * decides: another machine may have taken the name meanwhile. */
static int
create_next(struct disk *disk, const char *stem)
{
	int r = room(disk) ? -1 : 1;
	char *path = NULL;
	uint32_t n;

	if (r > 0 && disk_free_number(stem, &n))
		return disk_error(disk, "cannot find a free name like", stem,
				  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	for (; r > 0 && n < DISK_NAMES; n++) {
		free(path);
		if (asprintf(&path, "%s.%u", stem, n) < 0)
			return disk_error(disk, "cannot create an overlay like", stem, "no memory");
		r = create_named(disk, path);
	}
	free(path);
	return r > 0 ? disk_error(disk, "cannot find a free name like", stem,
				  "all numbers are in use: remove old overlays")
		     : r;
}

/* Has the snapshot flush the layer's file and its folder to stable storage. *last: the folder of
 * the previous call, malloced, which is not flushed again; NULL: none. */
static int
capture_layer(struct disk *disk, const struct disk_layer *layer, char **last)
{
	char *folder = folder_of(layer->path);
	bool again = folder && *last && !strcmp(folder, *last);
	int fd = folder && !again ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, r;

	r = minivmm_capture_file(disk->dev, layer->fd);
	if (fd >= 0) {
		r |= minivmm_capture_file(disk->dev, fd);
		close(fd);
	}
	free(*last);
	*last = folder;
	return r;
}

static int
name_top(struct disk *disk, const char *stem)
{
	struct disk_layer *layer = &disk->layers[disk->count - 1];

	if (layer->path)
		return 0;
	layer->path = disk_link_next(stem, layer);
	if (layer->path) {
		unlink_temporary(layer);
		return 0;
	}
	return disk_error(disk, "cannot link the overlay without a name to", stem,
			  errno == EXDEV
			      ? "it is on another file system; restore with overlay = FILE"
			      : minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
}

char *
disk_stem(const struct disk *disk, const char *overlay)
{
	char *stem;

	if (*overlay)
		return strdup(overlay);
	if (regular(&disk->layers[0]))
		return strdup(disk->layers[0].path);
	for (uint32_t i = disk->count; --i;)
		if (disk->layers[i].path)
			return strdup(disk->layers[i].path);
	if (disk->count == 1 || asprintf(&stem, "%s/minivmm-%s", temporary(), disk->dev->name) < 0)
		return NULL;
	return stem;
}

/* Freezes a layer, once. */
static int
freeze_layer(struct disk *disk, struct disk_layer *layer)
{
	if (!layer->sealed)
		layer->sealed = !(layer->overlay && overlay_freeze(disk, layer)) &&
				!lock_file(disk, layer->fd, layer->path, false);
	return layer->sealed ? 0 : -1;
}

/* Freezes the layers below the top one that this machine has written, and has the snapshot flush
 * them: those of earlier snapshots too, since nobody says whether these have succeeded. The machine
 * is stopped meanwhile, so each layer costs little. */
static int
seal(struct disk *disk)
{
	char *folder = NULL;
	int r = 0;

	for (uint32_t i = 0; i + 1 < disk->count && !r; i++) {
		struct disk_layer *layer = &disk->layers[i];

		if (layer->written_here)
			r = freeze_layer(disk, layer) || capture_layer(disk, layer, &folder) ? -1
											     : 0;
	}
	free(folder);
	return r;
}

/* Creates a new top layer for the writes after a snapshot. */
static int
begin_above(struct disk *disk, const char *stem)
{
	struct disk_layer *frozen = &disk->layers[disk->count - 1];
	bool named = frozen->path;
	int r;

	if (!stem)
		return disk_error(disk, "cannot freeze the disk", disk->layers[0].path,
				  "no file can be created beside it: set overlay = FILE, temporary "
				  "= yes or readonly = yes");
	if (name_top(disk, stem))
		return -1;
	/* An overlay without a name is followed by another one without a name. */
	r = named ? create_next(disk, stem) : disk_create_overlay(disk, NULL);
	if (!r && named)
		minivmm_log(disk->dev, MINIVMM_INFO,
			    "the snapshot contains %s; the disk continues in %s", frozen->path,
			    disk->layers[disk->count - 1].path);
	return r;
}

/* Refuses a snapshot if a file that it would name, and that this machine needs, is elsewhere. */
static int
check_names(struct disk *disk)
{
	for (uint32_t i = 0; i < disk->count; i++) {
		const struct disk_layer *layer = &disk->layers[i];
		struct stat named, open;

		if (!layer->path || layer->fd < 0 || (!layer->overlay && !layer->written_here) ||
		    fstat(layer->fd, &open))
			continue;
		if (stat(layer->path, &named) || named.st_dev != open.st_dev ||
		    named.st_ino != open.st_ino)
			return disk_error(disk, "cannot find the file that the disk uses at",
					  layer->path,
					  "it has been moved, removed or replaced: move it back");
	}
	return 0;
}

int
disk_freeze(struct disk *disk, const char *stem)
{
	const struct disk_layer *top = &disk->layers[disk->count - 1];

	if (check_names(disk))
		return -1;
	if (disk->readonly)
		return 0;
	if ((!top->overlay || top->written) && begin_above(disk, stem))
		return -1;
	/* Also freeze the layers of earlier snapshots that failed. */
	return seal(disk);
}

char *
disk_layers(const struct disk *disk)
{
	uint32_t last = disk->readonly ? disk->count : disk->count - 1;
	char *list = strdup(""), *longer, *path;

	for (uint32_t i = 1; i < last && list; i++) {
		path = realpath(disk->layers[i].path, NULL);
		if (!path || strchr(path, ':') ||
		    asprintf(&longer, "%s%s%s", list, *list ? ":" : "", path) < 0)
			longer = NULL;
		if (path && strchr(path, ':'))
			minivmm_error(disk->dev,
				      "the path of the overlay %s contains ':', which a snapshot "
				      "cannot store; end the machine, rename that file or folder, "
				      "and start it again",
				      path);
		free(path);
		free(list);
		list = longer;
	}
	return list;
}

int
disk_reset(struct disk *disk, uint32_t layers)
{
	struct disk_layer *layer = &disk->layers[disk->count - 1];

	if (disk->count == layers + 1 && layer->overlay) {
		if (!layer->written)
			return 0;
		overlay_free(layer);
		layer->written = false;
		disk->count--;
		if (overlay_create(disk, layer))
			return -1;
		disk->count++;
		return 0;
	}
	while (disk->count > layers)
		layer_close(&disk->layers[--disk->count]);
	return disk_create_overlay(disk, NULL);
}

uint64_t
disk_changed(const struct disk *disk)
{
	struct stat st;

	if (!regular(&disk->layers[0]) || fstat(disk->layers[0].fd, &st))
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

void
disk_log_connection(struct disk *disk)
{
	if (disk->count && disk->layers[0].nbd)
		export_log_connection(disk, &disk->layers[0]);
}
