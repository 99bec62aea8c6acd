/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens snapshot files and finds their parents. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/nearby.h"
#include "snapshot/reader.h"

/* Reads exactly length bytes of the file. Returns 0 or a negative status, reported. */
static int
read_at(int fd, const char *path, void *to, size_t length, uint64_t offset)
{
	uint8_t *bytes = to;

	while (length) {
		ssize_t n = pread(fd, bytes, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(STATUS_IO, "cannot read snapshot %s: %s", path,
				    n ? limit_error(errno).text
				      : "the file was truncated during the read");
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int
snapshot_pread(const struct snapshot *snapshot, void *to, size_t length, uint64_t offset)
{
	return read_at(snapshot->fd, snapshot->path, to, length, offset);
}

/* Reads header, table and sections into *meta, malloced. room: limit for table and sections. */
static int
read_meta(int fd, const char *path, uint64_t file_size, uint64_t room, uint8_t **meta,
	  size_t *length)
{
	struct snapshot_header header = { 0 };
	struct why why;
	int failed;

	failed =
	    read_at(fd, path, &header, file_size < sizeof(header) ? file_size : sizeof(header), 0);
	if (failed)
		return failed;
	if (snapshot_check_header(&header, file_size, &why))
		return fail(STATUS_SNAPSHOT, "%s %s", path, why.text);
	if (header.table_size > room)
		return fail(STATUS_SNAPSHOT,
			    "%s is in a chain with more than %u MiB of metadata: use an earlier "
			    "snapshot of the chain",
			    path, SNAPSHOT_CHAIN_META_MAX >> 20);
	*length = sizeof(header) + header.table_size;
	*meta = malloc(*length);
	if (!*meta)
		return fail_memory("reading snapshot %s", path);
	memcpy(*meta, &header, sizeof(header));
	failed = read_at(fd, path, *meta + sizeof(header), header.table_size, header.table_offset);
	if (failed) {
		free(*meta);
		*meta = NULL;
	}
	return failed;
}

static int
open_fd(struct snapshot *snapshot, int fd, const char *name, uint64_t room)
{
	struct stat status;
	uint8_t *meta = NULL;
	struct why why;
	size_t length = 0;
	int failed;

	*snapshot = (struct snapshot){ .fd = fd };
	if (fstat(fd, &status))
		return fail(STATUS_SNAPSHOT, "cannot open snapshot %s: %s", name,
			    limit_error(errno).text);
	if (!S_ISREG(status.st_mode))
		return fail(STATUS_SNAPSHOT, "%s is not a snapshot: it is %s", name,
			    S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
	failed = read_meta(fd, name, (uint64_t)status.st_size, room, &meta, &length);
	if (failed)
		return failed;
	failed = snapshot_parse(snapshot, meta, length, (uint64_t)status.st_size, &why);
	snapshot->fd = fd;
	if (failed)
		return fail(why_status(&why, STATUS_SNAPSHOT), "%s %s", name, why.text);
	snapshot->path = strdup(name);
	return snapshot->path ? 0 : fail_memory("reading snapshot %s", name);
}

int
snapshot_open_fd(struct snapshot *snapshot, int fd, const char *name)
{
	return open_fd(snapshot, fd, name, SNAPSHOT_META_MAX);
}

static int
open_path(struct snapshot *snapshot, const char *path, uint64_t room)
{
	/* Does not block: open_fd refuses a named pipe instead of waiting for its writer. */
	int fd = file_open(path, FILE_READ);

	*snapshot = (struct snapshot){ .fd = -1 };
	if (fd < 0) {
		int error = errno;

		return fail(status_for(error, STATUS_SNAPSHOT), "cannot open snapshot %s: %s%s",
			    path, limit_error(error).text,
			    nearby(path, error, "; check the name").text);
	}
	return open_fd(snapshot, fd, path, room);
}

int
snapshot_open(struct snapshot *snapshot, const char *path)
{
	return open_path(snapshot, path, SNAPSHOT_META_MAX);
}

/* Iterates over the parents: recursion would use too much stack for a long chain. */
void
snapshot_close(struct snapshot *snapshot)
{
	struct snapshot *parent = snapshot->parent;

	while (parent) {
		struct snapshot *next = parent->parent;

		parent->parent = NULL;
		snapshot_close(parent);
		free(parent);
		parent = next;
	}
	if (snapshot->fd >= 0)
		close(snapshot->fd);
	free(snapshot->path);
	free(snapshot->meta);
	free(snapshot->sections);
	free(snapshot->by_kind);
	*snapshot = (struct snapshot){ .fd = -1 };
}

bool
snapshot_peek_id(const char *path, uint8_t id[16])
{
	struct snapshot_header header;
	int fd = file_open(path, FILE_READ);
	bool read = fd >= 0 && pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
		    !memcmp(header.magic, SNAPSHOT_MAGIC, sizeof(header.magic));

	if (fd >= 0)
		close(fd);
	if (read)
		memcpy(id, header.id, sizeof(header.id));
	return read;
}

/* Returns the parent's path if it is in the child's folder and kept its name: malloced, or NULL. */
static char *
parent_beside(const struct snapshot *child)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): open_fd has set path */
	const char *slash = strrchr(child->path, '/');
	char *name = NULL, *path = NULL;

	if (!record_copy_text(snapshot_section(child, SECTION_HOST, 0), "parent", &name, NULL) &&
	    *name && !strchr(name, '/') &&
	    asprintf(&path, "%.*s%s", slash ? (int)(slash - child->path + 1) : 0, child->path,
		     name) < 0)
		path = NULL;
	free(name);
	return path;
}

/* Finds the parent's file by its id. Returns its path, malloced, or NULL, reported. */
static char *
find_parent(const struct snapshot *child, char *const *others, size_t other_count)
{
	const uint8_t *wanted = child->header.parent;
	char *path = parent_beside(child), text[33], other[33] = "";
	uint8_t id[16];

	for (size_t i = 0; i < other_count; i++)
		if (snapshot_peek_id(others[i], id) && !memcmp(id, wanted, sizeof(id))) {
			free(path);
			return strdup(others[i]);
		}
	if (path && snapshot_peek_id(path, id)) {
		if (!memcmp(id, wanted, sizeof(id)))
			return path;
		snapshot_id_text(id, other);
	}
	snapshot_id_text(wanted, text);
	if (*other)
		fail(STATUS_SNAPSHOT,
		     "%s needs its parent, snapshot %s, but %s is snapshot %s: give the "
		     "parent, too, before %s",
		     child->path, text, path, other, child->path);
	else
		fail(STATUS_SNAPSHOT,
		     "%s needs its parent, snapshot %s, which is not %s%s: %sgive the parent, "
		     "too, before %s",
		     child->path, text, path ? "at " : "given", path ? path : "",
		     path ? "move it there, or " : "", child->path);
	free(path);
	return NULL;
}

/* Refuses a parent that has changed since the child was written. */
static int
check_parent(const struct snapshot *child)
{
	const struct snapshot *parent = child->parent;
	char text[33];

	snapshot_id_text(parent->header.id, text);
	if (parent->header.checksum != child->header.parent_checksum)
		return fail(STATUS_SNAPSHOT,
			    "%s does not match its parent, snapshot %s: %s has changed since",
			    child->path, text, parent->path);
	if (parent->region_count != child->region_count ||
	    memcmp(parent->regions, child->regions, sizeof(child->regions)))
		return fail(STATUS_SNAPSHOT, "%s and its parent %s have different memory maps",
			    child->path, parent->path);
	return 0;
}

/* Refuses loops and long chains. last: the oldest open snapshot; it has a parent. */
static int
check_chain(const struct snapshot *first, const struct snapshot *last)
{
	unsigned length = 1;

	for (const struct snapshot *s = first; s; s = s->parent, length++)
		if (!memcmp(s->header.id, last->header.parent, sizeof(s->header.id)))
			return fail(STATUS_SNAPSHOT,
				    "%s is damaged: its parent is %s, so the chain is a loop",
				    last->path, s == last ? "itself" : s->path);
	if (length > SNAPSHOT_CHAIN_MAX)
		return fail(STATUS_SNAPSHOT,
			    "%s is in a chain of more than %u snapshots: use an earlier "
			    "snapshot of the chain",
			    first->path, SNAPSHOT_CHAIN_MAX);
	return 0;
}

int
snapshot_open_parents(struct snapshot *snapshot, char *const *others, size_t other_count)
{
	uint64_t room = SNAPSHOT_CHAIN_META_MAX;
	struct snapshot *child = snapshot;
	int failed = 0;

	for (; !failed && snapshot_has_parent(child); child = child->parent) {
		char *found;

		room -= child->header.table_size;
		failed = check_chain(snapshot, child);
		if (failed)
			return failed;
		found = find_parent(child, others, other_count);
		if (!found)
			return -STATUS_SNAPSHOT;
		child->parent = calloc(1, sizeof(*child));
		if (!child->parent) {
			failed = fail_memory("reading snapshot %s", found);
			free(found);
			return failed;
		} else
			failed = open_path(child->parent, found, room);
		free(found);
		if (!failed)
			failed = check_parent(child);
	}
	return failed;
}

int
snapshot_open_chain(struct snapshot *snapshot, const char *path, char *const *others,
		    size_t other_count)
{
	int failed = snapshot_open(snapshot, path);

	return failed ? failed : snapshot_open_parents(snapshot, others, other_count);
}
