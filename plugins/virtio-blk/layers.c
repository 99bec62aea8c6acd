/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk's layers: opening them, and beginning new ones. */
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

#define NAMES 100000u /* tried */

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
say(struct disk *disk, const char *what, const char *path, const char *why)
{
	minivmm_error(disk->dev, "%s %s: %s", what, path, why);
	return -1;
}

/* Nobody else writes to what we read, nor reads what we write. Where there are no locks, there are
 * none. */
static int
lock_file(struct disk *disk, int fd, const char *path, bool write)
{
	struct flock l = { .l_type = write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &l) || (errno != EAGAIN && errno != EACCES))
		return 0;
	return say(disk, "can't use the disk", path,
		   write
		       ? "another machine uses it: set readonly = yes, or overlay = FILE to write "
			 "what this one writes elsewhere"
		       : "another machine writes to it");
}

/* One more layer, which is closed with the others. */
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
unhide(struct disk_layer *layer)
{
	if (layer->hidden)
		unlink(layer->hidden);
	free(layer->hidden);
	layer->hidden = NULL;
}

static void
layer_close(struct disk_layer *layer)
{
	layer->store->close(layer);
	unhide(layer);
	free(layer->path);
	overlay_free(layer);
}

static int
room(struct disk *disk)
{
	if (disk->count < DISK_LAYERS)
		return 0;
	minivmm_error(disk->dev,
		      "the disk has %u layers already, which is the most: copy it into one file, "
		      "as the guest sees it",
		      disk->count);
	return -1;
}

static int
open_file(struct disk *disk, const char *path, bool write)
{
	struct stat st;
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return say(disk, "can't open the disk", path, strerror(errno));
	add(disk, fd, path)->ours = write;
	disk->count++;
	if (fstat(fd, &st))
		return say(disk, "can't open the disk", path, strerror(errno));
	disk->bytes = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) && (!S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &disk->bytes)))
		return say(disk, "can't use the disk", path,
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
		   ? say(disk, "can't use the disk", path, "it is smaller than a sector")
		   : r;
}

/* An overlay that is there. 1: snapshots hold it. */
static int
open_overlay(struct disk *disk, const char *path, bool write)
{
	struct disk_layer *layer;
	int fd, r;

	if (room(disk))
		return -1;
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return say(disk, "can't open the overlay", path, strerror(errno));
	layer = add(disk, fd, path);
	r = lock_file(disk, fd, path, write);
	if (!r)
		r = overlay_open(disk, layer);
	if (r < 0)
		layer_close(layer);
	else
		disk->count++;
	return r;
}

int
disk_open(struct disk *disk, const char *path, const char *layers, bool write)
{
	char *copy = strdup(layers), *rest = copy, *name;
	int r = copy ? 0 : say(disk, "can't open the disk", path, "no memory");

	if (!r)
		r = open_raw(disk, path, write);
	while (r >= 0 && (name = strsep(&rest, ":")))
		if (*name)
			r = open_overlay(disk, name, false);
	free(copy);
	return r < 0 ? -1 : 0;
}

/* The folder of a path, malloced. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Where files go that have no better place, and outlive a reboot. */
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
 * A file without a name. Where a file system has no such thing (NFS, overlayfs before Linux 6.6),
 * one with a name that is nobody else's, *hidden, malloced, which goes with the layer.
 */
static int
unnamed_in(const char *folder, mode_t mode, char **hidden)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	if (asprintf(hidden, "%s/.minivmm-XXXXXX", folder) < 0) {
		*hidden = NULL;
		return -1;
	}
	fd = mkostemp(*hidden, O_CLOEXEC);
	if (fd < 0) {
		free(*hidden);
		*hidden = NULL;
	}
	return fd;
}

/* Beside the layer below, whose room is the disk's. */
static int
unnamed(const struct disk *disk, char **hidden)
{
	int fd = -1;

	for (uint32_t i = disk->count; i-- && fd < 0;)
		if (disk->layers[i].path && regular(&disk->layers[i])) {
			char *folder = folder_of(disk->layers[i].path);

			if (folder)
				fd = unnamed_in(folder, 0666, hidden);
			free(folder);
		}
	return fd >= 0 ? fd : unnamed_in(temporary(), 0600, hidden);
}

int
disk_begin(struct disk *disk, const char *path)
{
	struct disk_layer *layer;
	char *hidden = NULL;
	int fd;

	if (room(disk))
		return -1;
	fd =
	    path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : unnamed(disk, &hidden);
	if (fd < 0)
		return say(disk, "can't begin the overlay", path ? path : "without a name",
			   errno == EEXIST ? "it is there already, and holds what another machine "
					     "wrote: name a new one"
					   : strerror(errno));
	layer = add(disk, fd, path);
	layer->hidden = hidden;
	layer->ours = true;
	if (!lock_file(disk, fd, path ? path : "", true) && !overlay_create(disk, layer)) {
		disk->count++;
		return 0;
	}
	if (path)
		unlink(path);
	layer_close(layer);
	return -1;
}

