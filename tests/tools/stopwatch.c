/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compares the times of whole processes, from before their start until after their end. Each round
 * runs every command once, so that load on the machine affects all of them.
 *
 *   stopwatch ROUNDS -- STATUS OUTPUT COMMAND [ARGUMENT...] [-- STATUS OUTPUT COMMAND...]...
 *
 * Prints a line per round: the microseconds of each command, separated by tabs. A command that does
 * not end with STATUS, or whose stdout is not OUTPUT and a newline (OUTPUT "": nothing), ends the
 * measurement with an error.
 */
#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS 8

struct command {
	int status;
	const char *output;
	char **argv; /* ended by NULL */
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Splits argv at each "--", in place. */
static int
parse(char **argv, struct command *commands)
{
	int count = 0;

	while (*argv) {
		struct command *c = &commands[count++];

		if (count > COMMANDS || strcmp(argv[0], "--") || !argv[1] || !argv[2] || !argv[3])
			errx(2, "usage: stopwatch ROUNDS -- STATUS OUTPUT COMMAND...");
		argv[0] = NULL;
		*c = (struct command){ atoi(argv[1]), argv[2], argv + 3 };
		argv += 3;
		while (*argv && strcmp(*argv, "--"))
			argv++;
	}
	return count;
}

/* The output is short: it stays in the pipe until the process has ended. */
static void
check(const struct command *c, int status, int output)
{
	char got[256], expected[256] = "";
	ssize_t n = read(output, got, sizeof(got));

	if (*c->output)
		snprintf(expected, sizeof(expected), "%s\n", c->output);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != c->status)
		errx(1, "%s ended with wait status 0x%x, expected exit status %d", c->argv[0],
		     status, c->status);
	if (n != (ssize_t)strlen(expected) || memcmp(got, expected, (size_t)n))
		errx(1, "%s: its output is not \"%s\"", c->argv[0], c->output);
}

static double
measure(const struct command *c)
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	int output[2], status;
	double start, end;
	pid_t pid;

	if (pipe2(output, O_CLOEXEC))
		err(1, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	start = now();
	if (posix_spawnp(&pid, c->argv[0], &actions, NULL, c->argv, environ))
		errx(1, "cannot start %s", c->argv[0]);
	waitpid(pid, &status, 0);
	end = now();
	posix_spawn_file_actions_destroy(&actions);
	close(output[1]);
	check(c, status, output[0]);
	close(output[0]);
	return end - start;
}

int
main(int argc, char **argv)
{
	struct command commands[COMMANDS];
	double taken[COMMANDS];
	int rounds, count;

	if (argc < 3)
		errx(2, "usage: stopwatch ROUNDS -- STATUS OUTPUT COMMAND...");
	rounds = atoi(argv[1]);
	count = parse(argv + 2, commands);
	for (int i = 0; i < count; i++)
		measure(&commands[i]); /* brings the files into the page cache */
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			int next = round % 2 ? count - 1 - i : i;

			taken[next] = measure(&commands[next]);
		}
		for (int i = 0; i < count; i++)
			printf("%s%.1f", i ? "\t" : "", taken[i]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
