/* SPDX-License-Identifier: BSD-2-Clause */
/* A request of a client: which command it means, and its reply. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "control/client.h"

struct control_request {
	struct control_client *client; /* NULL: gone */
	FILE *reply;                   /* a memory stream: text, length */
	char *text;
	size_t length;
	int passed; /* a descriptor; -1: none, or taken */
	char *words[CONTROL_WORDS + 1];
	char line[CONTROL_LINE + 1]; /* words point into it */
};

FILE *
control_reply(struct control_request *request)
{
	return request->reply;
}

bool
control_gone(const struct control_request *request)
{
	return !request->client;
}

int
control_take_fd(struct control_request *request)
{
	int fd = request->passed;

	request->passed = -1;
	return fd;
}

void
request_orphan(struct control_request *request)
{
	request->client = NULL;
}

/* Gives the reply to the client, frees the rest. */
static void
end(struct control_request *request, char *text, size_t length)
{
	struct control_client *client = request->client;

	/* It may belong to a line that came with this one. */
	if (request->passed >= 0 && client && client->length && client->passed < 0)
		client->passed = control_take_fd(request);
	if (request->passed >= 0)
		close(request->passed);
	free(request);
	if (client)
		client_answer(client, text, length);
	else
		free(text);
}

/* Closes the memory stream; false: not all of it found memory, and it is freed. */
static bool
close_reply(struct control_request *request)
{
	bool failed = ferror(request->reply);

	failed |= fclose(request->reply) != 0;
	if (failed) {
		free(request->text);
		request->text = NULL;
	}
	return !failed;
}

void
control_done(struct control_request *request)
{
	size_t length;
	char *text;

	fputs("}\n", request->reply);
	if (close_reply(request)) {
		text = request->text;
		length = request->length;
		for (size_t i = 0; i + 1 < length; i++)
			if (text[i] == '\n')
				text[i] = ' ';
	} else
		text = request_error_line("no memory for the reply", &length);
	end(request, text, length);
}

char *
request_error_line(const char *text, size_t *length)
{
	char *line = NULL;
	FILE *out = open_memstream(&line, length);
	bool failed;

	if (!out)
		return NULL;
	fputs("{\"ok\":false,\"error\":", out);
	json_text(out, text, strlen(text));
	fputs("}\n", out);
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return line;
	free(line);
	return NULL;
}

void
control_fail(struct control_request *request, const char *format, ...)
{
	char *why = NULL, *text;
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	if (vasprintf(&why, format, arguments) < 0)
		why = NULL;
	va_end(arguments);
	if (close_reply(request))
		free(request->text);
	text = request_error_line(why ? why : "no memory", &length);
	free(why);
	end(request, text, length);
}

static const struct control_command help = { "help", "help", "lists the commands", 0, 0, NULL };

static void
member(FILE *out, const char *before, const char *text)
{
	fputs(before, out);
	json_text(out, text, strlen(text));
}

static void
run_help(struct control_request *request, const struct control_command *table)
{
	FILE *out = control_reply(request);

	fputs(",\"commands\":[", out);
	for (const struct control_command *c = &help; c->name; c = c == &help ? table : c + 1) {
		member(out, c == &help ? "{\"name\":" : ",{\"name\":", c->name);
		member(out, ",\"usage\":", c->usage);
		member(out, ",\"help\":", c->help);
		putc('}', out);
	}
	putc(']', out);
	control_done(request);
}

static void
unknown(struct control_request *request, const struct control_command *table)
{
	const char *near = NULL, **names;
	size_t count = 0;

	while (table[count].name)
		count++;
	names = calloc(count + 2, sizeof(*names));
	if (names) {
		for (size_t i = 0; i < count; i++)
			names[i] = table[i].name;
		names[count] = help.name;
		near = nearest(request->words[0], names);
	}
	free(names);
	control_fail(request, "unknown command %s%s", request->words[0],
		     did_you_mean(near, "; help lists them").text);
}

static void
dispatch(struct control_request *request, int argc)
{
	const struct control *control = request->client->control;
	const struct control_command *command = control->commands;
	unsigned arguments = (unsigned)argc - 1;

	while (command->name && strcmp(command->name, request->words[0]))
		command++;
	if (!strcmp(request->words[0], help.name))
		command = &help;
	if (!command->name)
		unknown(request, control->commands);
	else if (arguments < command->least || arguments > command->most)
		control_fail(request, "%s takes %s arguments; usage: %s", command->name,
			     arguments < command->least ? "more" : "fewer", command->usage);
	else if (command == &help)
		run_help(request, control->commands);
	else
		command->run(control->context, request, argc, request->words);
}

void
request_run(struct control_client *client, const char *line, size_t length)
{
	struct control_request *request = calloc(1, sizeof(*request));
	const char *wrong;
	int argc;

	if (request)
		request->reply = open_memstream(&request->text, &request->length);
	if (!request || !request->reply) {
		free(request);
		client_close(client);
		return;
	}
	fputs("{\"ok\":true", request->reply);
	request->client = client;
	request->passed = client->passed;
	client->passed = -1;
	client->request = request;
	client_update(client);
	memcpy(request->line, line, length);
	wrong = control_words(request->line, request->words, &argc);
	if (wrong)
		control_fail(request, "%s", wrong);
	else
		dispatch(request, argc);
}
