/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm flatten: merges a chain of snapshots into one file. */
#include "base/file.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

/* Checks that path may be replaced. */
static int
check_target(const struct snapshot *snapshot, const char *path)
{
	const struct file_id other = file_identify(path);

	/* Other snapshots may need a member of the chain as their parent. */
	for (const struct snapshot *s = snapshot; s; s = s->parent) {
		const struct file_id own = file_identify_fd(s->fd);

		if (other.exists && file_same(&own, &other))
			return fail(STATUS_USAGE,
				    "flatten: %s is part of the chain; name another file with -o",
				    path);
	}
	return 0;
}

int
cli_flatten(int argc, char **argv)
{
	const char *path = NULL;
	struct arguments arguments;
	struct snapshot snapshot;
	int option, failed;
	char **last;

	arguments_begin(&arguments, cli_command("flatten"), argc, argv);
	while ((option = arguments_next(&arguments)) > 0)
		path = arguments.value;
	if (option)
		return arguments.status;
	if (!path)
		return -fail(STATUS_USAGE,
			     "flatten: no -o FILE; use minivmm flatten SNAPSHOT... -o FILE");
	last = arguments.operands + arguments.count - 1;
	failed = snapshot_open_chain(&snapshot, *last, arguments.operands, (size_t)arguments.count);
	if (!failed)
		failed = check_target(&snapshot, path);
	if (!failed)
		failed = snapshot_copy(&snapshot, path);
	snapshot_close(&snapshot);
	return -failed;
}
