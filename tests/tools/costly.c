/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes snapshots with costly metadata (unit/costly.h), and measures what commands cost.
 *
 *   costly kinds                       prints the name of each kind that has no limit of items
 *   costly make KIND BYTES FROM FILE   makes FILE from FROM, with about BYTES of metadata
 *   costly run ROUNDS -- STATUS COMMAND [ARGUMENT...] [-- STATUS COMMAND...]...
 *
 * run executes the commands in turn, in each round in the other order. It prints a line per round:
 * for each command its CPU time in microseconds and the peak of its memory in KiB, separated by
 * tabs. Output of the commands is discarded. A command that ends with another status than STATUS
 * ends the measurement with an error.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "../unit/costly.h"

#define COMMANDS 8

static int
make_file(char **argv)
{
	const struct costly_kind *kind = costly_find(argv[0]);
	size_t wanted = strtoul(argv[1], NULL, 0),
	       size = costly_write(argv[3], argv[2], kind, 1000);
	size_t more = costly_write(argv[3], argv[2], kind, 2000);

	/* Names become longer: aim twice. */
	for (int i = 0; i < 2 && more > size; i++) {
		unsigned long items = 1000 * (wanted - size) / (more - size) + 1000;

		size_t got = costly_write(argv[3], argv[2], kind, items);

		more = size + (size_t)((double)(got - size) * 1000 / (double)(items - 1000));
	}
	printf("%zu\n",
	       costly_write(argv[3], argv[2], kind, 1000 * (wanted - size) / (more - size) + 1000));
	return 0;
}

static struct rusage
run_command(char **argv)
{
	int status, expected = atoi(argv[0]);
	struct rusage used;
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &used) != pid)
		err(1, "wait4");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
		errx(1, "%s %s ended with wait status 0x%x, expected exit status %d", argv[1],
		     argv[2] ? argv[2] : "", status, expected);
	return used;
}

static long
microseconds(const struct rusage *used)
{
	return (used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000l + used->ru_utime.tv_usec +
	       used->ru_stime.tv_usec;
}

static int
run(int rounds, char **argv)
{
	char **commands[COMMANDS];
	struct rusage used[COMMANDS];
	int count = 0;

	for (; *argv; argv++)
		if (!strcmp(*argv, "--") && argv[1] && argv[2]) {
			if (count == COMMANDS)
				errx(2, "more than %d commands", COMMANDS);
			*argv = NULL;
			commands[count++] = argv + 1;
		}
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			int next = round % 2 ? count - 1 - i : i;

			used[next] = run_command(commands[next]);
		}
		for (int i = 0; i < count; i++)
			printf("%s%ld\t%ld", i ? "\t" : "", microseconds(&used[i]),
			       used[i].ru_maxrss);
		putchar('\n');
	}
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "kinds")) {
		for (size_t i = 0; i < COSTLY_KINDS; i++)
			if (!costly_kinds[i].max)
				puts(costly_kinds[i].name);
		return 0;
	}
	if (argc == 6 && !strcmp(argv[1], "make"))
		return make_file(argv + 2);
	if (argc > 5 && !strcmp(argv[1], "run"))
		return run(atoi(argv[2]), argv + 3);
	errx(2,
	     "usage: costly kinds | make KIND BYTES FROM FILE | run ROUNDS -- STATUS COMMAND...");
}
