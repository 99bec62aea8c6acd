/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds plugins in the plugin path and loads them. */
#include "plugin/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/file.h"
#include "base/habits.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "machine/bus.h"

/* True if the path has this folder, also by another name. */
static bool
contains(const struct plugin_path *path, const char *folder, const struct file_id *id)
{
	for (size_t i = 0; i < path->count; i++)
		if (!strcmp(path->folders[i], folder) ||
		    (id->exists && file_same(id, &path->ids[i])))
			return true;
	return false;
}

static int
add_folder(struct plugin_path *path, const char *folder, size_t length)
{
	char **folders = realloc(path->folders, (path->count + 1) * sizeof(*folders)), *name;
	struct file_id *ids = realloc(path->ids, (path->count + 1) * sizeof(*ids));

	path->folders = folders ? folders : path->folders;
	path->ids = ids ? ids : path->ids;
	name = folders && ids ? strndup(folder, length) : NULL;
	if (!name)
		return fail_memory("the plugin path");
	ids[path->count] = file_identify(name);
	if (contains(path, name, &ids[path->count]))
		free(name);
	else
		folders[path->count++] = name;
	return 0;
}

static int
add_folders(struct plugin_path *path, const char *list)
{
	int r = 0;

	while (list && *list && !r) {
		size_t length = strcspn(list, ":");

		if (length)
			r = add_folder(path, list, length);
		list += length + (list[length] == ':');
	}
	return r;
}

/*
 * The folder "plugins" beside the program. For a program in DIR/bin it is DIR/lib/minivmm/plugins,
 * so that an installed tree can be moved. NULL: unknown.
 */
static const char *
beside_program(char *buffer, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buffer, size - sizeof("/lib/minivmm/plugins"));
	char *slash;

	if (n <= 0)
		return NULL;
	buffer[n] = '\0';
	slash = strrchr(buffer, '/');
	if (!slash)
		return NULL;
	if (slash - buffer >= 4 && !memcmp(slash - 4, "/bin", 4))
		strcpy(slash - 4, "/lib/minivmm/plugins");
	else
		strcpy(slash, "/plugins");
	return buffer;
}

int
plugin_path_init(struct plugin_path *path, const char *configured)
{
	char buffer[PATH_MAX];
	int r;

	*path = (struct plugin_path){
		.advice = "build it there, or name its directory in [plugins] path or "
			  "MINIVMM_PLUGIN_PATH",
	};
	r = add_folders(path, configured);
	for (size_t i = 0; i < path->count; i++)
		if (access(path->folders[i], F_OK))
			log_line(MINIVMM_WARNING, NULL,
				 "[plugins] path: directory %s does not exist", path->folders[i]);
	if (!r)
		r = add_folders(path, getenv("MINIVMM_PLUGIN_PATH"));
	if (!r)
		r = add_folders(path, beside_program(buffer, sizeof(buffer)));
	if (!r)
		r = add_folders(path, PREFIX "/lib/minivmm/plugins");
	return r;
}

void
plugin_path_free(struct plugin_path *path)
{
	for (size_t i = 0; i < path->count; i++)
		free(path->folders[i]);
	free(path->folders);
	free(path->ids);
	*path = (struct plugin_path){ 0 };
}

static int
no_memory(const char *where, const char *name)
{
	return fail_memory("%splugin %s", where, name);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **
plugin_names(const char *folder, size_t *count)
{
	DIR *dir = opendir(folder);
	char **names = NULL;

	*count = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		size_t length = strlen(e->d_name);
		char **more;

		if (length < 4 || strcmp(e->d_name + length - 3, ".so"))
			continue;
		more = realloc(names, (*count + 1) * sizeof(*names));
		if (!more)
			break;
		names = more;
		names[*count] = strndup(e->d_name, length - 3);
		if (!names[*count])
			break;
		(*count)++;
	}
	if (dir)
		closedir(dir);
	if (names)
		qsort(names, *count, sizeof(*names), by_name);
	return names;
}

