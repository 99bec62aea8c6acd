/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm plugins --mdoc: prints the sections of a plugin's manual page that its tables describe.
 */
#include <ctype.h>
#include <string.h>

#include "cli/plugin_page.h"

/* Prints a text of the plugin within a line. A backslash is a character, not an escape. */
static void
put_text(FILE *out, const char *text)
{
	for (; *text; text++)
		fputs(*text == '\\' ? "\\e" : (char[]){ *text, '\0' }, out);
}

/* Prints a text as a sentence in a separate line. */
static void
put_sentence(FILE *out, const char *text)
{
	size_t length = strlen(text);

	if (!length)
		return;
	if (*text == '.' || *text == '\'') /* not a request */
		fputs("\\&", out);
	putc(toupper((unsigned char)*text), out);
	put_text(out, text + 1);
	fputs(strchr(".?!", text[length - 1]) ? "\n" : ".\n", out);
}

/* The placeholder for a value of the type; minivmm.ini(5) describes the types. */
static const char *
value_name(uint32_t type)
{
	static const char *const names[] = {
		[MINIVMM_U8] = "number",         [MINIVMM_U16] = "number",
		[MINIVMM_U32] = "number",        [MINIVMM_U64] = "number",
		[MINIVMM_BOOL] = "bool",         [MINIVMM_SIZE] = "size",
		[MINIVMM_PORT] = "port",         [MINIVMM_ADDRESS] = "address",
		[MINIVMM_DURATION] = "duration", [MINIVMM_STRING] = "text",
		[MINIVMM_PATH] = "path",         [MINIVMM_IRQ] = "line",
	};

	return type < sizeof(names) / sizeof(*names) && names[type] ? names[type]
								    : plugin_type_name(type);
}

static void
put_value(FILE *out, const struct minivmm_option *row)
{
	fprintf(out, ".It Cm %s No = ", row->name);
	if (row->type != MINIVMM_ENUM) {
		fprintf(out, "Ar %s\n", value_name(row->type));
		return;
	}
	for (int i = 0; row->values[i]; i++)
		fprintf(out, "%sCm %s", i ? " | " : "", row->values[i]);
	putc('\n', out);
}

/* Describes an option that sets the output or the input of a stream. */
static void
put_direction(FILE *out, const struct plugin *plugin, const struct minivmm_option *row)
{
	for (uint32_t i = 0; i < plugin->stream_count; i++) {
		const struct minivmm_stream *stream = &plugin->descriptor.streams[i];
		bool output = stream->output && !strcmp(stream->output, row->name);

		if (!output && (!stream->input || strcmp(stream->input, row->name) != 0))
			continue;
		fprintf(out, "%s of the stream\n.Cm %s :\n%s.\n", output ? "Output" : "Input",
			stream->name, stream->help ? stream->help : "bytes");
		if (!output && stream->output && !row->initial)
			fprintf(
			    out,
			    "If it is not set and\n.Cm %s\ngoes both ways (pty, unix, tcp), that "
			    "is the input too.\n",
			    stream->output);
	}
}

static void
put_option(FILE *out, const struct plugin *plugin, const struct plugin_option *option)
{
	const struct minivmm_option *row = &option->row;
	char min[24], max[24];

	put_value(out, row);
	if (row->type == PLUGIN_STREAM)
		put_direction(out, plugin, row);
	else
		put_sentence(out, row->help ? row->help : "");
	if (row->max)
		fprintf(out, "The value is from %s to %s.\n",
			plugin_value(row, row->min, min, sizeof(min)),
			plugin_value(row, row->max, max, sizeof(max)));
	if (row->type == MINIVMM_IRQ && row->flags & MINIVMM_EDGE)
		fputs("Edge-triggered: no other device can use this line.\n", out);
	if (option->required)
		fputs("Required.\n", out);
	else if (!row->initial || !*row->initial)
		fputs("Optional.\n", out);
	else {
		fputs("The default is\n.Li ", out);
		put_text(out, row->initial);
		fputs(" .\n", out);
	}
	if (row->flags & MINIVMM_HOST || row->type == MINIVMM_PATH)
		fputs("Can be changed at a restore.\n", out);
}

static void
put_options(FILE *out, const struct plugin *plugin)
{
	fputs(".Sh OPTIONS\n", out);
	if (!plugin->all_count) {
		fputs("None.\n", out);
		return;
	}
	fputs("These keys can be set in the device's section;\n.Xr minivmm.ini 5\ndescribes the "
	      "types of their values.\n.Bl -tag -width Ds\n",
	      out);
	for (size_t i = 0; i < plugin->all_count; i++)
		put_option(out, plugin, plugin_option(plugin, i));
	fputs(".El\n", out);
}

static void
put_registers(FILE *out, const struct minivmm_register *r)
{
	bool two = false;
	size_t width = sizeof("Read") - 1;

	for (const struct minivmm_register *row = r; row->read || row->write; row++) {
		const char *name = row->read ? row->read : row->write;

		two |= row->write != NULL;
		width = strlen(name) > width ? strlen(name) : width;
	}
	fprintf(out, ".Bl -column \"Offset\" \"%.*s\"%s -compact\n", (int)width,
		"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", two ? " \"Write\"" : "");
	fprintf(out, ".It Em Offset Ta Em %s\n", two ? "Read Ta Em Write" : "Register");
	for (; r->read || r->write; r++) {
		fprintf(out, ".It 0x%02llx Ta %s", (unsigned long long)r->offset,
			r->read ? r->read : "-");
		if (two)
			fprintf(out, " Ta %s", r->write ? r->write : r->read);
		putc('\n', out);
	}
	fputs(".El\n", out);
}

