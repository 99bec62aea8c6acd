/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm verify: checks every checksum of a snapshot, including memory. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "snapshot/reader.h"

int
cli_verify(int argc, char **argv)
{
	struct snapshot snapshot;
	int failed;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		cli_help("verify");
		return -show_end(stdout);
	}
	if (argc != 2 || argv[1][0] == '-')
		return -fail(STATUS_USAGE,
			     "verify needs one snapshot; use minivmm verify SNAPSHOT");
	failed = snapshot_open(&snapshot, argv[1]);
	if (!failed)
		failed = snapshot_verify(&snapshot);
	snapshot_close(&snapshot);
	if (failed)
		return -failed;
	show_text(stdout, argv[1], strlen(argv[1]));
	fputs(": all checksums are correct\n", stdout);
	return -show_end(stdout);
}
