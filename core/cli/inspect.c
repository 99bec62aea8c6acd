/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm inspect: prints the contents of a snapshot as text or as one JSON document. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/decode.h"
#include "cli/inspect.h"
#include "cli/show.h"
#include "snapshot/host.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"
#include "snapshot/vmcoreinfo.h"

/* Decodes a section (cli/decode.h) if possible. */
static const struct record *
decoded(struct view *view, const struct section *section, const struct record *record)
{
	return section->tag != SECTION_VCPU || view_vcpu(view, record) ? record : &view->root;
}

/* Returns whether a file can have several sections of this kind. */
static bool
several(const struct section *section)
{
	return section->count == SECTION_PER_VCPU || section->count == SECTION_PER_DEVICE;
}

static uint64_t
disk_size(const struct snapshot *snapshot)
{
	struct stat status;

	return fstat(snapshot->fd, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}

static uint64_t
file_size(const struct snapshot *snapshot)
{
	return snapshot->header.table_offset + snapshot->header.table_size;
}

static void
show_file(FILE *out, const struct snapshot *snapshot)
{
	const struct record *host = snapshot_section(snapshot, SECTION_HOST, 0);
	char text[256], date[64] = "at an unknown time", sizes[2][32], id[33];
	uint64_t made;
	struct tm tm;
	time_t when;

	if (record_get_u64(host, "made", &made)) {
		when = (time_t)made;
		if (gmtime_r(&when, &tm))
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	}
	snapshot_host_text(host, text, sizeof(text));
	show_text(out, snapshot->path, strlen(snapshot->path));
	fprintf(out, ": a machine, snapshot format %u\n  id = %s\n", snapshot->header.version,
		snapshot_id_text(snapshot->header.id, id));
	if (snapshot_has_parent(snapshot))
		fprintf(out, "  parent = %s\n", snapshot_id_text(snapshot->header.parent, id));
	fprintf(out, "  made = %s\n  by = ", date);
	show_text(out, text, strlen(text));
	fprintf(out, "\n  size = %s, %s on disk\n",
		format_bytes(file_size(snapshot), sizes[0], sizeof(sizes[0])),
		format_bytes(disk_size(snapshot), sizes[1], sizeof(sizes[1])));
}

static void
show_device(FILE *out, const struct record *device)
{
	char *name = NULL, *plugin = NULL;
	struct record item;
	size_t position = 0;
	uint64_t version = 0;

	record_copy_text(device, "name", &name, NULL);
	record_copy_text(device, "plugin", &plugin, NULL);
	record_get_u64(device, "version", &version);
	fputs("\ndevice ", out);
	show_text(out, name ? name : "?", name ? strlen(name) : 1);
	fputs(" (", out);
	show_text(out, plugin ? plugin : "?", plugin ? strlen(plugin) : 1);
	fprintf(out, ", state version %llu)\n", (unsigned long long)version);
	while (record_next(device, &position, &item))
		if (!record_is(&item, "name") && !record_is(&item, "plugin") &&
		    !record_is(&item, "version"))
			show_item(out, &item, 2);
	free(name);
	free(plugin);
}

static void
show_run(void *context, gpa_t gpa, uint64_t size)
{
	char text[32];

	fprintf(context, "    0x%llx to 0x%llx, %s\n", (unsigned long long)gpa,
		(unsigned long long)(gpa + size - 1), format_bytes(size, text, sizeof(text)));
}

static int
show_memory(FILE *out, const struct snapshot *snapshot)
{
	char text[32];

	fputs("\nmemory\n", out);
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = snapshot_region(snapshot, i);

		fprintf(out, "  0x%llx to 0x%llx, %s\n", (unsigned long long)region->gpa,
			(unsigned long long)(region->gpa + region->size - 1),
			format_bytes(region->size, text, sizeof(text)));
	}
	fputs(snapshot->pages ? "  pages that differ from the parent's\n"
			      : "  pages that hold data\n",
	      out);
	return snapshot_runs(snapshot, show_run, out);
}

