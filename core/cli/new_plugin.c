/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm new-plugin: writes a small, commented plugin that compiles and runs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/plugin_templates.h"
#include "plugin/plugin.h"

static bool
good_name(const char *name)
{
	size_t length = strlen(name);

	return length && length <= 31 && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static void
expand(FILE *file, const char *template, const char *name)
{
	for (const char *p = template; *p; p++) {
		if (*p == '@')
			fputs(name, file);
		else if (*p == '$' && p[1] != '(')
			for (const char *n = name; *n; n++)
				fputc(*n == '-' ? '_' : *n, file);
		else
			fputc(*p, file);
	}
}

/*
 * Warns if the name exists: a config would load the plugin whose directory is first in
 * the path.
 */
static void
warn_of_namesake(const char *name)
{
	struct plugin_path path;
	char file[PATH_MAX];

	if (plugin_path_init(&path, NULL))
		return;
	for (size_t i = 0; i < path.count; i++) {
		snprintf(file, sizeof(file), "%s/%s.so", plugin_folder(&path, i), name);
		if (access(file, F_OK))
			continue;
		log_line(MINIVMM_WARNING, NULL,
			 "a plugin %s exists: %s; choose another name, because a config loads the "
			 "first one in the path",
			 name, file);
		break;
	}
	plugin_path_free(&path);
}

int
cli_new_plugin(int argc, char **argv)
{
	const char *template = plugin_template, *name;
	struct arguments arguments;
	char path[64];
	int option, fd;
	FILE *file;
	bool bad;

	arguments_begin(&arguments, cli_command("new-plugin"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		template = plugin_template_pci;
	if (option)
		return arguments.status;
	name = arguments.operands[0];
	if (!good_name(name))
		return -fail(STATUS_USAGE,
			     "the plugin name %s is invalid; use a letter a-z and up to 30 of a-z, "
			     "0-9, _ and -",
			     name);
	snprintf(path, sizeof(path), "%s.c", name);
	fd = file_open(path, FILE_NEW);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		return -fail(status_for(errno, STATUS_IO), "cannot write %s: %s", path,
			     errno == EEXIST ? "it exists; choose another name"
					     : limit_error(errno).text);
	warn_of_namesake(name);
	expand(file, template, name);
	bad = ferror(file) != 0;
	if (fclose(file) || bad) {
		unlink(path);
		return -fail(STATUS_IO, "cannot write %s: %s", path, limit_error(errno).text);
	}
	printf("%s written. Build it, after make install:\n"
	       "  cc -shared -fPIC -o %s.so %s $(pkg-config --cflags minivmm)\n"
	       "or put it into plugins/ of the source tree and run make.\n",
	       path, name, path);
	return 0;
}
