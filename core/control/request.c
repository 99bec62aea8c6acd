/* SPDX-License-Identifier: BSD-2-Clause */
/* A request of a client: runs its command and builds the reply. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "control/client.h"

struct control_request {
	struct command command;        /* first member: a cast leads back */
	struct control_client *client; /* NULL: gone */
	char *text;                    /* of the reply's memory stream */
	size_t length;
	char *words[CONTROL_WORDS + 1];
	char line[CONTROL_LINE + 1]; /* words point into it */
};

void
request_orphan(struct control_request *request)
{
	request->client = NULL;
	request->command.gone = true;
	if (request->command.left)
		request->command.left(&request->command);
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

/* Closes the memory stream; false: no memory for all of the reply, which is freed. */
static bool
close_reply(struct control_request *request)
{
	bool failed = ferror(request->command.reply);

	failed |= fclose(request->command.reply) != 0;
	if (failed) {
		free(request->text);
		request->text = NULL;
	}
	return !failed;
}

/* The reply as a line of the protocol, allocated; NULL: no memory. */
static char *
reply_line(struct control_request *request, const char *error, size_t *length)
{
	fputs("}\n", request->command.reply);
	if (!close_reply(request))
		return request_error_line(error ? error : "no memory for the reply", length);
	if (error) {
		free(request->text);
		return request_error_line(error, length);
	}
	*length = request->length;
	for (size_t i = 0; i + 1 < request->length; i++)
		if (request->text[i] == '\n')
			request->text[i] = ' ';
	return request->text;
}

/* Gives the reply to the client, and frees the rest. */
static void
end(struct command *command, const char *error)
{
	struct control_request *request = (struct control_request *)command;
	struct control_client *client = request->client;
	size_t length = 0;
	char *line = reply_line(request, error, &length);

	/* The descriptor may belong to a line that came with this one. */
	if (command->fd >= 0 && client && client->length && client->passed < 0)
		client->passed = command_take_fd(command);
	if (command->fd >= 0)
		socket_close_passed(command->fd);
	free(request);
	if (client)
		client_answer(client, line, length);
	else
		free(line);
}

void
request_run(struct control_client *client, const char *line, size_t length)
{
	struct control_request *request = calloc(1, sizeof(*request));
	struct why why;
	int argc;

	if (request)
		request->command.reply = open_memstream(&request->text, &request->length);
	if (!request || !request->command.reply) {
		free(request);
		client_close(client);
		return;
	}
	fputs("{\"ok\":true", request->command.reply);
	request->client = client;
	request->command.fd = client->passed;
	request->command.end = end;
	client->passed = -1;
	client->request = request;
	client_update(client);
	memcpy(request->line, line, length);
	if (control_words(request->line, request->words, &argc, &why))
		command_fail(&request->command, "%s", why.text);
	else
		command_run(client->control->commands, client->control->context, &request->command,
			    argc, request->words);
}