static void
show_section(FILE *out, const struct section *section, uint32_t index, const struct record *record)
{
	struct view view = { 0 };

	fprintf(out, several(section) ? "\n%s %u\n" : "\n%s\n", section->key, index);
	show_group(out, decoded(&view, section, record), 2);
	view_free(&view);
}

static int
inspect_text(FILE *out, const struct snapshot *snapshot, const struct symbols *symbols)
{
	const struct section *section = NULL;
	struct inspect_code code = { 0 };
	const struct record *record;

	show_file(out, snapshot);
	while ((section = section_next_loaded(section)))
		for (uint32_t i = 0;
		     section->key && (record = snapshot_section(snapshot, section->tag, i)); i++) {
			if (section->tag == SECTION_DEVICE)
				show_device(out, record);
			else
				show_section(out, section, i, record);
			if (section->tag == SECTION_VCPU)
				inspect_code(out, snapshot, i, &code);
			if (section->tag == SECTION_VCPU && symbols)
				inspect_stack(out, snapshot, i, symbols);
		}
	return show_memory(out, snapshot);
}

struct json_runs {
	FILE *out;
	bool any;
};

static void
json_range(FILE *out, bool first, gpa_t gpa, uint64_t size)
{
	fprintf(out, "%s\n\t\t\t{\"gpa\": %llu, \"size\": %llu}", first ? "" : ",",
		(unsigned long long)gpa, (unsigned long long)size);
}

static void
json_run(void *context, gpa_t gpa, uint64_t size)
{
	struct json_runs *runs = context;

	json_range(runs->out, !runs->any, gpa, size);
	runs->any = true;
}

static int
json_memory(FILE *out, const struct snapshot *snapshot)
{
	struct json_runs runs = { .out = out };
	int failed;

	fputs("\t\"memory\": {\n\t\t\"regions\": [", out);
	for (size_t i = 0; i < snapshot->region_count; i++)
		json_range(out, !i, snapshot_region(snapshot, i)->gpa,
			   snapshot_region(snapshot, i)->size);
	fputs("],\n\t\t\"data\": [", out);
	failed = snapshot_runs(snapshot, json_run, &runs);
	fputs("]\n\t}\n", out);
	return failed;
}

/* A single section as a value, several sections as an array. */
static void
json_sections(FILE *out, const struct section *section, const struct snapshot *snapshot)
{
	const struct record *record;

	fprintf(out, several(section) ? "\t\"%ss\": [" : "\t\"%s\": ", section->key);
	for (uint32_t i = 0; (record = snapshot_section(snapshot, section->tag, i)); i++) {
		struct view view = { 0 };

		fputs(i ? ", " : "", out);
		record_print_json(out, decoded(&view, section, record), several(section) ? 2 : 1);
		view_free(&view);
	}
	fputs(several(section) ? "],\n" : ",\n", out);
}

static int
inspect_json(FILE *out, const struct snapshot *snapshot)
{
	const struct section *section = NULL;
	char id[33];
	int failed;

	fputs("{\n\t\"file\": ", out);
	json_text(out, snapshot->path, strlen(snapshot->path));
	fprintf(out, ",\n\t\"format\": %u,\n\t\"id\": \"%s\"", snapshot->header.version,
		snapshot_id_text(snapshot->header.id, id));
	if (snapshot_has_parent(snapshot))
		fprintf(out, ",\n\t\"parent\": \"%s\"",
			snapshot_id_text(snapshot->header.parent, id));
	fprintf(out, ",\n\t\"size\": %llu,\n\t\"size_on_disk\": %llu,\n",
		(unsigned long long)file_size(snapshot), (unsigned long long)disk_size(snapshot));
	fputs("\t\"host\": ", out);
	record_print_json(out, snapshot_section(snapshot, SECTION_HOST, 0), 1);
	fputs(",\n", out);
	while ((section = section_next_loaded(section)))
		if (section->key &&
		    (several(section) || snapshot_section(snapshot, section->tag, 0)))
			json_sections(out, section, snapshot);
	failed = json_memory(out, snapshot);
	fputs("}\n", out);
	return failed;
}

