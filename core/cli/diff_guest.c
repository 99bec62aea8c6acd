/* SPDX-License-Identifier: BSD-2-Clause */
/* What differs between two snapshots although the guest is in the same state. */
#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "cli/diff.h"

/* kind: the key of a section's row; path: a pattern of fnmatch(3) for the item. minivmm(1) has
 * them, too. */
static const struct {
	const char *kind, *path, *reason;
} rows[] = {
	{ "vcpu", "msrs.0x10.*", "the TSC counts all the time" },
	{ "vcpu", "msrs.0x6e0.*", "TSC_DEADLINE is a value of the TSC" },
	{ "vcpu", "msrs.0xe[78]*", "MPERF and APERF count cycles" },
	{ "vcpu", "fpu.xstate_bv", "a component in its initial state has its bit set or clear" },
	{ "vcpu", "lapic.timer_current_count", "the LAPIC's timer counts down" },
	{ "machine", "time", "the VM's clock runs" },
	{ "machine", "clock.*", "kvmclock runs" },
	{ "machine", "pit.channel?.count_load_time", "it is a time of the host's clock" },
	{ "machine", "generation", "each run has its own generation ID" },
	{ "device", "random", "each run has its own seed of random numbers" },
	{ "device", "timers.*.deadline", "it is a time of the VM's clock" },
};

const char *
diff_ignores(const char *kind, const char *path)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].kind, kind) && !fnmatch(rows[i].path, path, 0))
			return rows[i].reason;
	return NULL;
}
