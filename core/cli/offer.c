/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Candidates for values. The placeholder in the help (FILE, CONDITION, DEVICE, ...) selects them.
 * Devices are those of the config or snapshot on the command line; their options come from their
 * plugins.
 */
#include "cli/offer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "cli/show.h"
#include "config/schema.h"
#include "machine/stop.h"
#include "plugin/plugin.h"
#include "stream/stream.h"
#include "vm/vm.h"

#define REQUEST ':' /* the first character of a line that is no candidate */

void
offer_word(const struct completion *c, const char *prefix, const char *name, const char *suffix,
	   const char *help)
{
	size_t length = strlen(c->word);
	char word[512];
	int whole = snprintf(word, sizeof(word), "%s%s%s", prefix, name, suffix);

	/* The shell inserts the word: escaped or cut, it would be another one. A line that begins
	 * with a colon is a request to the script: zsh would evaluate what follows as a pattern. */
	if ((size_t)whole >= sizeof(word) || strncmp(word, c->word, length) != 0 ||
	    *word == REQUEST || !text_is_safe(word))
		return;
	printf("%s\t", word);
	show_string(stdout, help, 0);
	putchar('\n');
}

static void
offer_devices(const struct completion *c, const char *prefix, const char *suffix)
{
	for (size_t i = 0; i < c->config.device_count; i++)
		offer_word(c, prefix, c->config.devices[i].name, suffix,
			   c->config.devices[i].plugin);
}

static void
offer_conditions(const struct completion *c, const char *prefix)
{
	const char *form;
	char output[64];

	for (size_t i = 0; (form = stop_form(i, NULL)); i++) {
		size_t name = strcspn(form, ":");
		char kind[64];

		snprintf(kind, sizeof(kind), "%.*s%s", (int)name, form, form[name] ? ":" : "");
		snprintf(output, sizeof(output), "%soutput:", prefix);
		if (strcmp(kind, "output:") || strncmp(c->word, output, strlen(output)) != 0)
			offer_word(c, prefix, kind, "", form);
		else
			offer_devices(c, output, ":");
	}
}

static void
offer_levels(const struct completion *c, const char *prefix)
{
	offer_word(c, prefix, "error", "", "errors only");
	offer_word(c, prefix, "warn", "", "and warnings");
	offer_word(c, prefix, "info", "", "and progress");
	offer_word(c, prefix, "debug", "", "and more");
}

static void
offer_plugins(const struct completion *c, const char *prefix)
{
	struct plugin_path path;

	if (!plugin_path_init(&path, c->config.plugin_path))
		for (size_t i = 0; i < path.count; i++) {
			size_t count;
			char **names = plugin_names(plugin_folder(&path, i), &count);

			for (size_t n = 0; n < count; n++) {
				offer_word(c, prefix, names[n], "", plugin_folder(&path, i));
				free(names[n]);
			}
			free(names);
		}
	plugin_path_free(&path);
}

static void
offer_values(const struct completion *c, const char *prefix, const char *const *values)
{
	for (size_t i = 0; values && values[i]; i++)
		offer_word(c, prefix, values[i], "", NULL);
}

static void
offer_files(const char *extension)
{
	printf("%cfiles%s%s\n", REQUEST, *extension ? " " : "", extension);
}

static const char *const bools[] = { "yes", "no", NULL };

/* Completes the value of a key of a section other than [device]. */
static void
offer_schema_value(const struct completion *c, const char *prefix, const char *section,
		   const char *key)
{
	const struct schema_key *row = schema_find(section, key);

	if (!row)
		return;
	if (row->kind == SCHEMA_BOOL)
		offer_values(c, prefix, bools);
	else if (row->kind == SCHEMA_CHOICE)
		offer_values(c, prefix, row->values);
	else if (row->kind == SCHEMA_INPUT || row->kind == SCHEMA_FOLDERS)
		offer_files("");
	else if (!strcmp(section, "snapshot") && !strcmp(key, "at"))
		offer_conditions(c, prefix);
}

static void
offer_streams(const struct completion *c, const char *prefix)
{
	const char *value = c->word + strlen(prefix), *name, *form;

	if (!strncmp(value, "file:", 5) || !strncmp(value, "unix", 4)) {
		if (strchr(value, ':')) {
			offer_files("");
			return;
		}
	}
	for (size_t i = 0; (name = stream_kind_name(i, &form)); i++)
		offer_word(c, prefix, name, form ? ":" : "", form);
}

static void
offer_option_value(const struct completion *c, const char *prefix, const struct minivmm_option *row)
{
	switch (row->type) {
	case MINIVMM_ENUM:
		offer_values(c, prefix, row->values);
		break;
	case MINIVMM_BOOL:
		offer_values(c, prefix, bools);
		break;
	case MINIVMM_PATH:
		offer_files("");
		break;
	case PLUGIN_STREAM:
		offer_streams(c, prefix);
		break;
	case MINIVMM_IRQ:
		offer_word(c, prefix, "none", "", row->help);
		break;
	default:
		if (row->initial)
			offer_word(c, prefix, row->initial, "", row->help);
	}
}

