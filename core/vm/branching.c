/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes branches: the side of the machine that is copied. */
#include "vm/branching.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "machine/dirty.h"
#include "snapshot/sections.h"
#include "vm/vm_commands.h"

/* While devices capture: a negative status if the machine has ended. */
static int
check_wait(void *context)
{
	return machine_ended(context) ? fail(STATUS_USAGE, "cannot branch: the machine has ended")
				      : 0;
}

#ifdef __SANITIZE_ADDRESS__
/* Whether a thread of this process sleeps. */
static bool
sleeps(const char *thread)
{
	char path[64], text[512] = "";
	const char *end;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", thread);
	fd = (int)syscall(SYS_open, path, O_RDONLY | O_CLOEXEC); /* tests make open(2) fail */
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	end = strrchr(text, ')');
	return n <= 0 || !end || end[1] != ' ' || end[2] == 'S';
}

/* Unlike that of glibc, AddressSanitizer's allocator is not prepared for a fork(2) while another
 * thread uses it, as each thread does at its begin and end. Waits until all others sleep. */
static void
await_threads(void)
{
	struct dirent *entry;
	bool all = false;

	while (!all) {
		DIR *threads = opendir("/proc/self/task");

		all = true;
		while (threads && (entry = readdir(threads)))
			if (*entry->d_name != '.' && atoi(entry->d_name) != getpid())
				all &= sleeps(entry->d_name);
		if (threads)
			closedir(threads);
		if (!all)
			usleep(1000);
	}
}
#else
static void
await_threads(void)
{
}
#endif

/* Saves the state and forks. The machine is paused. Returns the process, or a negative status. */
static pid_t
fork_paused(struct branching *all)
{
	struct vm *vm = all->vm;
	struct section_context context = section_context(&vm->machine, &vm->devices);
	int r = devices_capture_branch(&vm->devices, check_wait, &vm->machine, &all->files,
				       &all->file_count);
	pid_t process;

	if (!r)
		r = sections_save(&context, SAVED_IN_STOP, &all->meta);
	if (!r && snapshot_meta_failed(&all->meta))
		r = fail(STATUS_BUG, "cannot branch: a record is invalid");
	if (!r && dirty_on(&vm->machine)) /* a diff of the branch needs what was written so far */
		r = dirty_poll(&vm->machine, NULL);
	if (r)
		return r;
	await_threads();
	process = fork();
	if (!process) {
		all->reports = all->child_reports;
		all->go = all->child_go;
		branching_begin(all);
	}
	return process > 0 ? process
			   : fail(STATUS_HOST, "cannot branch: fork: %s",
				  limit_error_of(LIMIT_THREAD, errno).text);
}

static int
stop(struct branching *all)
{
	struct machine *m = &all->vm->machine;
	struct section_context context = section_context(m, &all->vm->devices);
	int r = sections_save(&context, SAVED_BEFORE_STOP, &all->meta), resumed;

	if (r)
		return r;
	record_reserve(&all->meta.body, sections_room(&context));
	collapse_end(&all->vm->branches.collapse);
	all->stop_began = clock_host();
	r = machine_pause(m, PAUSE_BRANCH);
	if (!r)
		r = fork_paused(all);
	all->stop_ended = clock_host();
	resumed = machine_resume(m, PAUSE_BRANCH);
	devices_capture_end(&all->vm->devices);
	if (r > 0)
		all->keeper = r;
	return r < 0 ? r : resumed;
}

void
branching_end(struct branching *all)
{
	struct loop *loop = &all->vm->machine.loop;

	loop_remove(loop, &all->source);
	if (all->reports >= 0)
		close(all->reports);
	if (all->go >= 0)
		close(all->go);
	snapshot_meta_free(&all->meta);
	all->vm->branches.under_way = NULL;
	for (uint32_t i = 0; i < all->count; i++) {
		for (size_t k = 0; k < all->list[i].set_count; k++)
			free(all->list[i].set[k]);
		free(all->list[i].set);
		free(all->list[i].socket);
	}
	free(all->list);
	free(all);
}

/* All processes that wait to run end. The command ends when they have: at the end of the reports.
 * why "": a report or that end tells it. */
static void
give_up(struct branching *all, const char *why)
{
	if (!*all->why)
		snprintf(all->why, sizeof(all->why), "%s", why);
	if (all->go >= 0)
		close(all->go);
	all->go = -1;
}

static void
fail_command(struct branching *all)
{
	struct command *command = all->command;
	char why[sizeof(all->why)];

	strcpy(why, all->why);
	branching_end(all);
	command_fail(command, "%s", why);
}

