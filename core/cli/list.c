/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm list and tree: the user's machines, and which of them are branches of which. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/machines.h"
#include "cli/show.h"

/* Prints a number of bytes, in 8 columns. */
static void
put_bytes(FILE *out, uint64_t bytes)
{
	static const char units[] = "KMGT";
	double size = (double)bytes / 1024;
	size_t unit = 0;

	while (size >= 1000 && units[unit + 1]) {
		size /= 1024;
		unit++;
	}
	fprintf(out, size < 10 ? "  %6.1f%c" : "  %6.0f%c", size, units[unit]);
}

static void
put_row(FILE *out, const struct machine_row *row)
{
	fprintf(out, "  %8llu  %8llu  ", (unsigned long long)row->process,
		(unsigned long long)row->parent);
	show_string(out, machines_state(row), 9);
	put_bytes(out, row->shared);
	put_bytes(out, row->private);
	fprintf(out, "  %8.1fs\n", (double)row->uptime / 1e9);
}

static void
put_table(FILE *out, const struct machine_rows *rows)
{
	fprintf(out, "%-20s  %8s  %8s  %-9s  %7s  %7s  %9s\n", "NAME", "PID", "PARENT", "STATE",
		"SHARED", "PRIVATE", "UPTIME");
	for (size_t i = 0; i < rows->count; i++) {
		show_string(out, machines_name(&rows->list[i]), 20);
		put_row(out, &rows->list[i]);
	}
}

static void
put_text(FILE *out, const char *text)
{
	json_text(out, text, strlen(text));
}

static void
put_json(FILE *out, const struct machine_rows *rows)
{
	putc('[', out);
	for (size_t i = 0; i < rows->count; i++) {
		const struct machine_row *row = &rows->list[i];

		fputs(i ? ",{\"name\":" : "{\"name\":", out);
		put_text(out, machines_name(row));
		fprintf(out, ",\"pid\":%llu,\"parent\":%llu,\"state\":",
			(unsigned long long)row->process, (unsigned long long)row->parent);
		put_text(out, machines_state(row));
		fprintf(out, ",\"shared_bytes\":%llu,\"private_bytes\":%llu,\"uptime_ns\":",
			(unsigned long long)row->shared, (unsigned long long)row->private);
		json_hex(out, row->uptime);
		putc('}', out);
	}
	fputs("]\n", out);
}

/* Ctrl-C ends a --watch. Returns a descriptor, or -1. */
static int
take_interrupts(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int
cli_list(int argc, char **argv)
{
	struct arguments arguments;
	struct machine_rows rows = { 0 };
	struct pollfd interrupt = { .fd = -1, .events = POLLIN };
	bool json = false, watch = false, over;
	int option, r;

	arguments_begin(&arguments, cli_command("list"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		*(option == CLI_JSON ? &json : &watch) = true;
	if (option)
		return arguments.status;
	over = watch && !json && show_can_move();
	if (watch)
		interrupt.fd = take_interrupts();
	do {
		r = machines_collect(&rows, arguments.operands);
		if (over)
			fputs("\033[H\033[J", stdout);
		if (!r || rows.count) /* some are missing, or none is known */
			(json ? put_json : put_table)(stdout, &rows);
		machines_free(&rows);
		r = r ? r : show_end(stdout);
	} while (watch && !r && !poll(&interrupt, 1, 1000));
	return -r;
}

/* Prints the line of a machine behind what stands in front of it. */
static void
put_node(FILE *out, struct machine_row *row, const char *behind)
{
	row->shown = true;
	show_string(out, machines_name(row), 0);
	fprintf(out, " (%llu, ", (unsigned long long)row->process);
	show_string(out, machines_state(row), 0);
	fprintf(out, ")%s\n", behind);
}

static bool
is_branch(const struct machine_row *row, const struct machine_row *parent)
{
	return !row->shown && parent->process && row->parent == parent->process;
}

/* Prints the branches of a machine below it. before: what stands in front of their lines, with room
 * for three characters more per machine. Each machine is printed once, whatever the replies say. */
static void
put_branches(FILE *out, struct machine_rows *rows, const struct machine_row *parent, char *before)
{
	size_t length = strlen(before), left = 0;

	for (size_t i = 0; i < rows->count; i++)
		left += is_branch(&rows->list[i], parent);
	for (size_t i = 0; i < rows->count; i++) {
		struct machine_row *row = &rows->list[i];

		if (!is_branch(row, parent))
			continue;
		left--;
		fprintf(out, "%s%s ", before, left ? "|-" : "`-");
		put_node(out, row, "");
		strcpy(before + length, left ? "|  " : "   ");
		put_branches(out, rows, row, before);
		before[length] = '\0';
	}
}

static bool
is_listed(const struct machine_rows *rows, uint64_t process)
{
	for (size_t i = 0; i < rows->count; i++)
		if (process && rows->list[i].process == process)
			return true;
	return false;
}

/* In the second round, what is a branch of itself: replies may say anything. */
static void
put_tree(FILE *out, struct machine_rows *rows, char *before)
{
	for (unsigned round = 0; round < 2; round++)
		for (size_t i = 0; i < rows->count; i++) {
			struct machine_row *row = &rows->list[i];

			if (row->shown || (!round && is_listed(rows, row->parent)))
				continue;
			put_node(out, row,
				 row->parent && !round ? ", branch of a machine that is not listed"
						       : "");
			put_branches(out, rows, row, before);
		}
}

int
cli_tree(int argc, char **argv)
{
	struct arguments arguments;
	struct machine_rows rows = { 0 };
	char *before;
	int r;

	arguments_begin(&arguments, cli_command("tree"), argc, argv);
	if (arguments_only_operands(&arguments))
		return arguments.status;
	r = machines_collect(&rows, arguments.operands);
	before = calloc(rows.count + 1, 3);
	if (before)
		put_tree(stdout, &rows, before);
	else
		r = fail_memory("a tree of machines");
	free(before);
	machines_free(&rows);
	r = r ? r : show_end(stdout);
	return -r;
}
