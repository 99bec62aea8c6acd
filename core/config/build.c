/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds a checked struct config from sections and keys. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"
#include "config/schema.h"

static int
no_memory(const struct config *config)
{
	return fail_memory("%s", config->file);
}

/* Adds a register if its name is well-formed. This module does not know which registers exist. */
static int
add_register(struct config *config, const struct ini_key *key)
{
	struct config_register *registers;
	struct why why;
	char where[512], word[128];
	const char *ours;
	uint64_t value;

	config_key_where(key->place, "cpu", key->name, where, sizeof(where));
	snprintf(word, sizeof(word), "cpu.%s", key->name);
	ours = habit(HABIT_KEY, word);
	if (ours)
		return fail(STATUS_USAGE, "%s: [cpu] has no key %s; %s", where, key->name, ours);
	if (!islower((unsigned char)*key->name) ||
	    key->name[strspn(key->name, "abcdefghijklmnopqrstuvwxyz0123456789._")])
		return fail(
		    STATUS_USAGE,
		    "%s: [cpu] has no key %s; use mode or a register such as rax or cs.base", where,
		    key->name);
	if (!*key->value)
		return fail(STATUS_USAGE, "%s: [cpu] %s is empty", where, key->name);
	if (parse_u64(key->value, &value, &why))
		return fail(STATUS_USAGE, "%s: [cpu] %s = %s %s", where, key->name, key->value,
			    why.text);
	registers =
	    realloc(config->cpu.registers, (config->cpu.register_count + 1) * sizeof(*registers));
	if (!registers)
		return no_memory(config);
	config->cpu.registers = registers;
	registers += config->cpu.register_count;
	*registers = (struct config_register){ strdup(key->name), value, key->place };
	if (!registers->name)
		return no_memory(config);
	config->cpu.register_count++;
	return 0;
}

static int
set_plugin(struct config *config, struct config_device *device, const struct ini_key *key)
{
	device->plugin = strchr(key->value, '/') ? config_resolve(config, key->place, key->value)
						 : strdup(key->value);
	device->plugin_place = key->place;
	return device->plugin ? 0 : no_memory(config);
}

/* Adds a device or a tool. */
static int
add_device(struct config *config, const struct ini_section *section)
{
	const struct ini_key *plugin = ini_key_find(section, "plugin");
	const char *name = section->instance ? section->instance : "", *kind = section->kind;
	bool tool = !strcmp(kind, "tool");
	struct config_device *device;
	char where[512];
	int status = 0;

	config_where(section->place, where, sizeof(where));
	if (!schema_device_name(name))
		status = fail(STATUS_USAGE,
			      "%s: [%s %s]: the name must be a letter a to z and up to 31 of a to "
			      "z, 0 to 9, _ and -, such as %s",
			      where, kind, name, tool ? "gdb0" : "serial0");
	if (!plugin || !*plugin->value)
		status = fail(STATUS_USAGE,
			      "%s: [%s %s] has no plugin; add plugin = NAME (minivmm plugins lists "
			      "the plugins)",
			      where, kind, name);
	if (status || !plugin)
		return status;
	device = tool ? config_tool_add(config, name, section->place)
		      : config_device_add(config, name, section->place);
	if (!device)
		return no_memory(config);
	for (size_t i = 0; i < section->key_count; i++) {
		const struct ini_key *key = &section->keys[i];

		if (key == plugin)
			status = set_plugin(config, device, key);
		else if (config_option_set(device, key->name, key->value, key->place))
			status = no_memory(config);
	}
	return status;
}

static int
set_module_key(struct config *config, struct config_module *module, const struct ini_key *key)
{
	bool file = !strcmp(key->name, "file");
	char **value = file ? &module->file : &module->args, where[512];

	if (!file && strcmp(key->name, "args"))
		return schema_unknown_key("module", key);
	if (!*key->value)
		return fail(STATUS_USAGE, "%s: [module %s] %s is empty",
			    config_where(key->place, where, sizeof(where)), module->name,
			    key->name);
	*value = file ? config_resolve(config, key->place, key->value) : strdup(key->value);
	if (file)
		module->file_place = key->place;
	return *value ? 0 : no_memory(config);
}

static int
add_module(struct config *config, const struct ini_section *section)
{
	const char *name = section->instance ? section->instance : "";
	struct config_module *module;
	char where[512];
	int status = 0, r;

	config_where(section->place, where, sizeof(where));
	if (!schema_device_name(name))
		return fail(STATUS_USAGE,
			    "%s: [module %s]: the name must be a letter a to z and up to 31 of a "
			    "to z, 0 to 9, _ and -, such as initrd",
			    where, name);
	module = realloc(config->modules, (config->module_count + 1) * sizeof(*module));
	if (!module)
		return no_memory(config);
	config->modules = module;
	module += config->module_count++;
	*module = (struct config_module){ .name = strdup(name), .place = section->place };
	if (!module->name)
		return no_memory(config);
	for (size_t i = 0; i < section->key_count; i++) {
		r = set_module_key(config, module, &section->keys[i]);
		status = r ? r : status;
	}
	if (module->file)
		return status;
	if (!status)
		status =
		    fail(STATUS_USAGE, "%s: [module %s] has no file; add file = PATH", where, name);
	config->module_count--; /* only modules with a file are valid */
	free(module->name);
	free(module->args);
	return status;
}

