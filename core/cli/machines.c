/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm list and tree: the user's machines, and which of them are branches of which. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/runtime.h"
#include "base/socket.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/ctl.h"
#include "cli/show.h"

#define ANSWER_MS 1000

/* A machine that has a socket. */
struct machine_row {
	char *name; /* of its socket; malloced */
	char *state;
	uint64_t process, parent; /* parent 0: it is no branch */
	uint64_t uptime;          /* ns of the VM's clock */
	uint64_t shared, private; /* bytes of memory, the guest's included */
	bool answers;
};

struct machine_rows {
	struct machine_row *list;
	size_t count;
};

/* Adds the numbers in KB of the lines of smaps_rollup that begin so. */
static uint64_t
rollup(const char *text, const char *begin)
{
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, begin)); at++)
		sum += strtoull(strchr(at, ':') + 1, NULL, 10) * 1024;
	return sum;
}

static void
read_memory(struct machine_row *row)
{
	char path[64], text[4096]; /* the file has 25 short lines */
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/smaps_rollup", (unsigned long long)row->process);
	fd = file_open(path, FILE_READ);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return;
	text[n] = '\0';
	row->private = rollup(text, "Private_Clean:") + rollup(text, "Private_Dirty:");
	row->shared = rollup(text, "Shared_Clean:") + rollup(text, "Shared_Dirty:");
}

/* Asks for the status. 0, or a negative status: it does not answer. */
static int
ask(struct ctl *ctl, char **line)
{
	struct pollfd ready = { .fd = ctl->fd, .events = POLLIN };
	int r = ctl_send(ctl, "status\n", -1);

	while (!r && !(*line = ctl_line(ctl)))
		r = poll(&ready, 1, ANSWER_MS) == 1 ? ctl_read(ctl) : -STATUS_IO;
	return r;
}

static void
read_status(struct machine_row *row, const char *line)
{
	struct json reply, state;
	size_t length;
	struct why why;

	if (json_open(line, strlen(line), &reply, &why))
		return;
	if (json_find(&reply, "state", &state))
		row->state = json_string(&state, &length);
	json_find_u64(&reply, "pid", &row->process);
	json_find_u64(&reply, "parent", &row->parent);
	json_find_u64(&reply, "uptime_ns", &row->uptime);
	row->answers = true;
	read_memory(row);
}

/* Adds the machine that listens on a socket. 0 or a negative status. */
static int
add(struct machine_rows *rows, const char *path)
{
	struct machine_row *list = realloc(rows->list, (rows->count + 1) * sizeof(*list)), *row;
	struct ctl ctl = { .path = path, .user = (uid_t)-1, .fd = -1 };
	const char *slash = strrchr(path, '/');
	char *line = NULL;
	int r;

	if (!list)
		return fail_memory("a list of machines");
	rows->list = list;
	row = &list[rows->count];
	*row = (struct machine_row){ .name = strdup(slash ? slash + 1 : path) };
	r = ctl_connect(&ctl, &ctl);
	if (!r && !ask(&ctl, &line))
		read_status(row, line);
	free(line);
	ctl_close(&ctl);
	if (r)
		free(row->name);
	rows->count += !r;
	return r;
}

/* Whether a machine listens there: a socket that nobody listens on is no mistake of the user. */
static bool
listens(const char *path)
{
	int fd = socket_connect_unix(path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int
add_all(struct machine_rows *rows)
{
	char folder[4096], path[8192];
	struct dirent **names;
	struct why why;
	int count, r = 0;

	if (runtime_folder(folder, sizeof(folder), &why))
		return fail(STATUS_USAGE, "list: %s", why.text);
	count = scandir(folder, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (!r && names[i]->d_type == DT_SOCK && listens(path))
			r = add(rows, path);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return r;
}

static void
clear(struct machine_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		free(rows->list[i].name);
		free(rows->list[i].state);
	}
	free(rows->list);
	*rows = (struct machine_rows){ 0 };
}

/* paths: those of sockets; none: of all machines with a name. 0 or a negative status. */
static int
collect(struct machine_rows *rows, char *const *paths)
{
	int r = *paths ? 0 : add_all(rows), one;

	for (; *paths; paths++) {
		one = add(rows, *paths);
		r = r ? r : one;
	}
	return r;
}

static const char *
state_of(const struct machine_row *row)
{
	return row->answers && row->state ? row->state : "no answer";
}

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
	fprintf(out, "  %8llu  %8llu  %-9s", (unsigned long long)row->process,
		(unsigned long long)row->parent, state_of(row));
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
		show_string(out, rows->list[i].name, 20);
		put_row(out, &rows->list[i]);
	}
}

