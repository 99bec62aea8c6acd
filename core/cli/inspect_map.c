/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes the map of a snapshot's memory to stdout or to a file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/inspect.h"
#include "cli/map.h"

static bool
is_svg(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".svg");
}

/* Replaces the file at path by the map, as SVG if its name ends in .svg. */
static int
write_map(const struct map *map, const char *path)
{
	struct file_replacement file;
	int failed = file_replace(&file, "map", path, 0666, NULL), fd = failed ? -1 : dup(file.fd);
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
		failed = write_map(map, path);
	else if (!failed)
		map_text(stdout, map);
	if (map)
		map_free(map);
	free(map);
	return failed;
}
