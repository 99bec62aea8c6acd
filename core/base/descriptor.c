/* SPDX-License-Identifier: BSD-2-Clause */
/* Closes what a child process has inherited. */
#include "base/descriptor.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Both included. Kernels before 5.9 have no close_range. */
static void
close_range_any(unsigned first, unsigned last)
{
	long limit = sysconf(_SC_OPEN_MAX);

	if (first > last || !close_range(first, last, 0))
		return;
	for (unsigned fd = first; fd <= last && (long)fd < limit; fd++)
		close((int)fd);
}

static int
ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void
descriptors_close_others(int *kept, size_t count)
{
	unsigned next = STDERR_FILENO + 1;

	qsort(kept, count, sizeof(*kept), ascending);
	for (size_t i = 0; i < count; i++) {
		if (kept[i] < (int)next)
			continue;
		if (kept[i] > (int)next)
			close_range_any(next, (unsigned)kept[i] - 1);
		next = (unsigned)kept[i] + 1;
	}
	close_range_any(next, UINT_MAX);
}
