/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of a config's keys, and setting their values. */
#include "config/schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"

#define PAGE 4096u
#define MEMORY_MAX (4ull << 40)
#define ADDRESS_MAX ((1ull << 52) - 1) /* limit of x86-64 */
#define CPUS_MAX 64u

static const char *const modes[] = { "real", "protected", "long", NULL };
static const char *const formats[] = { "auto", "flat", "elf", "linux", "multiboot", "pvh", NULL };
static const char *const thens[] = { "resume", "exit", NULL };
const char *const config_methods[] = { "auto", "precopy", "fork", "pause", NULL };
static const char *const clocks[] = { "resume", "wall", NULL };
static const char *const on_terms[] = { "end", "save", NULL };
static const char *const generations[] = { "new", "keep", NULL };

#define AT(member) .offset = (uint32_t)offsetof(struct config, member)

const struct schema_key schema[] = {
	{ "vm", "memory", SCHEMA_SIZE, AT(vm.memory), .min = PAGE, .max = MEMORY_MAX,
	  .multiple = PAGE, .help = "size of guest memory in bytes" },
	{ "vm", "memory_at", SCHEMA_ADDRESS, AT(vm.memory_at), .max = ADDRESS_MAX, .multiple = PAGE,
	  .help = "guest physical address of memory" },
	{ "vm", "memory_file", SCHEMA_TEXT, AT(vm.memory_file),
	  .help = "file that backs guest memory" },
	{ "vm", "cpus", SCHEMA_COUNT, AT(vm.cpus), .min = 1, .max = CPUS_MAX,
	  .help = "number of vCPUs" },
	{ "vm", "irqchip", SCHEMA_BOOL, AT(vm.irqchip),
	  .help = "use KVM's interrupt controllers and PIT" },
	{ "vm", "dirty_log", SCHEMA_BOOL, AT(vm.dirty_log),
	  .help = "report the pages that the guest wrote" },
	{ "boot", "image", SCHEMA_INPUT, AT(boot.image), .help = "file to load and run" },
	{ "boot", "format", SCHEMA_CHOICE, AT(boot.format), .values = formats,
	  .help = "format of the image" },
	{ "boot", "initrd", SCHEMA_INPUT, AT(boot.initrd),
	  .help = "initial file system or first module of a kernel" },
	{ "boot", "modules", SCHEMA_FOLDERS, AT(boot.modules),
	  .help = "modules of a PVH or multiboot kernel" },
	{ "boot", "cmdline", SCHEMA_TEXT, AT(boot.cmdline), .help = "command line of a kernel" },
	{ "boot", "cmdline_file", SCHEMA_INPUT, AT(boot.cmdline_file),
	  .help = "file that contains the command line" },
	{ "boot", "mp_table", SCHEMA_BOOL, AT(boot.mp_table),
	  .help = "give a kernel an MP table, for use without ACPI" },
	{ "boot", "at", SCHEMA_ADDRESS, AT(boot.at), .max = ADDRESS_MAX,
	  .help = "load and start address of a flat image or code" },
	{ "boot", "code", SCHEMA_HEX, AT(boot.code),
	  .length_offset = (uint32_t)offsetof(struct config, boot.code_length),
	  .help = "machine code to run, in hex" },
	{ "cpu", "mode", SCHEMA_CHOICE, AT(cpu.mode), .values = modes,
	  .help = "CPU mode at the start" },
	/* Of [module NAME]: config_build sets them. */
	{ "module", "file", SCHEMA_INPUT, .help = "module of a PVH or multiboot kernel" },
	{ "module", "args", SCHEMA_TEXT, .help = "arguments of the module" },
	{ "snapshot", "at", SCHEMA_TEXT, AT(snapshot.at),
	  .help = "stop condition of the snapshot: rip:0x1005" },
	{ "snapshot", "file", SCHEMA_TEXT, AT(snapshot.file), .help = "snapshot file to write" },
	{ "snapshot", "then", SCHEMA_CHOICE, AT(snapshot.then), .values = thens,
	  .help = "action after the snapshot" },
	{ "snapshot", "on_term", SCHEMA_CHOICE, AT(snapshot.on_term), .values = on_terms,
	  .help = "action on SIGTERM" },
	{ "snapshot", "method", SCHEMA_CHOICE, AT(snapshot.method), .values = config_methods,
	  .help = "method of a live snapshot" },
	{ "snapshot", "generation", SCHEMA_CHOICE, AT(snapshot.generation), .values = generations,
	  .help = "generation ID of a restored machine" },
	{ "snapshot", "clock", SCHEMA_CHOICE, AT(snapshot.clock), .values = clocks,
	  .help = "clock of a restored machine" },
	{ "control", "socket", SCHEMA_TEXT, AT(control.socket),
	  .help = "path of the control socket" },
	{ "control", "name", SCHEMA_TEXT, AT(control.name),
	  .help = "name of the machine, instead of socket" },
	{ "plugins", "path", SCHEMA_FOLDERS, AT(plugin_path), .help = "directories of plugins" },
	{ .section = NULL },
};