static int
unknown_section(const struct ini_section *section)
{
	const char *near = nearest(section->kind, schema_sections);
	const char *ours = habit(HABIT_SECTION, section->kind);
	const char *name = section->instance ? section->instance : "NAME";
	bool named = near && schema_has_names(near);
	char where[512], meant[64], list[128];

	snprintf(meant, sizeof(meant), "[%s%s%s]", near ? near : "", named ? " " : "",
		 named ? name : "");
	if (ours)
		snprintf(list, sizeof(list), "; %s", ours);
	else
		format_names("; use ", schema_sections, list, sizeof(list));
	return fail(STATUS_USAGE, "%s: unknown section [%s%s%s]%s",
		    config_where(section->place, where, sizeof(where)), section->kind,
		    section->instance ? " " : "", section->instance ? section->instance : "",
		    did_you_mean(near && !ours ? meant : NULL, list).text);
}

static int
add_section(struct config *config, const struct ini_section *section)
{
	bool known = schema_has_section(section->kind);
	int status = 0, r;

	if (!strcmp(section->kind, "device") || !strcmp(section->kind, "tool"))
		return add_device(config, section);
	if (!strcmp(section->kind, "module"))
		return add_module(config, section);
	if (!known || section->instance)
		return unknown_section(section);
	for (size_t i = 0; i < section->key_count; i++) {
		const struct ini_key *key = &section->keys[i];

		if (!strcmp(section->kind, "cpu") && !schema_find("cpu", key->name))
			r = add_register(config, key);
		else
			r = schema_set(config, section->kind, key);
		status = r ? r : status;
	}
	return status;
}

static struct config_place
place_of(const struct config *config, const struct ini *ini, const char *kind, const char *name)
{
	const struct ini_section *section = ini_find(ini, kind, NULL);
	const struct ini_key *key = section ? ini_key_find(section, name) : NULL;

	return key       ? key->place
	       : section ? section->place
			 : (struct config_place){ .file = config->file };
}

static int
key_fail(struct config_place place, const char *section, const char *key, const char *problem)
{
	char where[512];

	return fail(STATUS_USAGE, "%s: [%s] %s %s",
		    config_key_where(place, section, key, where, sizeof(where)), section, key,
		    problem);
}

/* Checks the constraints between keys. */
static int
check(const struct config *config, const struct ini *ini)
{
	struct why why;
	int status = 0;

	if (schema_check_memory(config, &why))
		status = key_fail(config->vm.place, "vm", "memory", why.text);
	if (schema_check_cpus(config->vm.cpus, config->vm.irqchip, &why))
		status = key_fail(place_of(config, ini, "vm", "cpus"), "vm", "cpus", why.text);
	if (config->boot.image && config->boot.code)
		status = key_fail(place_of(config, ini, "boot", "code"), "boot", "code",
				  "and image are both given; remove one");
	if (config->boot.cmdline && config->boot.cmdline_file)
		status = key_fail(place_of(config, ini, "boot", "cmdline_file"), "boot",
				  "cmdline_file", "and cmdline are both given; remove one");
	if (config->snapshot.at && !config->snapshot.file)
		status = key_fail(config->snapshot.place, "snapshot", "at",
				  "is given without file; add file = PATH");
	if (config->snapshot.on_term == ON_TERM_SAVE && !config->snapshot.file)
		status = key_fail(place_of(config, ini, "snapshot", "on_term"), "snapshot",
				  "on_term", "= save needs a file; add file = PATH");
	if (config->snapshot.file && !config->snapshot.at &&
	    config->snapshot.on_term != ON_TERM_SAVE)
		status =
		    key_fail(place_of(config, ini, "snapshot", "file"), "snapshot", "file",
			     "is given without at; add at = CONDITION, such as at = rip:0x1005, or "
			     "on_term = save");
	return status;
}

int
config_build(struct config *config, const struct ini *ini)
{
	const struct ini_section *boot = ini_find(ini, "boot", NULL);
	const struct ini_section *cpu = ini_find(ini, "cpu", NULL);
	int status = 0, r;

	for (size_t i = 0; i < ini->count; i++) {
		r = add_section(config, &ini->sections[i]);
		status = r ? r : status;
	}
	if (cpu && ini_key_find(cpu, "mode"))
		config->cpu.mode_place = ini_key_find(cpu, "mode")->place;
	config->vm.place = place_of(config, ini, "vm", "memory");
	config->boot.place = place_of(config, ini, "boot", config->boot.code ? "code" : "image");
	config->boot.initrd_place = place_of(config, ini, "boot", "initrd");
	config->boot.modules_place = place_of(config, ini, "boot", "modules");
	config->boot.cmdline_place = place_of(config, ini, "boot", "cmdline");
	config->boot.cmdline_file_place = place_of(config, ini, "boot", "cmdline_file");
	config->snapshot.place = place_of(config, ini, "snapshot", "at");
	if (!boot || !ini_key_find(boot, "at"))
		config->boot.at = config->vm.memory_at;
	r = check(config, ini);
	return r ? r : status;
}
