/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines, modules and the memory map for the loaders of kernels. */
#include "boot/kernel.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot_file.h"
#include "boot/foreign.h"
#include "machine/layout.h"

/* Removes the newlines at the end of a command line. */
static int
check_file(const struct boot_file *file, char *text, size_t length)
{
	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	text[length] = '\0';
	return strlen(text) == length
		   ? 0
		   : fail(STATUS_USAGE,
			  "cmdline_file %s: byte %zu is NUL, which would end the command "
			  "line; use a text file",
			  file->name, strlen(text));
}

/*
 * Returns the text of the file, malloced. NULL after reporting an error, with the status in
 * *failed.
 */
static char *
read_file(const struct config *config, const char *kernel, size_t limit, int *failed)
{
	struct boot_file file;
	char *text = NULL, where[256];

	*failed = boot_file_open(&file, config->boot.cmdline_file, "cmdline_file", config);
	if (*failed)
		return NULL;
	/* Refuse a file that is far too long without reading it. */
	if (file.length > 2 * CMDLINE_MAX)
		*failed = fail(STATUS_USAGE,
			       "%s: image %s: the command line in %s has %llu bytes, the limit of "
			       "this kernel is %zu; shorten it",
			       config_boot_where(config, "cmdline_file", where, sizeof(where)),
			       kernel, file.name, (unsigned long long)file.length, limit);
	else if (!(text = malloc(file.length + 1)))
		*failed = fail_memory("the command line");
	else
		*failed = boot_file_read(&file, 0, text, file.length);
	if (text && !*failed)
		*failed = check_file(&file, text, file.length);
	boot_file_close(&file);
	if (!*failed)
		return text;
	free(text);
	return NULL;
}

int
kernel_cmdline(const struct config *config, const char *kernel, size_t limit, char **result)
{
	const char *file = config->boot.cmdline_file;
	char *text, where[256];
	int r = 0;

	*result = NULL;
	if (limit > CMDLINE_MAX)
		limit = CMDLINE_MAX;
	if (file)
		text = read_file(config, kernel, limit, &r);
	else
		text = strdup(config->boot.cmdline ? config->boot.cmdline : "");
	if (!text)
		return r ? r : fail_memory("the command line");
	if (strlen(text) <= limit) {
		*result = text;
		return 0;
	}
	r = fail(
	    STATUS_USAGE,
	    "%s: image %s: the command line%s%s has %zu bytes, the limit of this kernel is %zu; "
	    "shorten it",
	    config_boot_where(config, file ? "cmdline_file" : "cmdline", where, sizeof(where)),
	    kernel, file ? " in " : "", file ? file : "", strlen(text), limit);
	free(text);
	return r;
}

static int
list_one(struct kernel_modules *modules, const char *path, size_t length, const char *args)
{
	struct kernel_module *module = &modules->list[modules->count];
	const char *slash = memrchr(path, '/', length), *name = slash ? slash + 1 : path;

	if (modules->count == KERNEL_MODULES)
		return fail(STATUS_USAGE, "a kernel can have at most %d modules", KERNEL_MODULES);
	*module = (struct kernel_module){
		.path = strndup(path, length),
		.name = strndup(name, length - (size_t)(name - path)),
		.args = args,
	};
	modules->count++;
	return module->path && module->name ? 0 : fail_memory("listing the modules");
}

int
kernel_modules_list(const struct config *config, struct kernel_modules *modules)
{
	const char *rest = config->boot.modules;
	int r = 0;

	modules->count = 0;
	if (config->boot.initrd)
		r = list_one(modules, config->boot.initrd, strlen(config->boot.initrd), NULL);
	while (rest && *rest && !r) {
		size_t length = strcspn(rest, ":");

		r = list_one(modules, rest, length, NULL);
		rest += length + (rest[length] == ':');
	}
	for (size_t i = 0; i < config->module_count && !r; i++)
		r = list_one(modules, config->modules[i].file, strlen(config->modules[i].file),
			     config->modules[i].args);
	return r;
}

void
kernel_modules_free(struct kernel_modules *modules)
{
	for (unsigned i = 0; i < modules->count; i++) {
		free(modules->list[i].path);
		free(modules->list[i].name);
	}
	modules->count = 0;
}

int
kernel_module_load(const struct config *config, struct kernel_module *module, const char *what,
		   const char *kernel, struct memory *memory, gpa_t floor, gpa_t *limit)
{
	struct boot_file file;
	int r = boot_file_open(&file, module->path, what, config);
	uint8_t *place;

	if (r)
		return r;
	foreign_module(&file);
	module->size = file.length;
	module->at = file.length <= *limit ? (*limit - file.length) & ~(PAGE_SIZE - 1ull) : 0;
	place = module->at >= floor ? memory_at(memory, module->at, file.length) : NULL;
	if (place) {
		memory_note(memory, what, file.name, module->at, module->size);
		r = boot_file_read(&file, 0, place, file.length);
	} else
		r = fail(
		    STATUS_USAGE,
		    "image %s: the %s %s has %llu bytes and does not fit between the end of the "
		    "kernel, 0x%llx, and 0x%llx; enlarge [vm] memory",
		    kernel, what, file.name, (unsigned long long)file.length,
		    (unsigned long long)floor, (unsigned long long)*limit);
	*limit = module->at;
	boot_file_close(&file);
	return r;
}

/* Adds the part of [at, end) that is in [from, to), in order. */
static void
row(struct kernel_map *map, uint64_t at, uint64_t end, uint64_t from, uint64_t to, uint32_t type)
{
	unsigned i = map->count;

	at = at > from ? at : from;
	end = end < to ? end : to;
	if (end <= at)
		return;
	for (; i && map->rows[i - 1].at > at; i--)
		map->rows[i] = map->rows[i - 1];
	map->rows[i].at = at;
	map->rows[i].size = end - at;
	map->rows[i].type = type;
	map->count++;
}

void
kernel_map(const struct memory *memory, struct kernel_map *map)
{
	map->count = 0;
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);
		uint64_t at = region->gpa, end = at + region->size;

		row(map, at, end, 0, LAYOUT_LOW_END, KERNEL_RAM);
		row(map, at, end, LAYOUT_LOW_END, LAYOUT_HIGH, KERNEL_RESERVED);
		row(map, at, end, LAYOUT_HIGH, UINT64_MAX, KERNEL_RAM);
	}
	row(map, memory->reserved, memory->reserved + memory->reserved_size, 0, UINT64_MAX,
	    KERNEL_RESERVED);
}
