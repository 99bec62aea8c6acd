/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: sub-commands and the options of a run. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/file.h"
#include "base/habits.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "config/config.h"
#include "snapshot/format.h"

#define THREAD_STACK ((size_t)1 << 20) /* bytes, at least */
#define MAIN_STACK (64u << 10)         /* bytes without which the main thread crashes */

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

/* What the user may want with a file that is given as a command. NULL: it is not a file. */
static const char *
file_remedy(const char *path)
{
	size_t length = strlen(path);
	char head[8] = "";
	int fd = file_open(path, FILE_READ);
	bool exists = fd >= 0;

	_Static_assert(sizeof(SNAPSHOT_MAGIC) - 1 == sizeof(head), "a magic number");
	_Static_assert(sizeof(STREAM_MAGIC) - 1 == sizeof(head), "a magic number");
	if (exists && read(fd, head, sizeof(head)) < 0)
		*head = '\0';
	if (exists)
		close(fd);
	if (!memcmp(head, STREAM_MAGIC, sizeof(head)))
		return "to restore a snapshot stream, use minivmm -r - <";
	if (!memcmp(head, SNAPSHOT_MAGIC, sizeof(head)) ||
	    (!exists && length > 5 && !strcmp(path + length - 5, ".snap")))
		return "to restore a snapshot, use minivmm -r ";
	if (length > 4 && !strcmp(path + length - 4, ".ini"))
		return "to run a config, use minivmm -c ";
	return exists ? "to run a config, use minivmm -c CONFIG; a kernel is named in its [boot] "
			"image, not "
		      : NULL;
}

/* A name as a word of a shell's command line. otherwise: for a name that is long, or that a message
 * shows differently. */
struct word {
	char text[512];
};

static struct word
as_word(const char *name, const char *otherwise)
{
	struct word word;
	size_t used = 1;

	if (!text_is_safe(name) || strlen(name) > sizeof(word.text) / 4 - 2)
		name = otherwise;
	if (text_is_word(name)) {
		strcpy(word.text, name);
		return word;
	}
	*word.text = '\'';
	for (; *name; name++)
		used += (size_t)sprintf(word.text + used, *name == '\'' ? "'\\''" : "%c", *name);
	strcpy(word.text + used, "'");
	return word;
}

static int
unknown_command(const char *word, const char *next)
{
	const char *ours = habit(HABIT_COMMAND, word), *runs = habit(HABIT_COMMAND, "run");
	/* The file of "run x.ini", or a file alone. "dump x.snap" does not mean to run it. */
	bool names_file = ours && !strcmp(ours, runs) && next;
	const char *path = names_file ? next : word;
	const char *file = names_file || !ours ? file_remedy(path) : NULL;
	const char *names[32] = { 0 };
	size_t count = 0;

	if (file)
		return -fail(STATUS_USAGE, "unknown command %s; %s%s", word, file,
			     as_word(path, "FILE").text);
	if (ours)
		return -fail(STATUS_USAGE, "unknown command %s; %s", word, ours);
	/* nbdkit takes KEY=VALUE as it is. */
	if (strchr(word, '=') && strchr(word, '.') && strchr(word, '.') < strchr(word, '='))
		return -fail(STATUS_USAGE, "unknown command %s; to set a key, use --set %s", word,
			     as_word(word, "KEY=VALUE").text);
	for (const struct cli_command *c = cli_commands; c->name && count < 31; c++)
		names[count++] = c->name;
	return -fail(STATUS_USAGE, "unknown command %s%s", word,
		     did_you_mean(nearest(word, names), "; see minivmm --help").text);
}

/* Handles one option. Returns 0, the exit status with which to end, or -1 to end with status 0. */
static int
take(int option, const char *value, struct run_options *run)
{
	switch (option) {
	case 'c':
		run->config = value;
		return 0;
	case 'r':
		if (run->restore)
			run->parents[run->parent_count++] = (char *)run->restore;
		run->restore = value;
		return 0;
	case CLI_SET:
		run->set[run->set_count++] = (char *)value;
		return 0;
	case CLI_TOOL:
		run->tools[run->tool_count++] = (char *)value;
		return 0;
	case 'S':
		run->paused = true;
		return 0;
	case CLI_UNTIL:
		run->until = value;
		return 0;
	case CLI_AT:
		run->at = value;
		return 0;
	case CLI_SAVE:
		run->save = value;
		return 0;
	case CLI_TIMEOUT:
		return -arguments_timeout("", value, &run->timeout);
	case CLI_TRUST:
		run->trust = true;
		return 0;
	case CLI_RESTORE_OR_START:
		run->restore_or_start = true;
		return 0;
	case CLI_REGISTERS:
		run->registers = true;
		return 0;
	case CLI_STATUS:
		run->status = value;
		return 0;
	case CLI_CHECK:
		run->check = true;
		return 0;
	case CLI_TRACE:
		run->trace = value;
		return 0;
	case CLI_SYMBOLS:
		run->symbols = value;
		return 0;
	case CLI_LOG:
		return set_log(value);
	case CLI_BRANCH:
		run->branch[1] = (char *)value;
		return 0;
	case CLI_VERSION:
		puts("minivmm " MINIVMM_VERSION);
		return -1;
	default:
		return usage("invalid arguments", "");
	}
}

