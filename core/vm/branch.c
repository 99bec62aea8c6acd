/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of a branch: what it closes, what it is made of, and when it may run. */
#include "vm/branch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
	return snapshot_open_saved(snapshot, &branch->all->meta, branch_memory(branch),
				   branch->all->name);
}

const struct memory *
branch_memory(const struct branch *branch)
{
	return &branch->all->vm->machine.memory;
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

int
branch_ready(const struct branch *branch, int r)
{
	struct branching *all = branch->all;
	struct branch_report report = { .index = (uint32_t)(branch - all->list),
					.status = r,
					.process = getpid() };
	ssize_t n;
	char go;

	if (all->reports < 0)
		return r;
	if (r)
		snprintf(report.text, sizeof(report.text), "%s", fail_text());
	n = write(all->reports, &report, sizeof(report));
	while (!r && n == sizeof(report)) {
		n = read(all->go, &go, sizeof(go));
		if (n < 0 && errno == EINTR)
			n = sizeof(report);
		else
			break;
	}
	if (r || n != 1) /* the end of the reports tells the machine that this process has ended */
		r = r ? r : fail_reported(STATUS_IO, "the branch was given up");
	else
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
