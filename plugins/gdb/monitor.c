/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb's command monitor: commands of the control socket, and one of this tool. The reply, a JSON
 * object, becomes lines of "key: value", indented by depth.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "gdb.h"

#define WORDS 64
#define LINE 4096  /* bytes of a command */
#define DEPTH 16   /* of the JSON; below it is printed as it is */
#define CHUNK 8192 /* bytes of output in a packet */

/* Splits a line at blanks, in place; "..." is one word, in which \ quotes. Returns the number of
 * words, or -1: too many, or a quote is open. */
static int
split_words(char *line, const char **words)
{
	int count = 0;
	char *to = line;

	while (*(line += strspn(line, " \t"))) {
		bool quoted = false;

		if (count == WORDS)
			return -1;
		words[count++] = to;
		for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++) {
			if (*line == '"')
				quoted = !quoted;
			else if (quoted && *line == '\\' && line[1])
				*to++ = *++line;
			else
				*to++ = *line;
		}
		if (quoted)
			return -1;
		if (*line)
			line++;
		*to++ = '\0';
	}
	return count;
}

/* --- The reply --- */

/* Prints a string, at its opening quote, without quotes. What is escaped because it could control a
 * terminal stays so. Returns behind it. */
static const char *
print_string(FILE *out, const char *at)
{
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1] && strchr("\"\\/", at[1]))
			at++;
		else if (*at == '\\' && at[1])
			putc(*at++, out);
		putc(*at, out);
	}
	return *at ? at + 1 : at;
}

static const char *
print_scalar(FILE *out, const char *at)
{
	if (*at == '"')
		return print_string(out, at);
	while (*at && !strchr(",]}", *at))
		putc(*at++, out);
	return at;
}

static const char *
skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static void
indent(FILE *out, unsigned depth)
{
	fprintf(out, "%*s", (int)(2 * depth), "");
}

/*
 * Prints the members of an object or the elements of a list, at its bracket, each on a line.
 * Returns behind it. Text that is no JSON ends somewhere, and is not read beyond its end.
 */
static const char *
print_members(FILE *out, const char *at, unsigned depth)
{
	bool object = *at == '{';

	at = skip_blanks(at + 1);
	while (*at && *at != '}' && *at != ']') {
		indent(out, depth);
		if (object && *at == '"') {
			at = skip_blanks(print_string(out, at));
			if (*at == ':')
				at = skip_blanks(at + 1);
			putc(':', out);
		} else {
			putc('-', out);
		}
		if ((*at == '{' || *at == '[') && depth < DEPTH) {
			bool empty = *skip_blanks(at + 1) == (*at == '{' ? '}' : ']');

			fputs(empty ? " none\n" : "\n", out);
			at = print_members(out, at, depth + 1);
		} else {
			putc(' ', out);
			at = print_scalar(out, at);
			putc('\n', out);
		}
		at = skip_blanks(at);
		if (*at == ',')
			at = skip_blanks(at + 1);
	}
	return *at ? at + 1 : at;
}

/* --- The client --- */

/* The client gets this output, and then the end of the command. Takes text, malloced; NULL: no
 * output. */
static void
set_console(struct minivmm_device *dev, char *text)
{
	struct gdb *g = minivmm_state(dev);

	g->wait = GDB_READY;
	g->console = text ? text : strdup("");
	g->console_at = 0;
	g->console_length = g->console ? strlen(g->console) : 0;
	if (!g->console)
		packet_reply(&g->out, "OK");
}

void
gdb_send_console(struct minivmm_device *dev)
{
	struct gdb *g = minivmm_state(dev);
	size_t n = g->console_length - g->console_at;

	packet_clear(&g->out);
	if (!n) {
		free(g->console);
		g->console = NULL;
		packet_reply(&g->out, "OK");
		return;
	}
	if (n > CHUNK)
		n = CHUNK;
	packet_begin(&g->out);
	packet_text(&g->out, "O");
	packet_hex(&g->out, g->console + g->console_at, n);
	packet_end(&g->out);
	g->console_at += n;
}

void
gdb_say(struct minivmm_device *dev, const char *format, ...)
{
	struct gdb *g = minivmm_state(dev);
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	packet_begin(&g->out);
	packet_text(&g->out, "O");
	packet_hex(&g->out, text, strlen(text));
	packet_end(&g->out);
}

void
gdb_answered(struct minivmm_device *dev, const struct minivmm_event *event)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out) {
		set_console(dev, NULL);
		return;
	}
	if (event->error)
		fprintf(out, "error: %s\n", event->error);
	else if (event->text && *skip_blanks(event->text) == '{')
		print_members(out, skip_blanks(event->text), 0);
	if (fclose(out)) {
		free(text);
		text = NULL;
	}
	set_console(dev, text);
}

static const char help[] =
    "monitor physical [on|off]   whether addresses of memory are guest physical\n"
    "monitor COMMAND             a command of the control socket:\n";

/* Commands that end here. */
static bool
run_own(struct minivmm_device *dev, const char *const *words, int count)
{
	struct gdb *g = minivmm_state(dev);
	char text[80];

	if (strcmp(words[0], "physical"))
		return false;
	if (count == 2 && (!strcmp(words[1], "on") || !strcmp(words[1], "off")))
		g->physical = !strcmp(words[1], "on");
	else if (count > 1) {
		set_console(dev, strdup("error: usage: monitor physical [on|off]\n"));
		return true;
	}
	snprintf(text, sizeof(text), "addresses of memory are %s\n",
		 g->physical ? "guest physical" : "linear");
	set_console(dev, strdup(text));
	return true;
}

void
gdb_monitor(struct minivmm_device *dev, const char *at)
{
	struct gdb *g = minivmm_state(dev);
	char line[LINE + 1];
	const char *words[WORDS];
	size_t length = strlen(at) / 2;
	int count;

	if (length > LINE || !packet_bytes(&at, (uint8_t *)line, length) || *at) {
		packet_reply(&g->out, "E01");
		return;
	}
	line[length] = '\0';
	count = split_words(line, words);
	if (count < 0) {
		set_console(dev, strdup("error: a quote is open, or there are too many words\n"));
		return;
	}
	if (!count)
		words[count++] = "help";
	if (run_own(dev, words, count))
		return;
	if (!strcmp(words[0], "help"))
		gdb_say(dev, "%s", help);
	g->command = minivmm_machine_command(dev, words, (uint32_t)count);
	if (g->command)
		g->wait = GDB_WAIT_ANSWER;
	else
		set_console(dev, strdup("error: no memory\n"));
}
