/* SPDX-License-Identifier: BSD-2-Clause */
/* One file under two options of a run: the later one would destroy what the earlier one reads or writes. */
#include "cli/files.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/open.h"

#define FILES 64u /* of a run, at most; more streams are not looked at */

struct file {
	const char *option, *path;
	bool written;
};

struct files {
	struct file list[FILES];
	size_t count;
};

static void
add(struct files *files, const char *option, const char *path, bool written)
{
	if (path && files->count < FILES)
		files->list[files->count++] = (struct file){ option, path, written };
}

/* The folder of a path that need not exist, resolved, and its last part behind it. */
static bool
full_name(const char *path, char name[PATH_MAX + NAME_MAX + 2])
{
	char copy[PATH_MAX], again[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return false;
	strcpy(copy, path);
	strcpy(again, path);
	if (!realpath(dirname(copy), name))
		return false;
	strcat(name, "/");
	strncat(name, basename(again), NAME_MAX);
	return true;
}

static bool
same(const char *a, const char *b)
{
	char name_a[PATH_MAX + NAME_MAX + 2], name_b[PATH_MAX + NAME_MAX + 2];
	struct stat stat_a, stat_b;

	if (!a || !b)
		return false;
	if (!stat(a, &stat_a) && !stat(b, &stat_b))
		return S_ISREG(stat_a.st_mode) && stat_a.st_dev == stat_b.st_dev &&
		       stat_a.st_ino == stat_b.st_ino;
	return full_name(a, name_a) && full_name(b, name_b) && !strcmp(name_a, name_b);
}

/* The files that devices' streams write. */
static void
add_streams(struct files *files, const struct vm *vm)
{
	for (size_t i = 0; i < vm->config.device_count; i++) {
		const struct config_device *device = &vm->config.devices[i];

		for (size_t o = 0; o < device->option_count; o++)
			if (!strcmp(device->options[o].key, "output") &&
			    !strncmp(device->options[o].value, "file:", 5))
				add(files, device->name, device->options[o].value + 5, true);
	}
}

int
files_check(const struct vm *vm, const struct run_options *options, const char *save)
{
	struct files files = { 0 };

	add(&files, "-c", options->config, false);
	add(&files, "-r", options->restore, false);
	add(&files, "[boot] image", vm->config.boot.image, false);
	add(&files, "[vm] memory_file", options->restore ? NULL : vm->config.vm.memory_file, true);
	add(&files, "--save", save, true);
	add(&files, "--trace", options->trace, true);
	add(&files, "--status", options->status, true);
	add_streams(&files, vm);
	for (size_t i = 0; i < files.count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct file *a = &files.list[j], *b = &files.list[i];

			/* Descriptors take what comes as it comes. */
			if (open_descriptor(a->path) >= 0 && open_descriptor(b->path) >= 0)
				continue;
			/* A snapshot replaces the name: what was restored from the old file keeps it. */
			if ((!a->written && !b->written) ||
			    (a->path == options->restore && b->path == save) ||
			    !same(a->path, b->path))
				continue;
			return fail(
			    STATUS_USAGE,
			    "%s and %s both name the file %s: what one holds the other would "
			    "destroy; give them files of their own",
			    a->option, b->option, b->path);
		}
	return 0;
}