static void
succeed(struct branching *all)
{
	struct command *command = all->command;
	FILE *out = command->reply;
	uint64_t stopped = machine_downtime(&all->vm->machine, all->stop_began, all->stop_ended);
	char go[64] = { 0 };

	for (uint32_t left = all->count, part; left; left -= part) {
		part = left < sizeof(go) ? left : sizeof(go);
		if (write(all->go, go, part) != (ssize_t)part) {
			give_up(all, "a branch has ended before it ran");
			return;
		}
	}
	fputs(",\"branches\":[", out);
	for (uint32_t i = 0; i < all->count; i++) {
		fprintf(out, "%s{\"socket\":", i ? "," : "");
		json_text(out, all->list[i].socket, strlen(all->list[i].socket));
		fprintf(out, ",\"pid\":%d}", all->list[i].process);
	}
	fprintf(out, "],\"keeper\":%d,\"stopped_us\":", all->keeper);
	json_decimal(out, stopped ? stopped : all->stop_ended - all->stop_began, 1000);
	branching_end(all);
	command_done(command);
}

/* A new process is ready, has failed, or has ended. */
void
branching_reported(struct loop_source *source, uint32_t events)
{
	struct branching *all = source->context;
	struct branch_report report;
	ssize_t n = read(source->fd, &report, sizeof(report));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(report)) {
		give_up(all, BRANCH_DIED);
		fail_command(all);
		return;
	}
	if (report.status || report.index >= all->count) {
		report.text[sizeof(report.text) - 1] = '\0';
		if (!*all->why) /* the first report counts: the keeper reports deaths, too */
			all->vm->branches.failed = report.status;
		give_up(all, report.text);
		return;
	}
	all->list[report.index].process = report.process;
	if (++all->ready == all->count && all->go >= 0)
		succeed(all);
}

/* Two pipes: reports to the machine, and the order to run. 0 or a negative status. */
static int
open_pipes(struct branching *all)
{
	int reports[2] = { -1, -1 }, go[2] = { -1, -1 };

	if (pipe2(reports, O_CLOEXEC) || pipe2(go, O_CLOEXEC)) {
		int error = errno;

		close(reports[0]);
		close(reports[1]);
		return fail(STATUS_HOST, "cannot branch: pipe: %s", limit_error(error).text);
	}
	all->reports = reports[0];
	all->child_reports = reports[1];
	all->go = go[1];
	all->child_go = go[0];
	fcntl(all->reports, F_SETFL, O_NONBLOCK);
	return 0;
}

int
branching_fork(struct branching *all)
{
	int r = open_pipes(all);

	if (!r)
		r = stop(all);
	if (all->child_reports >= 0) {
		close(all->child_reports);
		close(all->child_go);
	}
	return r;
}

/* Notes a process that is a child of this one, to reap it. 0 or a negative status, reported. */
static int
note_child(struct branches *branches, pid_t process)
{
	pid_t *children = realloc(branches->children, (branches->count + 1) * sizeof(*children));

	if (!children)
		return fail_memory("a branch");
	branches->children = children;
	children[branches->count++] = process;
	return 0;
}

int
branching_start(struct branching *all)
{
	struct vm *vm = all->vm;
	int r = branching_fork(all), noted = 0;

	if (all->keeper)
		noted = note_child(&vm->branches, all->keeper);
	r = r ? r : noted;
	if (!r && loop_add(&vm->machine.loop, &all->source, all->reports, EPOLLIN))
		r = fail(STATUS_HOST, "cannot branch: epoll_ctl: %s", limit_error(errno).text);
	if (r) {
		branching_end(all);
		return r;
	}
	vm->branches.under_way = all;
	return 0;
}

void
vm_set_branch(struct vm *vm, int (*run)(void *context, const struct branch *branch), void *context)
{
	vm->branches.run = run;
	vm->branches.context = context;
}

void
branches_end(struct vm *vm)
{
	if (vm->branches.under_way) {
		give_up(vm->branches.under_way, "the machine ended before its branches ran");
		fail_command(vm->branches.under_way);
	}
	collapse_end(&vm->branches.collapse);
	free(vm->branches.children);
	vm->branches.children = NULL;
	vm->branches.count = 0;
}

/* The keeper of a command has died: it cannot report the death of the branches any more. */
static void
lost_keeper(struct branching *all, pid_t process)
{
	if (all && all->keeper == process)
		give_up(all, "");
}

void
branches_reap(struct vm *vm)
{
	struct branches *branches = &vm->branches;
	size_t before = branches->count;

	for (size_t i = 0; i < branches->count;)
		if (waitpid(branches->children[i], NULL, WNOHANG)) {
			lost_keeper(branches->under_way, branches->children[i]);
			branches->children[i] = branches->children[--branches->count];
		} else
			i++;
	if (branches->count < before && !branches->under_way)
		collapse_start(&branches->collapse, &vm->machine.memory);
}
