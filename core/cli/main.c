/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: sub-commands and the options of a run. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "config/config.h"

static int
usage(const char *what, const char *argument)
{
	return -fail(STATUS_USAGE, "%s%s; see minivmm --help", what, argument);
}

static int
set_log(const char *text)
{
	int level = log_level_parse(text);

	if (level < 0)
		return usage("--log takes error, warn, info or debug, not ", text);
	log_set_level((enum minivmm_level)level);
	return 0;
}

static int
set_timeout(const char *text, uint64_t *timeout)
{
	struct why why;

	if (parse_duration(text, timeout, &why))
		return -fail(STATUS_USAGE, "--timeout %s %s", text, why.text);
	if (!*timeout)
		return usage("--timeout needs a time above 0, not ", text);
	if (text[strlen(text) - 1] != 's')
		return -fail(STATUS_USAGE,
			     "--timeout %s has no unit: write %ss for seconds, or ms, us, ns", text,
			     text);
	return 0;
}

/* Reports an unknown word. dashes: its prefix. names: the known words, ending with NULL. */
static int
unknown(const char *what, const char *dashes, const char *word, const char *const *names)
{
	const char *near = nearest(word, names);
	char meant[80];

	snprintf(meant, sizeof(meant), "%s%s", dashes, near ? near : "");
	return -fail(STATUS_USAGE, "unknown %s %s%s%s", what, dashes, word,
		     did_you_mean(near ? meant : NULL, "; see minivmm --help").text);
}

static int
unknown_option(const char *word)
{
	const char *names[32] = { 0 };
	size_t count = 0;

	if (strncmp(word, "--", 2))
		return usage("unknown option ", word);
	for (const struct cli_option *o = cli_run_options; o->id && count < 31; o++)
		names[count++] = o->name;
	return unknown("option", "--", word + 2, names);
}

static int
unknown_command(const char *word)
{
	const char *names[32] = { 0 };
	size_t count = 0;

	for (const struct cli_command *c = cli_commands; c->name && count < 31; c++)
		names[count++] = c->name;
	return unknown("command", "", word, names);
}

/*
 * Returns the name of the option if it has a value and was given before, else NULL: the last value
 * would silently win. --set and -r may be repeated. seen: a bit for each row of the options.
 */
static const char *
twice(int option, uint64_t *seen)
{
	for (size_t i = 0; cli_run_options[i].id; i++) {
		const struct cli_option *o = &cli_run_options[i];
		uint64_t bit = 1ull << i;

		if (o->id != option || option == CLI_SET || option == 'r' || !o->value)
			continue;
		if (*seen & bit)
			return o->name;
		*seen |= bit;
	}
	return NULL;
}

/* Handles one option. Returns 0, the exit status with which to end, or -1 to end with status 0. */
static int
take(int option, struct run_options *run)
{
	switch (option) {
	case 'c':
		run->config = optarg;
		return 0;
	case 'r':
		if (run->restore)
			run->parents[run->parent_count++] = (char *)run->restore;
		run->restore = optarg;
		return 0;
	case CLI_SET:
		run->set[run->set_count++] = optarg;
		return 0;
	case CLI_UNTIL:
		run->until = optarg;
		return 0;
	case CLI_AT:
		run->at = optarg;
		return 0;
	case CLI_SAVE:
		run->save = optarg;
		return 0;
	case CLI_TIMEOUT:
		return set_timeout(optarg, &run->timeout);
	case CLI_TRUST:
		run->trust = true;
		return 0;
	case CLI_REGISTERS:
		run->registers = true;
		return 0;
	case CLI_STATUS:
		run->status = optarg;
		return 0;
	case CLI_CHECK:
		run->check = true;
		return 0;
	case CLI_TRACE:
		run->trace = optarg;
		return 0;
	case CLI_LOG:
		return set_log(optarg);
	case 'h':
		cli_help(NULL);
		return -1;
	case CLI_VERSION:
		puts("minivmm " MINIVMM_VERSION);
		return -1;
	default:
		return usage("invalid arguments", "");
	}
}

static int
run(int argc, char **argv, struct run_options *run_options)
{
	const char *again;
	uint64_t seen = 0;
	char letter[3];
	int option, r;

	while ((option = cli_getopt(argc, argv, cli_run_options)) != -1) {
		if (option == '?')
			return unknown_option(cli_unknown_option(argv, letter));
		if (option == ':')
			return usage(argv[optind - 1], " needs a value");
		again = twice(option, &seen);
		if (again)
			return -fail(STATUS_USAGE, "--%s is given twice; see minivmm --help",
				     again);
		r = take(option, run_options);
		if (r)
			return r < 0 ? 0 : r;
	}
	if (optind < argc)
		return unknown_command(argv[optind]);
	if (!run_options->config == !run_options->restore)
		return usage(run_options->config ? "use -c or -r, not both"
						 : "nothing to run; use -c CONFIG or -r SNAPSHOT",
			     "");
	return cli_run(run_options);
}

/*
 * Opens missing standard descriptors. Otherwise another file, such as guest memory, could get their
 * number and receive output.
 */
static void
hold_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0) /* every use still fails, as with a closed descriptor */
			open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

int
main(int argc, char **argv)
{
	struct run_options run_options = { 0 };
	const struct cli_command *command;
	int r;

	hold_standard_descriptors();
	/*
	 * A closed pipe or a file size limit is an error of the write and must not kill the
	 * process.
	 */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* if ignored, waitpid could not return the status of children */
	command = argc > 1 ? cli_command(argv[1]) : NULL;
	if (command) {
		r = command->run(argc - 1, argv + 1);
		return r ? r : -show_end(stdout);
	}
	run_options.set = calloc((size_t)argc, sizeof(char *));
	run_options.parents = calloc((size_t)argc, sizeof(char *));
	if (run_options.set && run_options.parents)
		r = run(argc, argv, &run_options);
	else
		r = -fail_memory("the command line");
	free(run_options.set);
	free(run_options.parents);
	return r ? r : -show_end(stdout);
}