const char *const schema_sections[] = { "vm",      "boot",    "cpu",    "module", "snapshot",
					"control", "plugins", "device", "tool",   NULL };

bool
schema_has_names(const char *section)
{
	return !strcmp(section, "device") || !strcmp(section, "module") || !strcmp(section, "tool");
}

bool
schema_has_section(const char *name)
{
	for (const char *const *s = schema_sections; *s; s++)
		if (!strcmp(*s, name))
			return true;
	return false;
}

const struct schema_key *
schema_find(const char *section, const char *name)
{
	for (const struct schema_key *row = schema; row->section; row++)
		if (!strcmp(row->section, section) && !strcmp(row->name, name))
			return row;
	return NULL;
}

bool
schema_is_set(struct config_place place)
{
	return !place.line && !strncmp(place.file, CONFIG_SET, strlen(CONFIG_SET));
}

const char *
config_key_where(struct config_place place, const char *section, const char *key, char *buffer,
		 size_t size)
{
	if (!schema_is_set(place))
		return config_where(place, buffer, size);
	snprintf(buffer, size, "%s %s.%s%s", CONFIG_SET, section, key,
		 place.file + strlen(CONFIG_SET));
	return buffer;
}

const char *
config_option_where(struct config_place place, const char *kind, const char *name, const char *key,
		    char *buffer, size_t size)
{
	char section[64];

	snprintf(section, sizeof(section), "%s.%s", kind, name);
	return config_key_where(place, section, key, buffer, size);
}

