/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes of a branch command: what they close, what they are made of, when they may run. */
#include "vm/branch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/limit.h"
#include "base/log.h"
#include "vm/branching.h"

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

const struct kept_memory *
branch_beginning(const struct branch *branch)
{
	return &branch->all->kept;
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
report(const struct branch *branch, pid_t process, int status)
{
	struct branch_report report = { .index = (uint32_t)(branch - branch->all->list),
					.status = status,
					.process = process };

	if (status)
		snprintf(report.text, sizeof(report.text), "%s", fail_text());
	return write(branch->all->reports, &report, sizeof(report)) == sizeof(report);
}

/* Waits for the order to run; false: the branches are given up. */
static bool
may_run(const struct branch *branch)
{
	char order;

	return TEMP_FAILURE_RETRY(read(branch->all->go, &order, sizeof(order))) == sizeof(order);
}

int
branch_ready(const struct branch *branch, int r)
{
	struct branching *all = branch->all;

	if (all->reports < 0)
		return r;
	if (!report(branch, getpid(), r) || (!r && !may_run(branch)))
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

/*
 * In the keeper, whose children the branches are: waits until all have ended. One that is killed
 * before it runs reports nothing, so the keeper reports each death; once the branches run, nobody
 * listens any more. Returns the first exit status that is not 0.
 */
static int
keep(struct branching *all)
{
	int result = 0, status;
	pid_t process;

	signal(SIGPIPE, SIG_IGN);
	descriptors_close_others(&all->reports, 1);
	while ((process = TEMP_FAILURE_RETRY(waitpid(-1, &status, 0))) > 0) {
		report(&all->list[0], process, fail_reported(STATUS_IO, BRANCH_DIED));
		if (!result && status)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_BUG;
	}
	return result;
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
	kept_open(&all->kept);
	for (uint32_t i = 0; i < all->count; i++) {
		pid_t process = fork();

		if (!process)
			become(all, i);
		if (process > 0)
			continue;
		report(&all->list[i], 0,
		       fail(STATUS_HOST, "cannot branch: fork: %s",
			    limit_error_of(LIMIT_THREAD, errno).text));
		break;
	}
	prctl(PR_SET_NAME, "minivmm keeper");
	_exit(keep(all));
}