/* What the arguments ask for. */
struct inspect {
	const char *dump[2]; /* address and length; NULL: no dump */
	const char *output;  /* the file of a map; NULL: stdout */
	const char *symbols; /* names addresses; NULL: none */
	bool json, map;
};

static void
take(struct inspect *inspect, int option, const struct arguments *arguments)
{
	switch (option) {
	case CLI_JSON:
		inspect->json = true;
		break;
	case CLI_MAP:
		inspect->map = true;
		break;
	case 'o':
		inspect->output = arguments->value;
		break;
	case CLI_SYMBOLS:
		inspect->symbols = arguments->value;
		break;
	case CLI_DUMP:
		inspect->dump[0] = arguments->value;
		inspect->dump[1] = arguments->second;
		break;
	}
}

static int
check(const struct inspect *inspect)
{
	if (inspect->json + inspect->map + (inspect->dump[0] != NULL) > 1)
		return fail(STATUS_USAGE, "inspect: give one of --json, --map and --dump");
	if (inspect->symbols && (inspect->json || inspect->map || inspect->dump[0]))
		return fail(STATUS_USAGE,
			    "inspect: --symbols names addresses in the text; leave out --json, "
			    "--map and --dump");
	if (inspect->output && !inspect->map)
		return fail(STATUS_USAGE, "inspect: -o %s needs --map", inspect->output);
	return 0;
}

/* Opens the last path, and its parents if they are given or needed. */
static int
open_snapshot(struct snapshot *snapshot, char **paths, int count, bool parents)
{
	char *path = paths[count - 1];
	int failed = snapshot_open(snapshot, path);

	for (int i = 0; i < count - 1 && !failed; i++) {
		const struct snapshot *s = snapshot;

		if (!i)
			failed = snapshot_open_parents(snapshot, paths, (size_t)count - 1);
		while (!failed && s && strcmp(s->path, paths[i]))
			s = s->parent;
		if (!failed && !s)
			failed = fail(STATUS_USAGE, "inspect: %s is not a parent of %s; remove it",
				      paths[i], path);
	}
	if (!failed && parents && count == 1)
		failed = snapshot_open_parents(snapshot, paths, 0);
	return failed;
}

/* The text, with names of addresses. */
static int
show_symbols(const char *path, const struct snapshot *snapshot)
{
	struct vmcoreinfo info;
	struct symbols symbols;
	struct why why;
	int failed = 0;

	if (symbols_open(&symbols, path, &why))
		failed = fail(why_status(&why, STATUS_USAGE), "inspect: --symbols: %s %s", path,
			      why.text);
	if (!failed && symbols_kernel(&symbols) && vmcoreinfo_find(&info, snapshot))
		symbols.shift = vmcoreinfo_offset(&info);
	if (!failed)
		failed = inspect_text(stdout, snapshot, &symbols);
	symbols_free(&symbols);
	return failed;
}

static int
show(const struct inspect *inspect, const struct snapshot *snapshot)
{
	if (inspect->map)
		return inspect_map(snapshot, inspect->output);
	if (inspect->dump[0])
		return inspect_dump(stdout, snapshot, inspect->dump[0], inspect->dump[1]);
	if (inspect->json)
		return inspect_json(stdout, snapshot);
	return inspect->symbols ? show_symbols(inspect->symbols, snapshot)
				: inspect_text(stdout, snapshot, NULL);
}

int
cli_inspect(int argc, char **argv)
{
	struct inspect inspect = { 0 };
	struct arguments arguments;
	struct snapshot snapshot;
	int option, failed;

	arguments_begin(&arguments, cli_command("inspect"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		take(&inspect, option, &arguments);
	if (option)
		return arguments.status;
	failed = check(&inspect);
	if (failed)
		return -failed;
	failed = open_snapshot(&snapshot, arguments.operands, arguments.count,
			       inspect.map || inspect.dump[0] || inspect.symbols);
	if (!failed)
		failed = show(&inspect, &snapshot);
	snapshot_close(&snapshot);
	if (!failed)
		failed = show_end(stdout);
	return -failed;
}
