/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts the basic blocks of core that are executed. Include it in one file of a program. */
#ifndef TESTS_STOP_COST_H
#define TESTS_STOP_COST_H

#include <stdint.h>

#define MOST 512u

static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);

/* Called by each basic block. */
void
__sanitizer_cov_trace_pc(void)
{
	blocks++;
}

/* The cost for twice the number is twice the cost, or a little more if a pass sorts. */
static void
expect_linear(uint64_t (*cost)(uint32_t number))
{
	uint64_t one = cost(MOST / 4), two = cost(MOST / 2), four = cost(MOST);

	if (four - two > (two - one) * 5 / 2)
		fail_msg("%llu, %llu and %llu blocks for n, 2n and 4n", (unsigned long long)one,
			 (unsigned long long)two, (unsigned long long)four);
}

#endif
