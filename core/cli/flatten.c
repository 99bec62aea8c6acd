/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm flatten: merges a chain of snapshots into one file. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

/* Checks that path may be replaced. */
static int
check_target(const struct snapshot *snapshot, const char *path)
{
	const struct file_id other = file_identify(path);
	uint8_t id[16];

	/* Other snapshots may need a member of the chain as their parent. */
	for (const struct snapshot *s = snapshot; s; s = s->parent) {
		const struct file_id own = file_identify_fd(s->fd);

		if (other.exists && file_same(&own, &other))
			return fail(STATUS_USAGE,
				    "flatten: %s is part of the chain; name another file with -o",
				    path);
	}
	/* It may be the disk of the snapshot. */
	if (other.regular && other.size && !snapshot_peek_id(path, id))
		return fail(STATUS_USAGE,
			    "flatten: %s exists and is not a snapshot; name another file with -o",
			    path);
	return 0;
}

int
cli_flatten(int argc, char **argv)
{
	const char *path = NULL;
	struct snapshot snapshot;
	int count = 0, failed;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			cli_help("flatten");
			return -show_end(stdout);
		}
		if (!strcmp(argv[i], "-o") && i + 1 < argc && !path)
			path = argv[++i];
		else if (argv[i][0] == '-')
			return -fail(STATUS_USAGE, "flatten: %s; see minivmm flatten --help",
				     strcmp(argv[i], "-o") ? "unknown option"
							   : "-o needs one file, once");
		else
			argv[1 + count++] = argv[i];
	}
	if (!count || !path)
		return -fail(STATUS_USAGE, "flatten: use minivmm flatten SNAPSHOT... -o FILE");
	failed = snapshot_open_chain(&snapshot, argv[count], argv + 1, (size_t)count);
	if (!failed)
		failed = check_target(&snapshot, path);
	if (!failed)
		failed = snapshot_copy(&snapshot, path);
	snapshot_close(&snapshot);
	return -failed;
}
