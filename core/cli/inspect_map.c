/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the map of a snapshot's memory to stdout or to a file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/inspect.h"
#include "cli/map.h"
#include "snapshot/reader.h"

static bool
is_svg(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".svg");
}

/* Refuses a path that is a snapshot, of this chain or another: the map would replace it. */
static int
check_path(const struct snapshot *snapshot, const char *path)
{
	const struct file_id target = file_identify(path);
	uint8_t id[16];
	bool replaced = target.regular && snapshot_peek_id(path, id);

	for (const struct snapshot *s = snapshot; s && !replaced; s = s->parent) {
		const struct file_id file = file_identify(s->path);

		replaced = file_same(&target, &file);
	}
	if (replaced)
		return fail(STATUS_USAGE,
			    "inspect: -o %s would replace the snapshot; name another file", path);
	return 0;
}

/* Replaces the file at path by the map, as SVG if its name ends in .svg. */
static int
write_map(const struct map *map, const char *path)
{
	struct file_replacement file;
	int failed = file_replace(&file, "map", path, 0666), fd = failed ? -1 : dup(file.fd);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!failed && !out)
		failed = file_replace_fail(&file, "open");
	if (out && is_svg(path))
		failed = map_svg(out, map);
	else if (out)
		map_text(out, map);
	if (out && (ferror(out) | fclose(out)) && !failed)
		failed = file_replace_fail(&file, "write");
	if (!failed)
		failed = file_replace_commit(&file);
	file_replace_end(&file);
	return failed;
}

int
inspect_map(const struct snapshot *snapshot, const char *path)
{
	struct map *map = malloc(sizeof(*map));
	int failed = map ? map_make(map, snapshot) : fail_memory("inspect: --map");

	if (!failed && path)
		failed = check_path(snapshot, path);
	if (!failed && path)
		failed = write_map(map, path);
	else if (!failed)
		map_text(stdout, map);
	if (map)
		map_free(map);
	free(map);
	return failed;
}
