/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of a branch: what it closes, what it is made of, and when it may run. */
#include "vm/branch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/limit.h"
#include "base/log.h"
#include "vm/branching.h"

#define LOOK_MS 100 /* between looks for processes that have died */

char **
branch_set(const struct branch *branch, size_t *count)
{
	*count = branch->set_count;
	return branch->set;
}

const char *
branch_socket(const struct branch *branch)
{
	return branch->socket;
}

pid_t
branch_parent(const struct branch *branch)
{
	return branch->all->parent;
}

bool
branch_paused(const struct branch *branch)
{
	return branch->all->paused;
}

int
branches_begin(struct branches *branches, const struct branch *branch)
{
	const struct branching *all = branch->all;
	int r = 0;

	for (uint32_t i = 0; i < all->count && !r; i++)
		if (all->list[i].process)
			r = branches_keep(branches, all->list[i].process);
	return r;
}

int
branch_open(const struct branch *branch, struct snapshot *snapshot)
{
	return snapshot_open_saved(snapshot, &branch->all->meta, &branch_machine(branch)->memory,
				   branch->all->name);
}

const struct machine *
branch_machine(const struct branch *branch)
{
	return &branch->all->vm->machine;
}

const struct devices *
branch_devices(const struct branch *branch)
{
	return &branch->all->vm->devices;
}

const struct config *
branch_config(const struct branch *branch)
{
	return &branch->all->vm->config;
}

const struct capture *
branch_capture(const struct branch *branch)
{
	return &branch->all->vm->capture;
}

void
branch_started(const struct branch *branch)
{
	for (size_t i = 0; i < branch->all->file_count; i++)
		close(branch->all->files[i]);
}

/* Tells the machine that a branch is ready, or why it has failed. */
static bool
report(const struct branch *branch, int status)
{
	struct branch_report report = { .index = (uint32_t)(branch - branch->all->list),
					.status = status,
					.process = getpid() };

	if (status)
		snprintf(report.text, sizeof(report.text), "%s", fail_text());
	return write(branch->all->reports, &report, sizeof(report)) == sizeof(report);
}

/* Whether a process that this one has made for another branch has died. */
static bool
has_lost_one(const struct branching *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		siginfo_t died = { .si_pid = 0 };

		if (all->list[i].process && (waitid(P_PID, (id_t)all->list[i].process, &died,
						    WEXITED | WNOHANG | WNOWAIT) ||
					     died.si_pid))
			return true;
	}
	return false;
}

/*
 * Waits for the order to run; false: the branches are given up. A process that is killed reports
 * nothing, and the others keep the pipe of the reports open: its parent, which is the first branch,
 * reports it. The machine may have given the order meanwhile, so only the order counts.
 */
static bool
may_run(const struct branch *branch)
{
	struct pollfd go = { .fd = branch->all->go, .events = POLLIN };
	bool lost = false;
	char order;

	do
		if (!lost && has_lost_one(branch->all)) {
			lost = true;
			report(branch, fail_reported(STATUS_IO, BRANCH_DIED));
		}
	while (TEMP_FAILURE_RETRY(poll(&go, 1, lost ? -1 : LOOK_MS)) == 0);
	return TEMP_FAILURE_RETRY(read(go.fd, &order, sizeof(order))) == sizeof(order);
}

int
branch_ready(const struct branch *branch, int r)
{
	struct branching *all = branch->all;

	if (all->reports < 0)
		return r;
	if (!report(branch, r) || (!r && !may_run(branch)))
		r = r ? r : fail_reported(STATUS_IO, "the branch was given up");
	if (!r) /* the end of the reports tells the machine that this process has ended */
		close(all->reports);
	all->reports = -1;
	close(all->go);
	return r;
}

/* In a new process: becomes the machine of a branch. */
static __attribute__((noreturn)) void
become(struct branching *all, uint32_t index)
{
	struct branches *branches = &all->vm->branches;

	_exit(branches->run(branches->context, &all->list[index]));
}

/* Closes what the process has inherited and does not need. */
static void
close_others(const struct branching *all)
{
	const struct memory *memory = &all->vm->machine.memory;
	int *kept = calloc(2 + memory->count + all->file_count, sizeof(*kept));
	size_t count = 0;

	if (!kept)
		_exit(STATUS_HOST);
	kept[count++] = all->reports;
	kept[count++] = all->go;
	for (uint32_t i = 0; i < memory->count; i++)
		if (memory_region_at(memory, i)->fd >= 0)
			kept[count++] = memory_region_at(memory, i)->fd;
	for (size_t i = 0; i < all->file_count; i++)
		kept[count++] = all->files[i];
	descriptors_close_others(kept, count);
	free(kept);
}

void
branching_begin(struct branching *all)
{
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (none >= 0)
		dup2(none, STDIN_FILENO);
	if (none >= 0 && all->vm->source.held) /* its reader waits for the end of that process */
		dup2(none, STDOUT_FILENO);
	close_others(all);
	for (uint32_t i = 1; i < all->count; i++) {
		pid_t process = fork();

		if (!process) {
			for (uint32_t k = 0; k < i; k++)
				all->list[k].process = 0;
			become(all, i);
		}
		all->list[i].process = process;
		if (process < 0) {
			fail(STATUS_HOST, "cannot branch: fork: %s",
			     limit_error_of(LIMIT_THREAD, errno).text);
			_exit(-branch_ready(&all->list[i], -STATUS_HOST));
		}
	}
	become(all, 0);
}
