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
#include "plugin/plugin.h"

/* @ stands for the plugin's name, $ for the name as a C identifier. */
static const char template[] =
    "/*\n"
    " * @: one 32-bit MMIO register that adds up the values written to it.\n"
    " *\n"
    " * Build: cc -shared -fPIC -o @.so @.c $(pkg-config --cflags minivmm)\n"
    " * Use:   [plugins]\n"
    " *        path = DIRECTORY\n"
    " *        [device @0]\n"
    " *        plugin = @\n"
    " *        address = 0xd0000000\n"
    " */\n"
    "#include <minivmm/plugin.h>\n"
    "\n"
    "/* One instance: its options and its state. */\n"
    "struct $_state {\n"
    "\tuint32_t step; /* option: the minimum that a write adds */\n"
    "\tuint32_t sum;  /* state */\n"
    "};\n"
    "\n"
    "/* The core has checked offset and width. Returns 0, or -1 after "
    "minivmm_error(). */\n"
    "static int\n"
    "$_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)\n"
    "{\n"
    "\tstruct $_state *state = minivmm_state(dev);\n"
    "\n"
    "\t(void)access;\n"
    "\t*value = state->sum;\n"
    "\treturn 0;\n"
    "}\n"
    "\n"
    "static int\n"
    "$_write(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t value)\n"
    "{\n"
    "\tstruct $_state *state = minivmm_state(dev);\n"
    "\n"
    "\t(void)access;\n"
    "\tstate->sum += value < state->step ? state->step : (uint32_t)value;\n"
    "\treturn 0;\n"
    "}\n"
    "\n"
    "/* Keys of the [device] section, which the core parses and checks. The range adds "
    "\"address\". */\n"
    "static const struct minivmm_option options[] = {\n"
    "\tMINIVMM_OPTION(struct $_state, step, \"1\", \"the minimum that a write adds\"),\n"
    "\tMINIVMM_END\n"
    "};\n"
    "\n"
    "static const struct minivmm_range ranges[] = {\n"
    "\t{ .space = MINIVMM_MMIO, .at = \"address\", .length = 4, .widths = MINIVMM_W32, .read = "
    "$_read,\n"
    "\t  .write = $_write, .help = \"address of the register\" },\n"
    "\tMINIVMM_END\n"
    "};\n"
    "\n"
    "/* State in a snapshot; the core saves, loads and checks it. */\n"
    "static const struct minivmm_field fields[] = {\n"
    "\tMINIVMM_FIELD(struct $_state, sum),\n"
    "\tMINIVMM_END\n"
    "};\n"
    "\n"
    "static const struct minivmm_plugin $_plugin = {\n"
    "\t.name = \"@\",\n"
    "\t.summary = \"adds up the values written to one MMIO register\",\n"
    "\t.state_version = 1,\n"
    "\t.state_size = sizeof(struct $_state),\n"
    "\t.options = options,\n"
    "\t.ranges = ranges,\n"
    "\t.fields = fields,\n"
    "};\n"
    "MINIVMM_REGISTER($_plugin);\n";

static bool
good_name(const char *name)
{
	size_t length = strlen(name);

	return length && length <= 31 && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static void
expand(FILE *file, const char *name)
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
	struct arguments arguments;
	const char *name;
	char path[64];
	FILE *file;
	bool bad;
	int fd;

	arguments_begin(&arguments, cli_command("new-plugin"), argc, argv);
	if (arguments_only_operands(&arguments))
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
	expand(file, name);
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
