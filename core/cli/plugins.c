/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm plugins: lists plugins, or prints the tables of one. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/plugin_page.h"
#include "cli/show.h"
#include "plugin/plugin.h"

/* The strings of a plugin are text from outside. */
static void
put(const char *before, const char *text)
{
	fputs(before, stdout);
	show_string(stdout, text, 0);
}

static void
put_name(const char *name)
{
	fputs("  ", stdout);
	show_string(stdout, name, 12);
}

static void
print_row(const char *name, const char *help)
{
	put_name(name);
	put(" ", help);
	putchar('\n');
}

static void
print_stream(const struct minivmm_stream *row)
{
	put_name(row->name);
	put(" ", row->output);
	put(row->output && row->input ? ", " : "", row->input);
	put("  ", row->help);
	putchar('\n');
}

static void
print_option(const struct plugin_option *option)
{
	const struct minivmm_option *row = &option->row;
	char min[24], max[24];

	put_name(row->name);
	printf(" %-8s ", plugin_type_name(row->type));
	show_string(stdout,
		    row->initial       ? *row->initial ? row->initial : "\"\""
		    : option->required ? "required"
				       : "-",
		    10);
	put(" ", row->help);
	if (row->type == MINIVMM_ENUM)
		for (int i = 0; row->values[i]; i++) {
			put(i ? ", " : " (", row->values[i]);
			fputs(row->values[i + 1] ? "" : ")", stdout);
		}
	if (row->max)
		printf(" (%s to %s)", plugin_value(row, row->min, min, sizeof(min)),
		       plugin_value(row, row->max, max, sizeof(max)));
	if (row->flags & MINIVMM_HOST || row->type == MINIVMM_PATH)
		printf(" [host]");
	putchar('\n');
}

static void
print_range(const struct plugin *plugin, uint32_t index)
{
	const struct minivmm_range *row = &plugin->descriptor.ranges[index];
	static const char *const widths[] = { "1", "2", "4", "8" };

	put_name(plugin_range_name(plugin, index));
	printf(" %-5s", row->space == MINIVMM_PIO ? "ports" : "mmio");
	if (row->length_option)
		put(" length ", row->length_option);
	else
		printf(" length 0x%llx", (unsigned long long)row->length);
	for (int i = 0; i < 4 && row->widths; i++)
		if (row->widths & 1u << i)
			printf("%s%s", row->widths & ((1u << i) - 1) ? "," : " widths ", widths[i]);
	putchar('\n');
	for (const struct minivmm_register *r = row->registers; r && (r->read || r->write); r++) {
		printf("    0x%-4llx ", (unsigned long long)r->offset);
		put("", r->read);
		put(r->read && r->write ? "/" : "", r->write);
		putchar('\n');
	}
}

static void
print_function(const struct minivmm_pci *row)
{
	static const char *const types[] = {
		"", "memory", "memory", "prefetchable", "ports", "ROM"
	};

	put_name(row->slot);
	printf(" %04x:%04x class %06x", row->vendor, row->device, row->class_code);
	if (row->vectors)
		printf(", %u message%s by %s", row->vectors, row->vectors == 1 ? "" : "s",
		       row->flags & MINIVMM_MSI ? "MSI" : "MSI-X");
	puts(row->has_intx ? ", INTx" : "");
	for (const struct minivmm_bar *b = row->bars; b && b->type; b++)
		printf("    BAR %u  range %u, %s%s\n", b->number, b->range, types[b->type],
		       plugin_bar_is_wide(b) ? ", 64 bits" : "");
}

static void
print_field(const struct minivmm_field *row)
{
	put_name(row->name);
	printf(" %s", plugin_type_name(row->type));
	if (row->flags & MINIVMM_POINTER)
		printf("[...]");
	else if (row->count)
		printf("[%u]", row->count);
	if (row->max)
		printf(" at most %llu", (unsigned long long)row->max);
	if (row->initial)
		printf(" initially %llu", (unsigned long long)row->initial);
	if (row->since > 1)
		printf(" since version %u", row->since);
	if (row->flags & MINIVMM_FREE_RUNNING)
		printf(" [host count]");
	put(row->help ? "  " : "", row->help);
	putchar('\n');
}

