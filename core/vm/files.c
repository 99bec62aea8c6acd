/* SPDX-License-Identifier: BSD-2-Clause */
/* Refuses a run in which one option would destroy the file of another. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "snapshot/output.h"
#include "vm/vm.h"

enum use {
	READ,
	WRITTEN,
	ORIGIN, /* read: the machine is restored from it */
	SAVED,  /* replaced: a machine that is restored from the old file keeps that */
};

struct file {
	const char *option;
	char *path;
	enum use use;
	struct file_id id; /* of path */
};

struct files {
	struct file *list;
	size_t count, room;
	bool failed; /* no memory for an entry */
};

/* Room for one more. */
static bool
grow(struct files *files)
{
	size_t room = files->room ? 2 * files->room : 16;
	struct file *list;

	if (files->count < files->room)
		return true;
	list = reallocarray(files->list, room, sizeof(*list));
	if (!list)
		return false;
	files->list = list;
	files->room = room;
	return true;
}

static void
add(struct files *files, const char *option, const char *path, enum use use)
{
	char *copy;

	if (!path || !*path)
		return;
	copy = grow(files) ? strdup(path) : NULL;
	if (!copy) {
		files->failed = true;
		return;
	}
	files->list[files->count++] = (struct file){ option, copy, use, file_identify(copy) };
}

/* Adds each of several paths with ':' between them. */
static void
add_list(struct files *files, const char *option, const char *paths)
{
	char *copy = paths ? strdup(paths) : NULL, *rest = copy, *path;

	files->failed |= paths && !copy;
	while (copy && (path = strsep(&rest, ":")))
		add(files, option, path, READ);
	free(copy);
}

static void
files_free(struct files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->list[i].path);
	free(files->list);
}

struct device_files {
	struct files *files;
	const char *device;
};

static void
add_found(void *context, const char *path, enum device_file kind)
{
	struct device_files *d = context;

	if (kind == DEVICE_FILE_LIST)
		add_list(d->files, d->device, path);
	else
		add(d->files, d->device, path, kind == DEVICE_FILE_WRITTEN ? WRITTEN : READ);
}

static void
add_device(struct files *files, const struct device *device)
{
	device_each_file(device, add_found, &(struct device_files){ files, device_name(device) });
}

static void
files_of(struct files *files, const struct vm *vm, const char *save)
{
	const struct vm_source *source = &vm->source;
	const struct config *config = &vm->config;
	bool fresh = !source->restore;

	*files = (struct files){ 0 };
	add(files, "-c", source->config, READ);
	add(files, "-r", source->restore, ORIGIN);
	for (const struct snapshot *s = vm->snapshot.parent; s; s = s->parent)
		add(files, "-r", s->path, READ);
	/* A restored machine does not boot again. */
	add(files, "[boot] image", fresh ? config->boot.image : NULL, READ);
	add(files, "[boot] initrd", fresh ? config->boot.initrd : NULL, READ);
	add(files, "[boot] cmdline_file", fresh ? config->boot.cmdline_file : NULL, READ);
	add_list(files, "[boot] modules", fresh ? config->boot.modules : NULL);
	for (size_t i = 0; fresh && i < config->module_count; i++)
		add(files, "[module] file", config->modules[i].file, READ);
	add(files, "[vm] memory_file", fresh ? config->vm.memory_file : NULL, WRITTEN);
	add(files, "[control] socket", config->control.socket, WRITTEN);
	add(files, "--save", save, SAVED);
	if (vm_saves_on_term(vm))
		add(files, "[snapshot] file", config->snapshot.file, SAVED);
	add(files, "--trace", source->trace, WRITTEN);
	add(files, "--status", source->status, WRITTEN);
	for (size_t i = 0; i < vm->devices.count; i++)
		add_device(files, devices_at(&vm->devices, i));
}

static bool
collide(const struct file *a, const struct file *b)
{
	/* Writes to descriptors follow each other. */
	if (file_descriptor(a->path) >= 0 && file_descriptor(b->path) >= 0)
		return false;
	if ((a->use == READ || a->use == ORIGIN) && (b->use == READ || b->use == ORIGIN))
		return false;
	if (a->use == ORIGIN && b->use == SAVED) /* ORIGIN is before all */
		return false;
	if (a->use == SAVED && b->use == SAVED) /* each is whole; the later one stays */
		return false;
	/* Devices, pipes and terminals hold nothing that could be destroyed. */
	return (!a->id.exists || a->id.regular) && file_same(&a->id, &b->id);
}

/* A file that is written at the end: reports a missing folder now, with the message of then. */
static int
check_folder(const char *path, const char *before)
{
	char copy[PATH_MAX];
	struct stat st;

	if (!path || file_descriptor(path) >= 0 || strlen(path) >= sizeof(copy) ||
	    !stat(dirname(strcpy(copy, path)), &st))
		return 0;
	return fail(STATUS_IO, "%s %s: %s", before, path, limit_error(errno).text);
}

int
vm_files_check(const struct vm *vm)
{
	struct files files;
	int r = 0, fd;

	files_of(&files, vm, vm->stop.save);
	if (files.failed)
		r = fail_memory("checking the files of this run");
	if (!r)
		r = check_folder(vm->source.status, "cannot write the status to");
	for (size_t i = 0; i < files.count && !r; i++)
		for (size_t j = 0; j < i && !r; j++) {
			const struct file *a = &files.list[j], *b = &files.list[i];

			if (collide(a, b))
				r = fail(STATUS_USAGE,
					 "%s and %s both name the file %s: one would overwrite the "
					 "other; name two files",
					 a->option, b->option, b->path);
		}
	files_free(&files);
	/* What the end of a long run would refuse is refused now. */
	if (!r && vm->stop.save && vm_descriptor(vm->stop.save, &fd))
		r = output_check(vm->stop.save);
	if (!r && vm_saves_on_term(vm) && vm->config.snapshot.file)
		r = output_check(vm->config.snapshot.file);
	return r;
}

const char *
vm_files_user(const struct vm *vm, const char *path)
{
	const char *option = NULL;
	struct files files;
	size_t others;

	files_of(&files, vm, NULL);
	others = files.count;
	add(&files, "snapshot", path, SAVED);
	if (files.failed)
		option = "an option (no memory to name it)";
	for (size_t i = 0; i < others && others < files.count && !option; i++)
		if (collide(&files.list[i], &files.list[others]))
			option = files.list[i].option;
	files_free(&files);
	return option;
}