bool
schema_device_name(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= 32 && *name >= 'a' && *name <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

int
schema_check(const struct schema_key *row, uint64_t value, struct why *why)
{
	if (value < row->min || value > row->max)
		return why_set(why, "is out of range, 0x%llx to 0x%llx",
			       (unsigned long long)row->min, (unsigned long long)row->max);
	if (row->multiple && value % row->multiple)
		return why_set(why, "is not a multiple of %llu", (unsigned long long)row->multiple);
	return 0;
}

int
schema_check_memory(const struct config *config, struct why *why)
{
	uint64_t at = config->vm.memory_at, end;

	if (__builtin_add_overflow(at, config->vm.memory, &end) || end - 1 > ADDRESS_MAX)
		return why_set(why, "ends above the last physical address, 0xfffffffffffff; "
				    "lower memory_at");
	return 0;
}

int
schema_check_cpus(uint64_t cpus, bool irqchip, struct why *why)
{
	if (cpus > 1 && !irqchip)
		return why_set(why, "is more than 1; set irqchip = on, which vCPUs need to start "
				    "each other");
	return 0;
}

int
schema_unknown_key(const char *section, const struct ini_key *key)
{
	const char *names[sizeof(schema) / sizeof(schema[0])];
	char where[512], list[256], word[128];
	const char *ours;
	size_t count = 0;

	snprintf(word, sizeof(word), "%s.%s", section, key->name);
	ours = habit(HABIT_KEY, word);
	if (ours)
		return fail(STATUS_USAGE, "%s: [%s] has no key %s; %s",
			    config_key_where(key->place, section, key->name, where, sizeof(where)),
			    section, key->name, ours);

	for (const struct schema_key *row = schema; row->section; row++)
		if (!strcmp(row->section, section))
			names[count++] = row->name;
	names[count] = NULL;
	format_names("; use ", names, list, sizeof(list));
	return fail(STATUS_USAGE, "%s: [%s] has no key %s%s",
		    config_key_where(key->place, section, key->name, where, sizeof(where)), section,
		    key->name, did_you_mean(nearest(key->name, names), list).text);
}

static int
set_number(const struct schema_key *row, void *member, const char *text, struct why *why)
{
	uint64_t value;

	if (row->kind == SCHEMA_SIZE ? parse_size(text, &value, why) : parse_u64(text, &value, why))
		return -1;
	if (row->kind == SCHEMA_SIZE && value && value < row->min &&
	    isdigit((unsigned char)text[strlen(text) - 1]))
		return why_set(why, "is in bytes; write %sM for MiB", text);
	if (schema_check(row, value, why))
		return -1;
	memcpy(member, &value, row->kind == SCHEMA_COUNT ? sizeof(uint32_t) : sizeof(uint64_t));
	return 0;
}

static int
set_choice(const struct schema_key *row, void *member, const char *text, struct why *why)
{
	char list[128];

	for (int i = 0; row->values[i]; i++)
		if (!strcmp(row->values[i], text)) {
			memcpy(member, &i, sizeof(i));
			return 0;
		}
	return why_set(why, "%s%s", format_names("is not ", row->values, list, sizeof(list)),
		       did_you_mean(nearest(text, row->values), "").text);
}

/* Resolves each path of DIR[:DIR]. Malloced; NULL: no path, or no memory. */
static char *
resolve_folders(const struct config *config, const struct ini_key *key)
{
	char *copy = strdup(key->value), *rest = copy, *folder, *all = NULL;

	while (copy && (folder = strsep(&rest, ":"))) {
		char *resolved, *longer;

		if (!*folder)
			continue;
		resolved = config_resolve(config, key->place, folder);
		if (!resolved ||
		    asprintf(&longer, "%s%s%s", all ? all : "", all ? ":" : "", resolved) < 0)
			longer = NULL;
		free(resolved);
		free(all);
		all = longer;
		if (!all)
			break;
	}
	free(copy);
	return all;
}

static int
set_text(const struct config *config, const struct schema_key *row, void *member,
	 const struct ini_key *key, struct why *why)
{
	char *text = row->kind == SCHEMA_INPUT     ? config_resolve(config, key->place, key->value)
		     : row->kind == SCHEMA_FOLDERS ? resolve_folders(config, key)
						   : strdup(key->value);

	if (!text)
		return why_set(why, "contains no path");
	free(*(char **)member);
	memcpy(member, &text, sizeof(text));
	return 0;
}

static int
set(struct config *config, const struct schema_key *row, const struct ini_key *key, struct why *why)
{
	void *member = (char *)config + row->offset;

	if (!*key->value)
		return why_set(why, "is empty");
	if (row->kind == SCHEMA_BOOL)
		return parse_bool(key->value, member, why);
	if (row->kind == SCHEMA_CHOICE)
		return set_choice(row, member, key->value, why);
	if (row->kind == SCHEMA_HEX)
		return parse_hex(key->value, member,
				 (size_t *)((char *)config + row->length_offset), why);
	if (row->kind <= SCHEMA_COUNT)
		return set_number(row, member, key->value, why);
	return set_text(config, row, member, key, why);
}

int
schema_set(struct config *config, const char *section, const struct ini_key *key)
{
	const struct schema_key *row = schema_find(section, key->name);
	char where[512];
	struct why why;

	if (!row)
		return schema_unknown_key(section, key);
	if (!set(config, row, key, &why))
		return 0;
	return fail(why_status(&why, STATUS_USAGE), "%s: [%s] %s%s%s %s (%s)",
		    config_key_where(key->place, section, key->name, where, sizeof(where)), section,
		    key->name, *key->value ? " = " : "", key->value, why.text, row->help);
}
