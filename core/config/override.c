/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --set KEY=VALUE: replaces values of the file. A restore calls only config_direct(): override() in
 * vm.c refuses other keys, and check_overrides() in device_options.c most options of a device.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "config/schema.h"

/*
 * Finds the section of --set device.NAME.KEY or module.NAME.KEY. Returns NULL after reporting that
 * it does not exist.
 */
static struct ini_section *
find_named(const struct ini *ini, const char *kind, const char *name)
{
	struct ini_section *section = ini_find(ini, kind, name);
	const char *names[INI_SECTIONS_MAX + 1];
	size_t count = 0;

	if (section)
		return section;
	for (size_t i = 0; i < ini->count; i++)
		if (!strcmp(ini->sections[i].kind, kind) && ini->sections[i].instance)
			names[count++] = ini->sections[i].instance;
	names[count] = NULL;
	fail(STATUS_USAGE, "--set %s.%s: the config has no %s %s%s", kind, name, kind, name,
	     did_you_mean(nearest(name, names), "").text);
	return NULL;
}

/* "memory" alone may be meant as vm.memory. */
static int
unknown_section(const char *name, const char *key)
{
	const char *near = nearest(name, schema_sections);
	char whole[128] = "";

	for (const struct schema_key *row = schema; row->section && !key && !*whole; row++)
		if (!strcmp(row->name, name))
			snprintf(whole, sizeof(whole), "%s.%s", row->section, row->name);
	return fail(STATUS_USAGE, "--set %s%s%s: unknown section %s%s", name, key ? "." : "",
		    key ? key : "", name, did_you_mean(*whole ? whole : near, "").text);
}

/* Applies an override to a key like vm.memory or device.serial0.output. Modifies name. */
static int
override_key(struct ini *ini, char *name, const char *value)
{
	struct config_place place = { .file = CONFIG_SET };
	char *key = strchr(name, '.'), *instance = NULL;
	struct ini_section *section;
	int status;

	if (key)
		*key++ = '\0';
	if (!schema_has_section(name))
		return unknown_section(name, key);
	if (key && schema_has_names(name)) {
		instance = key;
		key = strchr(instance, '.');
		if (key)
			*key++ = '\0';
	}
	if (!key || !*key)
		return fail(STATUS_USAGE,
			    "--set %s%s%s: no key; write SECTION.KEY=VALUE or "
			    "device.NAME.KEY=VALUE",
			    name, instance ? "." : "", instance ? instance : "");
	section = instance ? find_named(ini, name, instance) : ini_find(ini, name, NULL);
	if (instance && !section)
		return -STATUS_USAGE;
	if (!section) {
		status = ini_add(ini, name, NULL, place);
		if (status)
			return status;
		section = &ini->sections[ini->count - 1];
	}
	return ini_key_set(section, key, value, place);
}

int
config_override(struct ini *ini, const char *text)
{
	size_t length = strcspn(text, "=");
	char *name;
	int status;

	if (!text[length])
		return fail(STATUS_USAGE, "--set %s: no '='; write KEY=VALUE", text);
	name = strndup(text, length);
	if (!name)
		return fail_memory("--set %s", text);
	status = override_key(ini, name, text + length + 1);
	free(name);
	return status;
}

int
config_direct(struct config *config, const char *text)
{
	static const char *const sections[] = { "snapshot", "control", "plugins" };
	const char *equals = strchr(text, '='), *dot = strchr(text, '.');
	int status = 1;

	if (!equals || !dot || dot > equals)
		return 1;
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections) && status == 1; i++) {
		struct ini_key key = { .place = { .file = CONFIG_SET } };

		if (strncmp(text, sections[i], (size_t)(dot - text)) || sections[i][dot - text])
			continue;
		key.name = strndup(dot + 1, (size_t)(equals - dot - 1));
		key.value = strdup(equals + 1);
		status = key.name && key.value ? schema_set(config, sections[i], &key)
					       : fail_memory("--set %s", text);
		free(key.name);
		free(key.value);
	}
	return status;
}