int
disk_continue(struct disk *disk, const char *path)
{
	int r = open_overlay(disk, path, true);

	if (!r) /* whatever it holds was written */
		disk->layers[disk->count - 1].written = disk->layers[disk->count - 1].ours = true;
	if (r == 1)
		return say(disk, "can't go on with the overlay", path,
			   "snapshots hold it as it is: name it in layers, and another overlay");
	return r;
}

void
disk_close(struct disk *disk)
{
	for (uint32_t i = 0; i < disk->count; i++)
		layer_close(&disk->layers[i]);
	disk->count = 0;
}

/*
 * A name from the stem and a number that no file has: malloced; NULL: errno. The layer, when there
 * is one, a file without a name, gets it.
 */
static char *
next_name(const char *stem, const struct disk_layer *layer)
{
	char self[32], *path = NULL;
	const char *link = layer && layer->hidden ? layer->hidden : self;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", layer ? layer->fd : -1);
	for (uint32_t n = 1; n < NAMES; n++) {
		free(path);
		if (asprintf(&path, "%s.%u", stem, n) < 0)
			return NULL;
		if (layer ? !linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW)
			  : access(path, F_OK) && errno == ENOENT)
			return path;
		if (layer && errno != EEXIST)
			break;
	}
	free(path);
	return NULL;
}

/* The file and the folder that its name is in come to the disk with the snapshot. */
static int
keep(struct disk *disk, const struct disk_layer *layer)
{
	char *folder = folder_of(layer->path);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, r;

	r = minivmm_capture_file(disk->dev, layer->fd);
	if (fd >= 0) {
		r |= minivmm_capture_file(disk->dev, fd);
		close(fd);
	}
	free(folder);
	return r;
}

static int
name_top(struct disk *disk, const char *stem)
{
	struct disk_layer *layer = &disk->layers[disk->count - 1];

	if (layer->path)
		return 0;
	layer->path = next_name(stem, layer);
	if (layer->path) {
		unhide(layer);
		return 0;
	}
	return say(disk, "what the machine has written can't get a name like", stem,
		   errno == EXDEV ? "it lies elsewhere, where that could be written: "
				    "restore with an overlay = FILE"
				  : strerror(errno));
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

/* What lies below the uppermost layer, and was written here, is not written any more, and comes to
 * the disk. */
static int
seal(struct disk *disk)
{
	for (uint32_t i = 0; i + 1 < disk->count; i++) {
		struct disk_layer *layer = &disk->layers[i];

		if (!layer->ours)
			continue;
		if ((layer->overlay && overlay_freeze(disk, layer)) ||
		    lock_file(disk, layer->fd, layer->path, false) || keep(disk, layer))
			return -1;
	}
	return 0;
}

/* A new layer above the one that is written. */
static int
begin_above(struct disk *disk, const char *stem)
{
	struct disk_layer *frozen = &disk->layers[disk->count - 1];
	bool named = frozen->path;
	char *path = NULL;
	int r;

	if (!stem)
		return say(disk, "the disk", disk->layers[0].path,
			   "is no file beside which another can be: set overlay = FILE, or "
			   "temporary = yes, or readonly = yes");
	if (name_top(disk, stem))
		return -1;
	/* A machine that is not to be found in files goes on so. */
	if (named)
		path = next_name(stem, NULL);
	r = named && !path ? say(disk, "no name like", stem, strerror(errno))
			   : disk_begin(disk, path);
	free(path);
	if (!r && named)
		minivmm_log(disk->dev, MINIVMM_INFO,
			    "%s stays as the snapshot has it; the disk goes on in %s", frozen->path,
			    disk->layers[disk->count - 1].path);
	return r;
}

int
disk_freeze(struct disk *disk, const char *stem)
{
	const struct disk_layer *top = &disk->layers[disk->count - 1];

	if (disk->readonly)
		return 0;
	if ((!top->overlay || top->written) && begin_above(disk, stem))
		return -1;
	/* Those of snapshots that came to nothing, too. */
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
			minivmm_error(
			    disk->dev,
			    "the overlay %s has a ':' in its path: a snapshot can't name it", path);
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
	return disk_begin(disk, NULL);
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
disk_news(struct disk *disk)
{
	if (disk->count && disk->layers[0].nbd)
		export_news(disk, &disk->layers[0]);
}
