/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm plugins --mdoc: prints the sections of a plugin's manual page that its tables describe.
 */
#include <ctype.h>
#include <string.h>

#include "base/escape.h"
#include "cli/plugin_page.h"

/* Whether mdoc could take the word for a request, a macro such as Ar or %A, or a delimiter. */
static bool
has_meaning(const char *word)
{
	size_t length = strcspn(word, " ");

	if (*word == '.' || *word == '\'' || *word == '%')
		return true;
	if (length == 1)
		return ispunct((unsigned char)*word);
	return length <= 3 && isupper((unsigned char)*word) && !isupper((unsigned char)word[1]);
}

/* Prints a text of the plugin within a line of text or a macro's; NULL is "". Its words are only
 * text: each begins with \& if mdoc could take it for more. */
static void
put_text(FILE *out, const char *text)
{
	size_t left = text ? strlen(text) : 0;
	char shown[17], last = ' ';

	if (!left)
		fputs("\\&", out);
	while (left) {
		struct character c = character_at(text, left);

		if (last == ' ' && has_meaning(text))
			fputs("\\&", out);
		last = *text;
		escape_text(shown, sizeof(shown), text, c.length);
		for (const char *s = shown; *s; s++)
			fputs(*s == '\\' ? "\\e" : *s == '"' ? "\\(dq" : (char[]){ *s, '\0' }, out);
		text += c.length;
		left -= c.length;
	}
}

/* Prints words of mdoc around a text. */
static void
put(FILE *out, const char *before, const char *text, const char *behind)
{
	fputs(before, out);
	put_text(out, text);
	fputs(behind, out);
}

/* Prints a text as a sentence in a separate line. */
static void
put_sentence(FILE *out, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	bool letter = length && *text >= 'a' && *text <= 'z';

	if (!length)
		return;
	if (letter)
		putc(toupper((unsigned char)*text), out);
	put_text(out, text + letter);
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
	put(out, ".It Cm ", row->name, " No = ");
	if (row->type != MINIVMM_ENUM) {
		fprintf(out, "Ar %s\n", value_name(row->type));
		return;
	}
	for (int i = 0; row->values[i]; i++)
		put(out, i ? " | Cm " : "Cm ", row->values[i], "");
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
		put(out, output ? "Output of the stream\n.Cm " : "Input of the stream\n.Cm ",
		    stream->name, " :\n");
		put(out, "", stream->help ? stream->help : "bytes", ".\n");
		if (!output && stream->output && !row->initial)
			put(out, "If it is not set and\n.Cm ", stream->output,
			    "\ngoes both ways (pty, unix, tcp), that is the input too.\n");
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
		put_sentence(out, row->help);
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
	else
		put(out, "The default is\n.Li ", row->initial, " .\n");
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
	fprintf(out,
		"These keys can be set in the %s's section;\n.Xr minivmm.ini 5\ndescribes the "
		"types of their values.\n.Bl -tag -width Ds\n",
		plugin->descriptor.tool ? "tool" : "device");
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
		fprintf(out, ".It 0x%02llx", (unsigned long long)r->offset);
		put(out, " Ta ", r->read ? r->read : "-", "");
		if (two)
			put(out, " Ta ", r->write ? r->write : r->read, "");
		putc('\n', out);
	}
	fputs(".El\n", out);
}

static void
put_range(FILE *out, const struct plugin *plugin, uint32_t index)
{
	const struct minivmm_range *row = &plugin->descriptor.ranges[index];
	static const char *const widths[] = { "1", "2", "4", "8" };
	const char *unit = row->space == MINIVMM_PIO ? "port" : "byte";
	bool first = true;

	put(out, row->space == MINIVMM_PIO ? ".It Ports at Cm " : ".It MMIO at Cm ",
	    plugin_range_name(plugin, index), "\n");
	if (row->length_option)
		put(out, "As many bytes as\n.Cm ", row->length_option, "\nsays");
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
	put(out, ".It Stream Cm ", row->name, "\n");
	put_sentence(out, row->help);
	if (row->output)
		put(out, "Its output is set with\n.Cm ", row->output, row->input ? " ,\n" : " .\n");
	if (row->input)
		put(out, row->output ? "its input with\n.Cm " : "Its input is set with\n.Cm ",
		    row->input, " .\n");
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
		put(out, "A device with the id\n.Li ", row->hid, "");
	if (row->hid && row->cid)
		put(out, " ,\ncompatible with\n.Li ", row->cid, "");
	if (row->hid && row->only)
		put(out, " ,\nif\n.Cm ", row->only, "\nis set");
	if (row->hid)
		fputs(row->hid && row->only ? ".\n" : " .\n", out);
	if (row->role < sizeof(roles) / sizeof(*roles) && roles[row->role])
		fprintf(out, "The FADT names it as %s.\n", roles[row->role]);
}

static void
put_function(FILE *out, const struct minivmm_pci *row)
{
	put(out, ".It PCI function in slot Cm ", row->slot, "\n");
	fprintf(out, "Vendor %04x, device %04x, class %06x", row->vendor, row->device,
		row->class_code);
	if (row->vectors)
		fprintf(out, ", %u message%s by %s", row->vectors, row->vectors == 1 ? "" : "s",
			row->flags & MINIVMM_MSI ? "MSI" : "MSI-X");
	fputs(row->has_intx ? ", an interrupt pin.\n" : ".\n", out);
}

static void
put_resources(FILE *out, const struct plugin *plugin)
{
	const struct minivmm_plugin *d = &plugin->descriptor;

	fputs(".Sh RESOURCES\n.Bl -tag -width Ds\n", out);
	for (uint32_t i = 0; i < plugin->range_count; i++)
		put_range(out, plugin, i);
	for (uint32_t i = 0; i < plugin->pci_count; i++)
		put_function(out, &d->pci[i]);
	for (size_t i = 0; i < plugin->all_count; i++) {
		const struct minivmm_option *row = &plugin_option(plugin, i)->row;

		if (row->type != MINIVMM_IRQ)
			continue;
		put(out, ".It Interrupt Cm ", row->name, "\n");
		fprintf(out, "%s-triggered%s.\n", row->flags & MINIVMM_EDGE ? "Edge" : "Level",
			row->flags & MINIVMM_ACTIVE_LOW ? ", active low" : "");
	}
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
	put(out, ".It Va ", row->name, " Ta ");
	fputs(plugin_type_name(row->type), out);
	if (row->flags & MINIVMM_POINTER)
		fputs("[]", out);
	else if (row->count)
		fprintf(out, "[%u]", row->count);
	put(out, " Ta ", row->help, "\n");
}

static void
put_state(FILE *out, const struct plugin *plugin)
{
	const struct minivmm_plugin *d = &plugin->descriptor;
	int width = 0;

	if (d->tool) {
		fputs(".Sh STATE\nThe plugin is a tool: a snapshot does not contain it.\n", out);
		return;
	}
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
		fputs(i ? "" : ".Pp\n", out);
		put(out, "The timer\n.Va ", d->timers[i].name, " ,\nif it is set: ");
		put(out, "", d->timers[i].help, ".\n");
	}
}

void
cli_plugin_page(FILE *out, const struct plugin *plugin)
{
	put_options(out, plugin);
	put_resources(out, plugin);
	put_state(out, plugin);
}