/*
 * Offers the options of a device, or the values of option key. The user has not yet agreed to run
 * code from the config or snapshot, so plugins are loaded by name only, from the host's
 * directories.
 */
static void
offer_device(const struct completion *c, const char *prefix, const struct config_device *device,
	     const char *key)
{
	struct plugin_path path;
	struct plugin plugin = { 0 };
	int r = plugin_path_init(&path, NULL);

	if (!r)
		r = !device->plugin || strchr(device->plugin, '/')
			? -1
			: plugin_load(&plugin, &path, device->plugin, "");
	for (size_t i = 0; !r && i < plugin.all_count; i++) {
		const struct minivmm_option *row = &plugin_option(&plugin, i)->row;

		if (c->restored && !(row->flags & MINIVMM_HOST) && row->type != MINIVMM_PATH)
			continue;
		if (!key)
			offer_word(c, prefix, row->name, "=", row->help);
		else if (!strcmp(row->name, key))
			offer_option_value(c, prefix, row);
	}
	plugin_unload(&plugin);
	plugin_path_free(&path);
}

/* KEY=VALUE of --set. */
static void
offer_set(const struct completion *c, const char *prefix)
{
	const char *text = c->word + strlen(prefix), *equals = strchr(text, '=');
	char whole[512], section[64] = "", name[64] = "", key[64] = "";

	snprintf(whole, sizeof(whole), "%.*s", equals ? (int)(equals + 1 - c->word) : 0, c->word);
	if (sscanf(text, "device.%63[^.=].%63[^=]", name, key) >= 1 &&
	    strlen(text) > strlen("device.") + strlen(name)) {
		struct config_device *device =
		    config_device_find((struct config *)&c->config, name);

		if (!equals)
			snprintf(whole, sizeof(whole), "%sdevice.%s.", prefix, name);
		if (device)
			offer_device(c, whole, device, equals ? key : NULL);
		return;
	}
	if (equals) {
		if (sscanf(text, "%63[^.=].%63[^=]", section, key) == 2)
			offer_schema_value(c, whole, section, key);
		return;
	}
	for (const struct schema_key *row = schema; row->section; row++) {
		bool directs = !strcmp(row->section, "snapshot") ||
			       !strcmp(row->section, "control") || !strcmp(row->section, "plugins");

		snprintf(name, sizeof(name), "%s.%s", row->section, row->name);
		if ((directs || !c->restored) && !schema_has_names(row->section))
			offer_word(c, prefix, name, "=", row->help);
	}
	for (size_t i = 0; !c->restored && i < c->config.module_count; i++) {
		snprintf(whole, sizeof(whole), "%smodule.%s.", prefix, c->config.modules[i].name);
		offer_word(c, whole, "args", "=", "arguments of the module");
		offer_word(c, whole, "file", "=", "its file");
	}
	snprintf(whole, sizeof(whole), "%sdevice.", prefix);
	offer_devices(c, whole, ".");
}

static void
offer_ctl_commands(const struct completion *c)
{
	for (const struct command_row *row = vm_commands; row->name; row++)
		offer_word(c, "", row->name, "", row->help);
	offer_word(c, "", "help", "", "list the commands");
	offer_word(c, "", "stats", "", "exits and accesses per second");
	offer_word(c, "", "top", "", "a screen with vCPUs and devices as bars");
}

void
offer_value(const struct completion *c, const char *prefix, const char *kind)
{
	static const struct {
		const char *kind, *extension;
	} files[] = {
		{ "CONFIG", "ini" }, { "SNAPSHOT", "snap" }, { "FILE", "" },
		{ "KERNEL", "" },    { "SOCKET", "sock" },
	};
	char name[64], *rest = name, *choice;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(kind + (*kind == '['), ".[]"),
		 kind + (*kind == '['));
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(name, files[i].kind))
			offer_files(files[i].extension);
	if (!strcmp(name, "KEY=VALUE"))
		offer_set(c, prefix);
	else if (!strcmp(name, "CONDITION"))
		offer_conditions(c, prefix);
	else if (!strcmp(name, "LEVEL"))
		offer_levels(c, prefix);
	else if (!strcmp(name, "DEVICE"))
		offer_devices(c, prefix, "");
	else if (!strcmp(name, "PLUGIN"))
		offer_plugins(c, prefix);
	else if (!strcmp(name, "COMMAND"))
		offer_ctl_commands(c);
	else if (strchr(name, '|'))
		while ((choice = strsep(&rest, "|")))
			offer_word(c, prefix, choice, "", NULL);
}
