/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: sub-commands, and the options of a run. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "config/config.h"

static const char help[] =
    "minivmm: a small virtual machine monitor; every device is a plugin\n"
    "  minivmm -c CONFIG          build the machine of an INI file and run it\n"
    "  minivmm -r SNAPSHOT        restore a machine and run it; also - and fd:N\n"
    "    --set KEY=VALUE          override: vm.memory=1M, device.serial0.output=pty\n"
    "    --until POINT            end there (with --save: after writing the snapshot)\n"
    "    --save FILE --at POINT   write a snapshot there and go on\n"
    "    --trust                  with -r: open host files and sockets that it names\n"
    "    --status FILE            how the run ended; --registers: them, at the end\n"
    "    --check                  check the config and its plugins, run nothing\n"
    "    --trace FILE             every port and MMIO access, one JSON line each\n"
    "    --log LEVEL              error, warn, info, debug\n"
    "  minivmm ctl SOCKET COMMAND drive a running machine; help lists the commands\n"
    "  minivmm inspect SNAPSHOT   what it holds; --json for programs\n"
    "  minivmm batch -r SNAPSHOT  run it once for each of many inputs, fast\n"
    "  minivmm diff A B           how two snapshots differ\n"
    "  minivmm flatten A B -o C   one snapshot of one and what differs from it\n"
    "  minivmm verify SNAPSHOT    check every checksum, memory included\n"
    "  minivmm plugins [NAME]     the plugins found; one's options, ranges, state\n"
    "  minivmm new-plugin NAME    write NAME.c, a small plugin to begin with\n"
    "  minivmm doctor             can this host run it, and what to do\n"
    "POINT: rip:ADDR pio:PORT mmio:ADDR output:DEVICE:TEXT (:N behind it: Nth time)\n"
    "       access:N step:N hlt time:DURATION. At a terminal: Ctrl-A x ends, h helps.\n"
    "Exit: 0-99 the guest's, 100 triple fault, 101 KVM error, 110 usage, 111 host,\n"
    "      112 snapshot, 113 I/O. See minivmm(1), minivmm.ini(5), minivmm-plugin(3)\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "ctl", cli_ctl },         { "batch", cli_batch },     { "inspect", cli_inspect },
	{ "diff", cli_diff },       { "flatten", cli_flatten }, { "verify", cli_verify },
	{ "plugins", cli_plugins }, { "doctor", cli_doctor },   { "new-plugin", cli_new_plugin },
};

enum {
	OPT_SET = 256,
	OPT_UNTIL,
	OPT_AT,
	OPT_SAVE,
	OPT_TRUST,
	OPT_REGISTERS,
	OPT_STATUS,
	OPT_CHECK,
	OPT_TRACE,
	OPT_LOG,
	OPT_VERSION
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "restore", required_argument, NULL, 'r' },
	{ "set", required_argument, NULL, OPT_SET },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "at", required_argument, NULL, OPT_AT },
	{ "save", required_argument, NULL, OPT_SAVE },
	{ "trust", no_argument, NULL, OPT_TRUST },
	{ "registers", no_argument, NULL, OPT_REGISTERS },
	{ "status", required_argument, NULL, OPT_STATUS },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

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

/* A word that is none of ours. dashes: what is before it. names: ours, up to NULL. */
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
	const char *names[sizeof(options) / sizeof(*options)];

	if (strncmp(word, "--", 2))
		return usage("unknown option ", word);
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		names[i] = options[i].name;
	return unknown("option", "--", word + 2, names);
}

static int
unknown_command(const char *word)
{
	const char *names[sizeof(commands) / sizeof(*commands) + 1] = { 0 };

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		names[i] = commands[i].name;
	return unknown("command", "", word, names);
}

/*
 * An option with a value that was there before: the last would win, without a word. Not --set and
 * -r, which add up. seen: a bit for each row of options.
 */
static const char *
twice(int option, uint64_t *seen)
{
	for (size_t i = 0; options[i].name; i++) {
		uint64_t bit = 1ull << i;

		if (options[i].val != option || option == OPT_SET || option == 'r' ||
		    !options[i].has_arg)
			continue;
		if (*seen & bit)
			return options[i].name;
		*seen |= bit;
	}
	return NULL;
}

/* One option; 0, or the exit status with which to end, or -1 to end with 0. */
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
	case OPT_SET:
		run->set[run->set_count++] = optarg;
		return 0;
	case OPT_UNTIL:
		run->until = optarg;
		return 0;
	case OPT_AT:
		run->at = optarg;
		return 0;
	case OPT_SAVE:
		run->save = optarg;
		return 0;
	case OPT_TRUST:
		run->trust = true;
		return 0;
	case OPT_REGISTERS:
		run->registers = true;
		return 0;
	case OPT_STATUS:
		run->status = optarg;
		return 0;
	case OPT_CHECK:
		run->check = true;
		return 0;
	case OPT_TRACE:
		run->trace = optarg;
		return 0;
	case OPT_LOG:
		return set_log(optarg);
	case 'h':
		fputs(help, stdout);
		return -1;
	case OPT_VERSION:
		puts("minivmm " MINIVMM_VERSION);
		return -1;
	default:
		return usage("that is no way to call it", "");
	}
}

static int
run(int argc, char **argv, struct run_options *run_options)
{
	const char *again;
	uint64_t seen = 0;
	int option, r;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:r:h", options, NULL)) != -1) {
		if (option == '?')
			return unknown_option(argv[optind - 1]);
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
						 : "nothing to run: give -c CONFIG or -r SNAPSHOT",
			     "");
	return cli_run(run_options);
}

/* A descriptor that we were started without would become one of ours, say the guest's memory, and
 * be written to. */
static void
hold_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0) /* every use of it fails, as before */
			open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

int
main(int argc, char **argv)
{
	struct run_options run_options = { 0 };
	int r;

	hold_standard_descriptors();
	/* A reader that is gone, or a limit on file sizes, is an error of the write, not our
	 * death. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would keep from us how our children end */
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			r = commands[i].run(argc - 1, argv + 1);
			return r ? r : -show_end(stdout);
		}
	run_options.set = calloc((size_t)argc, sizeof(char *));
	run_options.parents = calloc((size_t)argc, sizeof(char *));
	if (run_options.set && run_options.parents)
		r = run(argc, argv, &run_options);
	else
		r = -fail(STATUS_HOST, "no memory");
	free(run_options.set);
	free(run_options.parents);
	return r ? r : -show_end(stdout);
}
