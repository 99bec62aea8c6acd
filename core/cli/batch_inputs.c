/* SPDX-License-Identifier: BSD-2-Clause */
/* The inputs of a batch: files, the files of a directory, and lists of names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/batch.h"

#define ROOM ((unsigned)PATH_MAX) /* a path and its NUL: longer names cannot be opened */

static int
no_memory(void)
{
	return fail(STATUS_HOST, "batch: no memory for the list of inputs");
}

/* Adds a name, which becomes the batch's; NULL: there was no memory for it. */
static int
add(struct batch *batch, char *name)
{
	char **files;
	size_t room = batch->file_room ? 2 * batch->file_room : 64;

	if (name && batch->file_count == batch->file_room) {
		files = realloc(batch->files, room * sizeof(*files));
		if (!files) {
			free(name);
			return no_memory();
		}
		batch->files = files;
		batch->file_room = room;
	}
	if (!name)
		return no_memory();
	batch->files[batch->file_count++] = name;
	return 0;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the regular files of a directory whose names do not begin with a dot, sorted. */
static int
add_directory(struct batch *batch, const char *path)
{
	size_t first = batch->file_count, length = strlen(path);
	const char *slash = length && path[length - 1] == '/' ? "" : "/";
	DIR *directory = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!directory)
		return fail(status_for(errno, STATUS_IO), "cannot read the directory %s: %s", path,
			    limit_error(errno).text);
	while (!r && (errno = 0, entry = readdir(directory))) {
		struct stat status;
		char *name;

		if (*entry->d_name == '.' || fstatat(dirfd(directory), entry->d_name, &status, 0) ||
		    !S_ISREG(status.st_mode))
			continue;
		if (asprintf(&name, "%s%s%s", path, slash, entry->d_name) < 0)
			name = NULL;
		r = add(batch, name);
	}
	if (!r && errno)
		r = fail(STATUS_IO, "cannot read the directory %s: %s", path,
			 limit_error(errno).text);
	closedir(directory);
	if (!r && batch->file_count == first)
		r = fail(STATUS_USAGE, "batch: there are no files in the directory %s", path);
	if (!r)
		qsort(batch->files + first, batch->file_count - first, sizeof(*batch->files),
		      compare);
	return r;
}

int
batch_input(struct batch *batch, const char *path)
{
	struct stat status;

	/* Of a file, the worker that opens it reports the errors, in the line of its run. */
	if (!stat(path, &status) && S_ISDIR(status.st_mode))
		return add_directory(batch, path);
	return add(batch, strdup(path));
}

/*
 * Reads a name and the end of it, a NUL or a newline, which it leaves out. Stores the length in
 * *length, ROOM if the name is longer than a path can be. False at the end of the list.
 */
static bool
next_name(FILE *list, int end, char name[ROOM + 1], size_t *length)
{
	int byte = getc_unlocked(list);

	for (*length = 0; byte != EOF && byte != end && *length < ROOM; byte = getc_unlocked(list))
		name[(*length)++] = (char)byte;
	name[*length] = '\0';
	return byte != EOF || *length;
}

/* Opens a list, so that a read waits for the writer of a pipe. */
static int
open_list(const char *path)
{
	int fd = strcmp(path, "-") ? file_descriptor(path) : STDIN_FILENO;

	if (fd >= 0)
		return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	fd = file_open(path, FILE_READ);
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

int
batch_list(struct batch *batch, const char *path, bool null)
{
	int fd = open_list(path), r = 0;
	FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
	char name[ROOM + 1];
	size_t length;

	if (!list)
		return fail(status_for(errno, STATUS_IO), "cannot read the list of inputs %s: %s",
			    path, limit_error(errno).text);
	while (!r && next_name(list, null ? '\0' : '\n', name, &length)) {
		if (!null && strlen(name) != length)
			r = fail(
			    STATUS_USAGE,
			    "the list of inputs %s has a NUL in a line; add --null if NULs end "
			    "its names",
			    path);
		else if (length == ROOM)
			r = fail(STATUS_USAGE,
				 "the list of inputs %s has a name of more than %u bytes; write a "
				 "path per line, or end each with a NUL and add --null",
				 path, ROOM - 1);
		else if (*name)
			r = add(batch, strdup(name));
	}
	if (!r && ferror(list))
		r = fail(STATUS_IO, "cannot read the list of inputs %s: %s", path,
			 limit_error(errno).text);
	fclose(list);
	return r;
}

int
batch_shard(struct batch *batch, const char *text)
{
	const char *slash = strchr(text, '/');
	char *number = slash ? strndup(text, (size_t)(slash - text)) : NULL;
	bool parsed = number && !parse_u64(number, &batch->shard, NULL) &&
		      !parse_u64(slash + 1, &batch->shards, NULL);

	if (slash && !number)
		return no_memory();
	free(number);
	if (!parsed || !batch->shards)
		return fail(
		    STATUS_USAGE,
		    "batch: --shard %s is not I/N; write 2/8 for the second of eight shards", text);
	if (!batch->shard)
		return fail(STATUS_USAGE,
			    "batch: --shard %s: shards are numbered from 1; with Slurm, use sbatch "
			    "-a 1-%llu",
			    text, (unsigned long long)batch->shards);
	if (batch->shard > batch->shards)
		return fail(STATUS_USAGE, "batch: --shard %s: there are only %llu shards", text,
			    (unsigned long long)batch->shards);
	return 0;
}

void
batch_inputs_share(struct batch *batch)
{
	size_t kept = 0;

	for (size_t i = 0; i < batch->file_count; i++)
		if (i % batch->shards == batch->shard - 1)
			batch->files[kept++] = batch->files[i];
		else
			free(batch->files[i]);
	batch->file_count = kept;
}

void
batch_inputs_free(struct batch *batch)
{
	for (size_t i = 0; i < batch->file_count; i++)
		free(batch->files[i]);
	free(batch->files);
}