/* Writes the name of the most similar plugin in the path to buffer; "": none is similar. */
static const char *
nearest_plugin(const struct plugin_path *path, const char *name, char *buffer, size_t size)
{
	*buffer = '\0';
	for (size_t i = 0; i < path->count; i++) {
		size_t count;
		char **names = plugin_names(path->folders[i], &count);

		for (size_t n = 0; n < count; n++) {
			const char *candidates[] = { names[n], *buffer ? buffer : NULL, NULL };
			const char *near = text_is_word(names[n]) ? nearest(name, candidates) : "";

			if (near == names[n])
				snprintf(buffer, size, "%s", near);
			free(names[n]);
		}
		free(names);
	}
	return buffer;
}

/* Stores the path of the plugin's file in *found; the caller frees it. 0 or a negative status. */
static int
find(const struct plugin_path *path, const char *name, const char *where, char **found)
{
	const char *ours = habit(HABIT_PLUGIN, name);
	char *file = NULL, searched[512] = "", near[64];
	size_t length = 0;

	if (strchr(name, '/')) {
		*found = strdup(name);
		return *found ? 0 : no_memory(where, name);
	}
	for (size_t i = 0; i < path->count; i++) {
		if (asprintf(&file, "%s/%s.so", path->folders[i], name) < 0)
			return no_memory(where, name);
		if (!access(file, F_OK)) {
			*found = file;
			return 0;
		}
		free(file);
		length += (size_t)snprintf(searched + length, sizeof(searched) - length, "%s%s",
					   i ? ", " : "", path->folders[i]);
		if (length >= sizeof(searched))
			length = sizeof(searched) - 1;
	}
	if (ours)
		snprintf(near, sizeof(near), "%s", ours);
	else
		nearest_plugin(path, name, near, sizeof(near));
	return fail(STATUS_USAGE, "%splugin %s: no %s.so in %s%s%s%s", where, name, name, searched,
		    did_you_mean(*near ? near : NULL, "; ").text, *near ? " Otherwise " : "",
		    path->advice);
}

/* Checks the file before dlopen(), which would block on a pipe and does not distinguish a lack of
 * host resources from an invalid file. */