/* Prints a title before the first row of a table. */
#define SECTION(title, count)                                                                      \
	if (count)                                                                                 \
	printf("\n%s\n", title)

static void
print_plugin(const struct plugin *plugin)
{
	const struct minivmm_plugin *d = &plugin->descriptor;

	put("", d->name);
	put(": ", d->summary);
	put("\n", plugin->path);
	if (d->tool)
		printf(", a tool");
	else
		printf(", state version %u", d->state_version);
	printf("%s\n", d->flags & MINIVMM_UNPARKED ? "; its threads run during a pause" : "");
	SECTION("options (name, type, initial value; [host]: may differ after a restore)",
		plugin->all_count);
	for (size_t i = 0; i < plugin->all_count; i++)
		print_option(plugin_option(plugin, i));
	SECTION("ranges", plugin->range_count);
	for (uint32_t i = 0; i < plugin->range_count; i++)
		print_range(plugin, i);
	SECTION("PCI functions", plugin->pci_count);
	for (uint32_t i = 0; i < plugin->pci_count; i++)
		print_function(&d->pci[i]);
	SECTION("timers", plugin->timer_count);
	for (uint32_t i = 0; i < plugin->timer_count; i++)
		print_row(d->timers[i].name, d->timers[i].help);
	SECTION("streams", plugin->stream_count);
	for (uint32_t i = 0; i < plugin->stream_count; i++)
		print_stream(&d->streams[i]);
	SECTION("watches", plugin->watch_count);
	for (uint32_t i = 0; i < plugin->watch_count; i++)
		print_row(d->watches[i].name, d->watches[i].help);
	SECTION("state", plugin->field_count);
	for (uint32_t i = 0; i < plugin->field_count; i++)
		print_field(&d->fields[i]);
}

/* Lists the plugins of a directory. Reports those that cannot be loaded; a status of one of them.
 */
static int
print_folder(const struct plugin_path *path, const char *folder)
{
	size_t count;
	char **names = plugin_names(folder, &count);
	int worst = 0;

	put("", folder);
	puts(count ? "" : ": no plugins");
	for (size_t i = 0; i < count; i++) {
		struct plugin plugin;
		char *file;
		int r;

		if (asprintf(&file, "%s/%s.so", folder, names[i]) < 0)
			break;
		r = plugin_load(&plugin, path, file, "");
		if (r)
			worst = r;
		else {
			fputs("  ", stdout);
			show_string(stdout, names[i], 16);
			put(" ", plugin.descriptor.summary);
			putchar('\n');
		}
		plugin_unload(&plugin);
		free(file);
		free(names[i]);
	}
	free(names);
	return worst;
}

/* A plugin that cannot be loaded does not hide those of the next directories. */
static int
print_folders(const struct plugin_path *path)
{
	int worst = 0;

	for (size_t i = 0; i < path->count; i++) {
		int r = print_folder(path, plugin_folder(path, i));

		worst = worst ? worst : r;
	}
	return worst;
}

int
cli_plugins(int argc, char **argv)
{
	struct arguments arguments;
	struct plugin_path path;
	struct plugin plugin;
	bool page = false;
	const char *name;
	int option, r;

	arguments_begin(&arguments, cli_command("plugins"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		page = true;
	if (option)
		return arguments.status;
	name = arguments.operands[0];
	if (page && !name)
		return -fail(STATUS_USAGE,
			     "plugins: --mdoc without PLUGIN; use minivmm plugins --mdoc PLUGIN");
	crash_install(NULL);
	r = plugin_path_init(&path, NULL);
	if (!r && !name)
		r = print_folders(&path);
	else if (!r) {
		r = plugin_load(&plugin, &path, name, "");
		if (!r && page)
			cli_plugin_page(stdout, &plugin);
		else if (!r)
			print_plugin(&plugin);
		plugin_unload(&plugin);
	}
	plugin_path_free(&path);
	return -r;
}
