/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm ctl: sends a command to a running machine and prints the reply. */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/runtime.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/ctl.h"
#include "cli/show.h"
#include "control/control.h"

/* Joins the words to a line of the protocol, malloced. */
static int
join(char **words, char **line)
{
	size_t length;
	FILE *out;

	*line = NULL;
	for (char **word = words; *word; word++)
		if (strchr(*word, '\n'))
			return fail(STATUS_USAGE, "ctl: an argument contains a newline; remove it");
	out = open_memstream(line, &length);
	if (!out)
		return fail_memory("the command line");
	for (char **word = words; *word; word++) {
		control_put_word(out, *word);
		putc(word[1] ? ' ' : '\n', out);
	}
	if (fclose(out))
		return fail_memory("the command line");
	if (length > CONTROL_LINE + 1)
		return fail(STATUS_USAGE, "ctl: the command is longer than %d bytes", CONTROL_LINE);
	return 0;
}

/*
 * Prints a list of commands with their help. Returns false if the reply is not a list of commands.
 */
static bool
show_commands(FILE *out, const struct json *reply)
{
	struct json list, command, text, what;
	const char *position = NULL;

	if (!json_find(reply, "commands", &list) || *list.at != '[')
		return false;
	while (json_next(&list, &position, NULL, &command)) {
		size_t length = 0;
		char *name = NULL;

		if (!json_find(&command, "usage", &text) || !json_find(&command, "help", &what) ||
		    !(name = json_string(&text, &length)))
			continue;
		fputs("  ", out);
		show_text(out, name, length);
		fprintf(out, "%*s", length < 30 ? (int)(30 - length) : 1, "");
		show_json(out, &what);
		putc('\n', out);
		free(name);
	}
	return true;
}

/* Formats the reply, malloced. 0 or a negative status. */
static int
format_reply(const char *line, const struct json *reply, bool json, bool hex, char **text,
	     size_t *length)
{
	FILE *out = open_memstream(text, length);

	if (!out)
		return fail_memory("the reply");
	if (json) {
		json_copy(out, line);
		putc('\n', out);
	} else if (!show_commands(out, reply))
		show_json_members(out, reply, "ok", 0, hex);
	return fclose(out) ? fail_memory("the reply") : 0;
}

/*
 * Prints the reply and returns the exit status. hex: numbers are values of the machine, not counts.
 */
static int
show_reply(const struct ctl *ctl, int fd, const char *line, bool json, bool hex)
{
	struct json reply;
	int status = ctl_reply(ctl, line, &reply), r = 0;
	char *text = NULL;
	size_t length;

	if (status < 0)
		return -status;
	if (json || !status)
		r = format_reply(line, &reply, json, hex, &text, &length);
	if (text && !r)
		r = show_whole(fd, text, length);
	free(text);
	return r ? -r : status;
}

static bool
to_stdout(char **words)
{
	for (words++; *words; words++)
		if (!strcmp(*words, "-"))
			return true;
	return false;
}

/*
 * Makes a path absolute, because the machine has another current directory. Malloced; NULL after
 * reporting an error.
 */
static char *
full_path(const char *path)
{
	char *folder = getcwd(NULL, 0), *full = NULL;

	if (!folder || asprintf(&full, "%s/%s", folder, path) < 0)
		fail(STATUS_HOST, "ctl: cannot resolve the path %s: %s", path,
		     limit_error(errno).text);
	free(folder);
	return full;
}

/* The path of the socket of the machine with a name, malloced; NULL after reporting an error. */
static char *
machine_path(const char *name)
{
	char path[PATH_MAX];
	struct why why;

	if (!runtime_socket(name, path, sizeof(path), &why))
		return strdup(path);
	fail(STATUS_USAGE, "ctl: %s: %s", name, why.text);
	return NULL;
}

/* Whether this is a name of a machine, and no socket in the current directory. */
static bool
is_name(const char *path)
{
	char other[PATH_MAX];
	struct why why;

	return !strchr(path, '/') && access(path, F_OK) &&
	       !runtime_socket(path, other, sizeof(other), &why) && !access(other, F_OK);
}

int
ctl_find(struct ctl *ctl, const char *given, char **named)
{
	*named = NULL;
	ctl->path = given;
	ctl->by_name = is_name(given);
	if (ctl->by_name && !(ctl->path = *named = machine_path(given)))
		return -STATUS_USAGE;
	return 0;
}

/* Makes the sockets of branches absolute. by_name: words without '/' are names of machines. 0 or a
 * negative status; the words stay valid until the process ends. */