static int
check_file(const char *path, const char *name, const char *where)
{
	int fd = file_open(path, FILE_READ), error = fd < 0 ? errno : 0;
	struct stat st = { 0 };

	if (fd >= 0) {
		error = fstat(fd, &st) ? errno : 0;
		close(fd);
	}
	if (status_for(error, STATUS_USAGE) == STATUS_HOST)
		return fail(STATUS_HOST, "%splugin %s: cannot open %s: %s", where, name, path,
			    limit_error(error).text);
	if (!error && !S_ISREG(st.st_mode))
		return fail(STATUS_USAGE, "%splugin %s: %s is %s, not a file", where, name, path,
			    S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
	return 0; /* dlopen() reports other errors */
}

/* True if dlopen() failed for lack of host resources. It does not always set errno, nor always name
 * the cause in its text: check both. */
static bool
out_of_resources(const char *text, int error)
{
	return status_for(error, STATUS_USAGE) == STATUS_HOST || strstr(text, strerror(ENOMEM)) ||
	       strstr(text, strerror(EMFILE));
}

/* Opens or closes the object, which may run its constructors or destructors. */
static void *
run_object(const char *path, void *handle)
{
	void *opened = NULL;

	bus_current.object = path;
	bus_enter(&bus_current, NULL, handle ? "destructors" : "constructors", BUS_NO_ACCESS);
	if (handle)
		dlclose(handle);
	else
		opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	bus_leave(&bus_current);
	return opened;
}

/* Reads the tables. A pointer in them can still be invalid: then the crash is the plugin's. */
static int
read_tables(struct plugin *plugin, const struct minivmm_registration *registration, struct why *why)
{
	int r;

	bus_current.object = plugin->path;
	bus_enter(&bus_current, NULL, "tables", BUS_NO_ACCESS);
	r = plugin_bounds(registration, why) || plugin_adopt(plugin, registration, why);
	bus_leave(&bus_current);
	return r;
}

int
plugin_load(struct plugin *plugin, const struct plugin_path *path, const char *name,
	    const char *where)
{
	const struct minivmm_registration *registration;
	const char *error;
	struct why why;
	int r;

	*plugin = (struct plugin){ 0 };
	r = find(path, name, where, &plugin->path);
	if (!r)
		r = check_file(plugin->path, name, where);
	if (r)
		return r;
	errno = 0;
	plugin->handle = run_object(plugin->path, NULL);
	if (!plugin->handle) {
		r = errno;
		error = dlerror();
		error = error ? error : strerror(ENOMEM);
		return fail(out_of_resources(error, r) ? STATUS_HOST : STATUS_USAGE,
			    "%splugin %s cannot be loaded: %s", where, name, error);
	}
	registration = dlsym(plugin->handle, "minivmm_registration");
	if (!registration)
		return fail(STATUS_USAGE,
			    "%splugin %s: %s is not a minivmm plugin: it does not use "
			    "MINIVMM_REGISTER()",
			    where, name, plugin->path);
	plugin_find_code(plugin, registration);
	if (read_tables(plugin, registration, &why))
		return fail(why_status(&why, STATUS_USAGE), "%splugin %s (%s): %s", where, name,
			    plugin->path, why.text);
	return 0;
}

void
plugin_inherit(struct plugin *plugin, const struct plugin *other)
{
	*plugin = *other;
	plugin->inherited = true;
}

void
plugin_unload(struct plugin *plugin)
{
	if (plugin->inherited)
		*plugin = (struct plugin){ 0 };
	for (size_t i = 0; i < plugin->copy_count; i++)
		free(plugin->copies[i]);
	free(plugin->copies);
	free(plugin->all);
	if (plugin->handle)
		run_object(plugin->path, plugin->handle);
	free(plugin->path);
	*plugin = (struct plugin){ 0 };
}

const char *
plugin_type_name(uint32_t type)
{
	static const char *const names[] = {
		[MINIVMM_U8] = "u8",
		[MINIVMM_U16] = "u16",
		[MINIVMM_U32] = "u32",
		[MINIVMM_U64] = "u64",
		[MINIVMM_BOOL] = "bool",
		[MINIVMM_SIZE] = "size",
		[MINIVMM_ADDRESS] = "address",
		[MINIVMM_PORT] = "port",
		[MINIVMM_DURATION] = "duration",
		[MINIVMM_ENUM] = "enum",
		[MINIVMM_STRING] = "string",
		[MINIVMM_PATH] = "path",
		[MINIVMM_IRQ] = "irq",
	};

	if (type == PLUGIN_SLOT)
		return "slot";
	if (type == PLUGIN_STREAM)
		return "stream";
	return type < sizeof(names) / sizeof(*names) && names[type] ? names[type] : "?";
}

uint64_t
plugin_type_max(uint32_t type)
{
	switch (type) {
	case MINIVMM_U8:
		return UINT8_MAX;
	case MINIVMM_U16:
	case MINIVMM_PORT:
		return UINT16_MAX;
	case MINIVMM_U32:
		return UINT32_MAX;
	case MINIVMM_DURATION:
		return INT64_MAX; /* 292 years: it can be added to the VM's clock */
	default:
		return UINT64_MAX;
	}
}

const char *
plugin_value(const struct minivmm_option *row, uint64_t value, char *buffer, size_t size)
{
	if (row->type == MINIVMM_SIZE)
		return format_size(value, buffer, size);
	if (row->type == MINIVMM_DURATION)
		return format_duration(value, buffer, size);
	snprintf(buffer, size,
		 row->type == MINIVMM_PORT || row->type == MINIVMM_ADDRESS ? "0x%llx" : "%llu",
		 (unsigned long long)value);
	return buffer;
}