/* Appends what follows --branch SOCKET to the words of the command, or removes the command. */
static int
take_branch(struct run_options *run, struct arguments *arguments, int operands)
{
	char **words = run->branch;

	if (!words[1]) {
		free(words);
		run->branch = NULL;
		return 0;
	}
	if (!run->restore)
		return usage("--branch needs -r SNAPSHOT; to branch a machine that runs, use "
			     "minivmm ctl SOCKET branch",
			     "");
	if (run->until || run->at || run->save || run->timeout || run->status || run->trace ||
	    run->symbols || run->registers || run->check || run->tool_count || run->paused)
		return usage("--branch makes machines that run by themselves: give it only -r, "
			     "--set, --trust and --log",
			     "");
	words[0] = "branch";
	memcpy(words + 2, arguments->operands + operands,
	       (size_t)(arguments->count - operands) * sizeof(*words));
	arguments->count = operands;
	return 0;
}

static int
run(int argc, char **argv, struct run_options *run_options)
{
	struct arguments arguments;
	int option, r, before = 0;

	arguments_begin(&arguments, NULL, argc, argv);
	while ((option = arguments_next(&arguments)) > 0) {
		r = take(option, arguments.value, run_options);
		if (r)
			return r < 0 ? 0 : r;
		if (option != CLI_BRANCH)
			continue;
		before = arguments.count;
		arguments_take_rest(&arguments);
	}
	if (option)
		return arguments.status;
	r = take_branch(run_options, &arguments, before);
	if (r)
		return r;
	if (arguments.count)
		return unknown_command(arguments.operands[0], arguments.operands[1]);
	if (!run_options->config == !run_options->restore)
		return usage(run_options->config ? "use -c or -r, not both"
						 : "nothing to run; use -c CONFIG or -r SNAPSHOT",
			     "");
	return cli_run(run_options);
}

/* minivmm help [COMMAND] is minivmm [COMMAND] --help. */
static int
help(int argc, char **argv)
{
	const struct cli_command *command = NULL;

	if (argc > 3)
		return unknown_command(argv[3], NULL);
	if (argc == 3) {
		command = cli_command(argv[2]);
		if (!command)
			return unknown_command(argv[2], NULL);
	}
	cli_help(command ? command->name : NULL);
	return 0;
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

/*
 * The stack of a thread is as large as "ulimit -s" says, which may be less than that of a vCPU
 * needs, with the handlers of crashes, or the callbacks and the libraries of a plugin. That of the
 * main thread grows up to this limit, now or when it is raised. 0 or a negative status.
 */
static int
enlarge_stacks(void)
{
	pthread_attr_t attributes;
	struct rlimit limit;
	size_t size;

	if (!pthread_getattr_default_np(&attributes)) {
		if (!pthread_attr_getstacksize(&attributes, &size) && size < THREAD_STACK &&
		    !pthread_attr_setstacksize(&attributes, THREAD_STACK))
			pthread_setattr_default_np(&attributes);
		pthread_attr_destroy(&attributes);
	}
	if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= THREAD_STACK)
		return 0;
	limit.rlim_cur = limit.rlim_max < THREAD_STACK ? limit.rlim_max : THREAD_STACK;
	if (!setrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur >= MAIN_STACK)
		return 0;
	return fail(STATUS_HOST, "the stack is too small: %s",
		    limit_error_of(LIMIT_STACK, ENOMEM).text);
}

/* A process inherits the signals that its parent has blocked: SIGTERM would have no effect. */
static void
unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int
main(int argc, char **argv)
{
	struct run_options run_options = { 0 };
	const struct cli_command *command;
	int r;

	unblock_signals();
	hold_standard_descriptors();
	crash_install(NULL); /* a file that is mapped can be truncated in every command */
	r = enlarge_stacks();
	if (r)
		return -r;
	/*
	 * A closed pipe or a file size limit is an error of the write and must not kill the
	 * process.
	 */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* if ignored, waitpid could not return the status of children */
	command = argc > 1 ? cli_command(argv[1]) : NULL;
	if (command) {
		show_begin();
		r = command->run(argc - 1, argv + 1);
		return r ? r : -show_end(stdout);
	}
	if (argc > 1 && !strcmp(argv[1], "help")) {
		r = help(argc, argv);
		return r ? r : -show_end(stdout);
	}
	run_options.set = calloc((size_t)argc, sizeof(char *));
	run_options.tools = calloc((size_t)argc, sizeof(char *));
	run_options.parents = calloc((size_t)argc, sizeof(char *));
	run_options.branch = calloc((size_t)argc + 2, sizeof(char *));
	if (run_options.set && run_options.tools && run_options.parents && run_options.branch)
		r = run(argc, argv, &run_options);
	else
		r = -fail_memory("the command line");
	free(run_options.set);
	free(run_options.tools);
	free(run_options.parents);
	free(run_options.branch);
	return r ? r : -show_end(stdout);
}
