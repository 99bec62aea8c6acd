/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the user's machines and asks for their status. No machine makes it wait for another one:
 * connections are begun without waiting, and the replies have one deadline. */
#include "cli/machines.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/runtime.h"

#define ANSWER_MS 1000

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

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A reply that is not a status leaves the row without an answer. */
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
}

/* Waits for the reply, at most until the deadline. A machine with a name that hangs up has ended.
 */
static void
finish(struct machine_row *row, int64_t deadline, bool given)
{
	struct pollfd ready = { .fd = row->ctl.fd, .events = POLLIN };
	char *line = NULL;
	bool over = row->ctl.fd < 0;

	while (!over && !(line = ctl_line(&row->ctl))) {
		int64_t left = deadline - now_ms();

		over = poll(&ready, 1, left > 0 ? (int)left : 0) != 1;
		if (!over && ctl_read(&row->ctl)) {
			over = true;
			row->absent = !given;
		}
	}
	if (line)
		read_status(row, line);
	free(line);
	ctl_close(&row->ctl);
	if (!row->absent && row->process)
		read_memory(row);
}

/* Adds a row for a socket. NULL: no memory, reported. */
static struct machine_row *
add_row(struct machine_rows *rows, const char *path)
{
	struct machine_row *list = realloc(rows->list, (rows->count + 1) * sizeof(*list));
	char *copy = strdup(path);

	if (list)
		rows->list = list;
	if (!list || !copy) {
		free(copy);
		fail_memory("a list of machines");
		return NULL;
	}
	list[rows->count] = (struct machine_row){ .path = copy, .ctl = { .fd = -1 } };
	return &list[rows->count++];
}

/* Asks the machine that listens on a socket. given: by the user, who gets a message if there is
 * none. 0 or a negative status. */
static int
ask(struct machine_rows *rows, const char *path, bool given)
{
	struct machine_row *row = add_row(rows, path);
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r = row ? ctl_begin(&row->ctl, row->path, !given) : -STATUS_HOST;

	if (row && r < 0)
		row->absent = true;
	if (r) /* below 0 and not given: a socket that a killed machine has left */
		return r < 0 && given ? r : 0;
	if (!getsockopt(row->ctl.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		row->process = (uint64_t)peer.pid;
	row->absent = ctl_send(&row->ctl, "status\n", -1) && !given;
	return 0;
}

static int
ask_all(struct machine_rows *rows)
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
		if (!r && names[i]->d_type == DT_SOCK)
			r = ask(rows, path, false);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return r;
}

/* Removes the rows of machines that are not there. */
static void
remove_absent(struct machine_rows *rows)
{
	size_t left = 0;

	for (size_t i = 0; i < rows->count; i++) {
		struct machine_row *row = &rows->list[i];

		if (!row->absent) {
			rows->list[left++] = *row;
			continue;
		}
		free(row->path);
		free(row->state);
	}
	rows->count = left;
}

int
machines_collect(struct machine_rows *rows, char *const *paths)
{
	bool given = *paths;
	int r = given ? 0 : ask_all(rows), one;
	int64_t deadline = now_ms() + ANSWER_MS;

	for (; *paths; paths++) {
		one = ask(rows, *paths, true);
		r = r ? r : one;
	}
	for (size_t i = 0; i < rows->count; i++)
		finish(&rows->list[i], deadline, given);
	remove_absent(rows);
	return r;
}

void
machines_free(struct machine_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		free(rows->list[i].path);
		free(rows->list[i].state);
	}
	free(rows->list);
	*rows = (struct machine_rows){ 0 };
}

const char *
machines_name(const struct machine_row *row)
{
	const char *slash = strrchr(row->path, '/');

	return slash ? slash + 1 : row->path;
}

const char *
machines_state(const struct machine_row *row)
{
	return row->state ? row->state : "no answer";
}