static void
put_json(FILE *out, const struct machine_rows *rows)
{
	putc('[', out);
	for (size_t i = 0; i < rows->count; i++) {
		const struct machine_row *row = &rows->list[i];

		fputs(i ? ",{\"name\":" : "{\"name\":", out);
		json_text(out, row->name, strlen(row->name));
		fprintf(out, ",\"pid\":%llu,\"parent\":%llu,\"state\":",
			(unsigned long long)row->process, (unsigned long long)row->parent);
		json_text(out, state_of(row), strlen(state_of(row)));
		fprintf(out, ",\"shared_bytes\":%llu,\"private_bytes\":%llu,\"uptime_ns\":%llu}",
			(unsigned long long)row->shared, (unsigned long long)row->private,
			(unsigned long long)row->uptime);
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
	over = watch && !json && isatty(STDOUT_FILENO);
	if (watch)
		interrupt.fd = take_interrupts();
	do {
		r = collect(&rows, arguments.operands);
		if (over)
			fputs("\033[H\033[J", stdout);
		(json ? put_json : put_table)(stdout, &rows);
		clear(&rows);
		r = r ? r : show_end(stdout);
	} while (watch && !r && !poll(&interrupt, 1, 1000));
	return -r;
}

/* Prints the branches of a process below it. before: what stands in front of their lines. */
static void
put_branches(FILE *out, const struct machine_rows *rows, uint64_t parent, const char *before)
{
	size_t left = 0;
	char deeper[256];

	for (size_t i = 0; i < rows->count; i++)
		left += rows->list[i].parent == parent;
	for (size_t i = 0; i < rows->count; i++) {
		const struct machine_row *row = &rows->list[i];

		if (row->parent != parent)
			continue;
		left--;
		fprintf(out, "%s%s ", before, left ? "|-" : "`-");
		show_string(out, row->name, 0);
		fprintf(out, " (%llu, %s)\n", (unsigned long long)row->process, state_of(row));
		if (snprintf(deeper, sizeof(deeper), "%s%s  ", before, left ? "|" : " ") <
		    (int)sizeof(deeper))
			put_branches(out, rows, row->process, deeper);
	}
}

static bool
is_listed(const struct machine_rows *rows, uint64_t process)
{
	for (size_t i = 0; i < rows->count; i++)
		if (rows->list[i].process == process)
			return true;
	return false;
}

int
cli_tree(int argc, char **argv)
{
	struct arguments arguments;
	struct machine_rows rows = { 0 };
	int r;

	arguments_begin(&arguments, cli_command("tree"), argc, argv);
	if (arguments_only_operands(&arguments))
		return arguments.status;
	r = collect(&rows, arguments.operands);
	for (size_t i = 0; i < rows.count; i++) {
		const struct machine_row *row = &rows.list[i];

		if (row->parent && is_listed(&rows, row->parent))
			continue;
		show_string(stdout, row->name, 0);
		fprintf(stdout, " (%llu, %s)%s\n", (unsigned long long)row->process, state_of(row),
			row->parent ? ", branch of a machine that is not listed" : "");
		put_branches(stdout, &rows, row->process, "");
	}
	clear(&rows);
	r = r ? r : show_end(stdout);
	return -r;
}
