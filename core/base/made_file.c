/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that this process has created, and removes again. */
#include "base/made_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_lock.h"

struct made_entry {
	struct made_file file; /* without a place for MADE_FILLED */
	bool borrowed;         /* the directory is that of an earlier entry */
	enum made_how how;
	int fd;
	struct made_entry *next;
};

void
made_file_set(struct made_file *made, struct place *place, const struct stat *st)
{
	*made = (struct made_file){ *place, st->st_dev, st->st_ino };
	*place = (struct place){ .directory = -1 };
}

static void
unlink_made(const struct made_file *made)
{
	const struct stat st = { .st_dev = made->device, .st_ino = made->inode };

	if (made->place.name && place_names(&made->place, &st))
		unlinkat(made->place.directory, made->place.name, 0);
}

void
made_file_remove(struct made_file *made)
{
	unlink_made(made);
	place_close(&made->place);
	*made = (struct made_file){ 0 };
}

static bool
same_file(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

/* Duplicates a place for an entry. Most outputs are in one directory: one descriptor suffices. */
static int
take_place(const struct made_files *files, const struct place *place, struct made_entry *entry)
{
	const struct made_entry *e = files->first;

	while (e && !(e->file.place.name && same_file(e->file.place.directory, place->directory)))
		e = e->next;
	entry->borrowed = e;
	if (!e)
		return place_beside(&entry->file.place, place, "");
	entry->file.place = (struct place){ e->file.place.directory, strdup(place->name) };
	return entry->file.place.name ? 0 : -1;
}

static void
free_entry(struct made_entry *entry)
{
	if (entry->borrowed)
		free(entry->file.place.name);
	else
		place_close(&entry->file.place);
	if (entry->fd >= 0)
		close(entry->fd);
	free(entry);
}

int
made_files_add(struct made_files *files, enum made_how how, int fd, const struct place *place)
{
	struct made_entry *entry = calloc(1, sizeof(*entry));
	struct stat st;
	int error;

	if (!entry)
		return -1;
	*entry = (struct made_entry){ .how = how, .fd = -1, .next = files->first };
	if (!fstat(fd, &st) && (!place || !take_place(files, place, entry)))
		entry->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (entry->fd < 0) {
		error = errno;
		free_entry(entry);
		errno = error;
		return -1;
	}
	entry->file.device = st.st_dev;
	entry->file.inode = st.st_ino;
	files->first = entry; /* complete: a signal handler may read it */
	return 0;
}

/* False if the output has content, or if another process uses it: it may still write. */
static bool
is_unused(int fd)
{
	struct stat st;

	return !file_lock(fd, false) && !fstat(fd, &st) && !st.st_size;
}

static void
undo(const struct made_entry *entry)
{
	if (entry->how == MADE_FILLED && ftruncate(entry->fd, 0))
		return; /* nothing else can be done */
	if (entry->how == MADE_WHOLE || (entry->how == MADE_OUTPUT && is_unused(entry->fd)))
		unlink_made(&entry->file);
}

void
made_files_undo(const struct made_files *files)
{
	for (const struct made_entry *entry = files->first; entry; entry = entry->next)
		undo(entry);
}

void
made_files_end(struct made_files *files)
{
	struct made_entry *entry = atomic_exchange(&files->first, NULL);

	while (entry) {
		struct made_entry *next = entry->next;

		free_entry(entry);
		entry = next;
	}
}