static int
full_sockets(char **words, bool by_name)
{
	for (; *words; words++) {
		if (!strcmp(*words, "--set") && words[1])
			words++;
		else if (by_name && **words != '-' && !strchr(*words, '/')) {
			if (!(*words = machine_path(*words)))
				return -STATUS_USAGE;
		} else if (**words && **words != '/' && **words != '-' &&
			   !(*words = full_path(*words)))
			return -STATUS_HOST;
	}
	return 0;
}

static int
command(struct ctl *ctl, char **words, bool json)
{
	bool snapshot = !strcmp(words[0], "snapshot"), out = snapshot && to_stdout(words);
	bool writes = snapshot || !strcmp(words[0], "core");
	bool joins = !strcmp(words[0], "connect");
	char *line, *reply = NULL, *path = NULL;
	int status;

	if (out && isatty(STDOUT_FILENO))
		return -fail(STATUS_USAGE,
			     "ctl: snapshot -: stdout is a terminal; redirect it to a "
			     "file or pipe");
	if (joins && json)
		return -fail(STATUS_USAGE, "ctl: connect does not support --json: stdout is the "
					   "connection");
	if (writes && words[1] && *words[1] && *words[1] != '/' && strcmp(words[1], "-")) {
		path = words[1] = full_path(words[1]);
		if (!path)
			return STATUS_HOST;
	}
	if (!strcmp(words[0], "branch") && full_sockets(words + 1, ctl->by_name))
		return STATUS_HOST;
	status = join(words, &line);
	free(path);
	if (!status)
		status = ctl_connect(ctl, ctl);
	if (!status && writes)
		status = ctl_snapshot(ctl, snapshot ? "snapshot" : "core", line,
				      out ? STDOUT_FILENO : -1, &reply);
	else if (!status && !joins && !(status = ctl_send(ctl, line, -1)))
		status = ctl_receive(ctl, &reply);
	status = status  ? -status
		 : joins ? ctl_join(ctl, line)
			 : show_reply(ctl, out ? STDERR_FILENO : STDOUT_FILENO, reply, json,
				      !strcmp(words[0], "registers"));
	free(line);
	free(reply);
	return status;
}

static int
stats(struct ctl *ctl, char **words, bool json)
{
	bool watch = words[1] && !strcmp(words[1], "--watch");
	int status;

	for (char **word = words + 1; *word; word++)
		json |= !strcmp(*word, "--json");
	if (json)
		return -fail(STATUS_USAGE,
			     "ctl: stats does not support --json; use minivmm ctl --json SOCKET "
			     "status");
	if (words[watch ? 2 : 1])
		return -fail(STATUS_USAGE, "ctl: unknown argument %s of stats; use --watch or none",
			     words[watch ? 2 : 1]);
	status = ctl_connect(ctl, ctl);
	return status ? -status : ctl_stats(ctl, watch);
}

static int
top(struct ctl *ctl, char **words, bool json)
{
	int status;

	if (json || words[1])
		return -fail(STATUS_USAGE, "ctl: top takes no argument, and shows a screen; for "
					   "programs, use minivmm ctl --json SOCKET status");
	status = ctl_connect(ctl, ctl);
	return status ? -status : ctl_top(ctl);
}

/* A name or a number. */
static int
parse_user(const char *text, uid_t *user)
{
	const struct passwd *entry = getpwnam(text);
	uint64_t number;

	if (!entry && (parse_u64(text, &number, NULL) || number >= (uid_t)-1))
		return fail(STATUS_USAGE, "ctl: --user %s: there is no user with this name", text);
	*user = entry ? entry->pw_uid : (uid_t)number;
	return 0;
}

int
cli_ctl(int argc, char **argv)
{
	struct ctl ctl = { .user = (uid_t)-1, .fd = -1 };
	struct arguments arguments;
	bool json = false;
	int option, status;
	char **words, *named = NULL;

	arguments_begin(&arguments, cli_command("ctl"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0) {
		if (option == CLI_JSON)
			json = true;
		else if (parse_user(arguments.value, &ctl.user))
			return STATUS_USAGE;
	}
	if (option)
		return arguments.status;
	words = arguments.operands + 1;
	for (char **word = words; *word; word++)
		if (!strcmp(*word, "--json") && strcmp(*words, "stats") != 0 &&
		    strcmp(*words, "top") != 0)
			return -fail(STATUS_USAGE, "ctl: --json is given behind the command; use "
						   "minivmm ctl --json SOCKET COMMAND");
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a socket is required */
	status = ctl_find(&ctl, arguments.operands[0], &named);
	if (status)
		return -status;
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a command is required */
	status = (!strcmp(*words, "stats") ? stats
		  : !strcmp(*words, "top") ? top
					   : command)(&ctl, words, json);
	ctl_close(&ctl);
	free(named);
	return status;
}
