/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers for tests: the seed is printed, and SEED in the environment repeats a run. */
#ifndef TESTS_SEED_H
#define TESTS_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t
random_seed(void)
{
	const char *given = getenv("SEED");
	uint64_t seed =
	    given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();

	printf("# SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/* splitmix64, by S. Vigna. */
static inline uint64_t
random_next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t
random_below(uint64_t *seed, uint64_t limit)
{
	return limit ? random_next(seed) % limit : 0;
}

#endif
