/* SPDX-License-Identifier: BSD-2-Clause */
/* Freezes the layers of a disk for a snapshot. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

/* Creates a new top layer in a file with a name STEM.N that does not exist. Only the creation
 * decides: another machine may have taken the name meanwhile. */
static int
create_next(struct disk *disk, const char *stem)
{
	int r = disk_room(disk) ? -1 : 1;
	char *path = NULL;
	uint32_t n;

	if (r > 0 && disk_free_number(stem, &n))
		return disk_error(disk, "cannot find a free name like", stem,
				  minivmm_error_text(disk->dev, MINIVMM_CALL_OTHER, errno).text);
	for (; r > 0 && n < DISK_NAMES; n++) {
		free(path);
		if (asprintf(&path, "%s.%u", stem, n) < 0)
			return disk_error(disk, "cannot create an overlay like", stem, "no memory");
		r = disk_create_named(disk, path);
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
	char *folder = disk_folder(layer->path);
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
name_layer(struct disk *disk, struct disk_layer *layer, const char *stem)
{
	if (layer->path)
		return 0;
	layer->path = disk_link_next(stem, layer);
	if (layer->path) {
		disk_unlink_temporary(layer);
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
	if (disk_regular(&disk->layers[0]))
		return strdup(disk->layers[0].path);
	for (uint32_t i = disk->count; --i;)
		if (disk->layers[i].path)
			return strdup(disk->layers[i].path);
	if (disk->count == 1 ||
	    asprintf(&stem, "%s/minivmm-%s", disk_temporary_folder(), disk->dev->name) < 0)
		return NULL;
	return stem;
}

/* Freezes a layer, once. */
static int
freeze_layer(struct disk *disk, struct disk_layer *layer)
{
	if (!layer->sealed)
		layer->sealed = !(layer->overlay && overlay_freeze(disk, layer)) &&
				!disk_lock_file(disk, layer->fd, layer->path, false);
	return layer->sealed ? 0 : -1;
}

/* Freezes the layers below the top one that this machine has written, and has the snapshot flush
 * them: those of earlier snapshots too, since nobody says whether these have succeeded. A branch
 * needs no flush. The machine is stopped meanwhile, so each layer costs little. */
static int
seal(struct disk *disk, bool branch)
{
	char *folder = NULL;
	int r = 0;

	for (uint32_t i = 0; i + 1 < disk->count && !r; i++) {
		struct disk_layer *layer = &disk->layers[i];

		if (layer->written_here)
			r = freeze_layer(disk, layer) ||
				    (!branch && capture_layer(disk, layer, &folder))
				? -1
				: 0;
	}
	free(folder);
	return r;
}

/* Names the layers below the top one that a branch has inherited without a name. */
static int
name_inherited(struct disk *disk, const char *stem)
{
	for (uint32_t i = 1; i + 1 < disk->count; i++)
		if (name_layer(disk, &disk->layers[i], stem))
			return -1;
	return 0;
}

/* Creates a new top layer for the writes after a snapshot, or after a branch. */
static int
begin_above(struct disk *disk, const char *stem, bool branch)
{
	struct disk_layer *frozen = &disk->layers[disk->count - 1];
	bool named = frozen->path;
	int r;

	if (!stem)
		return disk_error(disk, "cannot freeze the disk", disk->layers[0].path,
				  "no file can be created beside it: set overlay = FILE, temporary "
				  "= yes or readonly = yes");
	if (!branch && name_layer(disk, frozen, stem))
		return -1;
	/* An overlay without a name is followed by another one without a name. */
	r = named ? create_next(disk, stem) : disk_create_overlay(disk, NULL);
	if (!r && named)
		minivmm_log(disk->dev, MINIVMM_INFO, "%s %s; the disk continues in %s",
			    branch ? "the branch stands on" : "the snapshot contains", frozen->path,
			    disk->layers[disk->count - 1].path);
	return r;
}

/* The absolute path of a layer with a name, or NULL with errno. It is looked up once, for the guest
 * stands meanwhile, and a look-up reads each folder of the path. */
static const char *
full_path(struct disk_layer *layer)
{
	if (!layer->full_path)
		layer->full_path = realpath(layer->path, NULL);
	return layer->full_path;
}

/* A snapshot names the disk as its option does. */
static bool
is_there(struct disk_layer *layer, const struct stat *open)
{
	const char *path = layer->overlay ? full_path(layer) : layer->path;
	struct stat named;

	return path && !stat(path, &named) && named.st_dev == open->st_dev &&
	       named.st_ino == open->st_ino;
}

/* Refuses a snapshot if a file that it would name, and that this machine needs, is elsewhere. */
static int
check_names(struct disk *disk)
{
	for (uint32_t i = 0; i < disk->count; i++) {
		struct disk_layer *layer = &disk->layers[i];
		struct stat open;

		if (!layer->path || layer->fd < 0 || (!layer->overlay && !layer->written_here) ||
		    fstat(layer->fd, &open) || is_there(layer, &open))
			continue;
		free(layer->full_path); /* a folder of the path may have moved */
		layer->full_path = NULL;
		if (!is_there(layer, &open))
			return disk_error(disk, "cannot find the file that the disk uses at",
					  layer->path,
					  "it has been moved, removed or replaced: move it back");
	}
	return 0;
}

void
disk_inherit(struct disk *disk)
{
	for (uint32_t i = 0; i < disk->count; i++)
		if (disk->layers[i].fd >= 0)
			disk->layers[i].written_here = disk->layers[i].sealed = true;
	if (disk->count > 1)
		disk_lock_beginning(&disk->layers[disk->count - 1]);
}

int
disk_freeze(struct disk *disk, const char *stem, bool branch)
{
	const struct disk_layer *top;

	disk_merge_use(disk);
	top = &disk->layers[disk->count - 1];
	if (check_names(disk))
		return -1;
	if (!branch && name_inherited(disk, stem))
		return -1;
	if (disk->readonly)
		return 0;
	disk->merge.wanted |= branch;
	if ((!top->overlay || top->written) && begin_above(disk, stem, branch))
		return -1;
	/* Also freeze the layers of earlier snapshots that failed. */
	return seal(disk, branch);
}

/* The path of a layer for disk_layers: its own, or one for a branch. NULL after an error. */
static const char *
listed_path(struct disk *disk, struct disk_layer *layer, char buffer[MINIVMM_BRANCH_PATH])
{
	if (layer->path)
		return full_path(layer);
	return minivmm_branch_file(disk->dev, layer->fd, buffer) == 1 ? buffer : NULL;
}

char *
disk_layers(struct disk *disk)
{
	char buffer[MINIVMM_BRANCH_PATH];
	uint32_t last = disk->readonly ? disk->count : disk->count - 1;
	char *list = NULL;
	size_t length;
	FILE *out = open_memstream(&list, &length);
	bool failed = !out;

	for (uint32_t i = 1; i < last && !failed; i++) {
		const char *path = listed_path(disk, &disk->layers[i], buffer);

		failed =
		    !path || strchr(path, ':') || fprintf(out, "%s%s", i > 1 ? ":" : "", path) < 0;
		if (path && strchr(path, ':'))
			minivmm_error(disk->dev,
				      "the path of the overlay %s contains ':', which a snapshot "
				      "cannot store; end the machine, rename that file or folder, "
				      "and start it again",
				      path);
	}
	if (out)
		failed |= fclose(out) != 0;
	if (!failed)
		return list;
	free(list);
	return NULL;
}
