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

#define FILES 1024u /* of a run, at most; more are not looked at */

struct file {
	const char *option, *path;
	bool written, exists, regular;
	dev_t device;
	ino_t inode;
};

struct files {
	struct file list[FILES];
	size_t count;
};

static void
add(struct files *files, const char *option, const char *path, bool written)
{
	struct stat st = { 0 };
	bool exists;

	if (!path || !*path || files->count == FILES)
		return;
	exists = !stat(path, &st);
	files->list[files->count++] = (struct file){
		option, path, written, exists, S_ISREG(st.st_mode), st.st_dev, st.st_ino
	};
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

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool
same(const struct file *a, const struct file *b)
{
	char name_a[PATH_MAX + NAME_MAX + 2], name_b[PATH_MAX + NAME_MAX + 2];

	if (a->exists && b->exists)
		return a->regular && a->device == b->device && a->inode == b->inode;
	return a->exists == b->exists && !strcmp(last_part(a->path), last_part(b->path)) &&
	       full_name(a->path, name_a) && full_name(b->path, name_b) && !strcmp(name_a, name_b);
}

/* What a device opens: files of its streams, and its own, of which we know only that they are not to be lost. */
static void
add_device(struct files *files, const struct device *device)
{
	const struct minivmm_plugin *d = &device->plugin.descriptor;
	const char *name = device->config->name;

	add(files, name, device->plugin.path, false);
	for (uint32_t i = 0; i < device->streams_ready; i++) {
		add(files, name, stream_file(&device->streams[i].stream.in), false);
		add(files, name, stream_file(&device->streams[i].stream.out), true);
	}
	for (uint32_t i = 0; device->configured && i < device->plugin.option_count; i++)
		if (d->options[i].type == MINIVMM_PATH)
			add(files, name,
			    *(const char **)((char *)device->public.state + d->options[i].offset),
			    false);
}

static int
check(const struct file *a, const struct file *b, const struct run_options *options,
      const char *save)
{
	/* Descriptors take what comes as it comes. */
	if (open_descriptor(a->path) >= 0 && open_descriptor(b->path) >= 0)
		return 0;
	/* A snapshot replaces the name: what was restored from the old file keeps it. */
	if ((!a->written && !b->written) || (a->path == options->restore && b->path == save) ||
	    !same(a, b))
		return 0;
	return fail(STATUS_USAGE,
		    "%s and %s both name the file %s: what one holds the other would destroy; give "
		    "them files of their own",
		    a->option, b->option, b->path);
}

int
files_check(const struct vm *vm, const struct run_options *options, const char *save)
{
	struct files list = { .count = 0 }, *files = &list;
	int r = 0;

	add(files, "-c", options->config, false);
	add(files, "-r", options->restore, false);
	add(files, "[boot] image", vm->config.boot.image, false);
	add(files, "[vm] memory_file", options->restore ? NULL : vm->config.vm.memory_file, true);
	add(files, "--save", save, true);
	add(files, "--trace", options->trace, true);
	add(files, "--status", options->status, true);
	for (size_t i = 0; i < vm->devices.count; i++)
		add_device(files, &vm->devices.list[i]);
	for (size_t i = 0; i < files->count && !r; i++)
		for (size_t j = 0; j < i && !r; j++)
			r = check(&files->list[j], &files->list[i], options, save);
	return r;
}