static void
put_range(FILE *out, const struct minivmm_range *row)
{
	static const char *const widths[] = { "1", "2", "4", "8" };
	const char *unit = row->space == MINIVMM_PIO ? "port" : "byte";
	bool first = true;

	fprintf(out, ".It %s at Cm %s\n", row->space == MINIVMM_PIO ? "Ports" : "MMIO", row->at);
	if (row->length_option)
		fprintf(out, "As many bytes as\n.Cm %s\nsays", row->length_option);
	else
		fprintf(out, "%llu %s%s", (unsigned long long)row->length, unit,
			row->length == 1 ? "" : "s");
	fputs(row->widths ? "; accesses of " : "; accesses of 1 to 8", out);
	for (int i = 0; i < 4 && row->widths; i++)
		if (row->widths & 1u << i) {
			fprintf(out, "%s%s", first ? "" : " or ", widths[i]);
			first = false;
		}
	fprintf(out, " %s.\n", row->widths == MINIVMM_W8 ? "byte" : "bytes");
	if (row->registers)
		put_registers(out, row->registers);
}

static void
put_stream(FILE *out, const struct minivmm_stream *row)
{
	fprintf(out, ".It Stream Cm %s\n", row->name);
	put_sentence(out, row->help ? row->help : "");
	if (row->output)
		fprintf(out, "Its output is set with\n.Cm %s%s", row->output,
			row->input ? " ,\n" : " .\n");
	if (row->input)
		fprintf(out, "%s with\n.Cm %s .\n", row->output ? "its input" : "Its input is set",
			row->input);
}

static void
put_acpi(FILE *out, const struct minivmm_acpi *row)
{
	static const char *const roles[] = {
		[MINIVMM_ACPI_POWER] = "the sleep and reset registers",
		[MINIVMM_ACPI_KEYBOARD] = "the keyboard controller",
		[MINIVMM_ACPI_CLOCK] = "the real-time clock",
	};

	if (row->hid)
		fprintf(out, "A device with the id\n.Li %s", row->hid);
	if (row->hid && row->cid)
		fprintf(out, " ,\ncompatible with\n.Li %s", row->cid);
	if (row->hid && row->only)
		fprintf(out, " ,\nif\n.Cm %s\nis set", row->only);
	if (row->hid)
		fputs(row->hid && row->only ? ".\n" : " .\n", out);
	if (row->role < sizeof(roles) / sizeof(*roles) && roles[row->role])
		fprintf(out, "The FADT names it as %s.\n", roles[row->role]);
}

static void
put_resources(FILE *out, const struct plugin *plugin)
{
	const struct minivmm_plugin *d = &plugin->descriptor;

	fputs(".Sh RESOURCES\n.Bl -tag -width Ds\n", out);
	for (uint32_t i = 0; i < plugin->range_count; i++)
		put_range(out, &d->ranges[i]);
	for (size_t i = 0; i < plugin->all_count; i++)
		if (plugin_option(plugin, i)->row.type == MINIVMM_IRQ)
			fprintf(out, ".It Interrupt Cm %s\n%s-triggered%s.\n",
				plugin_option(plugin, i)->row.name,
				plugin_option(plugin, i)->row.flags & MINIVMM_EDGE ? "Edge"
										   : "Level",
				plugin_option(plugin, i)->row.flags & MINIVMM_ACTIVE_LOW
				    ? ", active low"
				    : "");
	for (uint32_t i = 0; i < plugin->stream_count; i++)
		put_stream(out, &d->streams[i]);
	if (plugin->acpi_count)
		fputs(".It ACPI\n", out);
	for (uint32_t i = 0; i < plugin->acpi_count; i++)
		put_acpi(out, &d->acpi[i]);
	fputs(".El\n", out);
}

static void
put_field(FILE *out, const struct minivmm_field *row)
{
	fprintf(out, ".It Va %s Ta %s", row->name, plugin_type_name(row->type));
	if (row->flags & MINIVMM_POINTER)
		fputs("[]", out);
	else if (row->count)
		fprintf(out, "[%u]", row->count);
	fputs(" Ta ", out);
	put_text(out, row->help ? row->help : "");
	putc('\n', out);
}

static void
put_state(FILE *out, const struct plugin *plugin)
{
	const struct minivmm_plugin *d = &plugin->descriptor;
	int width = 0;

	fprintf(out, ".Sh STATE\nA snapshot holds %s (state version %u)",
		plugin->field_count || plugin->timer_count ? "these fields" : "no fields",
		d->state_version);
	fputs(plugin->field_count || plugin->timer_count ? ":\n" : ".\n", out);
	for (uint32_t i = 0; i < plugin->field_count; i++)
		if ((int)strlen(d->fields[i].name) > width)
			width = (int)strlen(d->fields[i].name);
	if (plugin->field_count)
		fprintf(out, ".Bl -column \"%.*s\" \"bool[99]\" \"help\" -compact\n", width,
			"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM");
	for (uint32_t i = 0; i < plugin->field_count; i++)
		put_field(out, &d->fields[i]);
	if (plugin->field_count)
		fputs(".El\n", out);
	for (uint32_t i = 0; i < plugin->timer_count; i++) {
		fprintf(out, "%sThe timer\n.Va %s ,\nif it is set: ", i ? "" : ".Pp\n",
			d->timers[i].name);
		put_text(out, d->timers[i].help ? d->timers[i].help : "");
		fputs(".\n", out);
	}
}

void
cli_plugin_page(FILE *out, const struct plugin *plugin)
{
	put_options(out, plugin);
	put_resources(out, plugin);
	put_state(out, plugin);
}
