/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm verify: checks every checksum of a snapshot, including memory. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "snapshot/reader.h"

int
cli_verify(int argc, char **argv)
{
	struct arguments arguments;
	struct snapshot snapshot;
	const char *path;
	int failed;

	arguments_begin(&arguments, cli_command("verify"), argc, argv);
	if (arguments_only_operands(&arguments))
		return arguments.status;
	path = arguments.operands[0];
	failed = snapshot_open(&snapshot, path);
	if (!failed)
		failed = snapshot_verify(&snapshot);
	snapshot_close(&snapshot);
	if (failed)
		return -failed;
	show_text(stdout, path, strlen(path));
	fputs(": all checksums are correct\n", stdout);
	return -show_end(stdout);
}
