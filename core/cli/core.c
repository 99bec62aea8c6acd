/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm core: writes a snapshot as an ELF core file for gdb, crash and drgn. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "snapshot/vmcore.h"
#include "vm/vm.h"

/* The descriptor that "-" or "fd:N" names, or -1. */
static int
descriptor(const char *text, int standard)
{
	int fd;

	if (!strcmp(text, "-"))
		return standard;
	return vm_descriptor(text, &fd) ? -1 : fd;
}

/* Opens the last path, or what comes through a descriptor, and its parents. */
static int
open_snapshot(struct snapshot *snapshot, char **paths, size_t count)
{
	const char *path = paths[count - 1];
	int fd = descriptor(path, STDIN_FILENO), failed;

	if (fd < 0)
		return snapshot_open_chain(snapshot, path, paths, count);
	failed = snapshot_receive(snapshot, fd, path);
	return failed ? failed : snapshot_open_parents(snapshot, paths, count - 1);
}

static int
check_stream(const char *path, int fd)
{
	if (!file_descriptor_given(fd))
		return fail(STATUS_IO,
			    "cannot write core %s: descriptor %d is not open; pass it with %d>FILE "
			    "in a shell",
			    path, fd, fd);
	if (isatty(fd)) /* the bytes of a guest would control it */
		return fail(STATUS_USAGE,
			    "cannot write core %s: it is a terminal; redirect it to a file or pipe",
			    path);
	return 0;
}

/* A core that replaced a file of the chain would destroy it. */
static int
check_target(const struct snapshot *snapshot, const char *path)
{
	const struct file_id other = file_identify(path);

	for (const struct snapshot *s = snapshot; s; s = s->parent) {
		const struct file_id own = file_identify_fd(s->fd);

		if (other.exists && file_same(&own, &other))
			return fail(STATUS_USAGE,
				    "core: %s is the snapshot; name another file with -o", path);
	}
	return 0;
}

static bool
draw(void *context, uint64_t done, uint64_t total)
{
	progress_draw(context, done, total);
	return false;
}

static void
report(const char *path, const struct vmcore_result *result)
{
	if (*result->release)
		log_line(MINIVMM_INFO, NULL,
			 "core written to %s: Linux %s; open it with crash VMLINUX %s or drgn -c "
			 "%s -s VMLINUX",
			 path, result->release, path, path);
	else
		log_line(MINIVMM_INFO, NULL, "core written to %s; open it with gdb PROGRAM %s",
			 path, path);
}

int
cli_core(int argc, char **argv)
{
	struct progress progress = { .what = "core" };
	struct vmcore_request request = { .fd = -1, .poll = draw, .context = &progress };
	struct vmcore_result result;
	struct arguments arguments;
	struct snapshot snapshot;
	int option, failed;

	arguments_begin(&arguments, cli_command("core"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		request.path = arguments.value;
	if (option)
		return arguments.status;
	if (!request.path)
		return -fail(STATUS_USAGE,
			     "core: no -o FILE; use minivmm core SNAPSHOT... -o FILE");
	request.fd = descriptor(request.path, STDOUT_FILENO);
	failed = request.fd < 0 ? 0 : check_stream(request.path, request.fd);
	if (failed)
		return -failed;
	failed = open_snapshot(&snapshot, arguments.operands, (size_t)arguments.count);
	if (!failed && request.fd < 0)
		failed = check_target(&snapshot, request.path);
	if (!failed)
		failed = vmcore_write(&snapshot, &request, &result);
	progress_wipe(&progress);
	snapshot_close(&snapshot);
	if (!failed)
		report(request.path, &result);
	return -failed;
}
